// Clock and Random: the two seams through which time and chance enter a room.
#pragma once

#include <cstdint>

#include "evodb/types.h"

namespace evodb::base {

// Milliseconds on a clock that never goes back; only differences mean anything.
using MonotonicMillis = Strong<struct MonotonicTag, std::int64_t>;

class Clock {
 public:
  virtual ~Clock() = default;
  // May jump both ways: for stamps that people read, never for deciding.
  virtual UnixMillis wall() = 0;
  virtual MonotonicMillis monotonic() = 0;
};

class Random {
 public:
  virtual ~Random() = default;
  virtual std::uint64_t next() = 0;  // 64 uniform bits
  // Uniform in [0, bound). REQUIRES: bound > 0. (Lemire's multiply-shift; the bias is below 2^-32
  // for every bound that we use.)
  std::uint64_t below(std::uint64_t bound) {
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
  }
};

}  // namespace evodb::base
