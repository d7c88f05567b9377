#include "capture/repair.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/bytes.h"
#include "capture/capture_plan.h"
#include "capture/triggers.h"

namespace evodb::capture {
namespace {

constexpr std::string_view note_begin = "/*evodb ";
constexpr std::string_view note_all = " all*/";
constexpr std::string_view note_some = " some*/";

struct Expected {
  const char* table;
  std::vector<const char*> columns;
  bool log_depends;  // on what it holds
  std::int64_t since_format;
};

const std::vector<Expected>& expected_tables() {
  static const std::vector<Expected> all = {
      {"evodb_outbox", {"id", "tbl", "op", "at"}, true, 1},
      {"evodb_tables", {"id", "slot", "active", "split", "name", "schema_version"}, true, 1},
      {"evodb_columns", {"tbl", "position", "name", "declared_type", "key_ordinal"}, true, 1},
      {"evodb_state", {"key", "value"}, true, 1},
      {"evodb_selection", {"name", "excluded"}, false, 1},
      {"evodb_victims", {"tbl", "n", "rid"}, false, 1},
      {"evodb_resend", {"slot", "tbl", "previous", "reached", "sent"}, false, 2},
      {"evodb_waiting", {"name", "since"}, false, 2},
      {"evodb_mark", {"x"}, false, 2},
  };
  return all;
}

using Columns = std::map<std::string, std::set<std::string>>;  // by table

Result<Columns> columns_there(const Database& db) {
  Columns there;
  Statement rows = EVODB_TRY(
      db.prepare("SELECT s.name, c.name FROM main.sqlite_schema s, pragma_table_info(s.name, "
                 "'main') c WHERE s.type = 'table' AND s.name GLOB 'evodb_*'"));
  while (EVODB_TRY(rows.step())) {
    there[std::string(rows.text(0))].insert(std::string(rows.text(1)));
  }
  return there;
}

class Inspector {
 public:
  explicit Inspector(const Database& db) : db_(db) {}

  Result<Inspection> look() {
    there_ = EVODB_TRY(columns_there(db_));
    EVODB_TRY(look_at_triggers());
    if (there_.empty() && seen_.triggered.empty()) return seen_;
    seen_.verdict = Verdict::kWhole;
    if (has("evodb_state")) EVODB_TRY(look_at_state());
    look_at_tables();
    EVODB_TRY(look_at_selection());
    if (whole("evodb_tables") && whole("evodb_columns")) EVODB_TRY(look_at_definitions());
    if (whole("evodb_outbox")) EVODB_TRY(look_at_outbox());
    return std::move(seen_);
  }

 private:
  bool has(const std::string& table) const { return there_.contains(table); }
  bool whole(const std::string& table) const { return has(table) && !torn_.contains(table); }

  void wrong(Verdict verdict, const std::string& what) {
    seen_.verdict = std::max(seen_.verdict, verdict);
    seen_.what += (seen_.what.empty() ? "" : "; ") + what;
  }

  Result<void> look_at_triggers() {
    std::set<std::string> tables;
    Statement rows = EVODB_TRY(
        db_.prepare("SELECT name, tbl_name, sql FROM main.sqlite_schema WHERE type = 'trigger'"));
    while (EVODB_TRY(rows.step())) {
      if (slot_of_trigger(rows.text(0)) == 0) continue;
      tables.insert(std::string(rows.text(1)));
      read_note(rows.text(2));
    }
    seen_.triggered.assign(tables.begin(), tables.end());
    return {};
  }

  void read_note(std::string_view sql) {
    const std::size_t begin = sql.find(note_begin);
    if (begin == std::string_view::npos) return;
    std::string_view note = sql.substr(begin + note_begin.size());
    const std::size_t end = note.find(' ');
    if (end == std::string_view::npos) return;
    noted_source_ = base::from_hex(note.substr(0, end)).value_or("");
    noted_ = true;
    noted_all_ = note.substr(end).starts_with(note_all);
  }

