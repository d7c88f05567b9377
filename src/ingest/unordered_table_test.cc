#include "ingest/unordered_table.h"

#include <map>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "ingest/checkpoint_format.h"
#include "sim/seams/seeded_random.h"

namespace evodb::ingest {
namespace {

using Known = UnorderedTable::Known;

std::vector<LsnRun> runs_of(const std::set<std::uint64_t>& lsns) {
  std::vector<LsnRun> runs;
  for (const std::uint64_t lsn : lsns) DeduplicationTracker::add_to_runs(runs, Lsn(lsn));
  return runs;
}

std::vector<LsnRun> all_of(const LsnSet& set) {
  std::vector<LsnRun> runs;
  set.for_each([&](const LsnRun& run) { runs.push_back(run); });
  return runs;
}

TEST(LsnSet, HoldsWhatWasAddedAndNothingElse) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    sim::SeededRandom random(seed);
    LsnSet set;
    std::set<std::uint64_t> want;
    const std::uint64_t space = 20 + random.below(4'000);
    for (int step = 0; step < 60; ++step) {
      std::set<std::uint64_t> more;
      for (std::uint64_t n = random.below(80); n > 0; --n) {
        const std::uint64_t lsn = random.below(space);
        for (std::uint64_t at = lsn; at < lsn + 1 + random.below(3); ++at) {
          if (!want.contains(at)) more.insert(at);
        }
      }
      set.add(runs_of(more));
      want.insert(more.begin(), more.end());
    }
    ASSERT_EQ(all_of(set), runs_of(want));
    ASSERT_EQ(set.run_count(), runs_of(want).size());
    for (std::uint64_t lsn = 0; lsn < space + 5; ++lsn) {
      ASSERT_EQ(set.contains(Lsn(lsn)), want.contains(lsn)) << lsn;
    }
  }
}

TEST(LsnSet, KnowsBothEndsOfWhatANumberCanBe) {
  LsnSet set;
  const LsnRun ends[] = {{Lsn(0), Lsn(0)}, {Lsn(UINT64_MAX - 1), Lsn(UINT64_MAX)}};
  set.add(ends);
  EXPECT_TRUE(set.contains(Lsn(0)));
  EXPECT_FALSE(set.contains(Lsn(1)));
  EXPECT_FALSE(set.contains(Lsn(UINT64_MAX - 2)));
  EXPECT_TRUE(set.contains(Lsn(UINT64_MAX)));
  const LsnRun between[] = {{Lsn(1), Lsn(UINT64_MAX - 2)}};
  set.add(between);
  EXPECT_EQ(set.run_count(), 1u);
}

TEST(LsnSet, AnLsnThatIsATimeCostsAFewBytesInOrderAndAtRandom) {
  LsnSet in_order, at_random;
  sim::SeededRandom random(3);
  std::vector<std::uint64_t> times;
  std::uint64_t now = 1'700'000'000'000;
  for (int i = 0; i < 50'000; ++i) times.push_back(now += 2 + random.below(2'000));
  for (const std::uint64_t t : times) in_order.add(std::vector<LsnRun>{{Lsn(t), Lsn(t)}});
  for (std::size_t i = times.size(); i > 1; --i) std::swap(times[i - 1], times[random.below(i)]);
  for (const std::uint64_t t : times) at_random.add(std::vector<LsnRun>{{Lsn(t), Lsn(t)}});
  EXPECT_EQ(all_of(in_order), all_of(at_random));
  EXPECT_LT(in_order.bytes() / times.size(), 5u);
  EXPECT_LT(at_random.bytes() / times.size(), 6u);
}

TEST(UnorderedTable, TellsNewFromReceivedFromDurableForEver) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    sim::SeededRandom random(seed);
    UnorderedTable table({.gap_bytes_max = 1u << 20, .runs_per_source = 40});
    struct Model {
      std::set<std::uint64_t> durable, received;
    };
    std::map<std::string, Model> models;
    struct InFlight {
      SourceIndex id;
      std::string source;
      std::vector<LsnRun> runs;
    };
    std::vector<InFlight> inflight;
    const auto of = [](const std::vector<LsnRun>& runs, const auto& each) {
      for (const LsnRun& r : runs) {
        for (std::uint64_t lsn = r.first.value; lsn <= r.last.value; ++lsn) each(lsn);
      }
    };
    for (int step = 0; step < 1'500; ++step) {
      const std::string source = "s" + std::to_string(random.below(30));
      Model& model = models[source];
      const auto id = table.find_or_add(source);
      ASSERT_TRUE(id);
      std::set<std::uint64_t> fresh;
      const bool dense = source.size() == 2;
      const std::uint64_t from = dense ? model.durable.size() + 1 : 1 + random.below(400);
      for (std::uint64_t n = 1 + random.below(8); n > 0; --n) {
        const std::uint64_t lsn = dense ? from + n : from + random.below(20);
        const Known known = table.look(*id, Lsn(lsn));
        ASSERT_EQ(known, model.durable.contains(lsn)    ? Known::kDurable
                         : model.received.contains(lsn) ? Known::kReceived
                                                        : Known::kNew);
        if (known == Known::kNew) fresh.insert(lsn);
      }
      const auto runs = runs_of(fresh);
      if (!runs.empty() && table.receive(*id, runs)) {
        if (random.below(6) == 0) {
          table.take_back(*id, runs);
        } else {
          of(runs, [&](std::uint64_t lsn) { model.received.insert(lsn); });
          inflight.push_back({*id, source, runs});
        }
      }
      if (random.below(5) == 0) {
        for (const InFlight& batch : inflight) {
          table.make_durable(batch.id, batch.runs);
          of(batch.runs, [&](std::uint64_t lsn) {
            models[batch.source].received.erase(lsn);
            models[batch.source].durable.insert(lsn);
          });
        }
        inflight.clear();
      }
    }
    // What is durable goes through a checkpoint, nothing else does.
    CheckpointWriter writer(journal::JournalId(1), Position(), 0);
    writer.add_unordered(table);
    writer.add_copied(Lives({}));
    const std::string bytes = writer.finish();
    const auto read = read_checkpoint(bytes);
    ASSERT_TRUE(read);
    UnorderedTable restored({});
    for (const auto& source : read->unordered) {
      restored.insert(restored.find_or_add_always(source.source), source.runs);
    }
    for (const auto& [name, model] : models) {
      const SourceIndex before = table.find(name), after = restored.find(name);
      EXPECT_EQ(table.highest_durable(before).value,
                model.durable.empty() ? 0 : *model.durable.rbegin());
      for (std::uint64_t lsn = 0; lsn < 430; ++lsn) {
        ASSERT_EQ(restored.look(after, Lsn(lsn)) == Known::kDurable, model.durable.contains(lsn));
        ASSERT_EQ(table.look(before, Lsn(lsn)) == Known::kDurable, model.durable.contains(lsn));
      }
    }
  }
}

