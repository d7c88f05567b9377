// ChangeEncoder: what an application gives as ClientChange, checked and encoded for an outbox.
//
//   EVODB_TRY(encoder.register_table(table));
//   std::span<const NewChange> changes = EVODB_TRY(encoder.encode(client_changes, now));
//
// Threads: one at a time. The span and its views are valid until the next call.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "edge/memory_outbox.h"
#include "evodb/client.h"

namespace evodb::edge {

class ChangeEncoder {
 public:
  explicit ChangeEncoder(std::size_t ids_max) : ids_max_(ids_max) {}

  Result<void> register_table(const ClientTable& table);
  // Empty where all of them are repetitions. Errors: kInvalid, kOverLimit.
  Result<std::span<const NewChange>> encode(std::span<const ClientChange> changes, UnixMillis now);
  // The changes of the last encode() were taken: their ids are remembered.
  void taken();

 private:
  struct Table {
    wire::TableDef def;
    std::uint64_t fingerprint = 0;
    std::size_t key_columns = 0;
  };
  struct Pieces {
    std::size_t begin = 0, key = 0, before = 0, after = 0;  // offset, then lengths in this order
  };
  Result<void> check(const ClientChange& change, const Table& table) const;

  const std::size_t ids_max_;
  std::map<std::string, std::vector<std::unique_ptr<Table>>> tables_;  // the last version counts
  std::size_t versions_ = 0;
  std::string bytes_;
  std::vector<Pieces> pieces_;
  std::vector<NewChange> changes_;
  std::vector<std::string> new_ids_;
  std::unordered_set<std::string> ids_;
  std::deque<std::string> ids_in_order_;
};

}  // namespace evodb::edge
