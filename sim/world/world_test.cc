#include "sim/world/world.h"

#include <cstdio>
#include <cstdlib>

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
    EXPECT_GT(world.counts().changes, 100u) << "seed " << seed << " wrote next to nothing";
    all.add(world.counts());
  }
  // A shard in which nothing went wrong would prove nothing.
  EXPECT_GT(all.commits, 10 * seeds_per_shard);
  EXPECT_GT(all.parent_crashes, seeds_per_shard);
  EXPECT_GT(all.power_losses, 0u);
  EXPECT_GT(all.edge_crashes, 0u);
  EXPECT_GT(all.cuts + all.partitions, 0u);
  EXPECT_GT(all.store_outages, 0u);
  EXPECT_GT(all.trims, 0u);
  std::printf(
      "%lu changes in %lu commits; %lu kills, %lu power losses, %lu stops, %lu edge kills, "
      "%lu cuts, %lu partitions, %lu store outages, %lu disk faults, %lu journals lost, "
      "%lu restores, %lu new epochs, %lu failed starts, %lu trimmed journals, "
      "starved for %lu steps\n",
      all.changes, all.commits, all.parent_crashes, all.power_losses, all.stops, all.edge_crashes,
      all.cuts, all.partitions, all.store_outages, all.disk_faults, all.journals_lost, all.restores,
      all.new_epochs, all.failed_starts, all.trims, all.starved_steps);
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

// To look at one history again, or at ones beyond those above.
TEST(World, IsTheHistoryThatIsAskedFor) {
  const char* asked = std::getenv("EVODB_SIM_SEED");
  if (asked == nullptr) GTEST_SKIP() << "EVODB_SIM_SEED=17 asks for history 17";
  const std::uint64_t seed = std::strtoull(asked, nullptr, 10);
  World world({.seed = seed});
  world.run();
  for (const auto& violation : world.violations()) {
    ADD_FAILURE() << "seed " << seed << ": " << violation;
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
