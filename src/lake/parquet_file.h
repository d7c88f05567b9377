// ParquetFile: one file of a flush. Parquet's order: magic, row groups with a chunk for each
// column, footer. Inside the encoder only: it includes Arrow.
//
//   ParquetFile file(job, leaves, workspace, level, bytes);
//   file.write_group(rows);                 // as often as there are groups
//   const auto metadata = file.close();     // bytes is whole now
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <parquet/metadata.h>
#include <parquet/properties.h>
#include <parquet/schema.h>

#include "lake/column_chunk.h"
#include "lake/parquet_leaf.h"

namespace evodb::lake {

struct LeafCounts {
  std::int64_t values = 0;  // that are not null
  std::int64_t nans = 0;
};

// All that is given must outlive it. Throws what Parquet throws.
class ParquetFile {
 public:
  // Appends to `out`, which is empty.
  ParquetFile(const FlushJob& job, const std::vector<ParquetLeaf>& leaves, PageWorkspace& workspace,
              int zstd_level, std::string& out);

  void write_group(const RowRange& rows);
  std::unique_ptr<parquet::FileMetaData> close();
  // Leaf by leaf, of all groups.
  const std::vector<LeafCounts>& counts() const { return counts_; }

 private:
  // Returns its uncompressed bytes.
  std::int64_t write_chunk(const ParquetLeaf& leaf, const RowRange& rows,
                           parquet::ColumnChunkMetaDataBuilder& metadata, LeafCounts& counts);

  const std::vector<ParquetLeaf>& leaves_;
  PageWorkspace& workspace_;
  const int zstd_level_;
  std::string& out_;
  const std::shared_ptr<arrow::io::OutputStream> sink_;
  parquet::SchemaDescriptor schema_;
  std::shared_ptr<parquet::WriterProperties> properties_;
  std::unique_ptr<parquet::FileMetaDataBuilder> metadata_;
  int groups_ = 0;
  std::vector<LeafCounts> counts_;
};

}  // namespace evodb::lake
