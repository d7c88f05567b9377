// DataFile: what a manifest says of one Parquet file.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace evodb::table {

struct DataFile {
  std::string location;  // absolute
  std::int64_t record_count = 0;
  std::int64_t file_bytes = 0;
  // By field id, leaf columns only. Bounds in Iceberg's single-value serialization; a truncated
  // upper bound is incremented or left out; NaN excluded.
  std::map<std::int32_t, std::int64_t> column_bytes, value_counts, null_counts, nan_counts;
  std::map<std::int32_t, std::string> lower_bounds, upper_bounds;
  std::vector<std::int64_t> split_offsets;
};

}  // namespace evodb::table
