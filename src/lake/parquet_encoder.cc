#include "lake/parquet_encoder.h"

#include <algorithm>
#include <exception>
#include <limits>

#include <arrow/compute/type_fwd.h>
#include <arrow/device.h>
#include <arrow/io/interfaces.h>
#include <arrow/memory_pool.h>
#include <arrow/type.h>
#include <arrow/util/compression.h>
#include <parquet/file_writer.h>
#include <parquet/properties.h>
#include <parquet/statistics.h>

#include "lake/parquet_leaf.h"
#include "table/bounds.h"

namespace evodb::lake {
namespace {

using parquet::WriterProperties;

// Appends to a string, so that the finished file is nobody else's copy.
class StringSink final : public arrow::io::OutputStream {
 public:
  explicit StringSink(std::string& out) : out_(out) {}
  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  bool closed() const override { return closed_; }
  arrow::Result<std::int64_t> Tell() const override {
    return static_cast<std::int64_t>(out_.size());
  }
  arrow::Status Write(const void* data, std::int64_t bytes) override {
    out_.append(static_cast<const char*>(data), static_cast<std::size_t>(bytes));
    return arrow::Status::OK();
  }
  using arrow::io::OutputStream::Write;

 private:
  std::string& out_;
  bool closed_ = false;
};

// More than write_leaf's runs, for the columns that it writes as a whole.
constexpr std::int64_t write_batch_rows = 16 * 1024;

// The names of operations, by their numbers in runs: a few bytes, for which a compressor's context
// costs more than all else.
bool is_tiny(const ParquetLeaf& leaf) { return leaf.origin == FieldOrigin::kOp; }

bool always_repeats(const ParquetLeaf& leaf) {
  return leaf.origin == FieldOrigin::kSource || leaf.origin == FieldOrigin::kOp ||
         leaf.part == ParquetLeaf::Part::kMapKey;
}

// Numbers that grow by small steps within a sorted file.
bool grows_in_steps(const ParquetLeaf& leaf) {
  return leaf.origin == FieldOrigin::kLsn || leaf.origin == FieldOrigin::kTxn ||
         leaf.origin == FieldOrigin::kEpoch || leaf.origin == FieldOrigin::kCommittedAt ||
         leaf.origin == FieldOrigin::kReceivedAt;
}

std::shared_ptr<WriterProperties> writer_properties(const parquet::SchemaDescriptor& schema,
                                                    const std::vector<ParquetLeaf>& leaves,
                                                    const ParquetOptions& options) {
  WriterProperties::Builder builder;
  builder.version(parquet::ParquetVersion::PARQUET_2_6)
      ->created_by("EvoDB")
      ->compression(parquet::Compression::ZSTD)
      ->compression_level(options.zstd_level)
      ->write_batch_size(write_batch_rows)
      ->disable_dictionary()
      ->max_row_group_length(std::numeric_limits<std::int64_t>::max())
      // What it frees goes back to the system, and idle parents stay small.
      ->memory_pool(arrow::system_memory_pool())
      ->set_size_statistics_level(parquet::SizeStatisticsLevel::None);
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    const auto& path = schema.Column(static_cast<int>(i))->path();
    if (is_tiny(leaves[i])) {
      builder.compression(path, parquet::Compression::UNCOMPRESSED)
          ->compression_level(path, arrow::util::kUseDefaultCompressionLevel);
    }
    if (always_repeats(leaves[i])) builder.enable_dictionary(path);
    if (grows_in_steps(leaves[i])) builder.encoding(path, parquet::Encoding::DELTA_BINARY_PACKED);
    if (leaves[i].origin == FieldOrigin::kUnfit) builder.disable_statistics(path);
  }
  std::vector<parquet::SortingColumn> sorting;
  for (int i = 0; i < 3; ++i) sorting.push_back({i, /*descending=*/false, /*nulls_first=*/true});
  builder.set_sorting_columns(std::move(sorting));
  return builder.build();
}

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
    for (const table::Field& child : job.schema.fields[i].children) {
      out.value_counts[child.id] = rows;
      out.null_counts[child.id] = rows;
    }
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

EncodedFile encode_file(const FlushJob& job, const std::vector<ParquetLeaf>& leaves,
                        const RowRange& all, std::uint32_t row_group_rows,
                        const ParquetOptions& options) {
  EncodedFile encoded;
  // Grown piece by piece, it would be copied as often as it doubles. What stays untouched of it
  // costs no memory.
  encoded.bytes.reserve(all.rows.memory_bytes() / all.rows.rows() * all.size());
  const auto sink = std::make_shared<StringSink>(encoded.bytes);
  const auto schema = parquet_schema(job);
  parquet::SchemaDescriptor descriptor;
  descriptor.Init(schema);
  auto writer = parquet::ParquetFileWriter::Open(sink, schema,
                                                 writer_properties(descriptor, leaves, options));
  std::vector<LeafCounts> counts(leaves.size());
  for (std::uint32_t from = all.from; from < all.to; from += row_group_rows) {
    const RowRange group{all.rows, all.order, all.first_unfit, from,
                         std::min(all.to, from + row_group_rows)};
    parquet::RowGroupWriter* columns = writer->AppendRowGroup();
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      parquet::ColumnWriter* column = columns->NextColumn();
      const LeafCounts written = write_leaf(leaves[i], group, *column);
      counts[i].values += written.values;
      counts[i].nans += written.nans;
      column->Close();
    }
    columns->Close();
  }
  writer->Close();
  encoded.metrics = metrics_of(*writer->metadata(), leaves, counts, all.size());
  count_absent(job, all.size(), encoded.metrics);
  encoded.metrics.file_bytes = static_cast<std::int64_t>(encoded.bytes.size());
  return encoded;
}

