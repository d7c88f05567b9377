#include "capture/triggers.h"

#include <charconv>

#include "capture/outbox_tables.h"
#include "capture/unique_conflicts.h"

namespace evodb::capture {
namespace {

class Writer {
 public:
  Writer(const TableShape& shape, std::int64_t slot, std::int64_t id, const std::string& note)
      : shape_(shape),
        note_(note),
        identity_(shape),
        table_(quote_name(shape.name)),
        slot_(std::to_string(slot)),
        id_(std::to_string(id)),
        absent_(std::to_string(-slot)),
        hold_(std::to_string(slot + holds_from)),
        threat_(std::to_string(slot + threats_from)),
        columns_(shape.value_count()) {}

  std::vector<Trigger> write() {
    if (shape_.loops) {
      write_for_loops();
      return std::move(triggers_);
    }
    add("insert", "AFTER INSERT", "", note_ + log(Op::kInsert, "NEW"));
    add("delete", "AFTER DELETE", "", log(Op::kDelete, "OLD"));
    add("update", "AFTER UPDATE", same_key(), log_update());
    add("rekey", "AFTER UPDATE" + of_key_columns(), "NOT(" + same_key() + ")",
        log(Op::kDelete, "OLD") + log(Op::kInsert, "NEW"));
    add_before("before_insert", "BEFORE INSERT", false);
    add_before("before_update", "BEFORE UPDATE" + of_unique_columns(shape_), true);
    const std::string noted = "EXISTS(SELECT 1 FROM evodb_victims WHERE tbl=" + slot_ + ")";
    add("insert_victims", "AFTER INSERT", noted, settle(identity_.same("evodb_victims", "NEW")));
    add("update_victims", "AFTER UPDATE", noted,
        settle(identity_.same("evodb_victims", "NEW"), identity_.same("evodb_victims", "OLD")) +
            follow());
    add("delete_victims", "AFTER DELETE", noted,
        "DELETE FROM evodb_victims WHERE " + is_note_of("OLD") + ";");
    return std::move(triggers_);
  }

 private:
  // --- tables whose changes lead back to them, see triggers.h ------------------------------------

  void write_for_loops() {
    // The oldest fire last: what they leave behind must not be seen by those without notes.
    add("insert_victims", "AFTER INSERT", any_note(),
        note("NEW", absent_) + reconcile() + over("NEW", "") + forget("NEW") + forget_absent());
    add("delete_victims", "AFTER DELETE", any_note(),
        note("OLD", slot_) + reconcile() + let_go("OLD") + forget("OLD") + forget_absent());
    const std::string moved = "NOT(" + identity_.same("NEW", "OLD") + ")";
    add("update_victims", "AFTER UPDATE", any_note(),
        note("OLD", slot_) + note("NEW", absent_) + reconcile() + let_go("OLD") +
            let_go("NEW", moved) + over("NEW", moved + " AND ") + forget("OLD") + forget("NEW") +
            forget_absent());
    const std::string none = "NOT " + any_note();
    add("insert", "AFTER INSERT", none, note_ + log(Op::kInsert, "NEW"));
    add("delete", "AFTER DELETE", none, log(Op::kDelete, "OLD"));
    add("update", "AFTER UPDATE", "(" + same_key() + ") AND " + none, log_update());
    add("rekey", "AFTER UPDATE" + of_key_columns(), "NOT(" + same_key() + ") AND " + none,
        log(Op::kDelete, "OLD") + log(Op::kInsert, "NEW"));
    const Victims inserting = victims_of(false), updating = victims_of(true);
    add("before_insert", "BEFORE INSERT", inserting.any, keep_few() + inserting.note);
    add("before_update", "BEFORE UPDATE",
        any_note() + " OR " + unique_changed() + " OR " + updating.any,
        keep_few() + note("OLD", slot_) + hold("OLD") + updating.note + note("NEW", absent_) +
            hold("NEW", moved));
    add("before_delete", "BEFORE DELETE", any_note(),
        keep_few() + note("OLD", slot_) + hold("OLD"));
  }

  std::string any_note() const {
    return "EXISTS(SELECT 1 FROM evodb_victims WHERE tbl IN(" + slot_ + "," + absent_ + "))";
  }

