#include "lake/parquet_file.h"

#include <algorithm>

#include <arrow/io/interfaces.h>
#include <arrow/memory_pool.h>
#include <arrow/util/compression.h>
#include <parquet/column_writer.h>
#include <parquet/file_writer.h>

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

// Numbers that grow by small steps within a sorted file.
bool grows_in_steps(const ParquetLeaf& leaf) {
  return leaf.origin == FieldOrigin::kLsn || leaf.origin == FieldOrigin::kTxn ||
         leaf.origin == FieldOrigin::kEpoch || leaf.origin == FieldOrigin::kCommittedAt ||
         leaf.origin == FieldOrigin::kReceivedAt;
}

std::shared_ptr<WriterProperties> writer_properties(const parquet::SchemaDescriptor& schema,
                                                    const std::vector<ParquetLeaf>& leaves) {
  WriterProperties::Builder builder;
  builder.version(parquet::ParquetVersion::PARQUET_2_6)
      ->created_by("EvoDB")
      ->compression(parquet::Compression::ZSTD)
      ->disable_dictionary()
      // What it frees goes back to the system, and idle parents stay small.
      ->memory_pool(arrow::system_memory_pool())
      ->set_size_statistics_level(parquet::SizeStatisticsLevel::None);
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    if (!is_unfit(leaves[i])) continue;
    const auto& path = schema.Column(static_cast<int>(i))->path();
    if (leaves[i].part == ParquetLeaf::Part::kMapKey) builder.enable_dictionary(path);
    builder.disable_statistics(path);
  }
  std::vector<parquet::SortingColumn> sorting;
  for (int i = 0; i < 3; ++i) sorting.push_back({i, /*descending=*/false, /*nulls_first=*/true});
  builder.set_sorting_columns(std::move(sorting));
  return builder.build();
}

}  // namespace

ParquetFile::ParquetFile(const FlushJob& job, const std::vector<ParquetLeaf>& leaves,
                         PageWorkspace& workspace, int zstd_level, std::string& out)
    : leaves_(leaves),
      workspace_(workspace),
      zstd_level_(zstd_level),
      out_(out),
      sink_(std::make_shared<StringSink>(out)),
      counts_(leaves.size()) {
  schema_.Init(parquet_schema(job));
  properties_ = writer_properties(schema_, leaves);
  metadata_ = parquet::FileMetaDataBuilder::Make(&schema_, properties_);
  out_ += "PAR1";
}

void ParquetFile::write_group(const RowRange& rows) {
  parquet::RowGroupMetaDataBuilder* const group = metadata_->AppendRowGroup();
  group->set_num_rows(rows.size());
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < leaves_.size(); ++i) {
    bytes += write_chunk(leaves_[i], rows, *group->NextColumnChunk(), counts_[i]);
  }
  group->Finish(bytes, static_cast<std::int16_t>(groups_++));
}

std::unique_ptr<parquet::FileMetaData> ParquetFile::close() {
  auto metadata = metadata_->Finish();
  parquet::WriteFileMetaData(*metadata, sink_.get());
  return metadata;
}

std::int64_t ParquetFile::write_chunk(const ParquetLeaf& leaf, const RowRange& rows,
                                      parquet::ColumnChunkMetaDataBuilder& metadata,
                                      LeafCounts& counts) {
  if (is_names(leaf)) {
    DictionaryChunk chunk(out_, workspace_, metadata, full_level(leaf));
    write_names(leaf, rows, chunk);
    counts.values += rows.size();
    return chunk.close();
  }
  if (is_unfit(leaf)) {
    auto pages = parquet::PageWriter::Open(
        sink_, parquet::Compression::ZSTD, &metadata, -1, -1, arrow::system_memory_pool(), false,
        nullptr, nullptr, false, nullptr, nullptr, parquet::CodecOptions(zstd_level_));
    const auto writer = parquet::ColumnWriter::Make(&metadata, std::move(pages), properties_.get());
    counts.values += write_unfit(leaf, rows, *writer);
    return writer->Close();
  }
  ColumnChunk chunk(
      out_, workspace_, metadata,
      grows_in_steps(leaf) ? ColumnChunk::Encoding::kDelta : ColumnChunk::Encoding::kPlain,
      full_level(leaf));
  write_plain(leaf, rows, chunk);
  const ColumnChunk::Totals totals = chunk.close();
  counts.values += totals.values;
  counts.nans += totals.nans;
  return totals.uncompressed_bytes;
}

}  // namespace evodb::lake
