#include "table/absent_columns.h"

#include <algorithm>
#include <string_view>

namespace evodb::table {
namespace {

bool all_of(std::string_view text, std::string_view allowed) {
  return !text.empty() && text.find_first_not_of(allowed) == std::string_view::npos;
}

}  // namespace

// lake/flush_machine.cc: "<position>-<random>-<number>.parquet", the first two as 16 hex digits.
bool is_flushed_file(const DataFile& file) {
  constexpr std::string_view hex = "0123456789abcdef", end = ".parquet";
  constexpr std::size_t digits = 16, least = 2 * digits + 3;  // "-", "-", a number
  std::string_view name = file.location;
  name.remove_prefix(name.rfind('/') + 1);  // npos + 1 is 0
  if (!name.ends_with(end) || name.size() < least + end.size()) return false;
  name.remove_suffix(end.size());
  return name[digits] == '-' && name[2 * digits + 1] == '-' &&
         all_of(name.substr(0, digits), hex) && all_of(name.substr(digits + 1, digits), hex) &&
         all_of(name.substr(2 * digits + 2), "0123456789");
}

void count_absent_columns(const Schema& schema, DataFile& file) {
  // An engine that rewrote our manifest may have left counts out.
  if (!is_flushed_file(file) || file.value_counts.empty() || file.column_bytes.empty()) return;
  for (const Field& field : schema.fields) {
    if (field.required || field.type == Type::kStruct || field.type == Type::kMapStringString ||
        file.value_counts.contains(field.id) || file.column_bytes.contains(field.id)) {
      continue;
    }
    file.value_counts[field.id] = file.record_count;
    file.null_counts[field.id] = file.record_count;
  }
}

}  // namespace evodb::table
