// The doing of a CapturePlan.
#include <algorithm>
#include <map>
#include <string>

#include "capture/capture_plan.h"
#include "capture/resend.h"

namespace evodb::capture {
namespace {

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

Result<void> make_triggers(const Database& db, const PlannedTable& planned,
                           const std::string& note) {
  // A new slot has none, and to look for them is to read the whole schema.
  if (planned.action != Action::kCapture) EVODB_TRY(drop_triggers(db, planned.table.slot));
  const bool compiled_before = try_statements(db, planned).has_value();
  for (const Trigger& trigger :
       triggers_of(planned.shape, planned.table.slot, planned.table.id, note)) {
    EVODB_TRY(db.run(trigger.sql));
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

// Rows with a NULL in their key are known by all their values: one that holds a value in a column
// that joined is another row than the log knows.
Result<bool> unknown_by_joining(const Database& db, const PlannedTable& planned) {
  if (!planned.joined || !planned.shape.key_may_be_null()) return false;
  const CapturedTable before = EVODB_TRY(load_captured(db, planned.previous_id));
  std::string any;
  for (const ColumnShape& column : planned.shape.columns) {
    const bool known = std::any_of(before.def.columns.begin(), before.def.columns.end(),
                                   [&](const wire::ColumnDef& c) { return c.name == column.name; });
    if (!known) any += (any.empty() ? "" : " OR ") + quote_name(column.name) + " IS NOT NULL";
  }
  const std::int64_t found =
      EVODB_TRY(db.integer("SELECT EXISTS(SELECT 1 FROM main." + quote_name(planned.shape.name) +
                           " WHERE (" + key_is_null_sql(planned.shape) + ") AND (" + any + "))"));
  return found != 0;
}

Result<void> apply_table(const Database& db, const PlannedTable& planned, SnapshotRule rule,
                         const std::string& note, const std::string& why_all) {
  const bool is_new = planned.action == Action::kCapture;
  if (planned.action != Action::kNone) {
    if (is_new || planned.action == Action::kRedefine) {
      if (planned.previous_id != 0) EVODB_TRY(deactivate(db, planned.previous_id));
      EVODB_TRY(save_captured(db, planned.table));
    } else {
      EVODB_TRY(save_fine_print(db, planned.table));
    }
    EVODB_TRY(make_triggers(db, planned, note));
  }
  const bool unknown = EVODB_TRY(unknown_by_joining(db, planned));
  if (rule == SnapshotRule::kAll || unknown ||
      (planned.reset && !(is_new && rule == SnapshotRule::kNever))) {
    EVODB_TRY(log_reset(db, planned.table.id, rule == SnapshotRule::kAll ? why_all : planned.why));
    return queue_resend(db, planned.table, 0);
  }
  if (is_new && rule == SnapshotRule::kAsNeeded) return queue_resend(db, planned.table, 0);
  if (planned.joined) return queue_resend(db, planned.table, planned.previous_id);
  return {};
}

bool is_taken(const CapturePlan& plan, const std::string& name) {
  return std::any_of(plan.tables.begin(), plan.tables.end(), [&](const PlannedTable& planned) {
    return fold_name(planned.shape.name) == fold_name(name);
  });
}

// A name that another table has now is not gone: that table's RESET says all.
Result<void> log_departures(const Database& db, const CapturePlan& plan) {
  for (const GoneTable& gone : plan.gone) {
    EVODB_TRY(drop_triggers(db, gone.table.slot));
    EVODB_TRY(deactivate(db, gone.table.id));
    EVODB_TRY(cancel_resend(db, gone.table.slot));
    if (!is_taken(plan, gone.table.def.name)) EVODB_TRY(log_drop(db, gone.table.id, gone.reason));
  }
  for (const PlannedTable& planned : plan.tables) {
    if (planned.previous_name.empty() || is_taken(plan, planned.previous_name)) continue;
    EVODB_TRY(
        log_drop(db, planned.previous_id, "renamed to '" + printable(planned.shape.name) + "'"));
  }
  return {};
}

// Where every table begins anew, one that is not there any more must end. Whoever took rows out of
// the outbox may have left some of its changes, and taken the DROP behind them.
Result<void> log_missing_departures(const Database& db, const CapturePlan& plan) {
  struct Last {
    std::int64_t lsn, definition, op;
  };
  std::map<std::string, Last> last_of;  // by name
  Statement rows = EVODB_TRY(
      db.prepare("SELECT o.id, o.tbl, o.op FROM main.evodb_outbox AS o JOIN (SELECT max(id) AS id "
                 "FROM main.evodb_outbox GROUP BY tbl) AS newest ON o.id = newest.id JOIN "
                 "main.evodb_tables AS t ON t.id = o.tbl"));
  while (EVODB_TRY(rows.step())) {
    const Last last{rows.integer(0), rows.integer(1), rows.integer(2)};
    const std::string name = EVODB_TRY(load_captured(db, last.definition)).def.name;
    if (is_taken(plan, name)) continue;
    Last& known = last_of.try_emplace(fold_name(name), last).first->second;
    if (known.lsn < last.lsn) known = last;
  }
  for (const auto& [name, last] : last_of) {
    if (last.op != op_drop) EVODB_TRY(log_drop(db, last.definition, "it is not there any more"));
  }
  return {};
}

Result<void> save_waiting(const Database& db, const std::vector<WaitingTable>& waiting) {
  EVODB_TRY(db.run("DELETE FROM main.evodb_waiting"));
  Statement put =
      EVODB_TRY(db.prepare("INSERT INTO main.evodb_waiting(name, since) VALUES(?1, ?2)"));
  for (const WaitingTable& table : waiting) {
    put.bind(1, std::string_view(table.name));
    put.bind(2, table.since_ms);
    EVODB_TRY(put.run());
  }
  return {};
}

}  // namespace

std::size_t width_for(const CapturePlan& plan) {
  std::size_t width = 0;
  for (const PlannedTable& planned : plan.tables) {
    width = std::max(width, outbox_width(planned.table.def));
  }
  return width;
}

Result<void> apply_plan(const Database& db, const CapturePlan& plan, SnapshotRule rule,
                        const std::string& why_all) {
  std::size_t victims = 0;
  for (const PlannedTable& planned : plan.tables) {
    victims = std::max(victims, planned.table.def.columns.size());
  }
  EVODB_TRY(widen(db, width_for(plan), victims));
  // Nobody else is inside a statement now: what is noted here was left behind.
  if (!plan.changes_nothing()) EVODB_TRY(db.run("DELETE FROM main.evodb_victims"));
  for (const std::int64_t slot : plan.strays) EVODB_TRY(drop_triggers(db, slot));
  EVODB_TRY(log_departures(db, plan));
  if (rule == SnapshotRule::kAll) EVODB_TRY(log_missing_departures(db, plan));
  for (const PlannedTable& planned : plan.tables) {
    EVODB_TRY(apply_table(db, planned, rule, plan.note, why_all));
  }
  if (plan.waiting_changed) EVODB_TRY(save_waiting(db, plan.waiting));
  if (plan.rowids_moved) {
    EVODB_TRY(restart_rowid_walks(db));
    EVODB_TRY(set_rowid_mark(db));
  }
  return {};
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
    EVODB_TRY(db.run("DROP TRIGGER main." + quote_name(name)));
  }
  return {};
}

Result<void> drop_all_triggers(const Database& db) { return drop_triggers(db, 0); }

}  // namespace evodb::capture
