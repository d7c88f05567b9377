#include "base/timer.h"

#include <optional>

#include <gtest/gtest.h>

#include "sim/seams/fake_loop.h"

namespace evodb::base {
namespace {

struct World {
  sim::FakeNetwork network{1};
  sim::FakeLoop loop{network, "here"};
  int ran = 0;
};

TEST(Timer, RunsOnceAndIsSetUntilThen) {
  World w;
  Timer timer(w.loop);
  EXPECT_FALSE(timer.is_set());
  timer.set(10, [&] {
    ++w.ran;
    EXPECT_FALSE(timer.is_set());
  });
  EXPECT_TRUE(timer.is_set());
  w.network.run_for(9);
  EXPECT_EQ(w.ran, 0);
  w.network.run_for(100);
  EXPECT_EQ(w.ran, 1);
}

TEST(Timer, SetAgainForgetsWhatWasSetBefore) {
  World w;
  Timer timer(w.loop);
  timer.set(10, [&] { w.ran += 100; });
  timer.set(20, [&] { ++w.ran; });
  EXPECT_EQ(w.loop.timer_count(), 1u);
  w.network.run_for(100);
  EXPECT_EQ(w.ran, 1);
}

TEST(Timer, WhatItRunsMaySetIt) {
  World w;
  Timer timer(w.loop);
  timer.set(10, [&] {
    ++w.ran;
    timer.set(10, [&] { ++w.ran; });
  });
  w.network.run_for(15);
  EXPECT_EQ(w.ran, 1);
  EXPECT_TRUE(timer.is_set());
  w.network.run_for(15);
  EXPECT_EQ(w.ran, 2);
}

TEST(Timer, CancelledOrDestroyedItDoesNotRun) {
  World w;
  Timer cancelled(w.loop);
  cancelled.set(10, [&] { ++w.ran; });
  cancelled.cancel();
  EXPECT_FALSE(cancelled.is_set());
  {
    Timer destroyed(w.loop);
    destroyed.set(10, [&] { ++w.ran; });
  }
  EXPECT_EQ(w.loop.timer_count(), 0u);
  w.network.run_for(100);
  EXPECT_EQ(w.ran, 0);
}

TEST(Timer, WhatItRunsMayEndItsOwner) {
  World w;
  std::optional<Timer> timer(std::in_place, w.loop);
  timer->set(10, [&] {
    timer.reset();
    ++w.ran;
  });
  w.network.run_for(100);
  EXPECT_EQ(w.ran, 1);
}

}  // namespace
}  // namespace evodb::base