  // So deep may changes be nested in each other; what is forgotten is logged as if it were alone.
  static constexpr int notes_for_loops_max = 200;
  std::string ours() const {
    return "tbl IN(" + slot_ + "," + absent_ + "," + hold_ + "," + threat_ + ")";
  }
  std::string keep_few() const {
    return "DELETE FROM evodb_victims WHERE " + ours() +
           " AND n<=(SELECT max(n) FROM evodb_victims WHERE " + ours() + ")-" +
           std::to_string(notes_for_loops_max) + ";" +
           "DELETE FROM evodb_victims WHERE tbl=" + threat_ +
           " AND n IN(SELECT n FROM evodb_victims WHERE tbl=" + threat_ +
           " ORDER BY n DESC LIMIT -1 OFFSET " + std::to_string(notes_max()) + ");" +
           "DELETE FROM evodb_victims WHERE tbl=" + slot_ + " AND NOT " + held_note() + ";";
  }

  std::string put(const std::string& code, const std::string& row) const {
    const std::string rid = shape_.rowid_sql.empty() ? "NULL" : row + "." + shape_.rowid_sql;
    return "INSERT INTO evodb_victims(tbl,n,rid," + outbox_columns(0, columns_) + ") SELECT " +
           code + ",(SELECT ifnull(max(n),0)+1 FROM evodb_victims WHERE " + ours() + ")," + rid +
           "," + value_list(shape_, row);
  }
  std::string noted(const std::string& row) const {
    return "EXISTS(SELECT 1 FROM evodb_victims WHERE tbl IN(" + slot_ + "," + absent_ + ") AND " +
           identity_.same("evodb_victims", row) + ")";
  }
  std::string held(const std::string& row) const {
    return "EXISTS(SELECT 1 FROM evodb_victims WHERE tbl IN(" + hold_ + "," + threat_ + ") AND " +
           identity_.same("evodb_victims", row) + ")";
  }
  std::string held_note() const {
    return "EXISTS(SELECT 1 FROM evodb_victims AS h WHERE h.tbl IN(" + hold_ + "," + threat_ +
           ") AND " + identity_.same_note("evodb_victims", "h") + ")";
  }
  std::string note(const std::string& row, const std::string& code) const {
    return put(code, row) + " WHERE NOT " + noted(row) + ";";
  }
  std::string hold(const std::string& row, const std::string& when = "") const {
    return put(hold_, row) + (when.empty() ? "" : " WHERE " + when) + ";";
  }
  std::string let_go(const std::string& row, const std::string& when = "") const {
    return "DELETE FROM evodb_victims WHERE tbl=" + hold_ + (when.empty() ? "" : " AND " + when) +
           " AND n=(SELECT max(n) FROM evodb_victims WHERE tbl=" + hold_ + " AND " +
           identity_.same("evodb_victims", row) + ");";
  }
  std::string forget(const std::string& row) const {
    return "DELETE FROM evodb_victims WHERE tbl IN(" + slot_ + "," + absent_ + ") AND " +
           identity_.same("evodb_victims", row) + " AND NOT " + held(row) + ";";
  }
  std::string forget_absent() const {
    return "DELETE FROM evodb_victims WHERE tbl=" + threat_ + " AND NOT EXISTS(SELECT 1 FROM " +
           table_ + " WHERE " + identity_.same("evodb_victims", table_) + ");" +
           "DELETE FROM evodb_victims WHERE tbl=" + absent_ + " AND NOT " + held_note() + ";";
  }
  // The row that was in its way is gone.
  std::string over(const std::string& row, const std::string& when) const {
    return "DELETE FROM evodb_victims WHERE tbl=" + threat_ + " AND " + when +
           identity_.same("evodb_victims", row) + ";";
  }

