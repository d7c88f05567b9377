#include "server/descriptors.h"

#include <gtest/gtest.h>

namespace evodb::app {
namespace {

TEST(Descriptors, ConnectionsTakeWhatTheyWantWhereThereIsRoom) {
  const auto plan = plan_descriptors(1'000'000, 19'000);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->connections_max, 19'000u);
  EXPECT_EQ(plan->streams_max, 19'256u);
}

TEST(Descriptors, WhateverTheLimitTheReserveStays) {
  for (const std::uint64_t limit : {112u, 200u, 256u, 1024u, 19'000u, 20'000u}) {
    const auto plan = plan_descriptors(limit, 19'000);
    ASSERT_TRUE(plan) << limit;
    EXPECT_GT(plan->connections_max, 0u);
    EXPECT_GT(plan->streams_max, plan->connections_max) << "somebody can be told that it is full";
    EXPECT_LE(plan->streams_max + descriptors_reserved, limit);
  }
}

TEST(Descriptors, ALimitThatLeavesNothingIsRefused) {
  const auto plan = plan_descriptors(100, 19'000);
  ASSERT_FALSE(plan);
  EXPECT_NE(plan.error().text.find("ulimit -n"), std::string::npos);
}

}  // namespace
}  // namespace evodb::app
