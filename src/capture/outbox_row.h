// OutboxRow: turns a row of evodb_outbox into a change, its values encoded as the wire wants them.
//
//   OutboxRow row;
//   if (row.add(statement, table)) sink.take(row.change());   // false: half an UPDATE, go on
//
// The buffers are reused from row to row. A change whose encoding is over base::row_bytes_max is
// made smaller: an UPDATE goes without its old row if that helps (what identifies the row is in
// the new one too), anything else becomes Op::kOversize with key and reason. The same row always
// gives the same change, as the chain hash needs. Internal to capture.
#pragma once

#include <cstdint>
#include <string>

#include "capture/outbox.h"
#include "capture/outbox_tables.h"
#include "capture/sqlite_db.h"

namespace evodb::capture {

// A definition as the outbox keeps it for its life.
struct KnownTable {
  CapturedTable table;
  std::uint64_t fingerprint = 0;
};

class OutboxRow {
 public:
  // True: change() is complete. False: it was the old half of an UPDATE, the new one follows.
  // Errors: kCorrupt (a row that capture does not write).
  Result<bool> add(const Statement& row, const KnownTable& known);
  // Valid until the next add(). `txn` is left for the caller to set.
  OutboxChange& change() { return change_; }
  std::size_t bytes() const { return before_.size() + after_.size() + key_.size(); }

 private:
  std::size_t measure(const Statement& row, int first, std::size_t count) const;
  static void encode(const Statement& row, int first, std::size_t count, std::string& out);
  void begin_change(const Statement& row, const KnownTable& known, Op op);
  void note_table(const Statement& row, const KnownTable& known, Op op);
  void make_oversize(const Statement& row, const CapturedTable& table, int first,
                     std::size_t bytes);

  OutboxChange change_;
  std::string before_, after_, key_, reason_;
  bool half_ = false;           // before_ holds the old half of what comes next
  std::size_t half_bytes_ = 0;  // what it measured, even if it was too large to keep
  std::int64_t half_table_ = 0;
};

}  // namespace evodb::capture