TEST(UnorderedTable, WhatTheLakehouseHasIsJoinedWithWhatIsKnown) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    sim::SeededRandom random(seed);
    UnorderedTable table({});
    const SourceIndex id = table.find_or_add_always("s");
    std::set<std::uint64_t> all;
    for (int round = 0; round < 4; ++round) {
      std::set<std::uint64_t> more;
      for (std::uint64_t n = random.below(30); n > 0; --n) more.insert(1 + random.below(60));
      table.merge(id, runs_of(more));
      all.insert(more.begin(), more.end());
      std::vector<LsnRun> runs;
      table.for_each_run(id, [&](const LsnRun& run) { runs.push_back(run); });
      ASSERT_EQ(runs, runs_of(all)) << seed;
    }
  }
}

TEST(UnorderedTable, WithoutGapsItNeedsNothingButAMarkAndIsNeverRefused) {
  UnorderedTable table({.gap_bytes_max = 0, .runs_per_source = 1});
  for (std::uint64_t lsn = 1; lsn <= 30'000; ++lsn) {
    for (const char* name : {"one", "two"}) {
      const auto id = table.find_or_add(name);
      const LsnRun run{Lsn(1'000 + lsn), Lsn(1'000 + lsn)};
      ASSERT_TRUE(table.receive(*id, {&run, 1}));
      table.make_durable(*id, {&run, 1});
    }
  }
  EXPECT_EQ(table.with_gaps(), 0u);
  EXPECT_EQ(table.gap_bytes(), 0u);
  const LsnRun gap{Lsn(40'000), Lsn(40'000)};
  const auto refused = table.receive(table.find("one"), {&gap, 1});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kOverLimit);
}

TEST(UnorderedTable, ASourceOfGapsAloneLeavesHalfOfTheMemoryToOthers) {
  UnorderedTable table({.gap_bytes_max = 40'000, .runs_per_source = 100});
  const auto fill = [&](const std::string& name) {
    const SourceIndex id = table.find_or_add_always(name);
    std::uint64_t taken = 0;
    for (std::uint64_t lsn = 2;; lsn += 2, ++taken) {
      const LsnRun run{Lsn(lsn), Lsn(lsn)};
      if (!table.receive(id, {&run, 1})) return taken;
      table.make_durable(id, {&run, 1});
    }
  };
  const std::uint64_t hog = fill("hog");
  EXPECT_GT(hog, 2'000u);
  EXPECT_LE(table.gap_bytes(), 20'000u);
  for (int i = 0; i < 20; ++i) EXPECT_GE(fill("other-" + std::to_string(i)), 100u) << i;
  EXPECT_LE(table.gap_bytes(), 40'000u);
  // Nothing was forgotten, and closing a gap is always possible.
  for (std::uint64_t lsn = 2; lsn <= 2 * hog; lsn += 2) {
    ASSERT_EQ(table.look(table.find("hog"), Lsn(lsn)), Known::kDurable);
  }
  const LsnRun closing{Lsn(3), Lsn(3)};
  EXPECT_TRUE(table.receive(table.find("hog"), {&closing, 1}));
}

// As the version before wrote it: with an age behind each run.
TEST(Checkpoint, RunsWithAgesAreReadToo) {
  std::string bytes("EVCK\x01\0\0\0", 8);
  base::put_u32(bytes, 0);
  base::put_u64(bytes, 7);
  base::put_u64(bytes, 99);
  base::put_varint(bytes, 0);
  base::put_varint(bytes, 1);
  base::put_string(bytes, "old");
  base::put_varint(bytes, 2);
  for (const std::uint64_t v : {1, 8, 60'000, 10, 0, 5}) base::put_varint(bytes, v);
  base::store_fixed(bytes.data() + 8, base::crc32c(std::string_view(bytes).substr(12)));
  const auto read = read_checkpoint(bytes);
  ASSERT_TRUE(read) << read.error().text;
  ASSERT_EQ(read->unordered.size(), 1u);
  EXPECT_EQ(read->unordered[0].runs, (std::vector<LsnRun>{{Lsn(1), Lsn(9)}, {Lsn(20), Lsn(20)}}));
}

}  // namespace
}  // namespace evodb::ingest
