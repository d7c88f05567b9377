// Reads (source, epoch, LSN) of every row of a data file, and nothing else of it.
#include <algorithm>
#include <array>
#include <exception>

#include <arrow/io/memory.h>
#include <parquet/column_reader.h>
#include <parquet/file_reader.h>
#include <parquet/schema.h>

#include "lake/landed_filter.h"

namespace evodb::lake {
namespace {

constexpr std::int64_t scan_rows = 4096;

// The leaf with this field id and type, or -1.
int find_leaf(const parquet::SchemaDescriptor& schema, int field_id, parquet::Type::type type) {
  for (int i = 0; i < schema.num_columns(); ++i) {
    const auto* column = schema.Column(i);
    if (column->schema_node()->field_id() != field_id) continue;
    const bool flat = column->max_repetition_level() == 0 && column->max_definition_level() <= 1;
    return flat && column->physical_type() == type ? i : -1;
  }
  return -1;
}

// One run of a column into `values`; false unless there are `n` values and none is null.
template <class DType>
bool read_run(parquet::ColumnReader& reader, std::int64_t n, typename DType::c_type* values) {
  auto& typed = static_cast<parquet::TypedColumnReader<DType>&>(reader);
  std::array<std::int16_t, scan_rows> levels;
  std::int64_t done = 0;
  while (done < n) {
    std::int64_t got = 0;
    const std::int64_t seen =
        typed.ReadBatch(n - done, levels.data(), nullptr, values + done, &got);
    if (seen == 0 || got != seen) return false;
    done += got;
  }
  return true;
}

template <class Row>
bool scan_group(parquet::RowGroupReader& group, const std::array<int, 3>& leaves, const Row& row) {
  const auto sources = group.Column(leaves[0]);
  const auto epochs = group.Column(leaves[1]);
  const auto lsns = group.Column(leaves[2]);
  // A page's text is gone with the next page; ReadBatch stops at a page's end, and so the others
  // follow its pace.
  std::array<std::int64_t, scan_rows> epoch, lsn;
  std::array<parquet::ByteArray, scan_rows> source;
  std::array<std::int16_t, scan_rows> levels;
  auto& text = static_cast<parquet::TypedColumnReader<parquet::ByteArrayType>&>(*sources);
  std::int64_t left = group.metadata()->num_rows();
  while (left > 0) {
    std::int64_t got = 0;
    const std::int64_t n =
        text.ReadBatch(std::min(left, scan_rows), levels.data(), nullptr, source.data(), &got);
    if (n == 0 || got != n) return false;
    if (!read_run<parquet::Int64Type>(*epochs, n, epoch.data()) ||
        !read_run<parquet::Int64Type>(*lsns, n, lsn.data())) {
      return false;
    }
    for (std::int64_t i = 0; i < n; ++i) {
      const auto at = static_cast<std::size_t>(i);
      row(std::string_view(source[at]), Epoch(static_cast<std::uint64_t>(epoch[at])),
          Lsn(static_cast<std::uint64_t>(lsn[at])));
    }
    left -= n;
  }
  return true;
}

}  // namespace

Result<void> scan_identities(
    const std::string& parquet_bytes,
    const std::function<void(std::string_view source, Epoch epoch, Lsn lsn)>& row) {
  try {
    const auto reader = parquet::ParquetFileReader::Open(
        std::make_shared<arrow::io::BufferReader>(std::make_shared<arrow::Buffer>(parquet_bytes)));
    const auto* schema = reader->metadata()->schema();
    const std::array<int, 3> leaves = {find_leaf(*schema, 1, parquet::Type::BYTE_ARRAY),
                                       find_leaf(*schema, 2, parquet::Type::INT64),
                                       find_leaf(*schema, 3, parquet::Type::INT64)};
    if (std::ranges::min(leaves) < 0) {
      return fail(ErrorKind::kCorrupt,
                  "the data file has no source, epoch and LSN columns (field ids 1, 2, 3)");
    }
    for (int g = 0; g < reader->metadata()->num_row_groups(); ++g) {
      if (!scan_group(*reader->RowGroup(g), leaves, row)) {
        return fail(ErrorKind::kCorrupt,
                    "the data file's identity columns end early or hold nulls");
      }
    }
  } catch (const std::exception& error) {
    return fail(ErrorKind::kCorrupt,
                std::string("the data file is no readable Parquet: ") + error.what());
  }
  return {};
}

}  // namespace evodb::lake
