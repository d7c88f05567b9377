#include "capture/outbox_tables.h"

#include <algorithm>
#include <limits>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/limits.h"
#include "capture/triggers.h"
#include "evodb/value.h"
#include "wire/change.h"

namespace evodb::capture {
namespace {

// The time is a default so that triggers need not say it. Milliseconds by the one clock function
// that every SQLite has; half a millisecond against the rounding of a number of days.
//
// Not AUTOINCREMENT: it costs a quarter of a one-row transaction's speed. Ids are not reused
// because trimming always leaves the newest row.
constexpr const char* create_outbox_sql = R"sql(
CREATE TABLE main.evodb_outbox(
  id INTEGER PRIMARY KEY,
  tbl INTEGER NOT NULL,
  op INTEGER NOT NULL,
  at INTEGER NOT NULL
    DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000.0 + 0.5 AS INTEGER)))sql";
constexpr const char* create_others_sql = R"sql(
CREATE TABLE main.evodb_tables(
  id INTEGER PRIMARY KEY,
  slot INTEGER NOT NULL,
  active INTEGER NOT NULL,
  split INTEGER NOT NULL,
  name TEXT NOT NULL,
  schema_version INTEGER NOT NULL,
  fine_print TEXT);
CREATE TABLE main.evodb_columns(
  tbl INTEGER NOT NULL,
  position INTEGER NOT NULL,
  name TEXT NOT NULL,
  declared_type TEXT NOT NULL,
  key_ordinal INTEGER NOT NULL,
  PRIMARY KEY(tbl, position)) WITHOUT ROWID;
CREATE TABLE main.evodb_state(key TEXT NOT NULL PRIMARY KEY, value) WITHOUT ROWID;
)sql";
constexpr const char* create_selection_sql = R"sql(
CREATE TABLE main.evodb_selection(
  name TEXT NOT NULL PRIMARY KEY,
  excluded INTEGER NOT NULL) WITHOUT ROWID;
)sql";
// Since format 2.
constexpr const char* create_resend_sql = R"sql(
CREATE TABLE IF NOT EXISTS main.evodb_resend(
  slot INTEGER PRIMARY KEY,
  tbl INTEGER NOT NULL,
  previous INTEGER NOT NULL,
  reached BLOB,
  sent INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS main.evodb_waiting(
  name TEXT NOT NULL PRIMARY KEY,
  since INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS main.evodb_mark(x);
DELETE FROM main.evodb_mark;
INSERT INTO main.evodb_mark(rowid, x) VALUES(2, 1);
)sql";

bool is_countable(std::int64_t lsn_or_epoch) {
  return lsn_or_epoch >= 0 && lsn_or_epoch <= static_cast<std::int64_t>(base::stored_number_max);
}

Error beyond_counting(const Database& db) {
  return {ErrorKind::kCorrupt,
          "'" + db.path() +
              "': an LSN or epoch in evodb_outbox or evodb_state is one that "
              "capture does not write; remove capture with --force, install again"};
}

Result<std::size_t> width_of(const Database& db, const std::string& table) {
  const std::int64_t found =
      EVODB_TRY(db.integer("SELECT count(*) FROM pragma_table_info(" + quote_text(table) +
                           ", 'main') WHERE name GLOB 'v[0-9]*'"));
  return static_cast<std::size_t>(found);
}

// A row that no parent ever sees: since the newest row stays, an outbox without rows was emptied.
Result<void> begin_outbox(const Database& db) {
  return db.run("INSERT OR IGNORE INTO main.evodb_outbox(id, tbl, op) VALUES(0, 0, 0)");
}

Result<bool> column_exists(const Database& db, const std::string& table,
                           const std::string& column) {
  const std::int64_t found =
      EVODB_TRY(db.integer("SELECT count(*) FROM pragma_table_info(" + quote_text(table) +
                           ", 'main') WHERE name = " + quote_text(column)));
  return found != 0;
}

// Nothing in it outlives the statement that wrote it, so it is made anew instead of altered.
Result<void> make_victims(const Database& db, std::size_t width) {
  const std::string columns = width == 0 ? "" : "," + outbox_columns(0, width);
  return db.run(
      "DROP TABLE IF EXISTS main.evodb_victims;"
      "CREATE TABLE main.evodb_victims(\n  tbl INTEGER NOT NULL,\n  n INTEGER NOT NULL,\n  rid" +
      columns + ",\n  PRIMARY KEY(tbl, n)) WITHOUT ROWID");
}

Result<void> set_state(const Database& db, const char* key, std::int64_t value) {
  const auto put =
      EVODB_TRY(db.kept("INSERT INTO main.evodb_state(key, value) VALUES(?1, ?2) "
                        "ON CONFLICT(key) DO UPDATE SET value = excluded.value"));
  put->bind(1, std::string_view(key));
  put->bind(2, value);
  return put->run();
}

// SQLite checks nothing of what it stores, and what stands here decides what is sent and deleted.
std::int64_t state_sum(const CaptureState& state, std::int64_t format) {
  std::string bytes;
  base::put_u64(bytes, state.epoch.value);
  base::put_u64(bytes, state.trimmed.value);
  base::put_u64(bytes, state.trimmed_chain.value);
  base::put_u8(bytes, state.all_tables ? 1 : 0);
  base::put_u8(bytes, state.paused ? 1 : 0);
  if (format > 1) {
    base::put_u64(bytes, state.life);
    base::put_u8(bytes, state.open ? 1 : 0);
    base::put_u64(bytes, state.anchor);
    base::put_u64(bytes, state.dense_after.value);
  }
  return base::crc32c(state.source, base::crc32c(bytes));
}

// SQL: how many of the keys that this format always has are there.
std::string count_of_keys(std::int64_t format) {
  std::string list;
  for (const char* key : state_keys(format)) list += (list.empty() ? "" : ",") + quote_text(key);
  return "(SELECT count(*) FROM main.evodb_state WHERE key IN (" + list + "))";
}

Result<void> load_columns(const Database& db, CapturedTable& table) {
  const auto lost = [&] {
    return fail(ErrorKind::kNotFound, "evodb_columns lacks columns of table " +
                                          std::to_string(table.id) + ", '" +
                                          printable(table.def.name) + "'");
  };
  Statement columns = EVODB_TRY(
      db.prepare("SELECT name, declared_type, key_ordinal, position FROM main.evodb_columns "
                 "WHERE tbl = ?1 ORDER BY position"));
  columns.bind(1, table.id);
  while (EVODB_TRY(columns.step())) {
    if (columns.integer(3) != static_cast<std::int64_t>(table.def.columns.size())) return lost();
    table.def.columns.push_back({std::string(columns.text(0)), std::string(columns.text(1)),
                                 static_cast<std::uint32_t>(columns.integer(2))});
  }
  return table.def.columns.empty() ? Result<void>(lost()) : Result<void>();
}

}  // namespace

