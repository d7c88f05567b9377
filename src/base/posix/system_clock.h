// SystemClock and SystemRandom: the real time and chance of a process.
//
//   SystemClock clock;
//   SystemRandom random;        // seeded by the kernel
//
// Threads: any, both.
#pragma once

#include <cstdint>
#include <mutex>

#include "base/clock.h"

namespace evodb::base {

class SystemClock final : public Clock {
 public:
  UnixMillis wall() override;
  MonotonicMillis monotonic() override;
};

// xoshiro256** (Blackman and Vigna, 2018): for jitter, masks and names, not for secrets.
class SystemRandom final : public Random {
 public:
  SystemRandom();
  std::uint64_t next() override;

 private:
  std::mutex mutex_;
  std::uint64_t state_[4];
};

}  // namespace evodb::base
