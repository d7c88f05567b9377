// An Iceberg schema: the part of format v2's types that EvoDB writes.
//
// Field ids are Iceberg's: unique in the table, never reused, the same in Parquet and in metadata.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace evodb::table {

enum class Type : std::uint8_t {
  kBoolean,
  kInt,
  kLong,
  kDouble,
  kString,
  kBinary,
  kTimestampTz,  // micros, UTC
  kStruct,
  kMapStringString,
};

// A table of others with a larger one is refused: what EvoDB adds to it gets the ids behind its
// last, and the spec reserves the last 200 of an int.
inline constexpr std::int32_t field_id_max = INT32_MAX - 1'000'000;

struct Field {
  std::int32_t id = 0;
  std::string name;
  Type type = Type::kString;
  bool required = false;
  std::vector<Field> children;            // kStruct
  std::int32_t key_id = 0, value_id = 0;  // kMapStringString (the value is optional)

  friend bool operator==(const Field&, const Field&) = default;
};

struct Schema {
  std::int32_t schema_id = 0;
  std::vector<Field> fields;
  // Of columns that are not among `fields`, for EvoDB does not write their types: taken all the
  // same.
  std::vector<std::string> other_names;

  // The highest id anywhere in it.
  std::int32_t last_column_id() const;
  // Same fields, whatever the schema id.
  bool same_fields(const Schema& other) const { return fields == other.fields; }
};

struct SortField {
  std::int32_t source_id = 0;  // ascending, nulls first, identity
};

}  // namespace evodb::table
