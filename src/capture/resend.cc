#include "capture/resend.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "capture/table_shape.h"
#include "capture/triggers.h"
#include "evodb/value.h"
#include "wire/change.h"
#include "wire/value_codec.h"

namespace evodb::capture {
namespace {

// Between two looks at the clock.
constexpr std::uint64_t rows_a_look = 8;
// Rows that a filter passes over cost little: so many count as one that is sent.
constexpr std::uint64_t skipped_a_row = 8;
// The row of evodb_mark: VACUUM would make it 1.
constexpr std::int64_t mark_rowid = 2;

struct Entry {
  std::int64_t slot = 0;
  std::int64_t definition = 0;
  std::int64_t previous = 0;
  std::string reached;  // the last row's key or rowid, encoded; "" before the first
};

Result<std::optional<Entry>> first_entry(const Database& db) {
  Statement row = EVODB_TRY(
      db.prepare("SELECT slot, tbl, previous, reached FROM main.evodb_resend ORDER BY slot LIMIT "
                 "1"));
  const bool found = EVODB_TRY(row.step());
  if (!found) return std::optional<Entry>();
  return std::optional<Entry>(
      Entry{row.integer(0), row.integer(1), row.integer(2), std::string(row.value(3).bytes)});
}

Result<void> log_reason(const Database& db, std::int64_t definition, std::int64_t op,
                        const std::string& reason) {
  Statement put =
      EVODB_TRY(db.prepare("INSERT INTO main.evodb_outbox(tbl, op, v0) VALUES(?1, ?2, ?3)"));
  put.bind(1, definition);
  put.bind(2, op);
  put.bind(3, std::string_view(reason));
  return put.run();
}

Result<std::optional<ResendStep>> nothing_to_do(const Database& db) {
  const CaptureState state = EVODB_TRY(require_state(db));
  if (state.paused) return ResendStep();
  if (state.format < outbox_format) return ResendStep{.pending = true, .stale = true};
  const bool queued = EVODB_TRY(resend_is_queued(db));
  return queued ? std::optional<ResendStep>() : ResendStep();
}

std::vector<Value> decode(const std::string& encoded) {
  std::vector<Value> values;
  const char* p = encoded.data();
  const char* const end = p + encoded.size();
  while (p != nullptr && p != end) {
    ValueView value;
    p = wire::read_value(p, end, &value);
    if (p != nullptr) values.emplace_back(value);
  }
  return values;
}

// Those that the SQL does not name are ignored by SQLite.
void bind_list(Statement& statement, const std::vector<Value>& values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!values[i].view().is_null()) statement.bind(static_cast<int>(i) + 1, values[i].view());
  }
}

// What a chunk has used of its budget.
class Meter {
 public:
  Meter(base::Clock* clock, const ResendBudget& budget) : clock_(clock), budget_(budget) {
    if (clock_ != nullptr) began_ = clock_->monotonic();
  }
  void row(std::size_t bytes, std::uint64_t rows = 1) {
    done.rows += rows;
    done.bytes += bytes;
    work_ += rows;
  }
  void skipped() {
    if (++skipped_ % skipped_a_row == 0) ++work_;
  }
  bool spent() {
    if (work_ >= budget_.rows_max || done.bytes >= budget_.bytes_max) return true;
    if (clock_ == nullptr || ++looks_ % rows_a_look != 0) return false;
    return clock_->monotonic().value - began_.value >= budget_.time_ms;
  }
  ResendStep done;

 private:
  base::Clock* clock_;
  const ResendBudget& budget_;
  base::MonotonicMillis began_;
  std::uint64_t work_ = 0, skipped_ = 0, looks_ = 0;
};

}  // namespace

struct Resender::Walk {
  enum class Order : std::uint8_t { kRowid, kKey, kWhole };

