// The doing of a CapturePlan.
#include <algorithm>

#include "capture/capture_plan.h"

namespace evodb::capture {
namespace {

std::string list_with_nulls(const PlannedTable& planned, const std::vector<std::string>& null_for) {
  const std::string table = quote_name(planned.shape.name);
  if (null_for.empty()) return value_list(planned.shape, table);
  std::string list;
  if (!planned.shape.pseudo_column_name.empty()) list = table + "." + planned.shape.rowid_sql;
  for (const ColumnShape& column : planned.shape.columns) {
    const bool is_null = std::find(null_for.begin(), null_for.end(), column.name) != null_for.end();
    list += (list.empty() ? "" : ",") +
            (is_null ? std::string("NULL") : table + "." + quote_name(column.name));
  }
  return list;
}

Result<std::uint64_t> log_rows(const Database& db, const PlannedTable& planned, Op op,
                               const std::vector<std::string>& null_for, const std::string& where) {
  const std::string id = std::to_string(planned.table.id);
  std::string sql =
      "INSERT INTO main.evodb_outbox(tbl,op," + outbox_columns(0, planned.shape.value_count()) +
      ") SELECT " + id + "," + std::to_string(static_cast<int>(op)) + "," +
      list_with_nulls(planned, null_for) + " FROM main." + quote_name(planned.shape.name);
  if (!where.empty()) sql += " WHERE " + where;
  EVODB_CHECK(db.run(sql));
  return static_cast<std::uint64_t>(db.changed_rows());
}

// `again`: the parent may have these rows already. By their keys that does no harm; a row with a
// NULL in its key has none, so its earlier self is taken away first.
Result<std::uint64_t> send_rows(const Database& db, const PlannedTable& planned, bool again) {
  if (again && planned.shape.key_may_be_null()) {
    const auto deleted =
        log_rows(db, planned, Op::kDelete, planned.added_columns, key_is_null_sql(planned.shape));
    if (!deleted) return fail(deleted.error());
  }
  return log_rows(db, planned, Op::kSnapshot, {}, "");
}

// A column that joined and holds NULL everywhere is what readers of the old rows see anyway.
Result<bool> added_columns_hold_values(const Database& db, const PlannedTable& planned) {
  if (planned.added_columns.empty()) return false;
  std::string any;
  for (const std::string& name : planned.added_columns) {
    const bool pseudo = name == planned.shape.pseudo_column_name;
    any += (any.empty() ? "" : " OR ") + (pseudo ? planned.shape.rowid_sql : quote_name(name)) +
           " IS NOT NULL";
  }
  const std::int64_t found =
      EVODB_TRY(db.integer("SELECT EXISTS(SELECT 1 FROM main." + quote_name(planned.shape.name) +
                           " WHERE " + any + ")"));
  return found != 0;
}

// Whether the application's statements compile: with the triggers they must if they did without.
Result<void> try_statements(const Database& db, const PlannedTable& planned) {
  const std::string table = "main." + quote_name(planned.shape.name);
  std::string set;
  for (const ColumnShape& column : planned.shape.columns) {
    if (column.generated) continue;
    const std::string name = quote_name(column.name);
    set += (set.empty() ? "" : ",") + (name + "=" + name);
  }
  for (const std::string& sql : {"INSERT INTO " + table + " DEFAULT VALUES",
                                 "UPDATE " + table + " SET " + set, "DELETE FROM " + table}) {
    const auto compiled = db.prepare(sql);
    if (!compiled) return fail(compiled.error());
  }
  return {};
}

Result<void> make_triggers(const Database& db, const PlannedTable& planned) {
  EVODB_CHECK(drop_triggers(db, planned.table.slot));
  const bool compiled_before = try_statements(db, planned).has_value();
  for (const Trigger& trigger : triggers_of(planned.shape, planned.table.slot, planned.table.id)) {
    EVODB_CHECK(db.run(trigger.sql));
  }
  if (!compiled_before) return {};  // it needs functions or collations of the application's
  const auto compiled = try_statements(db, planned);
  if (!compiled) {
    return fail(ErrorKind::kInternal,
                "table '" + printable(planned.shape.name) +
                    "' cannot be captured, exclude it and report this: " + compiled.error().text);
  }
  return {};
}

Result<std::uint64_t> apply_table(const Database& db, const PlannedTable& planned,
                                  SnapshotRule rule) {
  const bool is_new = planned.action == Action::kCapture;
  bool send = rule == SnapshotRule::kAll || (is_new && rule == SnapshotRule::kAsNeeded);
  if (planned.action != Action::kNone) {
    if (is_new || planned.action == Action::kRedefine) {
      if (planned.previous_id != 0) EVODB_CHECK(deactivate(db, planned.previous_id));
      EVODB_CHECK(save_captured(db, planned.table));
    }
    EVODB_CHECK(make_triggers(db, planned));
    const bool values = EVODB_TRY(added_columns_hold_values(db, planned));
    send = send || planned.resend || values;
  }
  if (!send) return 0;
  return send_rows(db, planned, !is_new);
}

}  // namespace

std::size_t width_for(const CapturePlan& plan) {
  std::size_t width = 0;
  for (const PlannedTable& planned : plan.tables) {
    width = std::max(width, outbox_width(planned.table.def));
  }
  return width;
}

Result<ApplyReport> apply_plan(const Database& db, const CapturePlan& plan, SnapshotRule rule) {
  std::size_t victims = 0;
  for (const PlannedTable& planned : plan.tables) {
    victims = std::max(victims, planned.table.def.columns.size());
  }
  EVODB_CHECK(widen(db, width_for(plan), victims));
  // Nobody else is inside a statement now: what is noted here was left behind.
  if (!plan.changes_nothing()) EVODB_CHECK(db.run("DELETE FROM main.evodb_victims"));
  for (const CapturedTable& table : plan.gone) {
    EVODB_CHECK(drop_triggers(db, table.slot));
    EVODB_CHECK(deactivate(db, table.id));
  }
  ApplyReport report;
  for (const PlannedTable& planned : plan.tables) {
    report.snapshot_rows += EVODB_TRY(apply_table(db, planned, rule));
  }
  return report;
}

Result<void> drop_triggers(const Database& db, std::int64_t slot) {
  std::vector<std::string> names;
  Statement rows = EVODB_TRY(
      db.prepare("SELECT name FROM main.sqlite_schema WHERE type = 'trigger' ORDER BY rowid"));
  while (EVODB_TRY(rows.step())) {
    const std::int64_t found = slot_of_trigger(rows.text(0));
    if (found != 0 && (found == slot || slot == 0)) names.emplace_back(rows.text(0));
  }
  for (const std::string& name : names) {
    EVODB_CHECK(db.run("DROP TRIGGER main." + quote_name(name)));
  }
  return {};
}

Result<void> drop_all_triggers(const Database& db) { return drop_triggers(db, 0); }

}  // namespace evodb::capture