  Result<void> look_at_state() {
    if (!there_["evodb_state"].contains("key") || !there_["evodb_state"].contains("value")) {
      return {};
    }
    std::set<std::string> keys;
    Statement rows = EVODB_TRY(db_.prepare("SELECT key, value FROM main.evodb_state"));
    while (EVODB_TRY(rows.step())) {
      const std::string key(rows.text(0));
      keys.insert(key);
      if (key == "format") format_ = rows.integer(1);
      if (key == "source") seen_.source = rows.text(1);
      if (key == "epoch") seen_.epoch.value = static_cast<std::uint64_t>(rows.integer(1));
      if (key == "trimmed") seen_.trimmed.value = static_cast<std::uint64_t>(rows.integer(1));
      if (key == "anchor") anchored_ = rows.integer(1) != 0;
      if (key == "paused") seen_.paused = rows.integer(1) != 0;
      if (key == "all_tables") seen_.all_tables = rows.integer(1) != 0;
    }
    for (const char* key : state_keys(format_)) {
      if (!keys.contains(key)) {
        wrong(Verdict::kBroken, "evodb_state has no row '" + std::string(key) + "'");
      }
    }
    choice_known_ = keys.contains("all_tables");
    return {};
  }

  void look_at_tables() {
    for (const Expected& table : expected_tables()) {
      if (table.since_format > format_) continue;
      const Verdict verdict = table.log_depends ? Verdict::kBroken : Verdict::kIncomplete;
      const std::string name = table.table;
      if (!has(name)) {
        wrong(verdict, name + " is missing");
        const bool used = name == "evodb_outbox" || name == "evodb_victims";
        seen_.writes_fail = seen_.writes_fail || (used && !seen_.triggered.empty());
        continue;
      }
      for (const char* column : table.columns) {
        if (there_[name].contains(column)) continue;
        torn_.insert(name);
        const bool used = name == "evodb_outbox" || name == "evodb_victims";
        seen_.writes_fail = seen_.writes_fail || (used && !seen_.triggered.empty());
        wrong(verdict, name + " lacks its column '" + column + "'");
      }
    }
  }

  Result<void> look_at_selection() {
    if (whole("evodb_selection")) {
      seen_.selection = EVODB_TRY(load_selection(db_));
      // Whoever names or excludes tables leaves a row there.
      const bool expected = !seen_.all_tables || (noted_ && !noted_all_);
      if (choice_known_ && expected && seen_.selection.empty()) {
        wrong(Verdict::kIncomplete, "evodb_selection was emptied");
        choice_known_ = false;
      }
    } else {
      choice_known_ = false;
    }
    if (seen_.source.empty()) seen_.source = noted_source_;
    if (choice_known_) return {};
    seen_.all_tables = noted_all_ || seen_.triggered.empty();
    seen_.selection.clear();
    if (seen_.all_tables) return {};
    for (const std::string& table : seen_.triggered) seen_.selection.push_back({table, false});
    return {};
  }

  Result<void> look_at_definitions() {
    const std::int64_t count = EVODB_TRY(db_.integer("SELECT count(*) FROM main.evodb_tables"));
    if (count == 0) wrong(Verdict::kBroken, "evodb_tables was emptied");
    const std::int64_t empty = EVODB_TRY(
        db_.integer("SELECT count(*) FROM main.evodb_tables WHERE id NOT IN (SELECT tbl FROM "
                    "main.evodb_columns)"));
    const std::int64_t with_holes =
        EVODB_TRY(db_.integer("SELECT count(*) FROM (SELECT 1 FROM main.evodb_columns GROUP BY tbl "
                              "HAVING max(position) + 1 <> count(*))"));
    if (empty + with_holes != 0) {
      wrong(Verdict::kBroken, "evodb_columns does not have all columns");
    }
    const std::int64_t unknown = EVODB_TRY(
        db_.integer("SELECT count(*) FROM main.evodb_columns WHERE tbl NOT IN (SELECT id FROM "
                    "main.evodb_tables)"));
    if (unknown != 0) wrong(Verdict::kBroken, "evodb_tables lost rows");
    std::size_t values = 0;
    Statement widest = EVODB_TRY(db_.prepare(
        "SELECT max(n * (CASE WHEN split THEN 1 ELSE 2 END)), max(n) FROM (SELECT count(*) AS n, "
        "split FROM main.evodb_tables t, main.evodb_columns c WHERE c.tbl = t.id AND active "
        "GROUP BY t.id)"));
    const bool found = EVODB_TRY(widest.step());
    if (!found) return {};
    values = static_cast<std::size_t>(widest.integer(0));
    check_width("evodb_outbox", values, Verdict::kBroken);
    check_width("evodb_victims", static_cast<std::size_t>(widest.integer(1)), Verdict::kIncomplete);
    return {};
  }

