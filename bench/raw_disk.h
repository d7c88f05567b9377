// The machine's raw disk in the directory where a benchmark works: what no journal can beat.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/posix/posix_disk.h"
#include "evodb/result.h"

namespace evodb::bench {

struct RawDisk {
  double sync_20k_ms_p50 = 0, sync_20k_ms_p99 = 0;  // pwrite of 20 KB + fdatasync, preallocated
  double sequential_mb_per_s = 0;                   // 64 MiB in 1 MiB writes, then one fdatasync
};

Result<RawDisk> measure_raw_disk(const std::string& directory);

// One file full of zeros, as the journal preallocates, written from its begin to its end and over
// again: a sync of it allocates nothing. Removed when this goes.
class RawSyncFile {
 public:
  static Result<std::unique_ptr<RawSyncFile>> create(const std::string& directory);
  ~RawSyncFile();
  // One pwrite of `n` bytes (at most 1 MiB) behind the last one and one fdatasync; milliseconds.
  Result<double> write_and_sync(std::size_t n);
  // All of it once in writes of 1 MiB and one fdatasync; megabytes a second.
  Result<double> write_all();

 private:
  static constexpr std::size_t file_bytes = 64u << 20, piece_bytes = 1u << 20;
  RawSyncFile() = default;
  Result<void> fill();

  base::PosixDisk disk_;
  std::string path_;
  std::unique_ptr<base::File> file_;
  std::string piece_;
  std::uint64_t at_ = 0;
};

}  // namespace evodb::bench