std::span<const char* const> state_keys(std::int64_t format) {
  static constexpr const char* keys[] = {
      "format", "source", "epoch", "trimmed", "trimmed_chain", "all_tables",  // in format 1, too
      "paused", "life",   "open",  "anchor",  "dense_after",   "sum"};
  constexpr std::size_t in_format_1 = 6;
  return format < 2 ? std::span(keys).first(in_format_1) : std::span<const char* const>(keys);
}

Result<Installed> what_is_installed(const Database& db) {
  // One that names all of them compiles only where they all are.
  static const std::string all_of_ours =
      "SELECT (SELECT value FROM main.evodb_state WHERE key = 'format')," + count_of_keys(1) + "," +
      count_of_keys(outbox_format) +
      ",EXISTS(SELECT 1 FROM main.evodb_outbox, main.evodb_tables, main.evodb_columns, "
      "main.evodb_selection, main.evodb_victims LIMIT 0)";
  static const std::string since_format_2 =
      "SELECT EXISTS(SELECT 1 FROM main.evodb_resend, main.evodb_waiting, main.evodb_mark LIMIT 0)";
  if (const auto all = db.kept(all_of_ours)) {
    const auto found = (*all)->step();
    if (found && *found) {
      const std::int64_t format = (*all)->integer(0);
      const std::int64_t keys = (*all)->integer(format < 2 ? 1 : 2);
      // A later format has keys of its own, and is load_state()'s to refuse.
      const bool has_keys =
          format > outbox_format || keys == static_cast<std::int64_t>(state_keys(format).size());
      if (format < 1 || !has_keys) return Installed::kPartly;
      if (format == 1) return Installed::kYes;
      const auto more = db.kept(since_format_2);
      const auto there = more ? (*more)->step() : Result<bool>(fail(more.error()));
      if (there) return Installed::kYes;
      return there.error().kind == ErrorKind::kInternal ? Result<Installed>(Installed::kPartly)
                                                        : fail(there.error());
    }
    if (!found && found.error().kind != ErrorKind::kInternal) return fail(found.error());
  } else if (all.error().kind != ErrorKind::kInternal) {
    return fail(all.error());
  }
  const std::int64_t tables = EVODB_TRY(db.integer(
      "SELECT count(*) FROM main.sqlite_schema WHERE type = 'table' AND name IN ('evodb_outbox', "
      "'evodb_tables', 'evodb_columns', 'evodb_state', 'evodb_selection', 'evodb_victims')"));
  if (tables > 0) return Installed::kPartly;
  Statement names =
      EVODB_TRY(db.prepare("SELECT name FROM main.sqlite_schema WHERE type = 'trigger'"));
  while (EVODB_TRY(names.step())) {
    if (slot_of_trigger(names.text(0)) != 0) return Installed::kPartly;
  }
  return Installed::kNo;
}