  void check_width(const std::string& table, std::size_t width, Verdict verdict) {
    if (!whole(table)) return;
    for (std::size_t i = 0; i < width; ++i) {
      const std::string column = "v" + std::to_string(i);
      if (there_[table].contains(column)) continue;
      torn_.insert(table);
      seen_.writes_fail = seen_.writes_fail || !seen_.triggered.empty();
      return wrong(verdict, table + " lacks its column '" + column + "'");
    }
  }

  Result<void> look_at_outbox() {
    const std::int64_t head = EVODB_TRY(db_.integer("SELECT max(id) FROM main.evodb_outbox", -1));
    // Its newest row is never deleted, and it is made with one.
    const bool may_be_new = format_ < 2 && seen_.trimmed.value == 0;  // it was made without
    // The row at the mark stays, too: whoever emptied it took that along, whatever came since.
    const std::int64_t mark =
        EVODB_TRY(db_.integer("SELECT EXISTS(SELECT 1 FROM main.evodb_outbox WHERE id = " +
                              std::to_string(seen_.trimmed.value) + ")"));
    const bool ends_below = head < static_cast<std::int64_t>(seen_.trimmed.value);
    if ((ends_below && !may_be_new) || (anchored_ && mark == 0)) {
      wrong(Verdict::kBroken, "evodb_outbox was emptied");
    }
    if (!whole("evodb_tables")) return {};
    // Both ends: all would be too much to read each time.
    const std::string known = " AND tbl NOT IN (SELECT id FROM main.evodb_tables)";
    const std::string from = std::to_string(seen_.trimmed.value);
    const std::string any = "EXISTS(SELECT 1 FROM main.evodb_outbox WHERE id > " + from;
    const std::int64_t unknown =
        EVODB_TRY(db_.integer("SELECT " + any + " AND id <= " + from + " + 1000" + known + ") OR " +
                              any + " AND id > " + std::to_string(head) + " - 1000" + known + ")"));
    if (unknown != 0) wrong(Verdict::kBroken, "evodb_outbox names tables that evodb_tables lacks");
    return {};
  }

  const Database& db_;
  Columns there_;
  std::set<std::string> torn_;  // tables that lack a column
  Inspection seen_;
  std::int64_t format_ = 1;
  bool choice_known_ = false;
  bool anchored_ = false;  // the row at the mark is known to be there
  std::string noted_source_;
  bool noted_ = false, noted_all_ = false;
};

}  // namespace

Result<Inspection> inspect(const Database& db) { return Inspector(db).look(); }

Result<std::uint64_t> count_held(const Database& db, const Inspection& seen) {
  const Columns there = EVODB_TRY(columns_there(db));
  const auto outbox = there.find("evodb_outbox");
  if (outbox == there.end() || !outbox->second.contains("id")) return 0;
  const std::int64_t held = EVODB_TRY(db.integer(
      "SELECT count(*) FROM main.evodb_outbox WHERE id > " + std::to_string(seen.trimmed.value)));
  return static_cast<std::uint64_t>(held);
}

std::string trigger_note(const CaptureState& state, bool excludes) {
  return std::string(note_begin) + base::to_hex(state.source) +
         std::string(state.all_tables && !excludes ? note_all : note_some);
}

std::string random_source(base::Random& random) {
  constexpr char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
  std::string source = "db-";
  for (int i = 0; i < 16; ++i) source += letters[random.below(32)];
  return source;
}

Result<CaptureState> make_whole(const Database& db, const Inspection& seen,
                                const std::string& source, base::Clock& clock,
                                base::Random& random) {
  if (seen.verdict == Verdict::kIncomplete) {
    EVODB_TRY(restore_helper_tables(db));
    EVODB_TRY(save_selection(db, seen.selection));
    CaptureState state = EVODB_TRY(require_state(db));
    state.all_tables = seen.all_tables;
    EVODB_TRY(upgrade_outbox_tables(db, state));
    EVODB_TRY(save_state(db, state));
    return state;
  }
  EVODB_TRY(drop_all_triggers(db));
  EVODB_TRY(drop_outbox_tables(db));
  EVODB_TRY(create_outbox_tables(db, 0));
  CaptureState state;
  state.source = !seen.source.empty() ? seen.source
                 : !source.empty()    ? source
                                      : random_source(random);
  state.epoch.value =
      std::max(static_cast<std::uint64_t>(std::max<std::int64_t>(clock.wall().value, 1)),
               seen.epoch.value + 1);
  state.all_tables = seen.all_tables;
  state.paused = seen.paused;
  EVODB_TRY(save_selection(db, seen.selection));
  EVODB_TRY(save_state(db, state));
  return state;
}

}  // namespace evodb::capture
