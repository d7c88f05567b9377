// What no PRAGMA tells about a schema, taken out of its CREATE statements.
//
//   IndexSql sql = EVODB_TRY(parse_index_sql(
//       "CREATE UNIQUE INDEX i ON t(a, lower(b) COLLATE nocase DESC) WHERE c IS NOT NULL"));
//   // sql.parts == {"a", "lower(b) COLLATE nocase"}, sql.where == "c IS NOT NULL"
//
// The text was accepted by SQLite, so this reads its tokens and judges nothing. Internal to
// capture.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "evodb/result.h"

namespace evodb::capture {

struct IndexSql {
  std::vector<std::string> parts;  // without ASC and DESC
  std::string where;               // "" for a whole index
};

// Errors: kInvalid (no list of columns is found).
Result<IndexSql> parse_index_sql(std::string_view sql);

// The expression of each column of a CREATE TABLE, "" for one that is not generated; in the order
// of the text, which is the table's. Errors: kInvalid (fewer than `count` columns are found).
Result<std::vector<std::string>> parse_generated_sql(std::string_view sql, std::size_t count);

}  // namespace evodb::capture
