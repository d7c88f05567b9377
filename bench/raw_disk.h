// The machine's raw disk in the directory where a benchmark works: what no journal can beat.
#pragma once

#include <string>

#include "evodb/result.h"

namespace evodb::bench {

struct RawDisk {
  double sync_20k_ms_p50 = 0, sync_20k_ms_p99 = 0;  // pwrite of 20 KB + fdatasync, preallocated
  double sequential_mb_per_s = 0;                   // 64 MiB in 1 MiB writes, then one fdatasync
};

Result<RawDisk> measure_raw_disk(const std::string& directory);

}  // namespace evodb::bench