Result<std::int64_t> count_definitions(const Database& db) {
  const auto count =
      EVODB_TRY(db.kept("SELECT (SELECT count(*) FROM main.evodb_tables) + "
                        "(SELECT count(*) FROM main.evodb_columns) + "
                        "(SELECT count(*) FROM main.evodb_selection)"));
  const bool found = EVODB_TRY(count->step());
  return found ? count->integer(0) : 0;
}

Result<std::optional<CaptureState>> load_state(const Database& db) {
  auto kept = db.kept("SELECT key, value FROM main.evodb_state");
  if (!kept) {
    const std::int64_t installed =
        EVODB_TRY(db.integer("SELECT count(*) FROM main.sqlite_schema WHERE name = 'evodb_state'"));
    if (installed != 0) return fail(std::move(kept).error());
    return std::optional<CaptureState>();
  }
  Statement& rows = **kept;
  CaptureState state;
  std::int64_t format = 0;
  bool sane = true;
  std::optional<std::int64_t> sum;  // not in databases that were captured before there was one
  for (;;) {
    const auto row = rows.step();
    if (!row) {  // dropped since it was prepared?
      const std::int64_t installed = EVODB_TRY(
          db.integer("SELECT count(*) FROM main.sqlite_schema WHERE name = 'evodb_state'"));
      if (installed != 0) return fail(row.error());
      return std::optional<CaptureState>();
    }
    if (!*row) break;
    const std::string_view key = rows.text(0);
    if (key == "format") format = rows.integer(1);
    if (key == "source") state.source = rows.text(1);
    if (key == "epoch") state.epoch.value = static_cast<std::uint64_t>(rows.integer(1));
    if (key == "trimmed") state.trimmed.value = static_cast<std::uint64_t>(rows.integer(1));
    if (key == "life") state.life = static_cast<std::uint64_t>(rows.integer(1));
    if (key == "open") state.open = rows.integer(1) != 0;
    if (key == "anchor") state.anchor = static_cast<std::uint64_t>(rows.integer(1));
    if (key == "dense_after") state.dense_after.value = static_cast<std::uint64_t>(rows.integer(1));
    if (key == "epoch" || key == "trimmed" || key == "dense_after") {
      sane &= is_countable(rows.integer(1));
    }
    if (key == "trimmed_chain") {
      state.trimmed_chain.value = static_cast<std::uint64_t>(rows.integer(1));
    }
    if (key == "all_tables") state.all_tables = rows.integer(1) != 0;
    if (key == "paused") state.paused = rows.integer(1) != 0;
    if (key == "sum") sum = rows.integer(1);
  }
  if (format < 1 || format > outbox_format) {
    return fail(ErrorKind::kInvalid, "the capture in '" + db.path() + "' has format " +
                                         std::to_string(format) + ", this evodb knows " +
                                         std::to_string(outbox_format) + "; use a newer evodb");
  }
  if (!sane) return fail(beyond_counting(db));
  if ((format > 1 && !sum) || (sum && *sum != state_sum(state, format))) {
    return fail(ErrorKind::kCorrupt,
                "'" + db.path() +
                    "': the checksum of evodb_state does not hold; restore a backup, "
                    "or run: evodb capture remove --force, and install it anew");
  }
  state.format = format;
  return std::optional<CaptureState>(std::move(state));
}

