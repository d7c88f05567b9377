// Installing, looking at and removing capture: triggers that write every change of an
// application's tables into one outbox table, in the application's own transactions.
//
//   InstallReport report = EVODB_TRY(install({.db = "app.db"}, clock, random));
//   CaptureStatus now = EVODB_TRY(status("app.db"));
//   EVODB_TRY(remove("app.db", /*force=*/false));
//
// What lands in the database: docs/formats/outbox.md. What is captured and what a table's key is:
// table_shape.h. How: triggers.h.
//
// A schema change is noticed when install() or refresh() runs, which a follower calls whenever
// PRAGMA schema_version has changed. Whatever the triggers may have missed until then, the table
// *begins anew*: a RESET, then all its rows as SNAPSHOT changes (capture_plan.h says when, resend.h
// how). ADD COLUMN sends the rows that hold a value there. DROP TABLE and RENAME TABLE leave a DROP
// of the name that is gone. DROP COLUMN fails, because triggers name the column: pause() first,
// install() afterwards.
// What stays unseen: sqlite3_blob_write, PRAGMA writable_schema, connections whose triggers are
// switched off, and the order of what a TEMP trigger changes in the table that it is on.
//
// Every function opens the file for itself and closes it; any thread. Errors, all of one line that
// says what to do: kInvalid (no such file, not a database, read-only, no such table, nothing to
// capture), kRetry (locked, disk full), kCorrupt.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "evodb/result.h"
#include "evodb/types.h"

namespace evodb::capture {

struct InstallOptions {
  std::string db;
  std::vector<std::string> tables;   // empty: all, also those that are created later
  std::vector<std::string> exclude;  // of all
  std::string source;                // "": a random name, or the one that it has already
  bool snapshot = true;              // rows that exist already go in as SNAPSHOT changes
  int busy_timeout_ms = 5'000;       // how long to wait for a lock
  std::string vfs;                   // a registered sqlite3_vfs; "": the machine's files
};

struct TableReason {
  std::string name;
  std::string reason;
  friend bool operator==(const TableReason&, const TableReason&) = default;
};

struct InstallReport {
  std::string source;
  Epoch epoch;
  std::vector<std::string> captured;  // every captured table
  std::vector<TableReason> skipped;
  std::uint64_t snapshot_rows = 0;  // that were there already and are sent
  std::uint64_t pending_rows = 0;   // of those: a running edge puts them into the outbox, about
  bool already_installed = false;
  bool changed = false;  // anything was written
  std::vector<std::string> warnings;
};

// Idempotent: a second run captures tables that are new, regenerates triggers where the schema
// changed, resumes after pause(), and changes nothing otherwise. `tables` of a second run are added
// to those of the first, `exclude` is taken from them. One short transaction holds triggers, state
// and what is to be sent; rows follow in chunks, a crash or the rest of a large table is the
// edge's.
Result<InstallReport> install(const InstallOptions& options, base::Clock& clock,
                              base::Random& random);

// What install() would do for the tables chosen so far, but new tables that look like a migration's
// wait for a moment (capture_plan.h). True if anything changed. Nothing is done while capture is
// paused.
Result<bool> refresh(const std::string& db);

// Makes a capture whole whose tables or triggers somebody dropped, emptied or altered: repair.h.
// True if anything was wrong. `source`: the name, if it is nowhere in the database any more.
// Errors: kNotFound (nothing of a capture is there).
Result<bool> repair(const std::string& db, const std::string& source, base::Clock& clock,
                    base::Random& random);

struct TableStatus {
  std::string name;
  std::uint32_t schema_version = 0;  // 0: never captured
  bool captured = false;
  bool stale = false;      // its schema or triggers changed since; refresh() repairs it
  bool resending = false;  // its rows are still being put into the outbox
  std::string reason;      // why it is not captured, or what is stale
};

struct CaptureStatus {
  std::string source;
  Epoch epoch;
  Lsn trimmed;
  Lsn head;
  std::uint64_t held_changes = 0;
  std::uint64_t held_bytes = 0;  // estimated from a sample
  bool all_tables = true;
  bool paused = false;
  std::optional<std::string> broken;  // capture is not whole, and what is wrong
  bool writes_fail = false;  // then: the application's writes to captured tables, until repair()
  std::vector<TableStatus> tables;
  std::vector<std::string> warnings;
};

// Also of what is half there: then what can be known. Errors: as above; kInvalid where capture is
// not installed.
Result<CaptureStatus> status(const std::string& db);

// Takes the triggers away and leaves the outbox: for a migration that they stand in the way of.
// Changes are not captured until install() runs; every table then begins anew.
Result<void> pause(const std::string& db);

// Takes everything away, whatever is left of it. Errors: kInvalid while changes are unsent, or may
// be, unless `force`; kInvalid if there is nothing.
Result<void> remove(const std::string& db, bool force);

}  // namespace evodb::capture