  const Database& db;
  std::int64_t slot = 0, definition = 0, previous = 0, schema_version = 0;
  TableShape shape;
  std::vector<std::string> added;  // columns that must hold a value; none: all rows
  Order order = Order::kRowid;
  const UniqueKey* key = nullptr;  // kKey
  Statement put;
  Statement by_rowid;
  std::string reached;

  explicit Walk(const Database& db_) : db(db_) {}

  std::string table() const { return "main." + quote_name(shape.name); }
  std::string from() const {
    // Without the hint SQLite may prefer to sort the table.
    const bool hint = order == Order::kKey && !shape.without_rowid;
    return " FROM " + table() + (hint ? " INDEXED BY " + quote_name(key->index) : "");
  }
  std::string values() const { return value_list(shape, quote_name(shape.name)); }
  Result<void> prepare();
  Result<bool> append(Meter& meter);  // false: the walk is at its end

 private:
  Result<bool> append_by_rowid(Meter& meter);
  Result<bool> append_by_key(Meter& meter);
  Result<bool> append_whole(Meter& meter);
  Result<void> append_row(const Statement& row, int first, Meter& meter);
  Result<void> append_group(const std::vector<Value>& key_values, std::size_t row_bytes,
                            Meter& meter);
  Result<std::uint64_t> append_all(Op op, const std::string& list, const std::string& where,
                                   const std::vector<Value>& bound);

  std::string part_sql(std::size_t part) const {
    return quote_name(shape.columns[static_cast<std::size_t>(key->parts[part].column)].name) +
           " COLLATE " + quote_name(key->parts[part].collation);
  }
  void reach(const Statement& row) {
    reached.clear();
    for (const UniquePart& part : key->parts) wire::put_value(reached, row.value(part.column));
  }
  std::string in_order() const {
    std::string list;
    for (std::size_t i = 0; i < key->parts.size(); ++i) {
      list +=
          (i == 0 ? " ORDER BY " : ",") + part_sql(i) + (key->parts[i].descending ? " DESC" : "");
    }
    return list;
  }
  std::string equal_up_to(std::size_t parts, const std::vector<Value>& at) const {
    std::string all;
    for (std::size_t i = 0; i < parts; ++i) {
      if (!all.empty()) all += " AND ";
      all += part_sql(i) +
             (at[i].view().is_null() ? std::string(" IS NULL") : "=?" + std::to_string(i + 1));
    }
    return all;
  }
  // Conditions whose rows, one condition after the other, are all that follow `at`: SQLite seeks
  // for each of these in the index, as it does not for one condition over several columns.
  std::vector<std::string> behind(const std::vector<Value>& at) const;
};

std::vector<std::string> Resender::Walk::behind(const std::vector<Value>& at) const {
  std::vector<std::string> conditions;
  if (at.empty()) return {""};
  for (std::size_t level = key->parts.size(); level-- > 0;) {
    std::string before = equal_up_to(level, at);
    if (!before.empty()) before += " AND ";
    const bool is_null = at[level].view().is_null();
    const std::string part = part_sql(level);
    const std::string value = "?" + std::to_string(level + 1);
    if (!key->parts[level].descending) {
      conditions.push_back(" WHERE " + before + part + (is_null ? " IS NOT NULL" : ">" + value));
    } else if (!is_null) {
      conditions.push_back(" WHERE " + before + part + "<" + value);
      if (!shape.without_rowid) conditions.push_back(" WHERE " + before + part + " IS NULL");
    }
  }
  return conditions;
}

