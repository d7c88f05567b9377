#include "capture/capture_plan.h"

#include <algorithm>
#include <map>
#include <set>

namespace evodb::capture {
namespace {

struct FoundTrigger {
  std::string name, table, sql;
  std::int64_t order = 0;  // the higher, the newer
  std::int64_t slot = 0;   // 0: the application's
};

Result<std::vector<FoundTrigger>> find_triggers(const Database& db) {
  std::vector<FoundTrigger> triggers;
  Statement rows = EVODB_TRY(db.prepare(
      "SELECT name, tbl_name, sql, rowid FROM main.sqlite_schema WHERE type = 'trigger'"));
  while (EVODB_TRY(rows.step())) {
    FoundTrigger trigger{std::string(rows.text(0)), std::string(rows.text(1)),
                         std::string(rows.text(2)), rows.integer(3), 0};
    trigger.slot = slot_of_trigger(trigger.name);
    triggers.push_back(std::move(trigger));
  }
  return triggers;
}

class Planner {
 public:
  Planner(const CaptureState& state, const std::vector<SelectedName>& selection,
          std::vector<FoundTable> found, std::vector<FoundTrigger> triggers,
          std::vector<CapturedTable> known)
      : state_(state),
        found_(std::move(found)),
        triggers_(std::move(triggers)),
        known_(std::move(known)) {
    for (const SelectedName& name : selection) {
      (name.excluded ? excluded_ : named_).insert(fold_name(name.name));
    }
    for (const CapturedTable& table : known_) next_id_ = std::max(next_id_, table.id + 1);
  }

  CapturePlan plan() {
    CapturePlan plan;
    std::set<std::int64_t> kept;
    for (FoundTable& found : found_) {
      const CapturedTable* active = active_of(found.name);
      // A table that was renamed stays chosen under its new name.
      const std::string chosen_as = active != nullptr ? active->def.name : found.name;
      if (!is_chosen(found.name) && !is_chosen(chosen_as)) {
        plan.skipped.push_back({printable(found.name), excluded_.contains(fold_name(found.name))
                                                           ? "excluded"
                                                           : "not among the tables named"});
        continue;
      }
      if (!found.skip_reason.empty()) {
        plan.skipped.push_back({printable(found.name), found.skip_reason});
        continue;
      }
      if (active != nullptr) kept.insert(active->slot);
      plan.tables.push_back(plan_table(std::move(found.shape), active));
    }
    for (const CapturedTable& table : known_) {
      if (table.active && !kept.contains(table.slot)) plan.gone.push_back(table);
    }
    warn(plan);
    return plan;
  }

 private:
  bool is_chosen(const std::string& name) const {
    const std::string folded = fold_name(name);
    return !excluded_.contains(folded) && (state_.all_tables || named_.contains(folded));
  }

  // The definition in use for a table of this name: its triggers know it, whatever it is called.
  const CapturedTable* active_of(const std::string& name) const {
    std::int64_t slot = 0;
    for (const FoundTrigger& trigger : triggers_) {
      if (trigger.slot != 0 && fold_name(trigger.table) == fold_name(name)) slot = trigger.slot;
    }
    const CapturedTable* by_name = nullptr;
    for (const CapturedTable& table : known_) {
      if (!table.active) continue;
      if (table.slot == slot) return &table;
      if (fold_name(table.def.name) == fold_name(name) && !has_triggers(table.slot)) {
        by_name = &table;
      }
    }
    return by_name;
  }

  bool has_triggers(std::int64_t slot) const {
    return std::any_of(triggers_.begin(), triggers_.end(),
                       [&](const FoundTrigger& t) { return t.slot == slot; });
  }

  std::uint32_t next_version(const std::string& name) const {
    std::uint32_t version = 0;
    for (const CapturedTable& table : known_) {
      if (table.def.name == name) version = std::max(version, table.def.schema_version);
    }
    return version + 1;
  }

  PlannedTable plan_table(TableShape shape, const CapturedTable* active) {
    PlannedTable planned;
    planned.shape = std::move(shape);
    wire::TableDef def = planned.shape.definition();
    if (active != nullptr) def.schema_version = active->def.schema_version;
    if (active != nullptr && def == active->def) {
      planned.table = *active;
      check_triggers(planned);
      return planned;
    }
    planned.table.active = true;
    planned.table.split = def.columns.size() > joined_columns_max;
    planned.table.id = next_id_++;
    planned.table.slot = active != nullptr ? active->slot : planned.table.id;
    def.schema_version = next_version(def.name);
    planned.table.def = std::move(def);
    if (active == nullptr) {
      planned.action = Action::kCapture;
      planned.why = "new";
      return planned;
    }
    planned.action = Action::kRedefine;
    planned.previous_id = active->id;
    planned.previous_name = active->def.name;
    planned.why = "its columns changed";
    compare_columns(planned, active->def);
    if (planned.table.def.name != active->def.name) {
      planned.resend = true;
      planned.why = "it was '" + printable(active->def.name) + "'";
    }
    if (!has_triggers(active->slot)) {
      planned.resend = true;
      planned.why = "it was made anew";
    }
    return planned;
  }

