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
        columns_(shape.value_count()) {}

  std::vector<Trigger> write() {
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
  std::size_t columns_;
  std::vector<Trigger> triggers_;
};

}  // namespace

std::vector<Trigger> triggers_of(const TableShape& shape, std::int64_t slot, std::int64_t id,
                                 const std::string& note) {
  return Writer(shape, slot, id, note).write();
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
