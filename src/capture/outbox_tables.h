// The tables that capture keeps in an application's database: docs/formats/outbox.md is their page.
//
//   evodb_outbox     the changes; its id is the LSN
//   evodb_tables     one row a definition of a captured table; never changed but for `active`
//   evodb_columns    the columns of those definitions
//   evodb_state      source, epoch, what was trimmed
//   evodb_selection  tables that were named with --table and --exclude
//   evodb_victims    rows that a statement that is still running may be about to replace
//   evodb_resend     tables whose rows are being sent, and how far: resend.h
//   evodb_waiting    tables that look like a migration's, and since when: capture_plan.h
//   evodb_mark       one row that VACUUM moves: resend.h
//
// Everything here works inside a transaction of the caller. Internal to capture.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "capture/sqlite_db.h"
#include "evodb/result.h"
#include "evodb/types.h"
#include "wire/table_def.h"

namespace evodb::capture {

// 2: a table may begin anew. Format 1 had neither op_reset nor op_drop, nor the last three tables
// above, nor evodb_tables.fine_print.
inline constexpr std::int64_t outbox_format = 2;

// evodb_outbox.op beyond evodb::Op. The old row of an UPDATE whose new row is the next one.
inline constexpr std::int64_t op_before_half = 5;
// Op::kReset and Op::kDrop: the reason is in v0.
inline constexpr std::int64_t op_reset = 6;
inline constexpr std::int64_t op_drop = 7;

// Tables with more columns write an UPDATE as two outbox rows, so that one wide table does not
// make every outbox row wide: SQLite spends a byte on each NULL column.
inline constexpr std::size_t joined_columns_max = 64;
// SQLite's limit of 2,000 columns a table, less those in front of the values.
inline constexpr std::size_t table_columns_max = 1'990;

struct CaptureState {
  std::int64_t format = outbox_format;  // as stored; see upgrade_outbox_tables
  std::string source;
  Epoch epoch;
  Lsn trimmed;
  ChainHash trimmed_chain;
  bool all_tables = true;  // false: only those in evodb_selection
  bool paused = false;     // the triggers are away, on purpose
};

struct CapturedTable {
  std::int64_t id = 0;    // evodb_outbox.tbl
  std::int64_t slot = 0;  // the same for all definitions of one table; in its triggers' names
  bool active = false;    // this is the definition in use
  bool split = false;     // an UPDATE is two outbox rows
  wire::TableDef def;
  std::string fine_print;  // TableShape::fine_print(); "" where format 1 did not keep it
};

struct SelectedName {
  std::string name;
  bool excluded = false;
};

// Nothing where capture is not installed. Errors: kInvalid (a later format).
Result<std::optional<CaptureState>> load_state(const Database& db);
// The same, but without capture it is kInvalid.
Result<CaptureState> require_state(const Database& db);
Result<void> save_state(const Database& db, const CaptureState& state);

Result<std::vector<CapturedTable>> load_captured(const Database& db);
Result<CapturedTable> load_captured(const Database& db, std::int64_t id);
Result<void> save_captured(const Database& db, const CapturedTable& table);
Result<void> deactivate(const Database& db, std::int64_t id);
Result<void> save_fine_print(const Database& db, const CapturedTable& table);

Result<std::vector<SelectedName>> load_selection(const Database& db);
Result<void> save_selection(const Database& db, const std::vector<SelectedName>& names);

Result<void> create_outbox_tables(const Database& db, std::size_t outbox_width);
// Makes anew, empty, the tables on whose content the log does not depend: all but evodb_outbox,
// _tables, _columns and _state.
Result<void> restore_helper_tables(const Database& db);
// Brings tables of format 1 up to date. `state` is as load_state() gave it.
Result<void> upgrade_outbox_tables(const Database& db, CaptureState& state);
// Value columns that evodb_outbox needs for this table.
std::size_t outbox_width(const wire::TableDef& def);
// Adds the value columns that are missing; evodb_victims loses its rows if it is widened.
Result<void> widen(const Database& db, std::size_t outbox_width, std::size_t victim_width);
Result<void> drop_outbox_tables(const Database& db);

// Newest id in evodb_outbox, 0 if it is empty.
Result<Lsn> outbox_head(const Database& db);

// By the clock that triggers use, the one of the database's files.
Result<std::int64_t> wall_clock_ms(const Database& db);

// "v3,v4,v5"
std::string outbox_columns(std::size_t first, std::size_t count);

}  // namespace evodb::capture
