// Avro object container files (Avro 1.11 specification), as far as Iceberg's manifests need them.
//
//   AvroWriter out(schema_json, {{"content", "data"}});
//   put_avro_long(out.row(), 7);  // and the row's other values
//   out.end_row();
//   std::string file = out.finish();
//
//   AvroFile in = EVODB_TRY(read_avro(bytes));
//   for (const AvroValue& row : in.rows) take(in.field(row, 500));  // by Iceberg field id
//
// We write the null codec; we read null and deflate, by the writer's schema, whatever it is.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "evodb/result.h"

namespace evodb::table {

inline constexpr std::size_t avro_bytes_max = 64u << 20;      // of one file, inflated
inline constexpr std::uint64_t avro_values_max = 16'000'000;  // of one file, nested ones counted

// --- writing ------------------------------------------------------------------------------------
void put_avro_long(std::string& out, std::int64_t v);       // int and long
void put_avro_bytes(std::string& out, std::string_view v);  // bytes and string
// For a union ["null", T]: which branch follows.
inline void put_avro_null(std::string& out) { out.push_back('\0'); }
inline void put_avro_some(std::string& out) { out.push_back('\2'); }

class AvroWriter {
 public:
  AvroWriter(std::string_view schema_json, const std::map<std::string, std::string>& metadata);
  // Where the caller encodes the next row; end_row() closes it. Blocks of about 64 KB.
  std::string& row() { return block_; }
  void end_row();
  // The file. The writer is used up.
  std::string finish();

 private:
  void end_block();
  std::string file_, block_, sync_;
  std::int64_t rows_ = 0;
};

// --- reading ------------------------------------------------------------------------------------
// A writer's schema, flattened: nodes refer to each other by index, so named types may be reused.
struct AvroNode {
  enum class Kind : std::uint8_t {
    kNull,
    kBoolean,
    kInt,
    kLong,
    kFloat,
    kDouble,
    kBytes,
    kString,
    kFixed,
    kEnum,
    kRecord,
    kArray,
    kMap,
    kUnion,
  };
  struct Field {
    std::string name;
    std::int32_t field_id = -1;  // -1: the writer gave none
    std::uint32_t node = 0;
  };
  Kind kind = Kind::kNull;
  std::size_t fixed_bytes = 0;
  std::vector<Field> fields;            // kRecord
  std::vector<std::uint32_t> children;  // kArray, kMap: one; kUnion: its branches
};

// A union is decoded to the branch that was taken.
struct AvroValue {
  std::uint32_t node = 0;
  AvroNode::Kind kind = AvroNode::Kind::kNull;
  std::int64_t number = 0;       // boolean, int, long, enum
  double real = 0;               // float, double
  std::string bytes;             // bytes, string, fixed
  std::vector<AvroValue> items;  // record: its fields; array: items; map: key, value, key, ...

  bool is_null() const { return kind == AvroNode::Kind::kNull; }
};

struct AvroFile {
  std::vector<AvroNode> nodes;  // the first is the root
  std::map<std::string, std::string> metadata;
  std::vector<AvroValue> rows;

  // The field of a record by its Iceberg id; null where the writer's schema has none or the record
  // holds null there.
  const AvroValue* field(const AvroValue& record, std::int32_t field_id) const;
};

// Errors: kCorrupt (says where), kInvalid (a codec that we do not read), kOverLimit.
Result<AvroFile> read_avro(std::string_view bytes);

}  // namespace evodb::table
