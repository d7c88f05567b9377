#include "capture/capture_plan.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "capture/repair.h"
#include "capture/resend.h"
#include "capture/trigger_reach.h"

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

// The names that migration tools give to the table that they copy into, or from. Each makes a table
// wait and does nothing else, so a few too many do no harm.
constexpr std::string_view temporary_prefixes[] = {
    "_alembic_tmp_",     // Alembic's batch_alter_table
    "new__",             // Django
    "__new_",            // drizzle-kit
    "new_",              // Prisma, Atlas
    "_new_",             // Android's Room
    "temporary_",        // TypeORM
    "_knex_temp_alter",  // Knex: and a number
    "__temp__",          // Laravel
    "ef_temp_",          // Entity Framework Core
    "_tmp_",
    "tmp_",
    "temp_",
    "sqlitestudio_temp_table",
    "sqlb_temp_table_",  // DB Browser for SQLite
};
constexpr std::string_view temporary_suffixes[] = {
    "_backup",       // Sequelize
    "__old",         // Django up to 2.0
    "_old",          // by hand, as SQLite's page on ALTER TABLE once said
    "__new",         // Django
    "_new",          //
    "__temp_alter",  // MikroORM
    "_temporary",    // Liquibase
    "__tmp__",       // peewee-migrate
    "_dg_tmp",       // DataGrip
    "_tmp",         "_temp",
};

