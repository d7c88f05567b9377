// Deduplication's marks alone: what a source costs in memory for ever, what a check costs, and what
// a checkpoint and its restoring take.
//
// Sources are named as edges name themselves: "db-" and seven letters and digits, ten bytes.
#pragma once

#include <cstdint>
#include <string>

#include "evodb/result.h"

namespace evodb::bench {

inline constexpr std::size_t dedup_name_bytes = 10;

struct DedupFigures {
  double bytes_per_source = 0;      // heap, everything: marks, names, index, what malloc adds
  double bytes_per_source_max = 0;  // the most since half as many sources were there
  double add_ns = 0;                // a source that says hello for the first time
  double check_ns = 0;              // of a batch: its session knows the source
  double check_by_name_ns = 0;      // of a hello
  double checkpoint_s = 0;          // encode, write, sync
  double restore_s = 0;             // read, check, fill the table
  double checkpoint_bytes_per_source = 0;
};

// Files go into `directory`. Checks every mark, there and restored. Errors: the disk's, kInternal
// if a mark is wrong.
Result<DedupFigures> measure_dedup(const std::string& directory, std::uint32_t sources);

}  // namespace evodb::bench
