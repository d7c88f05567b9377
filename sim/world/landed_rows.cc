#include "sim/world/landed_rows.h"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>

#include <arrow/io/memory.h>
#include <parquet/column_reader.h>
#include <parquet/file_reader.h>
#include <parquet/schema.h>

namespace evodb::sim {
namespace {

std::string show(std::int32_t value) { return std::to_string(value); }
std::string show(std::int64_t value) { return std::to_string(value); }
std::string show(double value) { return show_real(value); }
std::string show(const parquet::ByteArray& value) {
  return std::string(reinterpret_cast<const char*>(value.ptr), value.len);
}

// Calls `put(row, text)` for every value of a leaf that is not NULL.
template <class DType>
void read_leaf(parquet::ColumnReader& reader, std::size_t rows, std::int16_t present,
               const std::function<void(std::size_t, std::string)>& put) {
  auto& typed = static_cast<parquet::TypedColumnReader<DType>&>(reader);
  for (std::size_t row = 0; row < rows; ++row) {
    std::int16_t level = present;
    std::int64_t got = 0;
    typename DType::c_type value{};
    if (typed.ReadBatch(1, &level, nullptr, &value, &got) != 1) break;
    if (got == 1) put(row, show(value));
  }
}

// "price_0123abcd" -> "price": the model's own names have no underscore. The column of the row before
// may have one more.
std::string without_hash(std::string name) {
  const std::size_t at = name.rfind('_');
  if (at == std::string::npos || at == 0) return name;
  const std::string_view last = std::string_view(name).substr(at + 1);
  const bool hash = (last.size() == 8 || last.size() == 16) &&
                    last.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  if (hash) return without_hash(name.substr(0, at));
  // Behind a hash that is taken, too, stands a number.
  if (last.empty() || last.find_first_not_of("0123456789") != std::string_view::npos) return name;
  std::string before = without_hash(name.substr(0, at));
  return before.size() < at ? before : name;
}

void read_column(const parquet::ColumnDescriptor& leaf, std::string path,
                 parquet::ColumnReader& reader, std::vector<LandedRow>& rows, std::size_t from) {
  // The rejects' own columns have no underscore.
  for (const char* name : {"source", "epoch", "lsn", "txn", "op", "committed_at", "received_at"}) {
    if (path == name) path.insert(0, "_");
  }
  if (path.starts_with("_before_")) path[7] = '.';
  const std::string name = without_hash(path);
  const auto put = [&](std::size_t row, std::string text) {
    LandedRow& into = rows[from + row];
    const auto number = [&] { return std::strtoull(text.c_str(), nullptr, 10); };
    if (path == "_source") {
      into.source = std::move(text);
    } else if (path == "_epoch") {
      into.epoch = Epoch(number());
    } else if (path == "_lsn") {
      into.lsn = Lsn(number());
    } else if (path == "_txn") {
      into.txn = TxnId(number());
    } else if (path == "_op") {
      into.op = std::move(text);
    } else if (path != "_received_at") {
      // Two columns for one: what comes second keeps its own name, which nobody wrote.
      into.columns[into.columns.contains(name) ? path : name] = std::move(text);
    }
  };
  const std::size_t count = rows.size() - from;
  const std::int16_t present = leaf.max_definition_level();
  switch (leaf.physical_type()) {
    case parquet::Type::INT32: return read_leaf<parquet::Int32Type>(reader, count, present, put);
    case parquet::Type::INT64: return read_leaf<parquet::Int64Type>(reader, count, present, put);
    case parquet::Type::DOUBLE: return read_leaf<parquet::DoubleType>(reader, count, present, put);
    case parquet::Type::BYTE_ARRAY:
      return read_leaf<parquet::ByteArrayType>(reader, count, present, put);
    default: return put(0, "a column of a type that these tables do not have");
  }
}

// The map of values that did not fit: its keys and values are two leaves with the same rows.
void read_unfit(parquet::ColumnReader& key_reader, parquet::ColumnReader& value_reader,
                std::vector<LandedRow>& rows, std::size_t from) {
  auto& keys = static_cast<parquet::TypedColumnReader<parquet::ByteArrayType>&>(key_reader);
  auto& values = static_cast<parquet::TypedColumnReader<parquet::ByteArrayType>&>(value_reader);
  std::size_t row = from;
  for (bool first = true; keys.HasNext() && values.HasNext(); first = false) {
    std::int16_t definition = 0, repetition = 0, ignored = 0;
    parquet::ByteArray key, value;
    std::int64_t got_key = 0, got_value = 0;
    keys.ReadBatch(1, &definition, &repetition, &key, &got_key);
    values.ReadBatch(1, &definition, &ignored, &value, &got_value);
    if (repetition == 0 && !first) ++row;
    if (row >= rows.size()) return;
    if (got_key == 1 && got_value == 1)
      rows[row].columns["_unfit:" + without_hash(show(key))] = show(value);
  }
}

}  // namespace

std::string show_real(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

Result<std::vector<LandedRow>> read_landed_rows(const std::string& parquet_bytes,
                                                const table::Schema& of_table) {
  std::vector<LandedRow> rows;
  std::map<std::int32_t, std::string> names;
  for (const table::Field& field : of_table.fields) names[field.id] = field.name;
  try {
    const auto reader = parquet::ParquetFileReader::Open(
        std::make_shared<arrow::io::BufferReader>(std::make_shared<arrow::Buffer>(parquet_bytes)));
    const auto* schema = reader->metadata()->schema();
    for (int g = 0; g < reader->metadata()->num_row_groups(); ++g) {
      const auto group = reader->RowGroup(g);
      const std::size_t from = rows.size();
      rows.resize(from + static_cast<std::size_t>(group->metadata()->num_rows()));
      for (int c = 0; c < schema->num_columns(); ++c) {
        const auto* leaf = schema->Column(c);
        const auto known = names.find(schema->GetColumnRoot(c)->field_id());
        if (known == names.end()) continue;
        if (leaf->max_repetition_level() > 0) {
          if (!leaf->path()->ToDotString().ends_with(".key")) continue;
          read_unfit(*group->Column(c), *group->Column(c + 1), rows, from);
          continue;
        }
        read_column(*leaf, known->second, *group->Column(c), rows, from);
      }
    }
  } catch (const std::exception& error) {
    return fail(ErrorKind::kCorrupt, std::string("no readable Parquet: ") + error.what());
  }
  return rows;
}

}  // namespace evodb::sim