Result<void> Resender::Walk::prepare() {
  std::string sql = "INSERT INTO main.evodb_outbox(tbl,op," +
                    outbox_columns(0, shape.value_count()) + ") VALUES(" +
                    std::to_string(definition) + "," +
                    std::to_string(static_cast<int>(Op::kSnapshot));
  for (std::size_t i = 0; i < shape.value_count(); ++i) sql += ",?" + std::to_string(i + 1);
  put = EVODB_TRY(db.prepare(sql + ")"));

  order = shape.without_rowid || shape.key_may_be_null() ? Order::kKey : Order::kRowid;
  if (order == Order::kRowid) {
    by_rowid =
        EVODB_TRY(db.prepare("SELECT " + quote_name(shape.name) + "." + shape.rowid_sql + "," +
                             values() + " FROM " + table() + " NOT INDEXED WHERE " +
                             quote_name(shape.name) + "." + shape.rowid_sql + ">=?1 ORDER BY 1"));
    return {};
  }
  for (const UniqueKey& unique : shape.unique_keys) {
    if (unique.primary) key = &unique;
  }
  // The key's collations may be the application's own.
  if (key == nullptr || !db.prepare("SELECT " + values() + from() + in_order())) {
    order = Order::kWhole;
  }
  return {};
}

Result<bool> Resender::Walk::append(Meter& meter) {
  switch (order) {
    case Order::kRowid: return append_by_rowid(meter);
    case Order::kKey: return append_by_key(meter);
    case Order::kWhole: return append_whole(meter);
  }
  return false;
}

Result<void> Resender::Walk::append_row(const Statement& row, int first, Meter& meter) {
  const int count = static_cast<int>(shape.value_count());
  const int pseudo = shape.pseudo_column_name.empty() ? 0 : 1;
  if (!added.empty()) {
    bool holds = false;
    for (std::size_t i = 0; i < shape.columns.size() && !holds; ++i) {
      holds = std::find(added.begin(), added.end(), shape.columns[i].name) != added.end() &&
              !row.value(first + pseudo + static_cast<int>(i)).is_null();
    }
    if (!holds) {
      meter.skipped();
      return {};
    }
  }
  std::size_t bytes = 0;
  for (int i = 0; i < count; ++i) {
    put.bind(i + 1, row, first + i);
    bytes += 8 + row.payload_bytes(first + i);
  }
  EVODB_TRY(put.run());
  meter.row(bytes);
  return {};
}

Result<bool> Resender::Walk::append_by_rowid(Meter& meter) {
  std::int64_t next = std::numeric_limits<std::int64_t>::min();
  if (const std::vector<Value> at = decode(reached); !at.empty()) {
    if (at[0].view().integer == std::numeric_limits<std::int64_t>::max()) return false;
    next = at[0].view().integer + 1;
  }
  by_rowid.reset();
  by_rowid.bind(1, next);
  while (EVODB_TRY(by_rowid.step())) {
    EVODB_TRY(append_row(by_rowid, 1, meter));
    if (meter.spent()) {
      reached.clear();
      wire::put_value(reached, ValueView::of_integer(by_rowid.integer(0)));
      by_rowid.reset();
      return true;
    }
  }
  return false;
}

Result<bool> Resender::Walk::append_by_key(Meter& meter) {
  for (;;) {
    bool again = false;
    const std::vector<Value> at = decode(reached);
    for (const std::string& condition : behind(at)) {
      Statement rows =
          EVODB_TRY(db.prepare("SELECT " + values() + from() + condition + in_order()));
      bind_list(rows, at);
      while (EVODB_TRY(rows.step())) {
        const bool has_null =
            std::any_of(key->parts.begin(), key->parts.end(),
                        [&](const UniquePart& part) { return rows.value(part.column).is_null(); });
        if (has_null && !added.empty()) {
          // None of these held a value there when the triggers learnt of the columns.
          meter.skipped();
          if (!meter.spent()) continue;
          reach(rows);
          return true;
        }
        if (has_null) {
          reach(rows);
          std::size_t bytes = 0;
          for (int i = 0; i < rows.column_count(); ++i) bytes += 8 + rows.payload_bytes(i);
          rows.reset();
          EVODB_TRY(append_group(decode(reached), bytes, meter));
          again = true;
          break;
        }
        EVODB_TRY(append_row(rows, 0, meter));
        if (meter.spent()) {
          reach(rows);
          return true;
        }
      }
      if (again) break;
    }
    if (!again) return false;
    if (meter.spent()) return true;
  }
}

