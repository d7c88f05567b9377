// Backoff: how long to wait before the next attempt: twice as long each time, up to a maximum.
//
//   base::Backoff backoff(100, 10'000);
//   std::int64_t ms = backoff.next_ms();            // 100, then 200, 400, ... 10,000, 10,000
//   backoff.reset();                                // after real progress only
//
//   ms = backoff.next_ms_full_jitter(random);       // 1 to 100, then 1 to 200, ... 1 to 10,000
//   ms = backoff.next_ms_half_jitter(random);       // 50 to 100, then 100 to 200, ...
//
// Jitter because many who lost the same peer in the same instant must not come back in step: full
// jitter (a uniform draw below the doubling ceiling) where thousands do, half jitter where a few do
// and a wait near zero would be for nothing.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace evodb::base {

class Backoff {
 public:
  // A maximum below the first wait counts as the first wait.
  Backoff(std::int64_t first_ms, std::int64_t ms_max)
      : first_ms_(first_ms), ms_max_(std::max(first_ms, ms_max)), ceiling_ms_(first_ms) {}

  std::int64_t next_ms() {
    const std::int64_t ms = ceiling_ms_;
    ceiling_ms_ = std::min(ceiling_ms_ * 2, ms_max_);
    return ms;
  }
  std::int64_t next_ms_full_jitter(Random& random) { return 1 + below(random, next_ms()); }
  std::int64_t next_ms_half_jitter(Random& random) {
    const std::int64_t half_ms = std::max<std::int64_t>(next_ms() / 2, 1);
    return half_ms + below(random, half_ms);
  }
  void reset() { ceiling_ms_ = first_ms_; }

 private:
  static std::int64_t below(Random& random, std::int64_t bound_ms) {
    return static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(bound_ms)));
  }

  std::int64_t first_ms_, ms_max_, ceiling_ms_;
};

}  // namespace evodb::base
