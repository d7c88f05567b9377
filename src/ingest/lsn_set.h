// LsnSet: a set of LSNs with gaps, kept small enough to be kept for ever. A run without a gap is
// one entry however long it is; entries lie as varints in chunks of at most 128: about 3 bytes for
// an LSN that is a time in milliseconds, 10 for one drawn at random from 64 bits.
//
//   LsnSet set;
//   const LsnRun runs[] = {{Lsn(1), Lsn(9)}, {Lsn(20), Lsn(20)}};
//   set.add(runs);
//   if (set.contains(Lsn(5))) ...
//
// A look reads at most one chunk, an addition writes one anew. Nothing is ever removed.
// Threads: one.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "evodb/dedup.h"
#include "evodb/types.h"

namespace evodb::ingest {

// Both ends belong to it.
using LsnRun = DeduplicationTracker::Run;

class LsnSet {
 public:
  bool contains(Lsn lsn) const;
  // Joins with what it touches. REQUIRES: ascending, not touching each other, nothing in them is in
  // the set.
  void add(std::span<const LsnRun> runs);

  std::uint64_t run_count() const { return runs_; }
  // Of memory, with what containers add.
  std::uint64_t bytes() const;
  // Ascending, not touching each other.
  template <class Visit>
  void for_each(Visit visit) const {
    std::vector<LsnRun> runs;
    for (const auto& [first, chunk] : chunks_) {
      runs.clear();
      read(first, chunk, runs);
      for (const LsnRun& run : runs) visit(run);
    }
  }

 private:
  struct Chunk {
    std::uint64_t last = 0;
    std::uint32_t runs = 0;
    // varint length - 1 of the first run, then for each other one: varint gap, varint length - 1.
    std::string bytes;
  };
  using Chunks = std::map<std::uint64_t, Chunk>;  // by first LSN; their ranges do not touch

  static void read(std::uint64_t first, const Chunk& chunk, std::vector<LsnRun>& runs);
  void put(std::span<const LsnRun> runs);
  Chunks::const_iterator chunk_of(std::uint64_t lsn) const;
  void forget(Chunks::iterator chunk);

  Chunks chunks_;
  std::uint64_t runs_ = 0, encoded_bytes_ = 0;
};

}  // namespace evodb::ingest
