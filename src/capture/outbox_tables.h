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
#include <span>
#include <string>
#include <vector>

#include "capture/sqlite_db.h"
#include "evodb/result.h"
#include "evodb/types.h"
#include "wire/table_def.h"

namespace evodb::capture {

// 2: a table may begin anew, and a log is known by its life. Format 1 had neither op_reset nor
// op_drop, nor the last three tables above, nor evodb_tables.fine_print, nor life, anchor and
// dense_after.
inline constexpr std::int64_t outbox_format = 2;

// evodb_outbox.op beyond evodb::Op. The old row of an UPDATE whose new row is the next one.
inline constexpr std::int64_t op_before_half = 5;
// Op::kReset and Op::kDrop: the reason is in v0.
inline constexpr std::int64_t op_reset = 6;
inline constexpr std::int64_t op_drop = 7;

// Columns of evodb_outbox: id, tbl, op, at, v0, v1, ...
inline constexpr int outbox_value_column = 4;

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
  // Random, and another one whenever this log may have become two: made, reset, a new epoch, opened
  // while it was not closed. 0: of format 1, or not made yet.
  std::uint64_t life = 0;
  bool open = false;  // an edge works on it, or died while it did
  // row_hash() of the row at `trimmed`, which is never deleted: who empties the outbox takes it
  // along. 0: not known.
  std::uint64_t anchor = 0;
  Lsn dense_after;  // ids above it have no holes
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

enum class Installed : std::uint8_t {
  kNo,
  kPartly,  // somebody dropped tables of ours, removed rows of evodb_state, or left only triggers
  kYes,
};
Result<Installed> what_is_installed(const Database& db);
// The keys that evodb_state always has in this format. (`full` comes and goes.)
std::span<const char* const> state_keys(std::int64_t format);
// Rows of evodb_tables, evodb_columns and evodb_selection together; they never become fewer.
// REQUIRES: kYes.
Result<std::int64_t> count_definitions(const Database& db);

// Nothing where capture is not installed. Errors: kInvalid (a later format).
Result<std::optional<CaptureState>> load_state(const Database& db);
// The same, but without capture it is kInvalid.
Result<CaptureState> require_state(const Database& db);
// A state without a life gets one: see begin_life().
Result<void> save_state(const Database& db, const CaptureState& state);
// Draws another life, and takes the row at `trimmed` for its anchor.
Result<void> begin_life(const Database& db, CaptureState& state);

// Errors: kNotFound (a row of evodb_tables or evodb_columns that belongs to it was removed).
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
// Says which row of evodb_outbox this is: another one under its id has another hash. Never 0. Of a
// large row (bit 0 is set) the values are left out, so that it can be asked for often.
// `row`: SELECT * FROM evodb_outbox.
std::uint64_t row_hash(const Statement& row);
// Whether evodb_outbox has that very row.
Result<bool> has_row(const Database& db, Lsn lsn, std::uint64_t hash);
// 0: there is no such row.
Result<std::uint64_t> hash_of_row(const Database& db, Lsn lsn);

// "v3,v4,v5"
std::string outbox_columns(std::size_t first, std::size_t count);

}  // namespace evodb::capture
