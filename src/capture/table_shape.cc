#include "capture/table_shape.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/hash.h"
#include "base/limits.h"
#include "capture/index_sql.h"
#include "capture/outbox_tables.h"
#include "capture/trigger_reach.h"
#include "capture/triggers.h"
#include "wire/utf8.h"

namespace evodb::capture {
namespace {

bool has_column(const TableShape& shape, std::string_view folded) {
  return std::any_of(shape.columns.begin(), shape.columns.end(),
                     [&](const ColumnShape& c) { return fold_name(c.name) == folded; });
}

Result<void> read_columns(const Database& db, TableShape& shape) {
  Statement info =
      EVODB_TRY(db.prepare("SELECT name, type, \"notnull\", dflt_value, pk, hidden "
                           "FROM pragma_table_xinfo(?1, 'main') ORDER BY cid"));
  info.bind(1, shape.name);
  while (EVODB_TRY(info.step())) {
    ColumnShape column;
    column.name = info.text(0);
    column.declared_type = info.text(1);
    column.not_null = info.integer(2) != 0;
    column.default_sql = info.text(3);
    column.key_ordinal = static_cast<std::uint32_t>(info.integer(4));
    column.generated = info.integer(5) == 2 || info.integer(5) == 3;
    shape.columns.push_back(std::move(column));
  }
  return {};
}

Result<void> read_generated(const Database& db, TableShape& shape) {
  if (std::none_of(shape.columns.begin(), shape.columns.end(),
                   [](const ColumnShape& c) { return c.generated; })) {
    return {};
  }
  Statement schema = EVODB_TRY(
      db.prepare("SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND name = ?1"));
  schema.bind(1, shape.name);
  const bool found = EVODB_TRY(schema.step());
  const std::vector<std::string> parts = EVODB_TRY(
      parse_generated_sql(found ? schema.text(0) : std::string_view(), shape.columns.size()));
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (shape.columns[i].generated) shape.columns[i].generated_sql = parts[i];
  }
  return {};
}

Result<UniqueKey> read_unique_key(const Database& db, const TableShape& shape,
                                  const std::string& index, bool partial, bool primary) {
  UniqueKey key;
  key.index = index;
  key.primary = primary;
  Statement info =
      EVODB_TRY(db.prepare("SELECT cid, coll, \"desc\" FROM pragma_index_xinfo(?1, 'main') "
                           "WHERE key = 1 ORDER BY seqno"));
  info.bind(1, index);
  bool expressions = false;
  while (EVODB_TRY(info.step())) {
    UniquePart part;
    part.column = static_cast<int>(info.integer(0));
    part.collation = info.text(1);
    part.descending = info.integer(2) != 0;
    expressions = expressions || part.column < 0;
    key.parts.push_back(std::move(part));
  }
  if (!expressions && !partial) return key;

  Statement schema = EVODB_TRY(
      db.prepare("SELECT sql FROM main.sqlite_schema WHERE type = 'index' AND name = ?1"));
  schema.bind(1, index);
  const bool found = EVODB_TRY(schema.step());
  const IndexSql sql = EVODB_TRY(parse_index_sql(found ? schema.text(0) : std::string_view()));
  if (sql.parts.size() != key.parts.size()) {
    return fail(ErrorKind::kInternal, "index " + quote_name(index) + " of " +
                                          quote_name(shape.name) + " reads differently twice");
  }
  for (std::size_t i = 0; i < key.parts.size(); ++i) {
    if (key.parts[i].column < 0) key.parts[i].expression = sql.parts[i];
  }
  key.where = sql.where;
  return key;
}

Result<void> read_unique_keys(const Database& db, TableShape& shape) {
  struct Index {
    std::string name;
    bool partial, primary;
  };
  std::vector<Index> indexes;
  Statement list =
      EVODB_TRY(db.prepare("SELECT name, partial, origin = 'pk' FROM pragma_index_list(?1, 'main') "
                           "WHERE \"unique\" = 1 ORDER BY name"));
  list.bind(1, shape.name);
  while (EVODB_TRY(list.step())) {
    indexes.push_back({std::string(list.text(0)), list.integer(1) != 0, list.integer(2) != 0});
  }
  for (const Index& index : indexes) {
    shape.unique_keys.push_back(
        EVODB_TRY(read_unique_key(db, shape, index.name, index.partial, index.primary)));
  }
  return {};
}

// Finds the rowid's name; false if the columns hide all three.
bool name_rowid(TableShape& shape) {
  if (shape.without_rowid) return true;
  const bool index_is_key = std::any_of(shape.unique_keys.begin(), shape.unique_keys.end(),
                                        [](const UniqueKey& k) { return k.primary; });
  int key_column = -1;
  int key_columns = 0;
  for (std::size_t i = 0; i < shape.columns.size(); ++i) {
    if (shape.columns[i].key_ordinal == 0) continue;
    key_column = static_cast<int>(i);
    ++key_columns;
  }
  if (key_columns == 1 && !index_is_key &&
      fold_name(shape.columns[static_cast<std::size_t>(key_column)].declared_type) == "integer") {
    shape.integer_key = key_column;
    shape.rowid_sql = quote_name(shape.columns[static_cast<std::size_t>(key_column)].name);
    return true;
  }
  for (const std::string_view name : {"rowid", "_rowid_", "oid"}) {
    if (!has_column(shape, name)) {
      shape.rowid_sql = name;
      break;
    }
  }
  if (shape.rowid_sql.empty()) return false;
  if (key_columns == 0) {
    shape.pseudo_column_name = "_rowid_";
    for (int i = 1; has_column(shape, shape.pseudo_column_name); ++i) {
      shape.pseudo_column_name = "_rowid_" + std::to_string(i);
    }
  }
  return true;
}

std::optional<std::string> limit_reason(const TableShape& shape) {
  if (shape.value_count() > table_columns_max) {
    return std::to_string(shape.value_count()) + " columns; at most " +
           std::to_string(table_columns_max) + " can be captured";
  }
  for (const ColumnShape& column : shape.columns) {
    const std::string what = "column '" + printable(column.name) + "'";
    if (!wire::is_valid_utf8(column.name)) return what + ": its name is not UTF-8; rename it";
    if (!wire::is_valid_utf8(column.declared_type)) return what + ": its type is not UTF-8";
    if (column.name.size() > base::column_name_bytes_max) {
      return "a column's name has " + std::to_string(column.name.size()) + " bytes; at most " +
             std::to_string(base::column_name_bytes_max) + " can be captured";
    }
    if (column.declared_type.size() > base::column_name_bytes_max) {
      return what + ": its declared type has " + std::to_string(column.declared_type.size()) +
             " bytes; at most " + std::to_string(base::column_name_bytes_max) + " can be captured";
    }
  }
  return {};
}

// What speaks against the table's name alone.
std::optional<std::string> name_reason(std::string_view name) {
  if (!wire::is_valid_utf8(name)) return "its name is not UTF-8; rename it";
  if (name.size() > base::table_name_bytes_max) {
    return "its name has " + std::to_string(name.size()) + " bytes; at most " +
           std::to_string(base::table_name_bytes_max) + " can be captured";
  }
  return {};
}

Result<void> read_shape(const Database& db, FoundTable& found) {
  TableShape& shape = found.shape;
  EVODB_TRY(read_columns(db, shape));
  EVODB_TRY(read_generated(db, shape));
  EVODB_TRY(read_unique_keys(db, shape));
  if (!name_rowid(shape)) {
    found.skip_reason =
        "its columns hide rowid, oid and _rowid_, so its rows cannot be told apart; give it an "
        "INTEGER PRIMARY KEY";
    return {};
  }
  found.skip_reason = limit_reason(shape);
  if (found.skip_reason) return {};
  // A generated column may call a function that only the application has.
  const std::string name = quote_name(shape.name);
  const auto probe = db.prepare("SELECT " + value_list(shape, name) + " FROM main." + name);
  if (!probe) found.skip_reason = "cannot be read: " + probe.error().text;
  return {};
}

}  // namespace

