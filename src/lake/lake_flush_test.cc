// When tables flush, what a restart lands again, how far things have landed, and within which
// memory.
#include <algorithm>
#include <random>

#include "lake/lake_world.h"

namespace evodb::lake {
namespace {

std::vector<Value> row_of(std::int64_t id, const std::string& name = "") {
  return {Value::integer(id), name.empty() ? Value() : Value::text(name), Value(), Value()};
}
wire::TableDef table_named(const std::string& name) {
  auto def = goods();
  def.name = name;
  return def;
}

using Flushes = LakeWorld;
using Marks = std::map<std::string, std::uint64_t>;

TEST_F(Flushes, ATableIsDueAtItsThresholdItsAgeOrOnRequest) {
  options.flush_threshold_entries = 3;
  options.buffer_age_ms_max = 500;
  start();
  EXPECT_EQ(lake->next_deadline(), std::nullopt);
  send("s", 1, {insert(1, row_of(1)), insert(2, row_of(2))});
  EXPECT_EQ(lake->next_flush(now), nullptr);
  EXPECT_EQ(lake->next_deadline(), base::MonotonicMillis(now.value + 500));
  now.value += 499;
  EXPECT_EQ(lake->next_flush(now), nullptr);
  now.value += 1;
  auto job = lake->next_flush(now);
  ASSERT_TRUE(job) << "age";
  commit(*job);

  // A quarter of the greatest age after the last flush began.
  send("s", 1, {insert(3, row_of(3)), insert(4, row_of(4)), insert(5, row_of(5))});
  EXPECT_EQ(lake->next_flush(now), nullptr);
  EXPECT_EQ(lake->next_deadline(), base::MonotonicMillis(now.value + 125));
  now.value += 124;
  EXPECT_EQ(lake->next_flush(now), nullptr);
  now.value += 1;
  job = lake->next_flush(now);
  ASSERT_TRUE(job) << "threshold";
  commit(*job);

  send("s", 1, {insert(6, row_of(6))});
  EXPECT_EQ(lake->next_flush(now), nullptr);
  EXPECT_EQ(lake->request_flush(), records.back().end);
  job = lake->next_flush(now);
  ASSERT_TRUE(job) << "asked for";
  commit(*job);
  EXPECT_EQ(rows("goods_changes").size(), 6u);
  EXPECT_EQ(lake->landed_through(), records.back().end);
}

TEST_F(Flushes, ThresholdsMakeNoMoreThanFourFlushesASecond) {
  options.flush_threshold_entries = 2;
  options.buffer_age_ms_max = 3'600'000;
  start();
  int flushes = 0;
  for (std::uint64_t lsn = 1; lsn <= 2'000; ++lsn, ++now.value) {
    send("s", 1, {insert(lsn, row_of(1))});
    const auto job = lake->next_flush(now);
    if (!job) continue;
    EXPECT_TRUE(flushes > 0 || lsn == 2) << "the first one need not wait";
    ++flushes;
    commit(*job);
  }
  EXPECT_EQ(flushes, 8);
}

TEST_F(Flushes, OneFlushOfATableRunsAtATimeAndTheBufferFillsOn) {
  options.flush_threshold_entries = 1;
  start();
  send("s", 1, {insert(1, row_of(1))});
  const auto first = lake->next_flush(now);
  ASSERT_TRUE(first);
  send("s", 1, {insert(2, row_of(2)), insert(3, row_of(3))});
  EXPECT_EQ(lake->next_flush(now), nullptr);
  EXPECT_EQ(lake->next_deadline(), std::nullopt);
  EXPECT_EQ(lake->stats(now).buffers.entries, 3u);
  commit(*first);
  now.value += 250;
  const auto second = lake->next_flush(now);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->rows->rows(), 2u);
  EXPECT_EQ(second->expected, first->watermark);
  commit(*second);
  EXPECT_EQ(lake->stats(now).buffers.entries, 0u);
  EXPECT_EQ(lake->stats(now).buffers.bytes, 0u);
}

TEST_F(Flushes, NoMoreFlushesRunThanAllowedAndTheOldestGoesFirst) {
  options.flushes_max = 2;
  start();
  for (const char* name : {"c", "a", "b"}) {
    send("s", 1, {insert(records.size() + 1, row_of(1))}, table_named(name));
    ++now.value;
  }
  lake->request_flush();
  const auto first = lake->next_flush(now), second = lake->next_flush(now);
  EXPECT_EQ(first->table, "c_changes");
  EXPECT_EQ(second->table, "a_changes");
  EXPECT_EQ(lake->next_flush(now), nullptr);
  EXPECT_EQ(lake->next_deadline(), std::nullopt) << "the end of a flush is what to wait for";
  commit(*first);
  EXPECT_EQ(lake->next_flush(now)->table, "b_changes");
}

TEST_F(Flushes, UnderMemoryPressureTheLargestGoesFirstAndReadingStopsAtTheBound) {
  options.buffer_bytes_max = 400'000;
  options.buffer_age_ms_max = 1'000'000;
  start();
  send("s", 1, {insert(1, row_of(1))}, table_named("small"));
  std::uint64_t lsn = 2;
  while (lake->has_room()) {
    send("s", 1, {insert(lsn, row_of(1, std::string(1'000, 'x')))}, table_named("large"));
    ++lsn;
  }
  EXPECT_GE(lake->stats(now).buffers.bytes, options.buffer_bytes_max);
  EXPECT_LT(lake->stats(now).buffers.bytes, options.buffer_bytes_max + 200'000)
      << "one record's growth over the bound, no more";
  const auto job = lake->next_flush(now);
  ASSERT_TRUE(job);
  EXPECT_EQ(job->table, "large_changes");
  EXPECT_FALSE(lake->has_room()) << "sealed rows are memory as well";
  commit(*job);
  EXPECT_TRUE(lake->has_room());
}

TEST_F(Flushes, MemoryIsCountedAsItIsTaken) {
  send("s", 1, {insert(1, row_of(1, std::string(100'000, 'x')))});
  const auto bytes = lake->stats(now).buffers.bytes;
  EXPECT_GT(bytes, 100'000u);
  EXPECT_LT(bytes, 110'000u);
}

TEST_F(Flushes, EntriesAreBoundedToo) {
  options.buffer_entries_max = 10;
  start();
  for (std::uint64_t lsn = 1; lsn <= 10; ++lsn) {
    EXPECT_TRUE(lake->has_room());
    send("s", 1, {insert(lsn, row_of(1))});
  }
  EXPECT_FALSE(lake->has_room());
  EXPECT_TRUE(lake->next_flush(now));
}

TEST_F(Flushes, AFailedFlushKeepsItsRowsBacksOffAndGoesOn) {
  send("s", 1, {insert(1, row_of(1))});
  lake->request_flush();
  auto job = lake->next_flush(now);
  lake->on_flush_done(job->id, fail(ErrorKind::kInvalid, "somebody dropped the table"), now);
  EXPECT_EQ(lake->next_flush(now), nullptr);
  EXPECT_EQ(lake->stats(now).tables[0].last_error->text, "somebody dropped the table");
  EXPECT_EQ(lake->stats(now).flush_failures, 1u);
  EXPECT_EQ(marks(), Marks{});
  const auto deadline = lake->next_deadline();
  ASSERT_TRUE(deadline);
  send("s", 1, {insert(2, row_of(2))});
  now = *deadline;
  job = lake->next_flush(now);
  ASSERT_TRUE(job);
  EXPECT_EQ(job->rows->rows(), 1u) << "the same rows under the same watermark";
  commit(*job);
  flush_all();
  EXPECT_EQ(lsns("goods_changes"), (std::vector<std::string>{"s:1", "s:2"}));
  EXPECT_FALSE(lake->stats(now).tables[0].last_error);
}

TEST_F(Flushes, AFencedLakeStopsAndSaysSo) {
  send("s", 1, {insert(1, row_of(1))});
  lake->request_flush();
  const auto job = lake->next_flush(now);
  lake->on_flush_done(job->id, fail(ErrorKind::kFenced, "another parent writes here"), now);
  now.value += 1'000'000;
  EXPECT_EQ(lake->next_flush(now), nullptr);
  append("s", 1, {goods()}, {insert(2, row_of(2))});
  EXPECT_EQ(read_all().error().kind, ErrorKind::kFenced);
}

TEST_F(Flushes, AReplaySkipsWhatEachTableHasAndLandsTheRestOnce) {
  send("s", 1, {insert(1, row_of(1))}, table_named("a"));
  flush_all();
  append("s", 1, {table_named("a"), table_named("b")},
         {insert(2, row_of(2)), {.lsn = 3, .after = row_of(3), .table = 1}});
  ASSERT_TRUE(read_all());
  lake->request_flush();
  const auto job = lake->next_flush(now);  // one of the two tables commits, then kill -9
  commit(*job);
  for (int restart = 0; restart < 3; ++restart) {
    start();
    ASSERT_TRUE(read_all());
    flush_all();
    EXPECT_EQ(lsns("a_changes"), (std::vector<std::string>{"s:1", "s:2"}));
    EXPECT_EQ(lsns("b_changes"), (std::vector<std::string>{"s:3"}));
    EXPECT_EQ(marks(), (Marks{{"s", 3}}));
    EXPECT_EQ(lake->landed_through(), records.back().end);
  }
}

TEST_F(Flushes, AWatermarkOfAnotherJournalSkipsNothing) {
  send("s", 1, {insert(1, row_of(1))});
  flush_all();
  records.clear();
  identity.journal = journal::JournalId(78);
  start();
  send("s", 1, {insert(2, row_of(2))});
  flush_all();
  EXPECT_EQ(lsns("goods_changes"), (std::vector<std::string>{"s:1", "s:2"}));
}

TEST_F(Flushes, AfterTheLossOfAJournalTheFilterSkipsWhatATableHolds) {
  send("s", 1, {insert(1, row_of(1))}, table_named("a"));
  send("s", 1, {insert(2, row_of(2))}, table_named("b"));
  send("v1", 0, {insert(5, row_of(5)), insert(7, row_of(7))}, table_named("a"));
  flush_all();
  auto filter = std::make_unique<LandedFilter>();
  for (const auto& [name, encoded] : files) {
    for (const EncodedFile& file : encoded) {
      ASSERT_TRUE(scan_identities(file.bytes, [&](std::string_view source, Epoch epoch, Lsn lsn) {
        filter->add("evodb/" + name, source, epoch, lsn);
      }));
    }
  }
  records.clear();
  identity.journal = journal::JournalId(78);
  start();
  lake->set_landed_filter(std::move(filter));
  append("s", 1, {table_named("a"), table_named("b")},
         {insert(1, row_of(1)),
          {.lsn = 2, .after = row_of(2), .table = 1},
          insert(3, row_of(3)),
          {.lsn = 4, .after = row_of(4), .table = 1}});
  append("v1", 0, {table_named("a")},
         {insert(5, row_of(5)), insert(6, row_of(6)), insert(7, row_of(7))});
  ASSERT_TRUE(read_all());
  flush_all();
  EXPECT_EQ(lsns("a_changes"), (std::vector<std::string>{"s:1", "v1:5", "v1:7", "s:3", "v1:6"}));
  EXPECT_EQ(lsns("b_changes"), (std::vector<std::string>{"s:2", "s:4"}));
  EXPECT_EQ(lake->stats(now).entries_skipped, 4u);
  EXPECT_EQ(marks(), (Marks{{"s", 4}, {"v1", 7}}));
}

// evodb-sim, profile other-engines, seeds 2012 and 2015: it landed all of it a second time.
TEST_F(Flushes, TheFilterKnowsATableThatAnotherEngineHasRenamed) {
  send("s", 1, {insert(1, row_of(1))});
  flush_all();
  auto filter = std::make_unique<LandedFilter>();
  filter->add(catalog.at("goods_changes").location_key, "s", Epoch(1), Lsn(1));
  records.clear();
  identity.journal = journal::JournalId(78);
  auto renamed = catalog.extract("goods_changes");
  renamed.key() = renamed.mapped().name = "wares";
  catalog.insert(std::move(renamed));
  start();
  lake->set_landed_filter(std::move(filter));
  send("s", 1, {insert(1, row_of(1)), insert(2, row_of(2))});
  ASSERT_TRUE(read_all());
  flush_all();
  EXPECT_EQ(lsns("wares"), (std::vector<std::string>{"s:2"}));
  EXPECT_EQ(lake->stats(now).entries_skipped, 1u);
}

TEST_F(Flushes, ChangesThatABatchRepeatsAreNotLandedAgain) {
  append("s", 1, {goods()}, {insert(1, row_of(1)), insert(2, row_of(2))});
  append("s", 1, {goods()}, {insert(2, row_of(2)), insert(3, row_of(3))}, /*skip_through=*/2);
  ASSERT_TRUE(read_all());
  flush_all();
  EXPECT_EQ(lsns("goods_changes"), (std::vector<std::string>{"s:1", "s:2", "s:3"}));
}

TEST_F(Flushes, ASourceIsAcknowledgedByItsOwnTablesAndTheJournalTrimmedByAll) {
  send("one", 1, {insert(1, row_of(1))}, table_named("a"));
  const Position second = records.back().end;
  send("two", 1, {insert(1, row_of(1))}, table_named("b"));
  send("one", 1, {insert(2, row_of(2))}, table_named("a"));
  lake->request_flush();
  const auto a = lake->next_flush(now), b = lake->next_flush(now);
  ASSERT_EQ(a->table, "a_changes");
  commit(*a);
  EXPECT_EQ(marks(), (Marks{{"one", 2}})) << "though the other table has not landed";
  EXPECT_GE(lake->landed_through(), second);
  EXPECT_LT(lake->landed_through(), records.back().end);
  commit(*b);
  EXPECT_EQ(marks(), (Marks{{"two", 1}}));
  EXPECT_EQ(lake->landed_through(), records.back().end);
  EXPECT_EQ(marks(), Marks{}) << "each once";
}

TEST_F(Flushes, AMarkStopsBeforeTheFirstChangeThatHasNotLanded) {
  send("s", 1, {insert(1, row_of(1))}, table_named("a"));
  send("s", 1, {insert(2, row_of(2))}, table_named("b"));
  send("s", 1, {insert(3, row_of(3))}, table_named("a"));
  lake->request_flush();
  const auto a = lake->next_flush(now), b = lake->next_flush(now);
  commit(*a);
  EXPECT_EQ(marks(), (Marks{{"s", 1}}));
  commit(*b);
  EXPECT_EQ(marks(), (Marks{{"s", 3}}));
}

// Whatever is read, flushed, failed and restarted in whatever order: each change once, in order,
// and no mark or trim position ahead of what is committed.
TEST_F(Flushes, RandomHistoriesLandEveryChangeOnceAndNeverAcknowledgeEarly) {
  options.flush_threshold_entries = 5;
  for (unsigned seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto below = [&](unsigned n) {
      return std::uniform_int_distribution<unsigned>(0, n - 1)(random);
    };
    records.clear();
    catalog.clear();
    landed.clear();
    files.clear();
    start();
    std::map<std::string, std::uint64_t> next, persisted;
    std::vector<std::unique_ptr<FlushJob>> running;
    for (int step = 0; step < 80; ++step) {
      now.value += below(400);
      switch (below(6)) {
        case 0:
        case 1: {
          const std::string source = "s" + std::to_string(below(3));
          std::vector<SentChange> changes;
          for (unsigned n = below(4) + 1; n > 0; --n) {
            changes.push_back({.lsn = ++next[source], .after = row_of(1), .table = below(2)});
          }
          append(source, 1, {table_named("a"), table_named("b")}, changes);
          ASSERT_TRUE(read_all());
          break;
        }
        case 2:
          if (auto job = lake->next_flush(now)) running.push_back(std::move(job));
          break;
        case 3:
        case 4: {
          if (running.empty()) break;
          std::swap(running[below(static_cast<unsigned>(running.size()))], running.back());
          const auto job = std::move(running.back());
          running.pop_back();
          if (below(4) == 0) {
            lake->on_flush_done(job->id, fail(ErrorKind::kRetry, "given up"), now);
          } else {
            commit(*job);
          }
          break;
        }
        case 5:
          if (below(4) != 0) break;
          running.clear();
          start();
          ASSERT_TRUE(read_all());
      }
      for (const auto& [source, lsn] : marks())
        persisted[source] = std::max(persisted[source], lsn);
      std::map<std::string, std::vector<std::uint64_t>> seen;
      for (const auto& [name, rows] : landed) {
        for (const Row& row : rows) seen[row.at("_source")].push_back(std::stoull(row.at("_lsn")));
      }
      for (auto& [source, lsn] : persisted) {
        for (std::uint64_t l = 1; l <= lsn; ++l) {
          ASSERT_EQ(std::ranges::count(seen[source], l), 1) << source << " " << l;
        }
      }
    }
    for (auto& job : running) commit(*job);
    now.value += 100'000;
    flush_all();
    std::size_t total = 0, want = 0;
    for (const auto& [name, rows] : landed) total += rows.size();
    for (const auto& [source, lsn] : next) want += lsn;
    EXPECT_EQ(total, want);
    EXPECT_EQ(lake->landed_through(), records.empty() ? Position(0) : records.back().end);
  }
}

}  // namespace
}  // namespace evodb::lake