Result<void> Resender::Walk::append_group(const std::vector<Value>& key_values,
                                          std::size_t row_bytes, Meter& meter) {
  const std::string where = " WHERE " + equal_up_to(key_values.size(), key_values);
  static_cast<void>(EVODB_TRY(append_all(Op::kDelete, values(), where, key_values)));
  const std::uint64_t rows = EVODB_TRY(append_all(Op::kSnapshot, values(), where, key_values));
  meter.row(row_bytes * rows, rows);
  return {};
}

Result<bool> Resender::Walk::append_whole(Meter& meter) {
  const bool nulls = shape.key_may_be_null();
  std::string where;
  for (const std::string& name : added) {
    where += (where.empty() ? " WHERE (" : " OR ") + quote_name(name) + " IS NOT NULL";
  }
  if (!added.empty()) where += nulls ? ") AND NOT(" + key_is_null_sql(shape) + ")" : ")";
  if (nulls && added.empty()) {
    static_cast<void>(
        EVODB_TRY(append_all(Op::kDelete, values(), " WHERE " + key_is_null_sql(shape), {})));
  }
  const std::uint64_t rows = EVODB_TRY(append_all(Op::kSnapshot, values(), where, {}));
  meter.row(0, rows);
  return false;
}

Result<std::uint64_t> Resender::Walk::append_all(Op op, const std::string& list,
                                                 const std::string& where,
                                                 const std::vector<Value>& bound) {
  Statement all = EVODB_TRY(db.prepare(
      "INSERT INTO main.evodb_outbox(tbl,op," + outbox_columns(0, shape.value_count()) +
      ") SELECT " + std::to_string(definition) + "," + std::to_string(static_cast<int>(op)) + "," +
      list + (order == Order::kWhole ? " FROM " + table() : from()) + where));
  bind_list(all, bound);
  EVODB_TRY(all.run());
  return static_cast<std::uint64_t>(db.changed_rows());
}

Resender::Resender() = default;
Resender::~Resender() = default;

// False: the schema is not (or no longer) what the definition says.
Result<bool> Resender::prepare(const Database& db, std::int64_t slot, std::int64_t definition,
                               std::int64_t previous) {
  const std::int64_t version = EVODB_TRY(db.integer("PRAGMA main.schema_version"));
  if (walk_ != nullptr && walk_->definition == definition && walk_->previous == previous &&
      walk_->slot == slot && walk_->schema_version == version) {
    return true;
  }
  walk_.reset();
  const bool moved = EVODB_TRY(rowids_moved(db));
  if (moved) return false;
  const CapturedTable captured = EVODB_TRY(load_captured(db, definition));
  std::optional<FoundTable> found = EVODB_TRY(find_table(db, captured.def.name));
  if (!captured.active || !found || found->skip_reason) return false;
  wire::TableDef now = found->shape.definition();
  now.schema_version = captured.def.schema_version;
  if (now != captured.def) return false;

  auto walk = std::make_unique<Walk>(db);
  walk->slot = slot;
  walk->definition = definition;
  walk->previous = previous;
  walk->schema_version = version;
  walk->shape = std::move(found->shape);
  if (previous != 0) {
    const CapturedTable before = EVODB_TRY(load_captured(db, previous));
    for (const ColumnShape& column : walk->shape.columns) {
      const bool known =
          std::any_of(before.def.columns.begin(), before.def.columns.end(),
                      [&](const wire::ColumnDef& c) { return c.name == column.name; });
      if (!known) walk->added.push_back(column.name);
    }
  }
  EVODB_TRY(walk->prepare());
  walk_ = std::move(walk);
  return true;
}

