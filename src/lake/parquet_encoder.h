// ParquetEncoder: a sealed buffer as Parquet files, with the metrics that Iceberg's manifests want.
//
//   ParquetEncoder encoder;
//   auto files = EVODB_TRY(encoder.encode(job, 128u << 20));    // mostly one
//
// Field ids everywhere, zstd, rows sorted by (source, epoch, LSN), a dictionary only for the
// columns that always repeat. Values go from the lake's column buffers into Parquet's pages without
// a copy between them. The same job gives the same bytes.
//
// Keeps nothing between calls: several threads may encode at once. Memory while it works: the file
// so far, and one page twice, plain and compressed.
#pragma once

#include <cstdint>
#include <vector>

#include "lake/flush_machine.h"

namespace evodb::lake {

struct ParquetOptions {
  int zstd_level = 3;  // a tenth slower than 1, and smaller where there is text
  std::uint64_t row_group_bytes_max = 64u << 20;  // of buffer memory, not of file
  std::uint32_t row_group_rows_max = 256 * 1024;
};

class ParquetEncoder final : public FileEncoder {
 public:
  // Make one before there are threads that encode: it makes what Arrow has only one of.
  explicit ParquetEncoder(const ParquetOptions& options = {});
  // Errors: kInternal (Arrow refused; says what).
  Result<std::vector<EncodedFile>> encode(const FlushJob& job,
                                          std::uint64_t file_bytes_max) override;

 private:
  ParquetOptions options_;
};

}  // namespace evodb::lake