  static void compare_columns(PlannedTable& planned, const wire::TableDef& before) {
    // Columns only ever join at the end, or a column leaves; a renamed one keeps its place.
    const std::vector<wire::ColumnDef>& now = planned.table.def.columns;
    if (now.size() <= before.columns.size()) {
      std::vector<std::uint32_t> old_key, new_key;
      for (const wire::ColumnDef& c : before.columns) {
        if (c.key_ordinal != 0) old_key.push_back(c.key_ordinal);
      }
      for (const wire::ColumnDef& c : now) {
        if (c.key_ordinal != 0) new_key.push_back(c.key_ordinal);
      }
      planned.resend = now.size() < before.columns.size() || old_key != new_key;
      return;
    }
    for (const wire::ColumnDef& column : now) {
      const bool known =
          std::any_of(before.columns.begin(), before.columns.end(),
                      [&](const wire::ColumnDef& c) { return c.name == column.name; });
      if (!known) planned.added_columns.push_back(column.name);
    }
  }

  void check_triggers(PlannedTable& planned) const {
    const std::int64_t slot = planned.table.slot;
    std::map<std::string, const FoundTrigger*> ours;
    std::int64_t newest_of_application = 0;
    std::int64_t oldest_of_ours = 0;
    for (const FoundTrigger& trigger : triggers_) {
      if (trigger.slot == slot) {
        ours[trigger.name] = &trigger;
        oldest_of_ours =
            oldest_of_ours == 0 ? trigger.order : std::min(oldest_of_ours, trigger.order);
      } else if (fold_name(trigger.table) == fold_name(planned.shape.name)) {
        newest_of_application = std::max(newest_of_application, trigger.order);
      }
    }
    std::size_t right = 0;
    const std::vector<Trigger> wanted = triggers_of(planned.shape, slot, planned.table.id);
    for (const Trigger& trigger : wanted) {
      const auto found = ours.find(trigger.name);
      if (found != ours.end() && found->second->sql == trigger.sql) ++right;
    }
    if (ours.size() < wanted.size()) {
      planned.action = Action::kRegenerate;
      planned.resend = true;
      planned.why = state_.paused ? "capture was paused" : "triggers of capture were missing";
    } else if (newest_of_application > oldest_of_ours) {
      planned.action = Action::kRegenerate;
      planned.resend = true;
      planned.why = "a newer trigger of the application fired before capture";
    } else if (right < wanted.size()) {
      planned.action = Action::kRegenerate;
      planned.why = "its unique keys changed";
    }
  }

  static void warn(CapturePlan& plan) {
    for (const PlannedTable& planned : plan.tables) {
      if (planned.shape.pseudo_column_name.empty()) continue;
      plan.warnings.push_back("table '" + printable(planned.shape.name) +
                              "' has no primary key: its rows are known by their rowid, which "
                              "VACUUM may change without a trace; give it an INTEGER PRIMARY KEY");
    }
    for (const CapturedTable& table : plan.gone) {
      plan.warnings.push_back("table '" + printable(table.def.name) + "' is captured no more");
    }
  }

  const CaptureState& state_;
  std::vector<FoundTable> found_;
  std::vector<FoundTrigger> triggers_;
  std::vector<CapturedTable> known_;
  std::set<std::string> named_, excluded_;
  std::int64_t next_id_ = 1;
};

}  // namespace

bool CapturePlan::changes_nothing() const {
  return gone.empty() && std::all_of(tables.begin(), tables.end(), [](const PlannedTable& t) {
           return t.action == Action::kNone;
         });
}

Result<CapturePlan> make_plan(const Database& db, const CaptureState& state,
                              const std::vector<SelectedName>& selection) {
  std::vector<FoundTable> found = EVODB_TRY(find_tables(db));
  std::vector<FoundTrigger> triggers = EVODB_TRY(find_triggers(db));
  const bool installed = EVODB_TRY(load_state(db)).has_value();
  std::vector<CapturedTable> known;
  if (installed) known = EVODB_TRY(load_captured(db));
  return Planner(state, selection, std::move(found), std::move(triggers), std::move(known)).plan();
}

}  // namespace evodb::capture
