// TableShape: all that the triggers of one table need to know about it, read from the schema.
//
//   for (const FoundTable& found : EVODB_TRY(find_tables(db))) {
//     if (found.skip_reason) report(found.name, *found.skip_reason);
//   }
//
// Which columns are a table's key:
//   - its declared PRIMARY KEY, whatever its type. SQLite lets the columns of such a key be NULL
//     unless they are declared NOT NULL (an old mistake that it keeps), and rows with a NULL in
//     their key may repeat. They are captured like all others, and what identifies them is their
//     whole row: an UPDATE and a DELETE carry it as `before`. The alternative, the rowid as key of
//     every table with `id TEXT PRIMARY KEY`, would make all rows of most applications depend on a
//     number that a dump and restore renumbers.
//   - without a declared one, the rowid: an extra first column named _rowid_ that is the key.
//     VACUUM may renumber it; install and status warn of that.
//
// Generated columns, stored and virtual, are columns like others. Internal to capture.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "capture/sqlite_db.h"
#include "evodb/result.h"
#include "wire/table_def.h"

namespace evodb::capture {

struct ColumnShape {
  std::string name;
  std::string declared_type;
  std::uint32_t key_ordinal = 0;  // within the declared PRIMARY KEY
  bool not_null = false;
  bool generated = false;
  std::string generated_sql;  // "(a + b)"
  std::string default_sql;    // "" for none
};

// One column of a UNIQUE index: a plain one, or an expression.
struct UniquePart {
  int column = -1;         // index in TableShape::columns
  std::string expression;  // if column < 0
  std::string collation;
  bool descending = false;
};

struct UniqueKey {
  std::string index;  // its name
  std::vector<UniquePart> parts;
  std::string where;  // of a partial index
  bool primary = false;
};

struct TableShape {
  std::string name;
  bool without_rowid = false;
  int integer_key = -1;            // the column that is the rowid's other name
  std::string rowid_sql;           // how SQL calls the rowid, "" where there is none
  std::string pseudo_column_name;  // of the rowid as a captured column; "" if it is none
  std::vector<ColumnShape> columns;
  std::vector<UniqueKey> unique_keys;  // without the rowid's
  // A change of one of its rows may change others of them, or the same one once more, before that
  // change's own triggers fire: by foreign keys that lead back to it. find_tables() knows.
  bool loops = false;

  // The definition that children send; its schema version is still 1.
  wire::TableDef definition() const;
  std::size_t value_count() const { return columns.size() + (pseudo_column_name.empty() ? 0 : 1); }
  bool key_may_be_null() const;
  // What changes rows and triggers must heed and no definition tells, one line each: first defaults
  // and generated columns, then each unique key, sorted. Numbers in place of SQL.
  std::string fine_print() const;
};

struct FoundTable {
  std::string name;
  std::optional<std::string> skip_reason;  // why it cannot be captured, if it cannot
  TableShape shape;
};

// Every table and view of the main schema but sqlite_* and evodb_*, by name.
Result<std::vector<FoundTable>> find_tables(const Database& db);

// One of them, or nothing.
Result<std::optional<FoundTable>> find_table(const Database& db, const std::string& name);

// A table's rows as "v0, v1, ...": its definition's columns under `prefix` ("NEW", "OLD", or the
// table's own quoted name).
std::string value_list(const TableShape& shape, std::string_view prefix);

// As SQLite compares names: ASCII letters without case.
std::string fold_name(std::string_view name);

// Bytes of a name that are not printable UTF-8, made so; for messages.
std::string printable(std::string_view name);

}  // namespace evodb::capture
