#include "sim/world/world.h"

#include <csignal>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "sim/cli/shrink.h"

namespace evodb::sim {
namespace {

// A few histories of every profile; evodb-sim runs thousands (make prove).
class Histories : public testing::TestWithParam<std::string_view> {};

TEST_P(Histories, LoseNothingAndLandNothingTwice) {
  constexpr std::uint64_t histories = 3;
  WorldCounts all;
  for (std::uint64_t seed = 1; seed <= histories; ++seed) {
    World world({.seed = seed, .profile = std::string(GetParam()), .faults_ms_max = 6'000});
    world.run();
    for (const auto& violation : world.violations()) {
      ADD_FAILURE() << "seed " << seed << " at " << violation.at_ms << " ms, "
                    << invariant_name(violation.invariant) << ": " << violation.text;
    }
    all.add(world.counts());
  }
  EXPECT_GT(all.changes, 30 * histories) << "next to nothing was written";
  EXPECT_GT(all.commits, histories);
  EXPECT_GE(all.rows, all.changes);
  if (GetParam() == "calm") {
    EXPECT_TRUE(all.faults.empty());
  } else {
    EXPECT_GT(all.coverage.size(), 2u) << "nothing went wrong: that proves nothing";
  }
}

std::vector<std::string_view> names() {
  std::vector<std::string_view> names;
  for (const Profile& profile : profiles()) {
    if (profile.name != "churn") names.push_back(profile.name);  // minutes, with sanitizers
  }
  return names;
}

std::string test_name(const testing::TestParamInfo<std::string_view>& info) {
  std::string name(info.param);
  std::erase(name, '-');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Profiles, Histories, testing::ValuesIn(names()), test_name);

TEST(World, IsTheSameHistoryForTheSameSeed) {
  for (const std::uint64_t seed : {3u, 14u, 15u}) {
    const HistoryOptions options{.seed = seed, .faults_ms_max = 5'000};
    const HistoryReport first = run_history(options);
    const HistoryReport second = run_history(options);
    EXPECT_EQ(first.trace_hash, second.trace_hash) << "seed " << seed;
    EXPECT_EQ(first.counts.changes, second.counts.changes);
    EXPECT_EQ(first.struck, second.struck);
  }
}

TEST(World, IsAnotherHistoryForAnotherSeed) {
  EXPECT_NE(run_history({.seed = 3, .faults_ms_max = 2'000}).trace_hash,
            run_history({.seed = 4, .faults_ms_max = 2'000}).trace_hash);
}

TEST(World, TellsItsStory) {
  std::string story;
  run_history({.seed = 5, .profile = "kills", .faults_ms_max = 6'000},
              [&](const std::string& line) { story += line + "\n"; });
  EXPECT_NE(story.find("a parent starts"), std::string::npos);
  EXPECT_NE(story.find("the parent is killed"), std::string::npos);
  EXPECT_NE(story.find("healing"), std::string::npos);
}

TEST(FaultPlan, KeepsTheOtherStrikesWhenOneIsTakenOut) {
  FaultRates rates{};
  rates[static_cast<std::size_t>(Fault::kCut)] = 5;
  rates[static_cast<std::size_t>(Fault::kParentKill)] = 9;
  FaultPlan all(7, rates);
  std::map<StrikeName, std::uint64_t> draws;
  for (int i = 0; i < 200; ++i) {
    for (const Fault kind : {Fault::kCut, Fault::kParentKill}) {
      if (auto strike = all.strikes(kind)) draws[strike->name] = strike->random.next();
    }
  }
  ASSERT_GT(draws.size(), 20u);
  std::set<StrikeName> kept;
  for (const auto& [name, drawn] : draws) {
    if (name.number % 2 == 0) kept.insert(name);
  }
  FaultPlan fewer(7, rates, kept);
  for (int i = 0; i < 200; ++i) {
    for (const Fault kind : {Fault::kCut, Fault::kParentKill}) {
      if (auto strike = fewer.strikes(kind)) {
        EXPECT_EQ(strike->random.next(), draws.at(strike->name));
        kept.erase(strike->name);
      }
    }
  }
  EXPECT_TRUE(kept.empty());
}

TEST(FaultPlan, NamesGoThereAndBack) {
  for (std::size_t kind = 0; kind < fault_count; ++kind) {
    const StrikeName name{static_cast<Fault>(kind), 17};
    EXPECT_EQ(parse_strike(to_string(name)), name);
  }
  EXPECT_FALSE(parse_strike("cut"));
  EXPECT_FALSE(parse_strike("cut#"));
  EXPECT_FALSE(parse_strike("cot#1"));
}

// Every plant is caught by `evodb-sim --prove`; here the way from a history that is broken to a
// smaller one that is broken alike.
TEST(Shrink, MakesABrokenHistorySmaller) {
  HistoryOptions options{.seed = 1, .profile = "kills", .plant = "dedup-mark-not-restored"};
  const HistoryReport broken = run_history_apart(options);
  ASSERT_FALSE(broken.findings.empty());
  const Shrunk shrunk = shrink(options, broken, 40);
  ASSERT_FALSE(shrunk.report.findings.empty());
  EXPECT_LT(shrunk.report.struck.size(), broken.struck.size());
  EXPECT_LE(shrunk.report.edges, broken.edges);
  const HistoryReport again = run_history_apart(shrunk.options);
  EXPECT_EQ(again.trace_hash, shrunk.report.trace_hash);
}

TEST(History, AnAssertionInItsProcessIsAFinding) {
  EXPECT_EQ(finding_of_death(SIGABRT).invariant, "assertion");
  EXPECT_EQ(finding_of_death(SIGALRM).invariant, "liveness");
}

}  // namespace
}  // namespace evodb::sim
