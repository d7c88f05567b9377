// Rows of wire v1 (JSON text) as changes of wire v2 (typed values), so that one journal and one
// lakehouse take both.
//
//   V1Tables tables;                       // of the session
//   V1RowTranslator translator;            // of the gate: parsers and scratch memory
//   auto batch = translator.translate(entries, tables);   // sorts the entries by sequence
//   ingest.on_batch_unordered(session, batch->body, ...);
//   tables.mark_sent();                    // unless the body was refused as malformed
//
// What becomes what (docs/gate.md):
//   object             one column a member; both rows of a change share one definition, made of the
//                      after row's members, then those that only the before row has; what one row
//                      lacks is NULL there
//   anything else      one column "value"
//   integer            INTEGER; beyond 64 bits TEXT of its digits, since a REAL would lose some
//   other number       REAL; beyond a double TEXT
//   true, false, null  BOOLEAN, NULL
//   string             TEXT; a lone surrogate (JavaScript allows it) stays as its three bytes
//   object, array      TEXT of its JSON, exactly as it came
// The row id is the change's key, one TEXT value. LSN = the entry's sequence. A member given twice:
// the last one counts, as in JavaScript. A row over row_bytes_max goes as Op::kOversize, that is to
// the rejects table, with its key.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "evodb/result.h"
#include "wire/change.h"
#include "wire/table_def.h"
#include "wire/v1.h"

namespace evodb::gate {

// One entry of a v1 batch, from either encoding. Borrows. Empty rows are absent.
struct V1RowEntry : wire::V1Entry {
  std::uint32_t number = 0;  // 1, 2, ... in the batch as it came: for error texts
};

inline constexpr std::size_t v1_tables_max = 1'000;          // (table, columns) pairs a session
inline constexpr std::size_t v1_table_bytes_max = 1u << 20;  // of their names together

// Which definitions a session has, and their numbers.
class V1Tables {
 public:
  struct Known {
    std::uint32_t ref = 0;
    std::uint64_t fingerprint = 0;
    bool sent = false;
  };
  // Errors: kOverLimit. The pointer is valid until the next call.
  Result<Known*> find_or_add(std::string_view table, const std::vector<std::string_view>& columns);
  // Those that ingest has not seen.
  const std::vector<std::pair<std::uint32_t, wire::TableDef>>& unsent() const { return unsent_; }
  void mark_sent() { unsent_.clear(); }
  std::size_t held_bytes() const { return bytes_; }

 private:
  std::unordered_map<std::string, Known> known_;  // by the names, each behind its length
  std::vector<std::pair<std::uint32_t, wire::TableDef>> unsent_;
  std::size_t bytes_ = 0;
  std::string signature_;
};

struct V1Batch {
  std::string body;  // empty: there was no entry
  std::uint32_t entries = 0;
  std::uint32_t repeated = 0;  // the same entry again within the batch, left out
  Lsn last;
};

class V1RowTranslator {
 public:
  V1RowTranslator();
  ~V1RowTranslator();

  // Errors: kInvalid (which entry and what is wrong with it), kOverLimit. Nothing of the batch may
  // be used then.
  Result<V1Batch> translate(std::vector<V1RowEntry>& entries, V1Tables& tables);

 private:
  struct Row;
  struct Scratch;
  Result<void> add(const V1RowEntry& entry, V1Tables& tables);

  std::unique_ptr<Scratch> scratch_;
};

}  // namespace evodb::gate
