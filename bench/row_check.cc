#include "bench/row_check.h"

#include <charconv>
#include <memory>
#include <utility>
#include <vector>

#include <arrow/api.h>
#include <arrow/io/memory.h>
#include <parquet/arrow/reader.h>

#include "evodb/value.h"
#include "wire/change.h"

namespace evodb::bench {
namespace {

std::unexpected<Error> wrong(const std::string& what) { return fail(ErrorKind::kCorrupt, what); }

template <class T>
Result<T> taken(arrow::Result<T> from) {
  if (!from.ok()) return wrong("the data file is no readable Parquet: " + from.status().message());
  return *std::move(from);
}

// The number of the child behind the last dash of "<prefix>-<i>".
std::uint64_t child_of(std::string_view source) {
  std::uint64_t number = 0;
  const std::string_view digits = source.substr(source.rfind('-') + 1);
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

bool is_value(const arrow::Array& column, std::int64_t row, const ValueView& sent) {
  if (column.IsNull(row)) return sent.is_null();
  switch (sent.storage_class) {
    case StorageClass::kInteger:
      return column.type_id() == arrow::Type::INT64 &&
             static_cast<const arrow::Int64Array&>(column).Value(row) == sent.integer;
    case StorageClass::kReal:
      return column.type_id() == arrow::Type::DOUBLE &&
             static_cast<const arrow::DoubleArray&>(column).Value(row) == sent.real;
    case StorageClass::kText:
      return column.type_id() == arrow::Type::STRING &&
             static_cast<const arrow::StringArray&>(column).GetView(row) == sent.bytes;
    default: return false;  // no load sends others
  }
}

template <class Array>
const Array* column_of(const arrow::RecordBatch& batch, const std::string& name,
                       arrow::Type::type type) {
  const auto column = batch.GetColumnByName(name);
  if (!column || column->type_id() != type || column->null_count() != 0) return nullptr;
  return static_cast<const Array*>(column.get());
}

Result<void> check_batch(
    const arrow::RecordBatch& batch, RowKind rows,
    const std::function<void(std::string_view source, Epoch epoch, Lsn lsn)>& row) {
  const auto* sources = column_of<arrow::StringArray>(batch, "_source", arrow::Type::STRING);
  const auto* epochs = column_of<arrow::Int64Array>(batch, "_epoch", arrow::Type::INT64);
  const auto* lsns = column_of<arrow::Int64Array>(batch, "_lsn", arrow::Type::INT64);
  if (sources == nullptr || epochs == nullptr || lsns == nullptr) {
    return wrong("the data file lacks source, epoch or LSN of a row");
  }
  std::vector<std::shared_ptr<arrow::Array>> columns;
  const wire::TableDef table = load_table(rows);
  for (const auto& column : table.columns) {
    columns.push_back(batch.GetColumnByName(column.name));
    if (!columns.back()) return wrong("the data file has no column " + column.name);
  }
  RowMaker maker(rows);
  for (std::int64_t i = 0; i < batch.num_rows(); ++i) {
    const std::string_view source = sources->GetView(i);
    const auto lsn = static_cast<std::uint64_t>(lsns->Value(i));
    wire::ValuesReader sent(maker.row(lsn, child_of(source)));
    ValueView value;
    for (std::size_t c = 0; c < columns.size() && sent.next(&value); ++c) {
      if (is_value(*columns[c], i, value)) continue;
      return wrong("column " + table.columns[c].name + " of LSN " + std::to_string(lsn) + " from " +
                   std::string(source) + " is not what was sent");
    }
    row(source, Epoch(static_cast<std::uint64_t>(epochs->Value(i))), Lsn(lsn));
  }
  return {};
}

}  // namespace

Result<void> check_rows(
    const std::string& parquet_bytes, RowKind rows,
    const std::function<void(std::string_view source, Epoch epoch, Lsn lsn)>& row) {
  const auto file =
      std::make_shared<arrow::io::BufferReader>(std::make_shared<arrow::Buffer>(parquet_bytes));
  const auto reader =
      EVODB_TRY(taken(parquet::arrow::OpenFile(file, arrow::default_memory_pool())));
  for (int group = 0; group < reader->num_row_groups(); ++group) {
    std::shared_ptr<arrow::Table> table;
    if (const auto read = reader->ReadRowGroup(group, &table); !read.ok()) {
      return wrong("the data file is no readable Parquet: " + read.message());
    }
    if (table->num_rows() == 0) continue;
    const auto batch = EVODB_TRY(taken(table->CombineChunksToBatch()));
    EVODB_TRY(check_batch(*batch, rows, row));
  }
  return {};
}

}  // namespace evodb::bench
