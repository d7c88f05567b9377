#include "lake/parquet_encoder.h"

#include <algorithm>
#include <exception>

#include <arrow/device.h>
#include <parquet/metadata.h>
#include <parquet/statistics.h>

#include "lake/parquet_file.h"
#include "lake/parquet_leaf.h"
#include "table/bounds.h"

namespace evodb::lake {
namespace {

// Lowest and highest value of one leaf over a file's row groups.
template <class DType, class T>
void widen(const parquet::Statistics& statistics, std::optional<std::pair<T, T>>& range) {
  const auto& typed = static_cast<const parquet::TypedStatistics<DType>&>(statistics);
  T low, high;
  if constexpr (std::is_same_v<T, std::string>) {
    low = std::string(std::string_view(typed.min()));
    high = std::string(std::string_view(typed.max()));
  } else {
    low = typed.min();
    high = typed.max();
  }
  if (!range) {
    range.emplace(std::move(low), std::move(high));
    return;
  }
  if (low < range->first) range->first = std::move(low);
  if (range->second < high) range->second = std::move(high);
}

// Nothing where a row group does not say: then the file has no bound.
template <class DType, class T>
std::optional<std::pair<T, T>> value_range(const parquet::FileMetaData& file, int leaf) {
  std::optional<std::pair<T, T>> range;
  for (int g = 0; g < file.num_row_groups(); ++g) {
    const auto chunk = file.RowGroup(g)->ColumnChunk(leaf);
    const auto statistics = chunk->is_stats_set() ? chunk->statistics() : nullptr;
    if (!statistics) return std::nullopt;
    if (!statistics->HasMinMax()) {
      if (statistics->num_values() == 0) continue;
      return std::nullopt;
    }
    widen<DType>(*statistics, range);
  }
  return range;
}

void put_bounds(const parquet::FileMetaData& file, int i, const ParquetLeaf& leaf,
                table::DataFile& out) {
  std::optional<std::string> low, high;
  switch (leaf.type) {
    case table::Type::kInt:
      if (const auto range = value_range<parquet::Int32Type, std::int32_t>(file, i)) {
        low = table::bound_of_int(range->first);
        high = table::bound_of_int(range->second);
      }
      break;
    case table::Type::kLong:
    case table::Type::kTimestampTz:
      if (const auto range = value_range<parquet::Int64Type, std::int64_t>(file, i)) {
        low = table::bound_of_long(range->first);
        high = table::bound_of_long(range->second);
      }
      break;
    case table::Type::kDouble:
      if (const auto range = value_range<parquet::DoubleType, double>(file, i)) {
        low = table::lower_bound_of_double(range->first);
        high = table::upper_bound_of_double(range->second);
      }
      break;
    case table::Type::kBoolean:
      if (const auto range = value_range<parquet::BooleanType, bool>(file, i)) {
        low = table::bound_of_boolean(range->first);
        high = table::bound_of_boolean(range->second);
      }
      break;
    default:
      if (const auto range = value_range<parquet::ByteArrayType, std::string>(file, i)) {
        const bool text = leaf.type == table::Type::kString;
        low = text ? table::lower_bound_of_text(range->first)
                   : table::lower_bound_of_bytes(range->first);
        high = text ? table::upper_bound_of_text(range->second)
                    : table::upper_bound_of_bytes(range->second);
      }
  }
  if (low) out.lower_bounds[leaf.field_id] = *std::move(low);
  if (high) out.upper_bounds[leaf.field_id] = *std::move(high);
}

// Of columns that the file lacks, so that those who look for a value in them need not open it.
void count_absent(const FlushJob& job, std::uint32_t rows, table::DataFile& out) {
  for (std::size_t i = 0; i < job.schema.fields.size(); ++i) {
    if (job.sources[i].origin != FieldOrigin::kBefore || is_in_file(job, i)) continue;
    out.value_counts[job.schema.fields[i].id] = rows;
    out.null_counts[job.schema.fields[i].id] = rows;
  }
}

table::DataFile metrics_of(const parquet::FileMetaData& file,
                           const std::vector<ParquetLeaf>& leaves,
                           const std::vector<LeafCounts>& counts, std::uint32_t rows) {
  table::DataFile out;
  out.record_count = rows;
  for (int g = 0; g < file.num_row_groups(); ++g) {
    const auto first = file.RowGroup(g)->ColumnChunk(0);
    out.split_offsets.push_back(first->has_dictionary_page() ? first->dictionary_page_offset()
                                                             : first->data_page_offset());
  }
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    const ParquetLeaf& leaf = leaves[i];
    std::int64_t bytes = 0;
    for (int g = 0; g < file.num_row_groups(); ++g) {
      bytes += file.RowGroup(g)->ColumnChunk(static_cast<int>(i))->total_compressed_size();
    }
    out.column_bytes[leaf.field_id] = bytes;
    if (leaf.origin == FieldOrigin::kUnfit) continue;  // how often a map's parts occur helps nobody
    out.value_counts[leaf.field_id] = rows;
    out.null_counts[leaf.field_id] = rows - counts[i].values;
    if (leaf.type == table::Type::kDouble) out.nan_counts[leaf.field_id] = counts[i].nans;
    put_bounds(file, static_cast<int>(i), leaf, out);
  }
  return out;
}

// Where each row's entries begin in RowBuffer::unfit(); empty if there are none.
std::vector<std::uint32_t> first_unfit(const RowBuffer& rows) {
  if (rows.unfit().size() == 0) return {};
  std::vector<std::uint32_t> first(rows.rows() + 1);
  for (std::size_t u = 0; u < rows.unfit().size(); ++u) ++first[rows.unfit()[u].row + 1];
  for (std::size_t row = 0; row < rows.rows(); ++row) first[row + 1] += first[row];
  return first;
}

// How many rows a part may have so that none is over `bytes_max`, if rows are about alike.
std::uint32_t rows_within(const RowBuffer& rows, std::uint64_t bytes_max) {
  const std::uint64_t parts = std::max<std::uint64_t>(
      1, (rows.memory_bytes() + bytes_max - 1) / std::max<std::uint64_t>(bytes_max, 1));
  return static_cast<std::uint32_t>(std::max<std::uint64_t>(1, (rows.rows() + parts - 1) / parts));
}

EncodedFile encode_file(const FlushJob& job, const std::vector<ParquetLeaf>& leaves,
                        const RowRange& all, std::uint32_t row_group_rows, PageWorkspace& workspace,
                        const ParquetOptions& options) {
  EncodedFile encoded;
  // Grown piece by piece, it would be copied as often as it doubles. What stays untouched of it
  // costs no memory.
  encoded.bytes.reserve(all.rows.memory_bytes() / all.rows.rows() * all.size());
  ParquetFile file(job, leaves, workspace, options.zstd_level, encoded.bytes);
  for (std::uint32_t from = all.from; from < all.to; from += row_group_rows) {
    file.write_group(
        {all.rows, all.order, all.first_unfit, from, std::min(all.to, from + row_group_rows)});
  }
  const auto metadata = file.close();
  encoded.metrics = metrics_of(*metadata, leaves, file.counts(), all.size());
  count_absent(job, all.size(), encoded.metrics);
  encoded.metrics.file_bytes = static_cast<std::int64_t>(encoded.bytes.size());
  return encoded;
}

}  // namespace

