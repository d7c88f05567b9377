// One flush against a store and a catalog that fail in every way: it ends committed, once, with the
// files that it put, or says why not.
#include "lake/flush_machine.h"

#include <unistd.h>

#include <algorithm>
#include <set>

#include "lake/lake_world.h"
#include "sim/seams/fake_clock.h"
#include "sim/seams/fake_store.h"
#include "table/catalog.h"

namespace evodb::lake {
namespace {

using Fault = sim::FakeStore::Fault;

class Machines : public LakeWorld {
 protected:
  Machines() {
    std::string pattern = testing::TempDir() + "evodb_lake_XXXXXX";
    folder = ::mkdtemp(pattern.data());
    real = std::move(*table::open_sqlite_catalog(folder + "/catalog.db", "evodb", "evodb"));
    identity.writer = *real->claim();
    identity.writer.value -= 1;
    start();
  }
  ~Machines() override { std::system(("rm -rf '" + folder + "'").c_str()); }

  std::unique_ptr<FlushJob> job_of(std::uint64_t lsn) {
    send("s", 1,
         {insert(lsn, {Value::integer(static_cast<std::int64_t>(lsn)), Value::text("tea"), Value(),
                       Value()})});
    lake->request_flush();
    return lake->next_flush(now);
  }
  FlushMachine machine_of(std::unique_ptr<FlushJob> job) {
    return FlushMachine(std::move(job), encoder, store, clock, random, options_of_flush);
  }
  // Drives it to its end; waits by moving the clock.
  void run(FlushMachine& machine) {
    waited_ms = 0;
    for (int step = 0; step < 10'000; ++step) {
      FlushStep next = machine.next();
      if (next.done()) return;
      if (next.io) {
        machine.on_response(table::perform(store, *real, *next.io));
        continue;
      }
      waited_ms += next.wait_ms;
      clock.advance_ms(next.wait_ms);
      if (after_wait) after_wait(machine);
    }
    FAIL() << "it never ends";
  }
  // Drives it until it waits, for so long, or has ended: 0.
  std::int64_t run_until_wait(FlushMachine& machine) {
    for (;;) {
      const FlushStep step = machine.next();
      if (!step.io) return step.wait_ms;
      machine.on_response(table::perform(store, *real, *step.io));
    }
  }
  void finish(FlushMachine& machine) { lake->on_flush_done(machine.id(), machine.outcome(), now); }

  // What a reader sees: the LSNs of all live files.
  std::vector<std::uint64_t> visible() {
    std::vector<std::uint64_t> lsns;
    const auto location = *real->load("goods_changes");
    if (!location) return lsns;
    const auto live = table::list_live_files(store, *location);
    for (const auto& file : live->data) {
      const std::string bytes = *store.get(*store.key_of(file.location));
      EXPECT_EQ(static_cast<std::int64_t>(bytes.size()), file.file_bytes);
      EXPECT_TRUE(scan_identities(
          bytes, [&](std::string_view, Epoch, Lsn lsn) { lsns.push_back(lsn.value); }));
    }
    std::ranges::sort(lsns);
    return lsns;
  }

