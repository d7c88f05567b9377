// SourceTable: the marks of every (source, epoch): 64 bytes each, names beside them.
//
//   SourceId id = table.find("shop-7", Epoch(3));           // none if unknown
//   if (id == SourceTable::none) id = table.add("shop-7", Epoch(3));
//   table.at(id).received = Lsn(42);
//
// Nothing is ever removed: marks never expire. Ids are dense and stable. Threads: one.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string_view>
#include <vector>

#include "evodb/types.h"

namespace evodb::ingest {

using SourceIndex = std::uint32_t;

struct SourceState {
  static constexpr std::uint8_t rebuilt = 1;  // only from the lakehouse: `persisted` is the highest
                                              // LSN in any table; the first hello decides the rest
  Epoch epoch;
  Lsn received, durable, persisted;
  ChainHash chain;  // at `received`
  TxnId txn;        // of the change there
  std::uint32_t name = 0;
  SourceIndex next_epoch_of_name = UINT32_MAX;
  std::uint32_t session = UINT32_MAX;  // SessionId of the live one
  std::uint8_t flags = 0;
  std::uint8_t unused[3] = {};
};
static_assert(sizeof(SourceState) == 64);

class SourceTable {
 public:
  static constexpr SourceIndex none = UINT32_MAX;

  SourceTable();
  SourceIndex find(std::string_view name, Epoch epoch) const;
  // REQUIRES: not there yet; the name is at most 65,535 bytes.
  SourceIndex add(std::string_view name, Epoch epoch);
  SourceState& at(SourceIndex id) { return states_[id]; }
  const SourceState& at(SourceIndex id) const { return states_[id]; }
  std::string_view name_of(SourceIndex id) const { return name_at(states_[id].name); }
  // The largest known of a source; 0 if none.
  Epoch newest_epoch(std::string_view name) const;
  std::size_t size() const { return states_.size(); }

 private:
  static constexpr std::size_t block_bits = 18;

  std::string_view name_at(std::uint32_t name) const;
  std::uint32_t store_name(std::string_view name);
  // The slot of `heads_` that holds this name's chain, or the empty one where it belongs.
  std::size_t slot_of(std::string_view name) const;
  void grow();

  std::deque<SourceState> states_;
  std::vector<SourceIndex> heads_;  // open addressing by name; the first state of its chain
  std::size_t names_ = 0;
  std::vector<std::unique_ptr<char[]>> blocks_;  // names: u16 length, bytes
  std::size_t block_used_ = std::size_t{1} << block_bits;
};

}  // namespace evodb::ingest
