#include "wire/table_def.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/hash.h"
#include "base/limits.h"
#include "wire/utf8.h"

namespace evodb::wire {
namespace {

// Names end up in Iceberg's JSON metadata, which is UTF-8: refused here, or unreadable there.
Result<std::string> read_name(base::ByteReader& in, std::size_t bytes_max, const char* what) {
  std::uint64_t size = 0;
  if (!in.varint(&size)) {
    return fail(ErrorKind::kInvalid,
                std::string("table definition: it ends before the length of ") + what);
  }
  if (size > bytes_max) {
    return fail(ErrorKind::kInvalid, std::string("table definition: ") + what + " has " +
                                         std::to_string(size) + " bytes; at most " +
                                         std::to_string(bytes_max) + " are taken");
  }
  std::string_view bytes;
  if (!in.bytes(static_cast<std::size_t>(size), &bytes)) {
    return fail(ErrorKind::kInvalid, std::string("table definition: it ends within ") + what);
  }
  if (!is_valid_utf8(bytes)) {
    return fail(ErrorKind::kInvalid,
                std::string("table definition: ") + what + " is not UTF-8; rename it");
  }
  return std::string(bytes);
}

Result<std::uint32_t> read_u32(base::ByteReader& in, const char* what) {
  std::uint64_t v = 0;
  if (!in.varint(&v) || v > std::numeric_limits<std::uint32_t>::max()) {
    return fail(ErrorKind::kInvalid,
                std::string("table definition: ") + what + " is missing or over 32 bits");
  }
  return static_cast<std::uint32_t>(v);
}

Result<void> check_columns(const TableDef& def) {
  // Key ordinals are 1, 2, ... k, each once: whoever builds a key may index by them.
  std::vector<bool> seen(def.columns.size() + 1);
  std::uint32_t highest = 0;
  std::uint32_t count = 0;
  for (const ColumnDef& column : def.columns) {
    if (column.key_ordinal == 0) continue;
    if (column.key_ordinal > def.columns.size() || seen[column.key_ordinal]) {
      return fail(ErrorKind::kInvalid, "table definition: key ordinal " +
                                           std::to_string(column.key_ordinal) + " of column '" +
                                           column.name + "' is out of range or used twice");
    }
    seen[column.key_ordinal] = true;
    highest = std::max(highest, column.key_ordinal);
    ++count;
  }
  if (highest != count) {
    return fail(ErrorKind::kInvalid,
                "table definition: the key's ordinals must be 1 to the number of key columns");
  }

  std::vector<std::string_view> names;
  names.reserve(def.columns.size());
  for (const ColumnDef& column : def.columns) names.push_back(column.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) {
    return fail(ErrorKind::kInvalid,
                "table definition: column '" + std::string(*twice) + "' stands there twice");
  }
  return {};
}

}  // namespace

std::uint64_t TableDef::fingerprint() const {
  std::string canonical;
  encode_table_def(canonical, *this);
  return base::xxh64(canonical);
}

std::size_t TableDef::key_columns() const {
  return static_cast<std::size_t>(std::count_if(
      columns.begin(), columns.end(), [](const ColumnDef& c) { return c.key_ordinal != 0; }));
}

void encode_table_def(std::string& out, const TableDef& def) {
  base::put_string(out, def.name);
  base::put_varint(out, def.schema_version);
  base::put_varint(out, def.columns.size());
  for (const ColumnDef& column : def.columns) {
    base::put_string(out, column.name);
    base::put_string(out, column.declared_type);
    base::put_varint(out, column.key_ordinal);
  }
}

Result<TableDef> decode_table_def(base::ByteReader& in) {
  TableDef def;
  def.name = EVODB_TRY(read_name(in, base::table_name_bytes_max, "the table's name"));
  def.schema_version = EVODB_TRY(read_u32(in, "the schema version"));
  const std::uint32_t count = EVODB_TRY(read_u32(in, "the number of columns"));
  if (count > base::columns_per_table_max) {
    return fail(ErrorKind::kInvalid,
                "table definition: " + std::to_string(count) + " columns; at most " +
                    std::to_string(base::columns_per_table_max) + " are taken");
  }
  constexpr std::size_t column_bytes_min = 3;  // two empty strings and an ordinal
  if (count > in.remaining() / column_bytes_min) {
    return fail(ErrorKind::kInvalid,
                "table definition: it ends before its " + std::to_string(count) + " columns");
  }
  def.columns.resize(count);
  for (ColumnDef& column : def.columns) {
    column.name = EVODB_TRY(read_name(in, base::column_name_bytes_max, "a column's name"));
    column.declared_type =
        EVODB_TRY(read_name(in, base::column_name_bytes_max, "a column's declared type"));
    column.key_ordinal = EVODB_TRY(read_u32(in, "a column's key ordinal"));
  }
  EVODB_TRY(check_columns(def));
  return def;
}

}  // namespace evodb::wire
