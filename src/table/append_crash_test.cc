// Exactly once, whatever stops: a crash after every effect, a fault at every call, and both at
// random with other engines in between.
#include <memory>
#include <optional>

#include "table/append.h"
#include "table/append_world.h"
#include "table/commit_cache.h"

namespace evodb::table {
namespace {

using AppendCrash = AppendWorld;
using Fault = sim::FakeStore::Fault;

TEST_F(AppendCrash, ACrashAfterEveryEffectAndACommitAnewIsExactlyOnce) {
  // 34 commits first, so that the crashed ones merge manifests and drop snapshots as well.
  int n = 0;
  const auto small = [&](int i) {
    auto request = append(i);
    request.snapshots_max = 3;
    request.metadata_log_max = 2;
    return request;
  };
  for (int crash = 0; crash < 3; ++crash) {
    SCOPED_TRACE(crash);
    ASSERT_TRUE(crash_after(small(n), crash)) << "a create takes more effects than these";
  }
  for (; n < 31; ++n) ASSERT_TRUE(run(small(n)));
  bool ended = false;
  for (int crash = 0; crash < 200 && !ended; ++crash, ++n) {
    SCOPED_TRACE(crash);
    ended = !crash_after(small(n), crash);
    const auto after = run(small(n));
    ASSERT_TRUE(after) << after.error().text;
    EXPECT_EQ(after->watermark, at(static_cast<std::uint64_t>(n) + 1));
    expect_files(n + 1);
  }
  EXPECT_TRUE(ended) << "every effect of a commit was crashed behind";
}

TEST_F(AppendCrash, AFaultAtEveryCallIsExactlyOnce) {
  int n = 0;
  ASSERT_TRUE(run(append(n++)));
  for (const Fault fault : {Fault::kRetry, Fault::kUnknownBefore, Fault::kUnknownAfter}) {
    for (std::uint64_t call = 1; call < 8; ++call, ++n) {
      SCOPED_TRACE("fault " + std::to_string(static_cast<int>(fault)) + " at call " +
                   std::to_string(call));
      const auto request = append(n);
      store.fail_call(call, fault);
      auto after = run(request);
      if (!after) {
        EXPECT_EQ(after.error().kind, ErrorKind::kRetry);
        store.clear_faults();
        after = run(request);
      }
      store.clear_faults();
      ASSERT_TRUE(after) << after.error().text;
      expect_files(n + 1);
    }
  }
}

TEST_F(AppendCrash, APutWithoutAnAnswerIsDoneAgainUnderTheSameName) {
  ASSERT_TRUE(run(append(0)));
  int failures = 2;
  store.fail_if([&](const sim::FakeStore::Call& call) -> std::optional<Fault> {
    if (call.kind != sim::FakeStore::Kind::kPut || failures == 0) return std::nullopt;
    --failures;
    return Fault::kUnknownAfter;
  });
  ASSERT_TRUE(run(append(1)));
  expect_files(2);
}

TEST_F(AppendCrash, RandomFaultsCrashesAndOtherEnginesAreExactlyOnce) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    sim::SeededRandom chance(seed);
    const std::string table = "r" + std::to_string(seed);
    std::vector<std::string> wanted;
    std::optional<Watermark> expected;
    std::uint64_t position = 0;
    std::shared_ptr<CommitCache> cache;
    for (int n = 0; n < 60; ++n) {
      AppendRequest request = append(1);
      request.table = table;
      request.create = n == 0;
      request.location_key = "evodb/" + table;
      request.files[0].location = store.location("evodb/" + table + "/" + std::to_string(n));
      request.expected = expected;
      request.watermark = at(++position);
      request.snapshots_max = 1 + static_cast<std::uint32_t>(chance.below(5));
      request.metadata_log_max = static_cast<std::uint32_t>(chance.below(3));
      store.fail_if([&](const sim::FakeStore::Call&) -> std::optional<Fault> {
        if (chance.below(12) != 0) return std::nullopt;
        return static_cast<Fault>(chance.below(3));
      });
      Result<TableState> after = fail(ErrorKind::kRetry, "not tried");
      while (!after) {
        // Every other table's commits remember the last one; some crashes are of the process.
        if (seed % 2 == 0 && (cache == nullptr || chance.below(8) == 0)) {
          cache = std::make_shared<CommitCache>(1u << 20);
        }
        AppendCommit commit(request, store, random, cache);
        const bool crash = chance.below(4) == 0;
        std::uint64_t left = crash ? chance.below(12) : 1'000;
        bool dropped = false;
        do {
          if (chance.below(5) == 0) {
            catalog->next_swap = static_cast<SwapFault>(chance.below(3));
          }
          std::optional<IoRequest> io;
          while ((io = commit.next())) {
            if (left-- == 0) {
              dropped = true;
              break;
            }
            commit.on_response(perform(store, *catalog, *io));
          }
          if (dropped) break;
          after = commit.outcome();
          if (!after && after.error().kind == ErrorKind::kOutcomeUnknown) commit.resume();
        } while (!after && after.error().kind == ErrorKind::kOutcomeUnknown);
        if (!dropped && !after) {
          ASSERT_EQ(after.error().kind, ErrorKind::kRetry) << after.error().text;
        }
      }
      catalog->next_swap.reset();
      EXPECT_EQ(after->watermark, request.watermark);
      wanted.push_back(request.files[0].location);
      expected = request.watermark;
    }
    store.clear_faults();
    std::map<std::string, int> seen;
    const auto live = list_live_files(store, *catalog->load(table).value());
    for (const auto& file : live->data) ++seen[file.location];
    EXPECT_EQ(seen.size(), wanted.size());
    for (const std::string& location : wanted) EXPECT_EQ(seen[location], 1) << location;
  }
}

}  // namespace
}  // namespace evodb::table