Result<ResendStep> Resender::step(const Database& db, base::Clock* clock,
                                  const ResendBudget& budget) {
  // The write lock is not for asking.
  const auto idle = EVODB_TRY(consistently(db, [&] { return nothing_to_do(db); }));
  if (idle) return *idle;
  Transaction transaction =
      EVODB_TRY(Transaction::begin(db, Transaction::Kind::kWrite, WriteReason::kResend));
  const std::optional<ResendStep> still_idle = EVODB_TRY(nothing_to_do(db));
  if (still_idle) return *still_idle;
  const std::optional<Entry> entry = EVODB_TRY(first_entry(db));
  const bool fits = EVODB_TRY(prepare(db, entry->slot, entry->definition, entry->previous));
  if (!fits) return ResendStep{.pending = true, .stale = true};
  walk_->reached = entry->reached;
  Meter meter(clock, budget);
  const auto more = walk_->append(meter);
  if (!more) {
    walk_.reset();  // no statement of it stays open
    return fail(more.error());
  }
  if (*more) {
    Statement save = EVODB_TRY(
        db.prepare("UPDATE main.evodb_resend SET reached = ?2, sent = sent + ?3 WHERE slot = ?1"));
    save.bind(1, entry->slot);
    save.bind(2, ValueView::of_blob(walk_->reached));
    save.bind(3, static_cast<std::int64_t>(meter.done.rows));
    EVODB_TRY(save.run());
    meter.done.pending = true;
  } else {
    EVODB_TRY(cancel_resend(db, entry->slot));
    meter.done.pending = EVODB_TRY(resend_is_queued(db));
    walk_.reset();
  }
  EVODB_TRY(transaction.commit());
  return meter.done;
}

Result<void> log_reset(const Database& db, std::int64_t definition, const std::string& reason) {
  return log_reason(db, definition, op_reset, reason);
}

Result<void> log_drop(const Database& db, std::int64_t definition, const std::string& reason) {
  return log_reason(db, definition, op_drop, reason);
}

Result<void> queue_resend(const Database& db, const CapturedTable& table, std::int64_t previous) {
  Statement put = EVODB_TRY(
      db.prepare("INSERT INTO main.evodb_resend(slot, tbl, previous, reached, sent) "
                 "VALUES(?1, ?2, ?3, NULL, 0) ON CONFLICT(slot) DO UPDATE SET tbl = excluded.tbl, "
                 "previous = min(previous, excluded.previous), reached = NULL, sent = 0"));
  put.bind(1, table.slot);
  put.bind(2, table.id);
  put.bind(3, previous);
  return put.run();
}

Result<void> cancel_resend(const Database& db, std::int64_t slot) {
  return db.run("DELETE FROM main.evodb_resend WHERE slot = " + std::to_string(slot));
}

Result<bool> resend_is_queued(const Database& db) {
  const std::int64_t any = EVODB_TRY(db.integer("SELECT EXISTS(SELECT 1 FROM main.evodb_resend)"));
  return any != 0;
}

Result<std::optional<std::uint64_t>> resent_rows(const Database& db, std::int64_t slot) {
  const std::int64_t sent = EVODB_TRY(
      db.integer("SELECT sent FROM main.evodb_resend WHERE slot = " + std::to_string(slot), -1));
  if (sent < 0) return std::optional<std::uint64_t>();
  return std::optional(static_cast<std::uint64_t>(sent));
}

Result<void> restart_rowid_walks(const Database& db) {
  // Also tables that need not: to walk them again does no harm.
  return db.run("UPDATE main.evodb_resend SET reached = NULL, sent = 0");
}

Result<bool> rowids_moved(const Database& db) {
  const std::int64_t there = EVODB_TRY(db.integer(
      "SELECT count(*) FROM main.evodb_mark WHERE rowid = " + std::to_string(mark_rowid)));
  return there != 1;
}

Result<void> set_rowid_mark(const Database& db) {
  return db.run("DELETE FROM main.evodb_mark;INSERT INTO main.evodb_mark(rowid, x) VALUES(" +
                std::to_string(mark_rowid) + ", 1)");
}

}  // namespace evodb::capture