Result<CaptureState> require_state(const Database& db) {
  std::optional<CaptureState> state = EVODB_TRY(load_state(db));
  if (!state) {
    return fail(
        ErrorKind::kInvalid,
        "'" + db.path() + "' is not captured; run: evodb capture install --db " + db.path());
  }
  return std::move(*state);
}

Result<void> begin_life(const Database& db, CaptureState& state) {
  const std::int64_t drawn = EVODB_TRY(db.integer("SELECT random()"));
  state.life = drawn != 0 ? static_cast<std::uint64_t>(drawn) : 1;
  state.anchor = EVODB_TRY(hash_of_row(db, state.trimmed));
  return {};
}

Result<void> save_state(const Database& db, const CaptureState& given) {
  CaptureState state = given;
  if (state.life == 0) EVODB_TRY(begin_life(db, state));
  Statement source =
      EVODB_TRY(db.prepare("INSERT INTO main.evodb_state(key, value) VALUES('source', ?1) "
                           "ON CONFLICT(key) DO UPDATE SET value = excluded.value"));
  source.bind(1, std::string_view(state.source));
  EVODB_TRY(source.run());
  EVODB_TRY(set_state(db, "format", outbox_format));
  EVODB_TRY(set_state(db, "epoch", static_cast<std::int64_t>(state.epoch.value)));
  EVODB_TRY(set_state(db, "trimmed", static_cast<std::int64_t>(state.trimmed.value)));
  EVODB_TRY(set_state(db, "trimmed_chain", static_cast<std::int64_t>(state.trimmed_chain.value)));
  EVODB_TRY(set_state(db, "all_tables", state.all_tables ? 1 : 0));
  EVODB_TRY(set_state(db, "paused", state.paused ? 1 : 0));
  EVODB_TRY(set_state(db, "life", static_cast<std::int64_t>(state.life)));
  EVODB_TRY(set_state(db, "open", state.open ? 1 : 0));
  EVODB_TRY(set_state(db, "anchor", static_cast<std::int64_t>(state.anchor)));
  EVODB_TRY(set_state(db, "dense_after", static_cast<std::int64_t>(state.dense_after.value)));
  return set_state(db, "sum", state_sum(state, outbox_format));
}

Result<std::vector<CapturedTable>> load_captured(const Database& db) {
  std::vector<std::int64_t> ids;
  Statement rows = EVODB_TRY(db.prepare("SELECT id FROM main.evodb_tables ORDER BY id"));
  while (EVODB_TRY(rows.step())) ids.push_back(rows.integer(0));
  std::vector<CapturedTable> tables;
  tables.reserve(ids.size());
  for (const std::int64_t id : ids) tables.push_back(EVODB_TRY(load_captured(db, id)));
  return tables;
}

Result<CapturedTable> load_captured(const Database& db, std::int64_t id) {
  const bool has_fine_print = EVODB_TRY(column_exists(db, "evodb_tables", "fine_print"));
  Statement row = EVODB_TRY(db.prepare(
      std::string("SELECT slot, active, split, name, schema_version, ") +
      (has_fine_print ? "fine_print" : "NULL") + " FROM main.evodb_tables WHERE id = ?1"));
  row.bind(1, id);
  const bool found = EVODB_TRY(row.step());
  if (!found) {
    return fail(ErrorKind::kNotFound, "evodb_tables lacks table " + std::to_string(id) +
                                          ", which evodb_outbox or evodb_resend names");
  }
  // They are counted from 1; the next one must be a number, too.
  if (id < 1 || id >= std::numeric_limits<std::int32_t>::max()) {
    return fail(ErrorKind::kCorrupt, "'" + db.path() + "': evodb_tables has a table " +
                                         std::to_string(id) + ", which capture never makes");
  }
  CapturedTable table;
  table.id = id;
  table.slot = row.integer(0);
  table.active = row.integer(1) != 0;
  table.split = row.integer(2) != 0;
  table.def.name = row.text(3);
  table.def.schema_version = static_cast<std::uint32_t>(row.integer(4));
  table.fine_print = row.text(5);
  EVODB_TRY(load_columns(db, table));
  return table;
}

