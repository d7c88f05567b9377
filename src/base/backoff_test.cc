#include "base/backoff.h"

#include <gtest/gtest.h>

#include "sim/seams/seeded_random.h"

namespace evodb::base {
namespace {

TEST(Backoff, DoublesUpToItsMaximumAndBeginsAnewAfterReset) {
  Backoff backoff(100, 350);
  EXPECT_EQ(backoff.next_ms(), 100);
  EXPECT_EQ(backoff.next_ms(), 200);
  EXPECT_EQ(backoff.next_ms(), 350);
  EXPECT_EQ(backoff.next_ms(), 350);
  backoff.reset();
  EXPECT_EQ(backoff.next_ms(), 100);
}

TEST(Backoff, AMaximumBelowTheFirstWaitIsTheFirstWait) {
  Backoff backoff(500, 20);
  EXPECT_EQ(backoff.next_ms(), 500);
  EXPECT_EQ(backoff.next_ms(), 500);
}

TEST(Backoff, JitterStaysWithinItsBounds) {
  sim::SeededRandom random(3);
  for (int i = 0; i < 1'000; ++i) {
    Backoff full(100, 200), half(100, 200);
    for (const std::int64_t ceiling_ms : {100, 200, 200}) {
      const std::int64_t a = full.next_ms_full_jitter(random);
      EXPECT_GE(a, 1);
      EXPECT_LE(a, ceiling_ms);
      const std::int64_t b = half.next_ms_half_jitter(random);
      EXPECT_GE(b, ceiling_ms / 2);
      EXPECT_LT(b, ceiling_ms);
    }
  }
}

}  // namespace
}  // namespace evodb::base
