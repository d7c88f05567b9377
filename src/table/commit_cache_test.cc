#include "table/commit_cache.h"

#include <set>

#include "table/append_world.h"

namespace evodb::table {
namespace {

constexpr std::uint64_t plenty = 1u << 20;

class CommitCacheTest : public AppendWorld {
 protected:
  // The keys that a commit reads.
  std::set<std::string> reads_of(AppendRequest request, const std::shared_ptr<CommitCache>& cache) {
    std::set<std::string> keys;
    AppendCommit commit(std::move(request), store, random, cache);
    while (auto io = commit.next()) {
      if (const auto* get = std::get_if<GetObject>(&*io)) keys.insert(get->key);
      commit.on_response(perform(store, *catalog, *io));
    }
    EXPECT_TRUE(commit.outcome());
    return keys;
  }
};

TEST_F(CommitCacheTest, TheNextCommitReadsNothingBackAndWritesTheSame) {
  const auto cache = std::make_shared<CommitCache>(plenty);
  EXPECT_TRUE(reads_of(append(0), cache).empty());
  for (int n = 1; n < 10; ++n) EXPECT_TRUE(reads_of(append(n), cache).empty()) << n;
  expect_files(10);
  EXPECT_EQ(metadata().snapshots().size(), 10u);
  const std::string location = catalog->load("t").value().value();
  EXPECT_EQ(store.get(*store.key_of(location)).value(), metadata().to_json());
  // As a process that has just started finds it.
  EXPECT_EQ(reads_of(append(10), nullptr).size(), 2u);
  expect_files(11);
}

TEST_F(CommitCacheTest, ACommitOfAnotherWriterIsReadAndBuiltUpon) {
  const auto cache = std::make_shared<CommitCache>(plenty);
  ASSERT_TRUE(run(append(0), cache));
  foreign_append("other");
  EXPECT_EQ(reads_of(append(1), cache).size(), 2u);
  EXPECT_EQ(metadata().snapshots().size(), 3u);
  EXPECT_TRUE(reads_of(append(2), cache).empty());
}

TEST_F(CommitCacheTest, ACommitThatDidNotComeThroughLeavesNothing) {
  const auto cache = std::make_shared<CommitCache>(plenty);
  ASSERT_TRUE(run(append(0), cache));
  store.fail_if([](const sim::FakeStore::Call&) { return sim::FakeStore::Fault::kRetry; });
  ASSERT_FALSE(run(append(1), cache));
  store.clear_faults();
  EXPECT_EQ(cache->bytes(), 0u);
  EXPECT_EQ(reads_of(append(1), cache).size(), 2u);
  expect_files(2);
}

TEST_F(CommitCacheTest, StaysWithinItsBytesAndForgetsWhoWasLongestAway) {
  ASSERT_TRUE(run(append(0)));
  const auto base = [&](const std::string& location) {
    return CommitBase{metadata(), location, 1'000, {}};
  };
  CommitCache cache(30'000);  // room for three
  for (const char* table : {"a", "b", "c", "a", "d"}) {
    cache.put(table, base(std::string(table) + "/1"));
    EXPECT_LE(cache.bytes(), 30'000u);
  }
  EXPECT_FALSE(cache.take("b", "b/1"));  // a came again
  EXPECT_TRUE(cache.take("a", "a/1"));
  EXPECT_FALSE(cache.take("a", "a/1"));
  EXPECT_FALSE(cache.take("c", "c/2"));
  EXPECT_FALSE(cache.take("c", "c/1"));  // of another metadata file: of no use any more
  EXPECT_TRUE(cache.take("d", "d/1"));
  EXPECT_EQ(cache.bytes(), 0u);
  cache.put("big", CommitBase{metadata(), "big/1", 10'000, {}});
  EXPECT_EQ(cache.bytes(), 0u);
}

}  // namespace
}  // namespace evodb::table