// sqlite-utils: the table's name, "_new_" and twelve hexadecimal digits.
bool looks_like_sqlite_utils(std::string_view name) {
  constexpr std::size_t digits = 12;
  constexpr std::string_view middle = "_new_";
  if (name.size() <= digits + middle.size()) return false;
  const std::string_view tail = name.substr(name.size() - digits);
  return name.substr(0, name.size() - digits).ends_with(middle) &&
         tail.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<std::vector<WaitingTable>> load_waiting(const Database& db) {
  std::vector<WaitingTable> waiting;
  Statement rows = EVODB_TRY(db.prepare("SELECT name, since FROM main.evodb_waiting"));
  while (EVODB_TRY(rows.step())) {
    waiting.push_back({std::string(rows.text(0)), rows.integer(1)});
  }
  return waiting;
}

Result<SchemaText> find_texts(const Database& db) {
  SchemaText texts;
  Statement rows = EVODB_TRY(
      db.prepare("SELECT name, sql FROM main.sqlite_schema WHERE type IN ('table', 'view') AND "
                 "name NOT GLOB 'evodb_*'"));
  while (EVODB_TRY(rows.step())) {
    texts.tables.push_back({std::string(rows.text(0)), std::string(rows.text(1))});
  }
  return texts;
}

class Planner {
 public:
  Planner(const CaptureState& state, const std::vector<SelectedName>& selection,
          std::vector<FoundTable> found, std::vector<FoundTrigger> triggers,
          std::vector<CapturedTable> known, std::vector<WaitingTable> waiting, SchemaText texts)
      : state_(state),
        found_(std::move(found)),
        triggers_(std::move(triggers)),
        known_(std::move(known)),
        waiting_(std::move(waiting)),
        texts_(std::move(texts)) {
    for (const FoundTrigger& trigger : triggers_) {
      if (trigger.slot == 0) texts_.triggers.push_back({trigger.table, trigger.sql});
    }
    for (const SelectedName& name : selection) {
      (name.excluded ? excluded_ : named_).insert(fold_name(name.name));
    }
    note_ = trigger_note(state_, !excluded_.empty());
    for (const CapturedTable& table : known_) next_id_ = std::max(next_id_, table.id + 1);
    // A slot must not meet triggers of a definition that somebody deleted.
    for (const FoundTrigger& trigger : triggers_) next_id_ = std::max(next_id_, trigger.slot + 1);
  }

  CapturePlan plan(NewTables new_tables, bool rowids_moved, std::int64_t now_ms) {
    CapturePlan plan;
    plan.rowids_moved = rowids_moved;
    plan.note = note_;
    std::set<std::int64_t> kept;
    std::map<std::int64_t, std::string> left;  // why a table is captured no more, by slot
    for (FoundTable& found : found_) {
      const CapturedTable* active = active_of(found.name);
      const auto reason = reason_to_skip(found, active, new_tables, now_ms, plan);
      if (reason) {
        if (active != nullptr) {
          left[active->slot] = found.name == active->def.name
                                   ? *reason
                                   : "renamed to '" + printable(found.name) + "'";
        }
        plan.skipped.push_back({printable(found.name), *reason});
        continue;
      }
      if (active != nullptr) kept.insert(active->slot);
      plan.tables.push_back(plan_table(std::move(found.shape), active));
      reset_if_moved(plan.tables.back(), rowids_moved);
    }
    for (const CapturedTable& table : known_) {
      if (!table.active || kept.contains(table.slot)) continue;
      const auto why = left.find(table.slot);
      plan.gone.push_back({table, why == left.end() ? "dropped" : why->second});
    }
    for (const FoundTrigger& trigger : triggers_) {
      if (trigger.slot != 0 && !is_active(trigger.slot)) plan.strays.push_back(trigger.slot);
    }
    plan.waiting_changed = plan.waiting.size() != waiting_.size() || waits_anew_;
    warn(plan);
    return plan;
  }

 private:
  // Nothing: it is captured.
  std::optional<std::string> reason_to_skip(const FoundTable& found, const CapturedTable* active,
                                            NewTables new_tables, std::int64_t now_ms,
                                            CapturePlan& plan) {
    // A table that was renamed stays chosen under its new name.
    const std::string chosen_as = active != nullptr ? active->def.name : found.name;
    if (!is_chosen(found.name) && !is_chosen(chosen_as)) {
      return excluded_.contains(fold_name(found.name)) ? "excluded" : "not among the tables named";
    }
    if (found.skip_reason) return found.skip_reason;
    // By sqlite-jdbc it counts the rows that its UPDATE changed, and those of triggers with them:
    // captured, Liquibase stops.
    if (fold_name(found.name) == "databasechangeloglock" &&
        !named_.contains(fold_name(found.name))) {
      return "Liquibase's lock, which would not work with triggers on it; --table captures it all "
             "the same";
    }
    const bool is_new = active == nullptr || fold_name(active->def.name) != fold_name(found.name);
    if (new_tables == NewTables::kAtOnce || !is_new || !looks_temporary(found.name) ||
        named_.contains(fold_name(found.name))) {
      return {};
    }
    const auto waits = std::find_if(waiting_.begin(), waiting_.end(),
                                    [&](const WaitingTable& w) { return w.name == found.name; });
    // A clock that went back is no reason to wait for ever.
    const std::int64_t since =
        waits == waiting_.end() || waits->since_ms > now_ms ? now_ms : waits->since_ms;
    if (now_ms - since >= waiting_ms) return {};
    if (waits == waiting_.end() || waits->since_ms != since) waits_anew_ = true;
    plan.waiting.push_back({found.name, since});
    return "its name looks like that of a migration's temporary table; it is captured if it stays "
           "for " +
           std::to_string(waiting_ms / 1'000) + " s";
  }

  bool is_active(std::int64_t slot) const {
    return std::any_of(known_.begin(), known_.end(), [&](const CapturedTable& table) {
      return table.active && table.slot == slot;
    });
  }

  static void reset_if_moved(PlannedTable& planned, bool rowids_moved) {
    if (!rowids_moved || planned.shape.pseudo_column_name.empty()) return;
    if (planned.action == Action::kNone) planned.action = Action::kRegenerate;
    if (planned.action == Action::kCapture || planned.reset) return;
    planned.reset = true;
    planned.why = "it has no key, and VACUUM gave its rows other rowids";
  }

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

  bool was_captured(const std::string& name) const {
    return std::any_of(known_.begin(), known_.end(), [&](const CapturedTable& table) {
      return fold_name(table.def.name) == fold_name(name);
    });
  }

  PlannedTable plan_table(TableShape shape, const CapturedTable* active) {
    PlannedTable planned;
    planned.shape = std::move(shape);
    wire::TableDef def = planned.shape.definition();
    if (active != nullptr) def.schema_version = active->def.schema_version;
    if (active != nullptr && def == active->def) {
      planned.table = *active;
      planned.table.fine_print = planned.shape.fine_print();
      check_fine_print(planned, *active);
      check_triggers(planned, active->id);
      return planned;
    }
    planned.table.active = true;
    planned.table.split = def.columns.size() > joined_columns_max;
    planned.table.id = next_id_++;
    planned.table.slot = active != nullptr ? active->slot : planned.table.id;
    planned.table.fine_print = planned.shape.fine_print();
    def.schema_version = next_version(def.name);
    planned.table.def = std::move(def);
    if (active == nullptr) {
      planned.action = Action::kCapture;
      planned.reset = was_captured(planned.shape.name);
      planned.why = planned.reset ? "it is captured again" : "new";
      return planned;
    }
    planned.action = Action::kRedefine;
    planned.previous_id = active->id;
    planned.why = "its columns changed";
    planned.joined = only_joined(planned.table.def, active->def);
    planned.reset = !planned.joined;
    if (planned.joined) {
      planned.why = "columns joined";
      check_fine_print(planned, *active);
      check_triggers(planned, active->id);
    }
    if (planned.table.def.name != active->def.name) {
      planned.reset = true;
      planned.previous_name = active->def.name;
      planned.why = "it was '" + printable(active->def.name) + "'";
    }
    if (!has_triggers(active->slot)) {
      planned.reset = true;
      planned.why = "it was made anew";
    }
    return planned;
  }

  // The same columns as before, and some behind them that are not of the key. With the triggers
  // still there, this is ADD COLUMN: every other change moves a column or gives it another name.
  static bool only_joined(const wire::TableDef& now, const wire::TableDef& before) {
    const std::size_t count = before.columns.size();
    return now.name == before.name && now.columns.size() > count &&
           std::equal(before.columns.begin(), before.columns.end(), now.columns.begin()) &&
           std::all_of(now.columns.begin() + static_cast<std::ptrdiff_t>(count), now.columns.end(),
                       [](const wire::ColumnDef& c) { return c.key_ordinal == 0; });
  }

  static void begin_anew(PlannedTable& planned, std::string why) {
    if (planned.action == Action::kNone) planned.action = Action::kRegenerate;
    planned.reset = true;
    planned.why = std::move(why);
  }

  void check_fine_print(PlannedTable& planned, const CapturedTable& active) const {
    const std::vector<std::string> before = lines_of(active.fine_print);
    const std::vector<std::string> now = lines_of(planned.table.fine_print);
    if (active.fine_print.empty() || before == now) {
      if (before != now && planned.action == Action::kNone) {
        planned.action = Action::kRegenerate;
        planned.why = "an earlier version captured it";
      }
      return;
    }
    if (planned.action == Action::kNone) {
      planned.action = Action::kRegenerate;
      planned.why = "its unique keys changed";
    }
    if (std::any_of(now.begin() + 1, now.end(), [&](const std::string& key) {
          return std::find(before.begin() + 1, before.end(), key) == before.end();
        })) {
      begin_anew(planned, "a unique key is new, behind which OR REPLACE may have taken rows away");
    } else if (!planned.joined && before[0] != now[0]) {
      begin_anew(planned, "a default or a generated column changed");
    }
  }

  static std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines(1);
    for (const char c : text) {
      if (c == '\n') {
        lines.emplace_back();
      } else {
        lines.back() += c;
      }
    }
    return lines;
  }

  // `id`: the definition that the triggers there are should log under.
  void check_triggers(PlannedTable& planned, std::int64_t id) const {
    const std::int64_t slot = planned.table.slot;
    std::map<std::string, const FoundTrigger*> ours;
    std::int64_t newest_of_application = 0;
    std::int64_t oldest_of_ours = 0;
    for (const FoundTrigger& trigger : triggers_) {
      if (trigger.slot == slot) {
        ours[trigger.name] = &trigger;
        oldest_of_ours =
            oldest_of_ours == 0 ? trigger.order : std::min(oldest_of_ours, trigger.order);
      }
    }
    for (const FoundTrigger& trigger : triggers_) {
      if (trigger.slot == 0 && trigger.order > oldest_of_ours &&
          fold_name(trigger.table) == fold_name(planned.shape.name) &&
          may_change(texts_, trigger.sql, planned.shape.name)) {
        newest_of_application = std::max(newest_of_application, trigger.order);
      }
    }
    std::size_t right = 0;
    const std::vector<Trigger> wanted = triggers_of(planned.shape, slot, id, note_);
    for (const Trigger& trigger : wanted) {
      const auto found = ours.find(trigger.name);
      if (found != ours.end() && found->second->sql == trigger.sql) ++right;
    }
    if (planned.shape.loops && ours.size() + 1 == wanted.size() &&
        !ours.contains(before_delete_trigger(slot))) {
      begin_anew(planned,
                 "foreign keys lead from it back to it, which its triggers did not know: they may "
                 "have recorded changes out of order");
    } else if (ours.size() < wanted.size()) {
      begin_anew(planned,
                 state_.paused ? "capture was paused" : "triggers of capture were missing");
    } else if (newest_of_application > oldest_of_ours) {
      begin_anew(planned, "a newer trigger of the application fired before capture");
    } else if (right < wanted.size() && planned.action == Action::kNone) {
      planned.action = Action::kRegenerate;
      planned.why = "its triggers are of another version or selection";
    }
  }

  static void warn(CapturePlan& plan) {
    for (const PlannedTable& planned : plan.tables) {
      if (planned.shape.pseudo_column_name.empty()) continue;
      plan.warnings.push_back("table '" + printable(planned.shape.name) +
                              "' has no primary key: its rows are known by their rowid, which "
                              "VACUUM may change without a trace; give it an INTEGER PRIMARY KEY");
    }
    for (const GoneTable& gone : plan.gone) {
      plan.warnings.push_back("table '" + printable(gone.table.def.name) +
                              "' is captured no more: " + gone.reason);
    }
  }

  const CaptureState& state_;
  std::vector<FoundTable> found_;
  std::vector<FoundTrigger> triggers_;
  std::vector<CapturedTable> known_;
  std::vector<WaitingTable> waiting_;
  SchemaText texts_;
  std::string note_;
  bool waits_anew_ = false;
  std::set<std::string> named_, excluded_;
  std::int64_t next_id_ = 1;
};

}  // namespace