// Arrow makes this at its first use, behind a guard in its own library: of that ThreadSanitizer
// sees nothing, and would call every later use in another thread a race.
ParquetEncoder::ParquetEncoder(const ParquetOptions& options) : options_(options) {
  (void)arrow::default_cpu_memory_manager();
}

Result<std::vector<EncodedFile>> ParquetEncoder::encode(const FlushJob& job,
                                                        std::uint64_t file_bytes_max) {
  const RowBuffer& rows = *job.rows;
  std::vector<EncodedFile> files;
  try {
    const auto leaves = parquet_leaves(job);
    PageWorkspace workspace(options_.zstd_level);
    const auto order = rows.sorted_order();
    const auto unfit = first_unfit(rows);
    const std::uint32_t file_rows = rows_within(rows, file_bytes_max);
    const std::uint32_t group_rows =
        std::min(options_.row_group_rows_max, rows_within(rows, options_.row_group_bytes_max));
    for (std::uint32_t from = 0; from < rows.rows(); from += file_rows) {
      const RowRange range{rows, order, unfit, from,
                           static_cast<std::uint32_t>(std::min<std::uint64_t>(
                               rows.rows(), std::uint64_t{from} + file_rows))};
      files.push_back(encode_file(job, leaves, range, group_rows, workspace, options_));
    }
  } catch (const std::exception& error) {
    return fail(ErrorKind::kInternal, std::string("Parquet: ") + error.what());
  }
  return files;
}

}  // namespace evodb::lake
