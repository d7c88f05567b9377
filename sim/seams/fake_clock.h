// FakeClock: a Clock that stands still until it is told to move. For unit tests of one room; rooms
// on a FakeLoop take the loop's clock.
//
//   FakeClock clock;
//   clock.advance_ms(500);
//   clock.jump_wall_ms(-3'600'000);   // somebody set the clock back
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "sim/seams/seeded_random.h"

namespace evodb::sim {

class FakeClock final : public base::Clock {
 public:
  explicit FakeClock(UnixMillis wall = UnixMillis(1'700'000'000'000)) : wall_(wall) {}
  UnixMillis wall() override { return wall_; }
  base::MonotonicMillis monotonic() override { return monotonic_; }

  void advance_ms(std::int64_t ms) {
    wall_.value += ms;
    monotonic_.value += ms;
  }
  void jump_wall_ms(std::int64_t ms) { wall_.value += ms; }

 private:
  UnixMillis wall_;
  base::MonotonicMillis monotonic_{1};
};

}  // namespace evodb::sim
