// The leaf columns of a data file: from Iceberg's fields to Parquet's nodes, and which values of a
// RowBuffer each leaf holds. Inside the encoder only: it includes Arrow.
//
// The columns of the rows before and `_unfit` stand only in files that have something to say there:
// to a reader of Iceberg an optional column that a file lacks is null ("Column Projection" in its
// specification), and of insert-only tables they would be half of all columns.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <parquet/column_writer.h>
#include <parquet/schema.h>

#include "lake/column_chunk.h"
#include "lake/dictionary_chunk.h"
#include "lake/flush_job.h"
#include "table/schema.h"

namespace evodb::lake {

struct ParquetLeaf {
  enum class Part : std::uint8_t { kWhole, kMapKey, kMapValue };
  FieldOrigin origin = FieldOrigin::kColumn;
  Part part = Part::kWhole;
  table::Type type = table::Type::kString;
  bool required = false;
  std::int32_t field_id = 0;
  std::uint32_t column = 0;  // of the RowBuffer, for kColumn and kBefore
};

// Whether field `i` of the job's schema stands in its files.
bool is_in_file(const FlushJob& job, std::size_t i);
std::shared_ptr<parquet::schema::GroupNode> parquet_schema(const FlushJob& job);
// In the order of the file's columns.
std::vector<ParquetLeaf> parquet_leaves(const FlushJob& job);

// Rows [from, to) of a file: numbers of the buffer's rows in file order.
struct RowRange {
  const RowBuffer& rows;
  const std::vector<std::uint32_t>& order;        // empty: as they are
  const std::vector<std::uint32_t>& first_unfit;  // by buffer row, one more than rows; or empty
  std::uint32_t from = 0, to = 0;

  std::uint32_t size() const { return to - from; }
  std::uint32_t row(std::uint32_t i) const { return order.empty() ? i : order[i]; }
};

// Definition level of a value.
std::int16_t full_level(const ParquetLeaf& leaf);

// Each writes one leaf of one row group, and throws what Parquet throws.
bool is_names(const ParquetLeaf& leaf);
void write_names(const ParquetLeaf& leaf, const RowRange& range, DictionaryChunk& chunk);
bool is_unfit(const ParquetLeaf& leaf);
// Returns how many values are not null.
std::int64_t write_unfit(const ParquetLeaf& leaf, const RowRange& range,
                         parquet::ColumnWriter& writer);
// REQUIRES: neither of these.
void write_plain(const ParquetLeaf& leaf, const RowRange& range, ColumnChunk& chunk);

}  // namespace evodb::lake