  std::string folder;
  sim::FakeClock clock;
  sim::FakeStore store{clock};
  sim::SeededRandom random{5};
  std::unique_ptr<table::Catalog> real;
  FlushOptions options_of_flush;
  std::int64_t waited_ms = 0;
  std::function<void(FlushMachine&)> after_wait;
};

TEST_F(Machines, EncodesPutsAndCommits) {
  for (std::uint64_t lsn = 1; lsn <= 3; ++lsn) {
    auto machine = machine_of(job_of(lsn));
    run(machine);
    ASSERT_TRUE(machine.outcome()) << machine.outcome().error().text;
    EXPECT_EQ(machine.outcome()->watermark->position, records.back().end);
    EXPECT_EQ(machine.outcome()->total_records, static_cast<std::int64_t>(lsn));
    EXPECT_FALSE(machine.last_error());
    EXPECT_EQ(waited_ms, 0);
    finish(machine);
  }
  EXPECT_EQ(visible(), (std::vector<std::uint64_t>{1, 2, 3}));
  EXPECT_EQ(lake->landed_through(), records.back().end);
}

TEST_F(Machines, ACallThatIsNotAnsweredIsNamedWithItsAge) {
  auto machine = machine_of(job_of(1));
  EXPECT_FALSE(machine.call_under_way());
  std::set<std::string> whats;
  for (FlushStep step = machine.next(); step.io; step = machine.next()) {
    const auto began = clock.monotonic();
    clock.advance_ms(70);
    ASSERT_TRUE(machine.call_under_way());
    EXPECT_EQ(machine.call_under_way()->since, began);
    whats.insert(machine.call_under_way()->what);
    machine.on_response(table::perform(store, *real, *step.io));
    EXPECT_FALSE(machine.call_under_way());
  }
  ASSERT_TRUE(machine.outcome());
  EXPECT_TRUE(whats.contains("load of goods_changes from the catalog"));
  EXPECT_TRUE(whats.contains("commit of goods_changes to the catalog"));
}

TEST_F(Machines, TheTablesOfTheCatalogGoOnAfterARestart) {
  for (std::uint64_t lsn = 1; lsn <= 3; ++lsn) {
    auto machine = machine_of(job_of(lsn));
    run(machine);
    ASSERT_TRUE(machine.outcome()) << machine.outcome().error().text;
    catalog.clear();
    const auto entries = real->list();
    for (const auto& entry : *entries) {
      const auto json = store.get(*store.key_of(entry.metadata_location));
      const auto state =
          table::parse_table_state(entry.name, entry.metadata_location, *json, store);
      ASSERT_TRUE(state) << state.error().text;
      catalog[entry.name] = *state;
    }
    identity.writer = *real->claim();
    identity.writer.value -= 1;
    start();
    ASSERT_TRUE(read_all());
    EXPECT_EQ(lake->stats(now).buffers.entries, 0u);
  }
  EXPECT_EQ(visible(), (std::vector<std::uint64_t>{1, 2, 3}));
}

// Every call of a flush in turn fails in every way.
TEST_F(Machines, WhicheverCallFailsTheRowsLandOnce) {
  std::vector<std::uint64_t> want;
  std::uint64_t lsn = 1;
  for (const Fault fault : {Fault::kRetry, Fault::kUnknownBefore, Fault::kUnknownAfter}) {
    for (std::uint64_t call = 1; call <= 8; ++call) {
      SCOPED_TRACE(testing::Message() << static_cast<int>(fault) << " at call " << call);
      auto machine = machine_of(job_of(lsn));
      store.fail_call(call, fault);
      run(machine);
      store.clear_faults();
      ASSERT_TRUE(machine.outcome()) << machine.outcome().error().text;
      finish(machine);
      want.push_back(lsn++);
      ASSERT_EQ(visible(), want);
    }
  }
}

TEST_F(Machines, WhileTheStoreIsAwayItWaitsLongerAndLongerAndSaysWhy) {
  options_of_flush.retry_ms_max = 5'000;
  auto machine = machine_of(job_of(1));
  store.set_away(true);
  std::vector<std::int64_t> waits;
  while (waits.size() < 12) {
    const std::int64_t wait_ms = run_until_wait(machine);
    ASSERT_GT(wait_ms, 0);
    waits.push_back(wait_ms);
    clock.advance_ms(wait_ms);
  }
  EXPECT_GE(waits[0], 50);
  EXPECT_LE(waits[0], 100);
  EXPECT_GE(waits.back(), 2'500);
  EXPECT_LE(waits.back(), 5'000);
  EXPECT_EQ(machine.last_error()->kind, ErrorKind::kRetry);
  store.set_away(false);
  run(machine);
  ASSERT_TRUE(machine.outcome());
  EXPECT_FALSE(machine.last_error());
  // One data file: its name outlived every retry.
  const auto objects = store.objects();
  EXPECT_EQ(
      std::ranges::count_if(objects, [](const auto& o) { return o.first.ends_with(".parquet"); }),
      1);
}

TEST_F(Machines, HurryEndsAWaitAndGivingUpEndsTheFlush) {
  auto machine = machine_of(job_of(1));
  store.set_away(true);
  EXPECT_GT(run_until_wait(machine), 0);
  const std::uint64_t calls = store.calls();
  machine.hurry();
  EXPECT_GT(run_until_wait(machine), 0) << "one wait, not all";
  EXPECT_GT(store.calls(), calls) << "without the clock moving";
  machine.give_up();
  EXPECT_TRUE(machine.next().done());
  EXPECT_EQ(machine.outcome().error().kind, ErrorKind::kRetry);
}

TEST_F(Machines, GivingUpLetsAFlushFinishThatMeetsNoError) {
  auto machine = machine_of(job_of(1));
  machine.give_up();
  run(machine);
  EXPECT_TRUE(machine.outcome());
}

TEST_F(Machines, AnotherWriterFencesIt) {
  auto machine = machine_of(job_of(1));
  ASSERT_TRUE(real->claim());
  run(machine);
  EXPECT_EQ(machine.outcome().error().kind, ErrorKind::kFenced);
  EXPECT_EQ(visible(), std::vector<std::uint64_t>{});
}

TEST_F(Machines, AFlushIsCutIntoFilesOfTheSizeThatIsAllowed) {
  std::vector<SentChange> changes;
  for (std::uint64_t lsn = 1; lsn <= 1'000; ++lsn) {
    changes.push_back(
        insert(lsn, {Value::integer(1), Value::text(std::string(1'000, 'x')), Value(), Value()}));
  }
  send("s", 1, changes);
  options_of_flush.file_bytes_max = 300'000;
  lake->request_flush();
  auto machine = machine_of(lake->next_flush(now));
  run(machine);
  ASSERT_TRUE(machine.outcome());
  EXPECT_GE(machine.outcome()->total_files, 4);
  EXPECT_LE(machine.outcome()->total_files, 7);
  EXPECT_EQ(visible().size(), 1'000u);
}

class FailingEncoder final : public FileEncoder {
 public:
  Result<std::vector<EncodedFile>> encode(const FlushJob&, std::uint64_t) override {
    return fail(ErrorKind::kInternal, "out of ideas");
  }
};

TEST_F(Machines, WhatCannotBeEncodedIsFinal) {
  FailingEncoder failing;
  FlushMachine machine(job_of(1), failing, store, clock, random, options_of_flush);
  EXPECT_TRUE(machine.next().done());
  EXPECT_EQ(machine.outcome().error().text, "out of ideas");
}

}  // namespace
}  // namespace evodb::lake