  struct Victims {
    std::string any, note;
  };
  Victims victims_of(bool update) const {
    Victims all;
    for (const Conflict& conflict : conflicts_of(shape_, update)) {
      std::string in_the_way = conflict.row;
      if (update) in_the_way += " AND NOT(" + identity_.same(table_, "OLD") + ")";
      std::string found = "EXISTS(SELECT 1 FROM " + table_ + " WHERE " + in_the_way + ")";
      if (!conflict.only_if.empty()) found = "(" + conflict.only_if + " AND " + found + ")";
      all.any += (all.any.empty() ? "" : " OR ") + found;
      all.note += put(slot_, table_) + " FROM " + table_ + " WHERE " + in_the_way + " AND NOT " +
                  noted(table_) + ";" + put(threat_, table_) + " FROM " + table_ + " WHERE " +
                  in_the_way + " AND NOT EXISTS(SELECT 1 FROM evodb_victims WHERE tbl=" + threat_ +
                  " AND " + identity_.same("evodb_victims", table_) + ");";
    }
    return all;
  }

  // Foreign keys refer to no others.
  std::string unique_changed() const {
    std::string any;
    const auto add = [&](const std::string& name, const char* collate) {
      any += (any.empty() ? "" : " OR ") + ("NEW." + name + " IS NOT OLD." + name + collate);
    };
    if (!shape_.rowid_sql.empty()) add(shape_.rowid_sql, "");
    for (const UniqueKey& key : shape_.unique_keys) {
      for (const UniquePart& part : key.parts) {
        if (part.column < 0) continue;
        add(quote_name(shape_.columns[static_cast<std::size_t>(part.column)].name),
            " COLLATE BINARY");
      }
    }
    return "(" + any + ")";
  }

  static std::string note_value(std::size_t i) { return "evodb_victims.v" + std::to_string(i); }
  static std::string same_value(const std::string& a, const std::string& b) {
    return a + " IS " + b + " COLLATE BINARY AND typeof(" + a + ")=typeof(" + b + ")";
  }
  std::string column_of(std::size_t value) const {
    const std::size_t pseudo = shape_.pseudo_column_name.empty() ? 0 : 1;
    if (value < pseudo) return table_ + "." + shape_.rowid_sql;
    return table_ + "." + quote_name(shape_.columns[value - pseudo].name);
  }
  // SQLite takes no expression that is nested deeper than 1,000.
  std::string differs() const {
    constexpr std::size_t group = 50;
    std::string all;
    for (std::size_t i = 0; i < columns_; ++i) {
      all += i == 0 ? "((" : i % group == 0 ? ") OR (" : " OR ";
      all += "NOT(" + same_value(note_value(i), column_of(i)) + ")";
    }
    return all + "))";
  }
  std::string same_noted_key() const {
    std::string all;
    if (shape_.integer_key >= 0 || !shape_.pseudo_column_name.empty()) return all;
    for (std::size_t i = 0; i < shape_.columns.size(); ++i) {
      if (shape_.columns[i].key_ordinal == 0) continue;
      all += " AND " + same_value(note_value(i), column_of(i));
    }
    return all;
  }

  // Logs what makes of the noted rows, as the log has them, the rows as they are, and notes that.
  std::string reconcile() const {
    const std::string of_it =
        " FROM " + table_ + " WHERE " + identity_.same("evodb_victims", table_);
    const std::string values = outbox_columns(0, columns_);
    const std::string as_it_is =
        "(" + values + ")=(SELECT " + value_list(shape_, table_) + of_it + ")";
    const bool split = columns_ > joined_columns_max;
    const std::string gone = "tbl=" + slot_ + " AND NOT EXISTS(SELECT 1" + of_it +
                             same_noted_key() + (split ? " AND NOT " + differs() : "") + ")";
    std::string sql = into_outbox(0, columns_) + " SELECT " + head(static_cast<int>(Op::kDelete)) +
                      values + " FROM evodb_victims WHERE " + gone + " ORDER BY n;" +
                      "UPDATE evodb_victims SET tbl=" + absent_ + " WHERE " + gone + ";";
    if (!split) {
      std::string noted_values;
      for (std::size_t i = 0; i < columns_; ++i) {
        noted_values += (i == 0 ? "" : ",") + note_value(i);
      }
      sql += into_outbox(0, 2 * columns_) + " SELECT " + head(static_cast<int>(Op::kUpdate)) +
             noted_values + "," + value_list(shape_, table_) + " FROM evodb_victims CROSS JOIN " +
             table_ + " WHERE evodb_victims.tbl=" + slot_ + " AND " +
             identity_.same("evodb_victims", table_) + " AND " + differs() +
             " ORDER BY evodb_victims.n;" + "UPDATE evodb_victims SET " + as_it_is +
             " WHERE tbl=" + slot_ + " AND EXISTS(SELECT 1" + of_it + " AND " + differs() + ");";
    }
    return sql + into_outbox(0, columns_) + " SELECT " + head(static_cast<int>(Op::kInsert)) +
           value_list(shape_, table_) + " FROM evodb_victims CROSS JOIN " + table_ +
           " WHERE evodb_victims.tbl=" + absent_ + " AND " +
           identity_.same("evodb_victims", table_) + " ORDER BY evodb_victims.n;" +
           "UPDATE evodb_victims SET tbl=" + slot_ + "," + as_it_is + " WHERE tbl=" + absent_ +
           " AND EXISTS(SELECT 1" + of_it + ");";
  }

