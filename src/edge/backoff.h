// Backoff: how long to wait before the next attempt, with full jitter.
//
//   const std::int64_t ms = backoff.next_ms(random);   // 0..100, then 0..200, ... 0..10,000
//   backoff.reset();                                   // after real progress only
//
// Full jitter (a uniform draw below a doubling ceiling) because thousands of children lose one
// parent in the same instant and must not come back in step.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace evodb::edge {

class Backoff {
 public:
  Backoff(std::int64_t first_ms, std::int64_t ms_max)
      : first_ms_(first_ms), ms_max_(ms_max), ceiling_ms_(first_ms) {}

  std::int64_t next_ms(base::Random& random) {
    const std::int64_t ms =
        1 + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(ceiling_ms_)));
    ceiling_ms_ = std::min(ceiling_ms_ * 2, ms_max_);
    return ms;
  }
  void reset() { ceiling_ms_ = first_ms_; }
  std::int64_t ms_max() const { return ms_max_; }

 private:
  std::int64_t first_ms_, ms_max_, ceiling_ms_;
};

}  // namespace evodb::edge
