// What one Iceberg commit costs as its table grows old: the commit protocol alone, on a local store
// and a real catalog, with data files that are only named.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "evodb/result.h"

namespace evodb::bench {

struct CommitCost {
  std::uint64_t commits = 0;  // of the table by then
  double cpu_us = 0;          // a commit, mean of the last `window` ones: merges are in it
  double ms_p50 = 0;          // with its syncs
  double put_bytes = 0;       // mean
  double puts = 0, gets = 0;  // mean
};

// Commits up to the last of `points` (growing) into one table below `directory`, and takes the cost
// of the `window` commits that end at each. Then reads the table anew and compares what it lists.
// Errors: those of store and catalog; kCorrupt where the table does not list what was committed.
Result<std::vector<CommitCost>> measure_commits(const std::string& directory,
                                                const std::vector<std::uint64_t>& points,
                                                std::uint64_t window);

}  // namespace evodb::bench
