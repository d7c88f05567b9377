// Rows of wire v1 (JSON text) as changes of wire v2 (typed values), so that one journal and one
// lakehouse take both.
//
//   V1Tables tables;                       // of the session
//   V1RowTranslator translator;            // of the gate: parsers and scratch memory
//   V1Batch batch = translator.translate(entries, tables, limits);   // sorts the entries
//   ingest.on_batch_unordered(session, batch.bodies, bytes, token, now, effects);
//   tables.forget_sent();                  // if these were refused
//
// Nothing makes a batch fail: an entry that is wrong is rejected by itself. It goes to the rejects
// table as Op::kOversize, with the reason and its content, and counts as landed. An entry without
// an LSN of its own (sequence 0, or another entry's) gets one from its content, so that it is known
// when it comes again: v1_own_lsn_min and above.
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
// the last one counts, as in JavaScript. Of a rejected entry the key has four values: row id,
// operation, before and after as they came; only the row id if it is over row_bytes_max.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/limits.h"
#include "evodb/result.h"
#include "ingest/ingest.h"
#include "wire/change.h"
#include "wire/table_def.h"
#include "wire/v1/codec.h"

namespace evodb::gate {

// One entry of a v1 batch, from either encoding. Borrows. Empty rows are absent.
struct V1RowEntry : wire::V1Entry {
  std::uint32_t number = 0;          // 1, 2, ... in the batch as it came: for reasons
  std::optional<std::string> fault;  // why it is to be rejected, if it is
  Lsn lsn;                           // translate() fills it in
};

inline constexpr std::size_t v1_tables_max = 1'000;          // (table, columns) pairs a session
inline constexpr std::size_t v1_table_bytes_max = 1u << 20;  // of their names together
inline constexpr std::uint64_t v1_own_lsn_min = base::stored_number_max;

// Which definitions a session has, and their numbers. Where there is no space for another one,
// those that were not used for the longest are dropped, and their numbers are used again.
class V1Tables {
 public:
  struct Known {
    std::uint32_t ref = 0;
    std::uint64_t fingerprint = 0;
    bool sent = false;  // ingest has it under this number
  };
  V1Tables() = default;
  V1Tables(V1Tables&&) = default;
  V1Tables& operator=(V1Tables&&) = default;

  // nullptr: there is no space beside those that the body at hand uses. It must be finished first.
  // The pointer is valid until the next call. REQUIRES: names of at most v1_table_bytes_max.
  Known* find_or_add(std::string_view table, const std::vector<std::string_view>& columns);
  void begin_body() { ++body_; }
  // Every definition is to be sent again when it is used next.
  void forget_sent();
  std::size_t held_bytes() const { return bytes_; }

  static std::size_t name_bytes(std::string_view table,
                                const std::vector<std::string_view>& columns);

 private:
  struct Entry {
    std::string signature;  // the names, each behind its length
    Known known;
    std::uint64_t body = 0;  // that used it last
  };
  using Entries = std::list<Entry>;

  Entries entries_;  // used last first
  std::unordered_map<std::string_view, Entries::iterator> by_signature_;
  std::vector<std::uint32_t> free_refs_;
  std::uint32_t refs_ = 0;
  std::uint64_t body_ = 1;
  std::size_t bytes_ = 0;
  std::string signature_;
};

// What one body may have at most.
using V1BodyLimits = ingest::BatchLimits;

struct V1Batch {
  std::vector<std::string> bodies;  // none: there was no entry
  std::uint32_t entries = 0;
  std::uint32_t rejected = 0;  // of these
  std::uint32_t repeated = 0;  // the same entry again within the batch, left out
};

class V1RowTranslator {
 public:
  V1RowTranslator();
  ~V1RowTranslator();

  V1Batch translate(std::vector<V1RowEntry>& entries, V1Tables& tables,
                    const V1BodyLimits& limits = {});

 private:
  struct Row;
  struct Scratch;
  static void give_lsns(std::vector<V1RowEntry>& entries);

  std::unique_ptr<Scratch> scratch_;
};

}  // namespace evodb::gate
