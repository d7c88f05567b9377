// ChunkedSlab: records by small dense numbers, in chunks that never move and are never freed. A
// reference to a record stays good, and growth copies nothing.
//
//   ChunkedSlab<Connection> slab;
//   slab.make(7) = connection;       // with all of its chunk, if it was not there
//   Connection& seventh = slab[7];   // REQUIRES: was made
//   for (std::uint32_t id = 0; id < slab.end(); ++id) look_at(slab[id]);
//
// Threads: one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace evodb::base {

template <class Record>
class ChunkedSlab {
 public:
  static constexpr std::size_t chunk_records = 1024;

  Record& make(std::uint32_t id) {
    while (id >= end()) chunks_.push_back(std::make_unique<Chunk>());
    return (*this)[id];
  }
  Record& operator[](std::uint32_t id) {
    return (*chunks_[id / chunk_records])[id % chunk_records];
  }
  const Record& operator[](std::uint32_t id) const {
    return (*chunks_[id / chunk_records])[id % chunk_records];
  }
  // One past the largest number that was made: whole chunks.
  std::uint32_t end() const { return static_cast<std::uint32_t>(chunks_.size() * chunk_records); }

 private:
  using Chunk = std::array<Record, chunk_records>;
  std::vector<std::unique_ptr<Chunk>> chunks_;
};

}  // namespace evodb::base