Result<void> save_captured(const Database& db, const CapturedTable& table) {
  Statement row =
      EVODB_TRY(db.prepare("INSERT INTO main.evodb_tables(id, slot, active, split, name, "
                           "schema_version, fine_print) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"));
  row.bind(1, table.id);
  row.bind(2, table.slot);
  row.bind(3, std::int64_t{table.active});
  row.bind(4, std::int64_t{table.split});
  row.bind(5, std::string_view(table.def.name));
  row.bind(6, std::int64_t{table.def.schema_version});
  row.bind(7, std::string_view(table.fine_print));
  EVODB_TRY(row.run());

  Statement column =
      EVODB_TRY(db.prepare("INSERT INTO main.evodb_columns(tbl, position, name, declared_type, "
                           "key_ordinal) VALUES(?1, ?2, ?3, ?4, ?5)"));
  for (std::size_t i = 0; i < table.def.columns.size(); ++i) {
    const wire::ColumnDef& def = table.def.columns[i];
    column.bind(1, table.id);
    column.bind(2, static_cast<std::int64_t>(i));
    column.bind(3, std::string_view(def.name));
    column.bind(4, std::string_view(def.declared_type));
    column.bind(5, std::int64_t{def.key_ordinal});
    EVODB_TRY(column.run());
  }
  return {};
}

Result<void> deactivate(const Database& db, std::int64_t id) {
  return db.run("UPDATE main.evodb_tables SET active = 0 WHERE id = " + std::to_string(id));
}

Result<void> save_fine_print(const Database& db, const CapturedTable& table) {
  Statement put =
      EVODB_TRY(db.prepare("UPDATE main.evodb_tables SET fine_print = ?2 WHERE id = ?1"));
  put.bind(1, table.id);
  put.bind(2, std::string_view(table.fine_print));
  return put.run();
}

Result<std::vector<SelectedName>> load_selection(const Database& db) {
  std::vector<SelectedName> names;
  const auto rows = EVODB_TRY(db.kept("SELECT name, excluded FROM main.evodb_selection"));
  while (EVODB_TRY(rows->step())) {
    names.push_back({std::string(rows->text(0)), rows->integer(1) != 0});
  }
  return names;
}

Result<void> save_selection(const Database& db, const std::vector<SelectedName>& names) {
  EVODB_TRY(db.run("DELETE FROM main.evodb_selection"));
  Statement put =
      EVODB_TRY(db.prepare("INSERT INTO main.evodb_selection(name, excluded) VALUES(?1, ?2)"));
  for (const SelectedName& selected : names) {
    put.bind(1, std::string_view(selected.name));
    put.bind(2, std::int64_t{selected.excluded});
    EVODB_TRY(put.run());
  }
  return {};
}

Result<void> create_outbox_tables(const Database& db, std::size_t outbox_width) {
  const std::string columns = outbox_width == 0 ? "" : "," + outbox_columns(0, outbox_width);
  EVODB_TRY(db.run(create_outbox_sql + columns + ")"));
  EVODB_TRY(db.run(create_others_sql));
  EVODB_TRY(db.run(create_selection_sql));
  EVODB_TRY(db.run(create_resend_sql));
  EVODB_TRY(begin_outbox(db));
  return make_victims(db, 0);
}

Result<void> restore_helper_tables(const Database& db) {
  EVODB_TRY(
      db.run("DROP TABLE IF EXISTS main.evodb_selection; DROP TABLE IF EXISTS main.evodb_resend;"
             "DROP TABLE IF EXISTS main.evodb_waiting; DROP TABLE IF EXISTS main.evodb_mark;"));
  EVODB_TRY(db.run(create_selection_sql));
  EVODB_TRY(db.run(create_resend_sql));
  return make_victims(db, 0);
}

Result<void> upgrade_outbox_tables(const Database& db, CaptureState& state) {
  if (state.format == outbox_format) return {};
  EVODB_TRY(db.run(create_resend_sql));
  const Lsn head = EVODB_TRY(outbox_head(db));
  if (head.value == 0 && state.trimmed.value == 0) EVODB_TRY(begin_outbox(db));
  const bool there = EVODB_TRY(column_exists(db, "evodb_tables", "fine_print"));
  if (!there) EVODB_TRY(db.run("ALTER TABLE main.evodb_tables ADD COLUMN fine_print TEXT"));
  state.format = outbox_format;
  return save_state(db, state);
}

