#include "sim/world/world.h"

#include <cstdio>

#include <gtest/gtest.h>

namespace evodb::sim {
namespace {

// 100 histories, each with its own kinds of trouble, in shards that run side by side.
class Histories : public testing::TestWithParam<std::uint64_t> {};

TEST_P(Histories, LoseNothingAndLandNothingTwice) {
  constexpr std::uint64_t seeds_per_shard = 10;
  WorldCounts all;
  for (std::uint64_t i = 0; i < seeds_per_shard; ++i) {
    const std::uint64_t seed = GetParam() * seeds_per_shard + i + 1;
    World world({.seed = seed});
    world.run();
    for (const auto& violation : world.violations()) {
      ADD_FAILURE() << "seed " << seed << ": " << violation;
    }
    const WorldCounts& counts = world.counts();
    EXPECT_GT(counts.changes, 100u) << "seed " << seed << " wrote next to nothing";
    all.changes += counts.changes;
    all.parent_crashes += counts.parent_crashes;
    all.power_losses += counts.power_losses;
    all.edge_crashes += counts.edge_crashes;
    all.cuts += counts.cuts;
    all.partitions += counts.partitions;
    all.store_outages += counts.store_outages;
    all.journals_lost += counts.journals_lost;
  }
  // A shard in which nothing went wrong would prove nothing.
  EXPECT_GT(all.parent_crashes + all.power_losses, seeds_per_shard);
  EXPECT_GT(all.edge_crashes, 0u);
  EXPECT_GT(all.cuts + all.partitions, 0u);
  EXPECT_GT(all.store_outages, 0u);
  std::printf(
      "%lu changes; %lu kills, %lu power losses, %lu edge kills, %lu cuts, %lu partitions, "
      "%lu store outages, %lu journals lost\n",
      all.changes, all.parent_crashes, all.power_losses, all.edge_crashes, all.cuts, all.partitions,
      all.store_outages, all.journals_lost);
}

INSTANTIATE_TEST_SUITE_P(Shards, Histories, testing::Range<std::uint64_t>(0, 10));

TEST(World, IsTheSameHistoryForTheSameSeed) {
  for (const std::uint64_t seed : {3u, 14u, 15u}) {
    World first({.seed = seed});
    first.run();
    World second({.seed = seed});
    second.run();
    EXPECT_EQ(first.trace_hash(), second.trace_hash()) << "seed " << seed;
    EXPECT_EQ(first.counts().changes, second.counts().changes);
  }
}

TEST(World, IsAnotherHistoryForAnotherSeed) {
  World first({.seed = 3});
  first.run();
  World second({.seed = 4});
  second.run();
  EXPECT_NE(first.trace_hash(), second.trace_hash());
}

}  // namespace
}  // namespace evodb::sim
