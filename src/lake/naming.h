// Names: which table and which column of the lakehouse a source's names become. The rules are
// docs/formats/tables.md ("Names"); they need no memory beside the catalog.
//
//   table_name_of("Album", 0)      "album_changes"; 1 and 2 add a hash, where that one is taken
//   location_key_of("Album")       "evodb/Album_changes": the exact name, so it tells whose table
//                                  album_changes is, after every restart
//   column_name_of("_lsn")         "_lsn_3f2a0c11": system columns keep their names
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace evodb::lake {

// `attempt` 0: the plain name. 1, 2: with 8 or 16 hex digits of the exact name's XXH64.
inline constexpr int table_name_attempts = 3;
std::string table_name_of(std::string_view source_table, int attempt);

// Where the table of this source table lies: the one place that holds the exact name.
std::string location_key_of(std::string_view source_table);
// The same for a table that no source has (rejects).
std::string own_location_key(std::string_view table);

// True for names that a column never keeps: those of system columns and of the rows before, those
// that Iceberg and engines give to columns of their own, empty ones, and ones that would be taken
// for a nested field or hold control characters.
bool must_rename(std::string_view column);
// The same by the rules of the first version: tables that it made keep their columns' names.
bool had_to_rename(std::string_view column);
// What such a column, or one that differs from another only in case, is called instead. `digits` of
// hash: 8, or 16 where that name is taken too.
std::string renamed(std::string_view column, int digits = 8);
// What the first version called such a column.
std::string was_renamed(std::string_view column, int digits);

// The column that holds what `column` (its name in the table) was before a change. `digits` of hash
// where a table has another column of that name.
bool is_before_name(std::string_view column);
std::string before_name_of(std::string_view column, int digits = 0);

}  // namespace evodb::lake
