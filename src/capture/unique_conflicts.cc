#include "capture/unique_conflicts.h"

#include <algorithm>
#include <cctype>

#include "base/assert.h"

namespace evodb::capture {
namespace {

// A table of the one row NEW, so that an index's SQL finds its columns in it. `compute`: in BEFORE
// UPDATE, NEW's generated columns are not there yet (SQLite 3.40 gives NULL); they are computed
// here, in as many rounds as they can build on each other.
std::string new_row_as_table(const TableShape& shape, bool compute) {
  const std::string as_table = " AS " + quote_name(shape.name);
  std::string list;
  std::string next;
  std::size_t rounds = 0;
  for (const ColumnShape& column : shape.columns) {
    const std::string name = quote_name(column.name);
    list += (list.empty() ? "" : ",") + ("NEW." + name + " AS " + name);
    next += next.empty() ? "" : ",";
    next += column.generated ? column.generated_sql + " AS " + name : name;
    if (column.generated) ++rounds;
  }
  std::string rows = "(SELECT " + list + ")" + as_table;
  constexpr std::size_t rounds_max = 8;
  if (!compute) rounds = 0;
  for (std::size_t i = 0; i < std::min(rounds, rounds_max); ++i) {
    rows = "(SELECT " + next + " FROM " + rows + ")" + as_table;
  }
  return rows;
}

bool is_name(std::string_view sql) {
  return !sql.empty() && std::isdigit(static_cast<unsigned char>(sql[0])) == 0 &&
         std::all_of(sql.begin(), sql.end(), [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
         });
}

// A column's default as an expression that means the same inside a trigger: there a bare or
// double-quoted word, which DEFAULT takes for a string, would be a column.
std::string default_value(const std::string& sql) {
  const std::string folded = fold_name(sql);
  for (const char* word :
       {"null", "true", "false", "current_time", "current_date", "current_timestamp"}) {
    if (folded == word) return sql;
  }
  if (is_name(sql)) return quote_text(sql);
  if (sql.size() >= 2 && sql.starts_with('"')) return quote_text(sql.substr(1, sql.size() - 2));
  return "(" + sql + ")";
}

std::string new_value(const ColumnShape& column) {
  const std::string value = "NEW." + quote_name(column.name);
  // OR REPLACE puts the default where NULL is not allowed, after BEFORE triggers have run.
  if (column.not_null && !column.default_sql.empty()) {
    return "ifnull(" + value + "," + default_value(column.default_sql) + ")";
  }
  return value;
}

Conflict conflict_of(const TableShape& shape, const UniqueKey& key, bool update) {
  const std::string table = quote_name(shape.name);
  Conflict conflict;
  bool plain = key.where.empty();
  std::string changed;
  for (const UniquePart& part : key.parts) {
    if (!conflict.row.empty()) conflict.row += " AND ";
    if (part.column >= 0) {
      const ColumnShape& column = shape.columns[static_cast<std::size_t>(part.column)];
      const std::string name = quote_name(column.name);
      const std::string collate = " COLLATE " + quote_name(part.collation);
      if (column.generated && update) {
        plain = false;
        conflict.row += table + "." + name + "=(SELECT " + name + " FROM " +
                        new_row_as_table(shape, update) + ")" + collate;
        continue;
      }
      conflict.row += table + "." + name + "=" + new_value(column) + collate;
      changed +=
          (changed.empty() ? "" : " OR ") + ("NEW." + name + " IS NOT OLD." + name + collate);
    } else {
      plain = false;
      conflict.row += "(" + part.expression + ")=(SELECT " + part.expression + " FROM " +
                      new_row_as_table(shape, update) + ")";
    }
  }
  if (!key.where.empty()) {
    conflict.row += " AND (" + key.where + ") AND EXISTS(SELECT 1 FROM " +
                    new_row_as_table(shape, update) + " WHERE " + key.where + ")";
  }
  if (update && plain) conflict.only_if = "(" + changed + ")";
  return conflict;
}

}  // namespace

std::vector<Conflict> conflicts_of(const TableShape& shape, bool update) {
  std::vector<Conflict> conflicts;
  if (!shape.rowid_sql.empty()) {
    const std::string& rowid = shape.rowid_sql;
    Conflict conflict;
    conflict.row = quote_name(shape.name) + "." + rowid + "=NEW." + rowid;
    if (update) conflict.only_if = "NEW." + rowid + "<>OLD." + rowid;
    conflicts.push_back(std::move(conflict));
  }
  for (const UniqueKey& key : shape.unique_keys) {
    conflicts.push_back(conflict_of(shape, key, update));
  }
  return conflicts;
}

std::string of_unique_columns(const TableShape& shape) {
  std::vector<std::string> names;
  const auto add = [&](std::string name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      names.push_back(std::move(name));
    }
  };
  if (!shape.rowid_sql.empty()) {
    for (const char* name : {"rowid", "_rowid_", "oid"}) add(name);
    if (shape.integer_key >= 0) add(shape.rowid_sql);
  }
  for (const UniqueKey& key : shape.unique_keys) {
    if (!key.where.empty()) return {};
    for (const UniquePart& part : key.parts) {
      if (part.column < 0) return {};
      const ColumnShape& column = shape.columns[static_cast<std::size_t>(part.column)];
      if (column.generated) return {};
      add(quote_name(column.name));
    }
  }
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? " OF " : ",") + name;
  return list;
}

RowIdentity::RowIdentity(const TableShape& shape) {
  if (!shape.rowid_sql.empty()) {
    parts_.push_back({"rid", shape.rowid_sql, ""});
    return;
  }
  const auto primary = std::find_if(shape.unique_keys.begin(), shape.unique_keys.end(),
                                    [](const UniqueKey& key) { return key.primary; });
  EVODB_ASSERT(primary != shape.unique_keys.end(), "a table has a rowid or a primary key");
  for (const UniquePart& part : primary->parts) {
    const auto column = static_cast<std::size_t>(part.column);
    parts_.push_back({"v" + std::to_string(column), quote_name(shape.columns[column].name),
                      " COLLATE " + quote_name(part.collation)});
  }
}

std::string RowIdentity::same(std::string_view a, std::string_view b) const {
  std::string all;
  for (const Part& part : parts_) {
    if (!all.empty()) all += " AND ";
    const std::string& left = a == "evodb_victims" ? part.victim_column : part.table_column;
    all.append(b).append(".").append(part.table_column).append("=");
    all.append(a).append(".").append(left).append(part.collation);
  }
  return all;
}

std::string RowIdentity::same_note(std::string_view a, std::string_view b) const {
  std::string all;
  for (const Part& part : parts_) {
    if (!all.empty()) all += " AND ";
    all.append(b).append(".").append(part.victim_column).append("=");
    all.append(a).append(".").append(part.victim_column).append(part.collation);
  }
  return all;
}

}  // namespace evodb::capture