  // -----------------------------------------------------------------------------------------------

  void add(const std::string& what, const std::string& event, const std::string& when,
           const std::string& body) {
    const std::string name = "evodb_" + slot_ + "_" + what;
    std::string sql = "CREATE TRIGGER " + quote_name(name) + " " + event + " ON " + table_;
    if (!when.empty()) sql += " WHEN " + when;
    sql += " BEGIN " + body + " END";
    triggers_.push_back({name, std::move(sql)});
  }

  std::string into_outbox(std::size_t first_column, std::size_t count) const {
    return "INSERT INTO evodb_outbox(tbl,op," + outbox_columns(first_column, count) + ")";
  }
  std::string head(int op) const { return id_ + "," + std::to_string(op) + ","; }

  std::string log(Op op, std::string_view row) const {
    return into_outbox(0, columns_) + " VALUES(" + head(static_cast<int>(op)) +
           value_list(shape_, row) + ");";
  }

  std::string log_update() const {
    if (columns_ > joined_columns_max) {
      return into_outbox(0, columns_) + " VALUES(" + head(op_before_half) +
             value_list(shape_, "OLD") + ");" + log(Op::kUpdate, "NEW");
    }
    return into_outbox(0, 2 * columns_) + " VALUES(" + head(static_cast<int>(Op::kUpdate)) +
           value_list(shape_, "OLD") + "," + value_list(shape_, "NEW") + ");";
  }

  // By bytes and storage class: for NOCASE 'a' and 'A' are one key, to everybody else they are two.
  std::string same_key() const {
    if (!shape_.rowid_sql.empty() &&
        (shape_.integer_key >= 0 || !shape_.pseudo_column_name.empty())) {
      return "NEW." + shape_.rowid_sql + "=OLD." + shape_.rowid_sql;
    }
    std::string all;
    for (const ColumnShape& column : shape_.columns) {
      if (column.key_ordinal == 0) continue;
      const std::string name = quote_name(column.name);
      if (!all.empty()) all += " AND ";
      all += "OLD." + name + " IS NEW." + name + " COLLATE BINARY AND typeof(OLD." + name +
             ")=typeof(NEW." + name + ")";
    }
    return all;
  }

  std::string of_key_columns() const {
    std::string list;
    for (const ColumnShape& column : shape_.columns) {
      if (column.key_ordinal != 0) list += (list.empty() ? "" : ",") + quote_name(column.name);
    }
    if (shape_.integer_key >= 0 || !shape_.pseudo_column_name.empty()) {
      list += std::string(list.empty() ? "" : ",") + "rowid,_rowid_,oid";
    }
    return " OF " + list;
  }

  std::string is_note_of(std::string_view row) const {
    return "tbl=" + slot_ + " AND " + identity_.same("evodb_victims", row);
  }

