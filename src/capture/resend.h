// Resend: a table's rows go into the outbox as SNAPSHOT changes, a chunk at a time.
//
//   EVODB_TRY(log_reset(db, table.id, "it was made anew"));      // in one transaction of the
//   EVODB_TRY(queue_resend(db, table, 0));                       // caller's, with its triggers
//   Resender resender;                                             // then, again and again:
//   ResendStep done = EVODB_TRY(resender.step(db, &clock, {}));    // one short write transaction
//
// The first snapshot of a table, what follows a RESET and a new epoch are all this. The application
// writes on beside it: outbox and table are in one database, so a chunk reads and appends at one
// instant of the log, and for whoever folds the changes the last one of a key is right. A DELETE of
// a row that was not sent yet meets nothing, and the chunk that comes by later does not see it.
//
// What is left to do is in evodb_resend, one row a table, saved with each chunk: a crash costs
// nothing. How a table is walked:
//   by rowid     tables with a rowid whose key holds no NULL
//   by its key   WITHOUT ROWID tables, in the order of their primary key with its collations; and
//                tables whose key may be NULL, by that key's index. Rows with a NULL in their key
//                are known by all their values and may repeat, so all those of one key go in one
//                chunk: a DELETE each, which takes away what of them is known, then a SNAPSHOT each
//   whole        where a collation of the key is only known to the application: one transaction
//
// A schema change in the middle is refresh()'s to judge: step() says `stale` and does nothing until
// what it walks is again what its definition says. VACUUM gives new rowids to tables without an
// index, so a mark (evodb_mark, a row that VACUUM moves) tells of it.
//
// Errors: kRetry (locked, disk full), kCorrupt. Threads: one at a time. Internal to capture.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "capture/outbox_tables.h"
#include "capture/sqlite_db.h"
#include "evodb/result.h"

namespace evodb::capture {

// While more than this waits unsent in the outbox, no more is put into it. (What it holds besides
// is what the application wrote.)
inline constexpr std::size_t resend_ahead_bytes = 8u << 20;

// One chunk ends with the row that reaches any of these.
struct ResendBudget {
  std::uint64_t rows_max = 4'000;
  std::size_t bytes_max = 1u << 20;
  std::int64_t time_ms = 4;  // needs a clock; the commit comes on top
};

struct ResendStep {
  std::uint64_t rows = 0;  // SNAPSHOT changes that were appended
  std::size_t bytes = 0;   // of their values, about
  bool pending = false;    // there is more to do
  bool stale = false;      // not before refresh() has looked at the schema
};

// All inside the caller's write transaction.
Result<void> log_reset(const Database& db, std::int64_t definition, const std::string& reason);
Result<void> log_drop(const Database& db, std::int64_t definition, const std::string& reason);
// From the first row on. `previous`: only rows that hold a value in a column which that definition
// does not have, and no NULL in their key; 0: all rows. What was queued for the table before is
// part of it.
Result<void> queue_resend(const Database& db, const CapturedTable& table, std::int64_t previous);
Result<void> cancel_resend(const Database& db, std::int64_t slot);
Result<bool> resend_is_queued(const Database& db);
// Rows of `slot` that were appended so far; nothing if it is not queued.
Result<std::optional<std::uint64_t>> resent_rows(const Database& db, std::int64_t slot);
// Tables walked by a rowid that is not their key begin again: VACUUM gave other ones.
Result<void> restart_rowid_walks(const Database& db);

// Whether rowids without an index changed since set_rowid_mark(): VACUUM, or a dump that was read.
Result<bool> rowids_moved(const Database& db);
Result<void> set_rowid_mark(const Database& db);

class Resender {
 public:
  Resender();
  ~Resender();
  // Appends one chunk. Nothing is done while capture is paused. `clock` may be null.
  Result<ResendStep> step(const Database& db, base::Clock* clock, const ResendBudget& budget);

 private:
  struct Walk;  // the table that is walked, its statements prepared
  Result<bool> prepare(const Database& db, std::int64_t slot, std::int64_t definition,
                       std::int64_t previous);
  std::unique_ptr<Walk> walk_;
};

}  // namespace evodb::capture