bool CapturePlan::changes_nothing() const {
  return gone.empty() && strays.empty() && !waiting_changed && !rowids_moved &&
         std::all_of(tables.begin(), tables.end(),
                     [](const PlannedTable& t) { return t.action == Action::kNone; });
}

bool looks_temporary(std::string_view table) {
  const std::string name = fold_name(table);
  for (const std::string_view prefix : temporary_prefixes) {
    if (name.size() > prefix.size() && name.starts_with(prefix)) return true;
  }
  for (const std::string_view suffix : temporary_suffixes) {
    if (name.size() > suffix.size() && name.ends_with(suffix)) return true;
  }
  return looks_like_sqlite_utils(name);
}

Result<CapturePlan> make_plan(const Database& db, const CaptureState& state,
                              const std::vector<SelectedName>& selection, NewTables new_tables) {
  std::vector<FoundTable> found = EVODB_TRY(find_tables(db));
  std::vector<FoundTrigger> triggers = EVODB_TRY(find_triggers(db));
  const bool installed = EVODB_TRY(load_state(db)).has_value();
  std::vector<CapturedTable> known;
  std::vector<WaitingTable> waiting;
  bool moved = false;
  if (installed) known = EVODB_TRY(load_captured(db));
  if (installed && state.format == outbox_format) {
    waiting = EVODB_TRY(load_waiting(db));
    moved = EVODB_TRY(rowids_moved(db));
  }
  const std::int64_t now_ms = EVODB_TRY(wall_clock_ms(db));
  SchemaText texts = EVODB_TRY(find_texts(db));
  return Planner(state, selection, std::move(found), std::move(triggers), std::move(known),
                 std::move(waiting), std::move(texts))
      .plan(new_tables, moved, now_ms);
}

}  // namespace evodb::capture