// How many rows a part may have so that none is over `bytes_max`, if rows are about alike.
std::uint32_t rows_within(const RowBuffer& rows, std::uint64_t bytes_max) {
  const std::uint64_t parts = std::max<std::uint64_t>(
      1, (rows.memory_bytes() + bytes_max - 1) / std::max<std::uint64_t>(bytes_max, 1));
  return static_cast<std::uint32_t>(std::max<std::uint64_t>(1, (rows.rows() + parts - 1) / parts));
}

}  // namespace

// Arrow makes these at their first use, behind guards in its own library: of those ThreadSanitizer
// sees nothing, and would call every later use in another thread a race.
ParquetEncoder::ParquetEncoder(const ParquetOptions& options) : options_(options) {
  (void)arrow::default_cpu_memory_manager();
  (void)arrow::compute::GetFunctionRegistry();
  (void)arrow::int32();
  (void)arrow::utf8();
  (void)parquet::default_arrow_writer_properties();
}

Result<std::vector<EncodedFile>> ParquetEncoder::encode(const FlushJob& job,
                                                        std::uint64_t file_bytes_max) {
  const RowBuffer& rows = *job.rows;
  std::vector<EncodedFile> files;
  try {
    const auto leaves = parquet_leaves(job);
    const auto order = rows.sorted_order();
    const auto unfit = first_unfit(rows);
    const std::uint32_t file_rows = rows_within(rows, file_bytes_max);
    const std::uint32_t group_rows =
        std::min(options_.row_group_rows_max, rows_within(rows, options_.row_group_bytes_max));
    for (std::uint32_t from = 0; from < rows.rows(); from += file_rows) {
      const RowRange range{rows, order, unfit, from,
                           static_cast<std::uint32_t>(std::min<std::uint64_t>(
                               rows.rows(), std::uint64_t{from} + file_rows))};
      files.push_back(encode_file(job, leaves, range, group_rows, options_));
    }
  } catch (const std::exception& error) {
    return fail(ErrorKind::kInternal, std::string("Parquet: ") + error.what());
  }
  return files;
}

}  // namespace evodb::lake