std::size_t outbox_width(const wire::TableDef& def) {
  const std::size_t n = def.columns.size();
  return n > joined_columns_max ? n : 2 * n;
}

Result<void> widen(const Database& db, std::size_t outbox_width, std::size_t victim_width) {
  const std::size_t outbox = EVODB_TRY(width_of(db, "evodb_outbox"));
  for (std::size_t i = outbox; i < outbox_width; ++i) {
    EVODB_TRY(db.run("ALTER TABLE main.evodb_outbox ADD COLUMN v" + std::to_string(i)));
  }
  const std::size_t victims = EVODB_TRY(width_of(db, "evodb_victims"));
  return victims < victim_width ? make_victims(db, victim_width) : Result<void>();
}

Result<void> drop_outbox_tables(const Database& db) {
  return db.run(
      "DROP TABLE IF EXISTS main.evodb_outbox; DROP TABLE IF EXISTS main.evodb_tables;"
      "DROP TABLE IF EXISTS main.evodb_columns; DROP TABLE IF EXISTS main.evodb_state;"
      "DROP TABLE IF EXISTS main.evodb_selection; DROP TABLE IF EXISTS main.evodb_victims;"
      "DROP TABLE IF EXISTS main.evodb_resend; DROP TABLE IF EXISTS main.evodb_waiting;"
      "DROP TABLE IF EXISTS main.evodb_mark;");
}

Result<Lsn> outbox_head(const Database& db) {
  const auto newest = EVODB_TRY(db.kept("SELECT max(id) FROM main.evodb_outbox"));
  const bool found = EVODB_TRY(newest->step());
  const std::int64_t head = found ? newest->integer(0) : 0;
  if (!is_countable(head)) return fail(beyond_counting(db));
  return Lsn(static_cast<std::uint64_t>(head));
}

Result<std::int64_t> wall_clock_ms(const Database& db) {
  return db.integer("SELECT CAST((julianday('now') - 2440587.5) * 86400000.0 + 0.5 AS INTEGER)");
}

std::uint64_t row_hash(const Statement& row) {
  constexpr std::size_t large_row_bytes = 64u << 10;
  const int columns = row.column_count();
  std::size_t bytes = 0;
  for (int i = outbox_value_column; i < columns; ++i) bytes += row.payload_bytes(i);
  const bool large = bytes > large_row_bytes;
  std::string encoded;
  for (int i = 0; i < outbox_value_column; ++i) wire::put_value(encoded, row.value(i));
  std::size_t end = encoded.size();  // NULLs behind the last value: a wider table has more of them
  for (int i = outbox_value_column; !large && i < columns; ++i) {
    const ValueView value = row.value(i);
    wire::put_value(encoded, value);
    if (!value.is_null()) end = encoded.size();
  }
  const std::uint64_t hash = base::xxh64(std::string_view(encoded).substr(0, end));
  return (hash & ~std::uint64_t{3}) | 2 | (large ? 1 : 0);
}

Result<std::uint64_t> hash_of_row(const Database& db, Lsn lsn) {
  const auto row = EVODB_TRY(db.kept("SELECT * FROM main.evodb_outbox WHERE id = ?1"));
  row->bind(1, static_cast<std::int64_t>(lsn.value));
  const bool found = EVODB_TRY(row->step());
  return found ? row_hash(*row) : 0;
}

Result<bool> has_row(const Database& db, Lsn lsn, std::uint64_t hash) {
  if ((hash & 1) == 0) return EVODB_TRY(hash_of_row(db, lsn)) == hash;
  const auto row =
      EVODB_TRY(db.kept("SELECT id, tbl, op, at FROM main.evodb_outbox WHERE id = ?1"));
  row->bind(1, static_cast<std::int64_t>(lsn.value));
  const bool found = EVODB_TRY(row->step());
  return found && (row_hash(*row) | 1) == hash;
}

std::string outbox_columns(std::size_t first, std::size_t count) {
  std::string list;
  for (std::size_t i = first; i < first + count; ++i) {
    if (!list.empty()) list += ',';
    list.append("v").append(std::to_string(i));
  }
  return list;
}

}  // namespace evodb::capture