  void add_before(const std::string& what, const std::string& event, bool update) {
    std::string when;
    std::string body = "DELETE FROM evodb_victims WHERE tbl=" + slot_ +
                       " AND n<=(SELECT max(n) FROM evodb_victims WHERE tbl=" + slot_ + ")-" +
                       std::to_string(notes_max()) + ";";
    const std::string rid = shape_.rowid_sql.empty() ? "NULL" : table_ + "." + shape_.rowid_sql;
    for (const Conflict& conflict : conflicts_of(shape_, update)) {
      std::string in_the_way = conflict.row;
      if (update) in_the_way += " AND NOT(" + identity_.same(table_, "OLD") + ")";
      std::string found = "EXISTS(SELECT 1 FROM " + table_ + " WHERE " + in_the_way + ")";
      if (!conflict.only_if.empty()) found = "(" + conflict.only_if + " AND " + found + ")";
      when += (when.empty() ? "" : " OR ") + found;
      // An older note of the same row gives way to the new one.
      body += "DELETE FROM evodb_victims WHERE tbl=" + slot_ + " AND EXISTS(SELECT 1 FROM " +
              table_ + " WHERE " + in_the_way + " AND " + identity_.same("evodb_victims", table_) +
              ");";
      body += "INSERT INTO evodb_victims(tbl,n,rid," + outbox_columns(0, columns_) + ") SELECT " +
              slot_ + ",(SELECT ifnull(max(n),0)+1 FROM evodb_victims WHERE tbl=" + slot_ + ")," +
              rid + "," + value_list(shape_, table_) + " FROM " + table_ + " WHERE " + in_the_way +
              ";";
    }
    add(what, event, when, body);
  }

  // A statement has one note a unique key; some more for those that are nested in it.
  std::size_t notes_max() const { return 2 * shape_.unique_keys.size() + 4; }

  // Logs and forgets the noted rows that are gone: their place is taken by the new row, or nobody
  // is there. `not_this`: the row that was updated, which only looks gone because it moved.
  std::string settle(const std::string& taken, const std::string& not_this = "") const {
    std::string gone = "tbl=" + slot_;
    if (!not_this.empty()) gone += " AND NOT(" + not_this + ")";
    gone += " AND (" + taken + " OR NOT EXISTS(SELECT 1 FROM " + table_ + " WHERE " +
            identity_.same("evodb_victims", table_) + "))";
    return into_outbox(0, columns_) + " SELECT " + head(static_cast<int>(Op::kDelete)) +
           outbox_columns(0, columns_) + " FROM evodb_victims WHERE " + gone +
           " ORDER BY n;DELETE FROM evodb_victims WHERE " + gone + ";";
  }

  // The note of a row that was updated is kept true.
  std::string follow() const {
    std::string set;
    if (!shape_.rowid_sql.empty()) set = "rid=NEW." + shape_.rowid_sql + ",";
    return "UPDATE evodb_victims SET " + set + "(" + outbox_columns(0, columns_) + ")=(SELECT " +
           value_list(shape_, "NEW") + ") WHERE " + is_note_of("OLD") + ";";
  }

  const TableShape& shape_;
  const std::string& note_;
  RowIdentity identity_;
  std::string table_, slot_, id_;
  // Values of evodb_victims.tbl beside the slot, for loops.
  static constexpr std::int64_t holds_from = std::int64_t{1} << 40;
  static constexpr std::int64_t threats_from = std::int64_t{1} << 41;
  std::string absent_, hold_, threat_;
  std::size_t columns_;
  std::vector<Trigger> triggers_;
};

}  // namespace

std::vector<Trigger> triggers_of(const TableShape& shape, std::int64_t slot, std::int64_t id,
                                 const std::string& note) {
  return Writer(shape, slot, id, note).write();
}

std::string before_delete_trigger(std::int64_t slot) {
  return "evodb_" + std::to_string(slot) + "_before_delete";
}

std::int64_t slot_of_trigger(std::string_view trigger_name) {
  constexpr std::string_view prefix = "evodb_";
  if (!trigger_name.starts_with(prefix)) return 0;
  trigger_name.remove_prefix(prefix.size());
  std::int64_t slot = 0;
  const auto [end, error] =
      std::from_chars(trigger_name.data(), trigger_name.data() + trigger_name.size(), slot);
  const bool named = end != trigger_name.data() + trigger_name.size() && *end == '_';
  return error == std::errc() && named && slot > 0 ? slot : 0;
}

std::string key_is_null_sql(const TableShape& shape) {
  std::string any;
  for (const ColumnShape& column : shape.columns) {
    if (column.key_ordinal == 0) continue;
    any += (any.empty() ? "" : " OR ") + quote_name(column.name) + " IS NULL";
  }
  return any;
}

}  // namespace evodb::capture