wire::TableDef TableShape::definition() const {
  wire::TableDef def;
  def.name = name;
  if (!pseudo_column_name.empty()) def.columns.push_back({pseudo_column_name, "INTEGER", 1});
  for (const ColumnShape& column : columns) {
    def.columns.push_back({column.name, column.declared_type, column.key_ordinal});
  }
  return def;
}

bool TableShape::key_may_be_null() const {
  if (without_rowid || integer_key >= 0) return false;
  return std::any_of(columns.begin(), columns.end(),
                     [](const ColumnShape& c) { return c.key_ordinal != 0 && !c.not_null; });
}

std::string TableShape::fine_print() const {
  // Lengths in front, so that no two lists read alike.
  const auto put = [](std::string& out, const std::string& text) {
    out += std::to_string(text.size()) + ":" + text;
  };
  std::string values;
  for (const ColumnShape& column : columns) {
    put(values, column.default_sql);
    put(values, column.generated_sql);
  }
  std::vector<std::string> keys;
  for (const UniqueKey& key : unique_keys) {
    std::string all;
    for (const UniquePart& part : key.parts) {
      put(all, part.column >= 0 ? columns[static_cast<std::size_t>(part.column)].name
                                : "(" + part.expression + ")");
      put(all, part.collation);
    }
    put(all, key.where);
    keys.push_back(std::to_string(base::xxh64(all)));
  }
  std::sort(keys.begin(), keys.end());
  std::string lines = std::to_string(base::xxh64(values));
  for (const std::string& key : keys) lines += "\n" + key;
  return lines;
}

