#include "lake/naming.h"

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "base/hash.h"
#include "lake/case_folding.h"
#include "wire/utf8.h"

namespace evodb::lake {
namespace {

constexpr std::string_view location_root = "evodb/";
constexpr std::size_t table_name_bytes = 200;     // longer names are cut and get their hash
constexpr std::size_t location_name_bytes = 160;  // a component may have 255
constexpr std::string_view suffix = "_changes";

constexpr std::array<std::string_view, 10> system_columns = {
    "_source",       "_epoch",       "_lsn", "_txn",    "_op",
    "_committed_at", "_received_at", "_key", "_before", "_unfit"};

// org.apache.iceberg.MetadataColumns: an engine shows its own column in place of one of these, or
// refuses the table.
constexpr std::array<std::string_view, 10> iceberg_columns = {"_file",
                                                              "_pos",
                                                              "_deleted",
                                                              "_spec_id",
                                                              "_partition",
                                                              "_row_id",
                                                              "_last_updated_sequence_number",
                                                              "_change_type",
                                                              "_change_ordinal",
                                                              "_commit_snapshot_id"};

constexpr std::string_view before_prefix = "_before_";

std::string hash_of(std::string_view name, int digits) {
  static constexpr char hex[] = "0123456789abcdef";
  const std::uint64_t hash = base::xxh64(name);
  std::string out;
  for (int i = 0; i < digits; ++i) out.push_back(hex[hash >> (60 - 4 * i) & 15]);
  return out;
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

std::string without_controls(std::string_view name) {
  std::string out(name);
  std::ranges::replace_if(out, is_control, '_');
  return out;
}

// As a field of `_before` or `_unfit` would be named with its path.
bool looks_nested(std::string_view column) {
  const std::string folded = fold_case(column);
  return folded.starts_with("_before.") || folded.starts_with("_unfit.");
}

}  // namespace

std::string table_name_of(std::string_view source_table, int attempt) {
  std::string name = lower_case(without_controls(source_table));
  // To Trino what follows them is not the table's name.
  std::ranges::replace_if(name, [](char c) { return c == '$' || c == '@'; }, '_');
  if (name.empty()) name = "unnamed";
  if (name.size() > table_name_bytes) {
    name = std::string(wire::utf8_prefix(name, table_name_bytes)) + "_" + hash_of(source_table, 16);
  }
  if (attempt > 0) name += "_" + hash_of(source_table, attempt == 1 ? 8 : 16);
  name += suffix;
  return name;
}

std::string location_key_of(std::string_view source_table) {
  std::string escaped;
  for (const char c : source_table) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-';
    if (plain) {
      escaped.push_back(c);
    } else {
      // Not '%': what reads a location as a URL would undo it.
      escaped += "." + base::to_hex(std::string_view(&c, 1));
    }
  }
  if (escaped.size() > location_name_bytes) {
    escaped = escaped.substr(0, location_name_bytes) + ".." + hash_of(source_table, 16);
  }
  return std::string(location_root) + escaped + std::string(suffix);
}

std::string own_location_key(std::string_view table) {
  return std::string(location_root) + std::string(table);
}

bool had_to_rename(std::string_view column) {
  if (column.empty() || std::ranges::any_of(column, is_control)) return true;
  if (column[0] != '_') return false;
  return std::ranges::find(system_columns, fold_case(column)) != system_columns.end() ||
         looks_nested(column);
}

bool must_rename(std::string_view column) {
  // Trino's hidden columns begin with a dollar sign.
  if (had_to_rename(column) || column[0] == '$') return true;
  return column[0] == '_' &&
         (std::ranges::find(iceberg_columns, fold_case(column)) != iceberg_columns.end() ||
          is_before_name(column));
}

std::string renamed(std::string_view column, int digits) {
  std::string name = without_controls(column);
  if (!name.empty() && name[0] == '$') name[0] = '_';
  if (looks_nested(name)) name[name.find('.')] = '_';
  name += "_" + hash_of(column, digits);
  if (is_before_name(name)) name.erase(0, 1);
  return name;
}

std::string was_renamed(std::string_view column, int digits) {
  const std::string name = renamed(column, digits);
  return is_before_name("_" + name) ? "_" + name : name;
}

bool is_before_name(std::string_view column) {
  return fold_case(column.substr(0, 2 * before_prefix.size())).starts_with(before_prefix);
}

std::string before_name_of(std::string_view column, int digits) {
  std::string name(before_prefix);
  name += column;
  if (digits > 0) name += "_" + hash_of(column, digits);
  return name;
}

}  // namespace evodb::lake