namespace {

// What foreign keys with an action, and then triggers of the application's, lead from each table to.
// By folded names.
class Consequences {
 public:
  static Result<Consequences> read(const Database& db) {
    Consequences all;
    Statement keys = EVODB_TRY(
        db.prepare("SELECT k.\"table\", t.name FROM main.sqlite_schema AS t, "
                   "pragma_foreign_key_list(t.name, 'main') AS k WHERE t.type = 'table' AND "
                   "(k.on_update NOT IN ('NO ACTION', 'RESTRICT') OR "
                   "k.on_delete NOT IN ('NO ACTION', 'RESTRICT'))"));
    while (EVODB_TRY(keys.step())) {
      all.children_[fold_name(keys.text(0))].insert(fold_name(keys.text(1)));
    }
    if (all.children_.empty()) return all;
    Statement triggers = EVODB_TRY(
        db.prepare("SELECT name, tbl_name, sql FROM main.sqlite_schema WHERE type = 'trigger'"));
    while (EVODB_TRY(triggers.step())) {
      if (slot_of_trigger(triggers.text(0)) != 0) continue;
      all.triggers_[fold_name(triggers.text(1))].emplace_back(triggers.text(2));
    }
    return all;
  }

  // Whether a change of `table` may lead back to it, beginning with a foreign key.
  bool loop(const std::string& table, const std::vector<FoundTable>& tables) const {
    std::set<std::string> reached = children_of(table);
    std::vector<std::string> open(reached.begin(), reached.end());
    while (!open.empty() && !reached.contains(table)) {
      const std::string at = std::move(open.back());
      open.pop_back();
      std::set<std::string> next = children_of(at);
      if (const auto fired = triggers_.find(at); fired != triggers_.end()) {
        for (const FoundTable& other : tables) {
          for (const std::string& sql : fired->second) {
            if (names(sql, other.name)) next.insert(fold_name(other.name));
          }
        }
      }
      for (const std::string& name : next) {
        if (reached.insert(name).second) open.push_back(name);
      }
    }
    return reached.contains(table);
  }

 private:
  std::set<std::string> children_of(const std::string& table) const {
    const auto found = children_.find(table);
    return found == children_.end() ? std::set<std::string>() : found->second;
  }
  std::map<std::string, std::set<std::string>> children_;  // by what they refer to
  std::map<std::string, std::vector<std::string>> triggers_;
};

// `name`: only this one. "": all.
Result<std::vector<FoundTable>> find(const Database& db, const std::string& name) {
  std::vector<FoundTable> tables;
  Statement list =
      EVODB_TRY(db.prepare("SELECT name, type, wr FROM pragma_table_list" +
                           (name.empty() ? std::string() : "(" + quote_text(name) + ")") +
                           " WHERE schema = 'main' ORDER BY name"));
  while (EVODB_TRY(list.step())) {
    FoundTable found;
    found.name = list.text(0);
    found.shape.name = found.name;
    found.shape.without_rowid = list.integer(2) != 0;
    const std::string folded = fold_name(found.name);
    if (folded.starts_with("sqlite_") || folded.starts_with("evodb_")) continue;
    const std::string_view type = list.text(1);
    if (type == "view") {
      found.skip_reason = "a view; its tables are captured instead";
    } else if (type == "virtual") {
      found.skip_reason = "a virtual table; SQLite has no triggers for those";
    } else if (type == "shadow") {
      found.skip_reason = "a shadow table, written by a virtual table's own code";
    } else {
      found.skip_reason = name_reason(found.name);
    }
    tables.push_back(std::move(found));
  }
  for (FoundTable& found : tables) {
    if (!found.skip_reason) EVODB_TRY(read_shape(db, found));
  }
  return tables;
}

}  // namespace

Result<std::vector<FoundTable>> find_tables(const Database& db) {
  std::vector<FoundTable> tables = EVODB_TRY(find(db, ""));
  const Consequences consequences = EVODB_TRY(Consequences::read(db));
  for (FoundTable& found : tables) {
    found.shape.loops = consequences.loop(fold_name(found.name), tables);
  }
  return tables;
}

Result<std::optional<FoundTable>> find_table(const Database& db, const std::string& name) {
  std::vector<FoundTable> tables = EVODB_TRY(find(db, name));
  if (tables.empty()) return std::optional<FoundTable>();
  return std::optional(std::move(tables.front()));
}

std::string value_list(const TableShape& shape, std::string_view prefix) {
  std::string list;
  const auto add = [&](const std::string& name) {
    if (!list.empty()) list += ',';
    list.append(prefix).append(".").append(name);
  };
  if (!shape.pseudo_column_name.empty()) add(shape.rowid_sql);
  for (const ColumnShape& column : shape.columns) add(quote_name(column.name));
  return list;
}

std::string fold_name(std::string_view name) {
  std::string folded(name);
  for (char& c : folded) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return folded;
}

std::string printable(std::string_view name) {
  constexpr std::size_t shown_bytes_max = 80;
  constexpr char digits[] = "0123456789abcdef";
  const bool valid = wire::is_valid_utf8(name);
  const std::string_view shown =
      valid ? wire::utf8_prefix(name, shown_bytes_max) : name.substr(0, shown_bytes_max);
  std::string out;
  for (const char c : shown) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || (!valid && byte >= 0x80)) {
      out.append("\\x").append(1, digits[byte >> 4]).append(1, digits[byte & 15]);
    } else {
      out += c;
    }
  }
  if (shown.size() < name.size()) out += "...";
  return out;
}

}  // namespace evodb::capture
