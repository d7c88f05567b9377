// SqliteOutbox as a guest: beside an application in another process whose busy_timeout is 0.
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "base/posix/system_clock.h"
#include "capture/capture_test_db.h"
#include "capture/other_process.h"

namespace evodb::capture {
namespace {

class Taken final : public ChangeSink {
 public:
  bool take(const OutboxChange& change) override {
    if (change.op == Op::kInsert || change.op == Op::kUpdate) ++changes;
    EXPECT_GT(change.lsn, last);
    last = change.lsn;
    return true;
  }
  Lsn last;
  std::uint64_t changes = 0;
};

class PoliteOutboxTest : public ::testing::TestWithParam<std::string> {
 protected:
  void make() {
    {
      App app(path_);
      ASSERT_EQ(app.text("PRAGMA journal_mode = " + GetParam()), GetParam());
      app.run("CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER, filler TEXT)");
    }
    ASSERT_TRUE(install({.db = path_, .source = "s"}, wall_, random_));
    App app(path_);
    app.run(
        "WITH RECURSIVE i(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM i WHERE x < 50) "
        "INSERT INTO t SELECT x, 0, 'filler' FROM i");
  }
  std::unique_ptr<SqliteOutbox> open(PoliteOptions polite) {
    auto outbox =
        SqliteOutbox::open(path_, {.busy_timeout_ms = 1'000, .clock = &clock_, .polite = polite});
    EXPECT_TRUE(outbox) << outbox.error().text;
    return std::move(*outbox);
  }

  TempDir dir_;
  const std::string path_ = dir_.file("app.db");
  sim::FakeClock wall_;
  sim::SeededRandom random_{7};
  base::SystemClock clock_;
};

TEST_P(PoliteOutboxTest, AnApplicationThatWaitsForNothingNeverFailsAndEveryChangeIsRead) {
  make();
  OtherProcess app(path_);
  ASSERT_EQ(app.run("PRAGMA journal_mode = " + GetParam() + "; PRAGMA synchronous = OFF"),
            SQLITE_OK);
  // As eager as can be: every moment is used to read, and to trim where that is polite.
  auto outbox = open({.trim_bytes = 1, .idle_ms = 5, .long_idle_ms = 5});
  Taken taken;
  std::atomic<bool> over = false;
  int failures = 0;
  std::atomic<unsigned> reads = 0;  // while the application wrote
  unsigned transactions = 0;
  // 300; more where the machine gave the reader no turn meanwhile, which would prove nothing.
  std::thread application([&] {
    for (unsigned i = 0; i < 300 || (reads == 0 && i < 30'000); ++i, ++transactions) {
      const std::string id = std::to_string(i % 50 + 1);
      int code = app.run("BEGIN");
      if (code == SQLITE_OK) code = app.run("SELECT n FROM t WHERE id = " + id);
      std::this_thread::sleep_for(std::chrono::milliseconds(i % 3));
      if (code == SQLITE_OK) code = app.run("UPDATE t SET n = n + 1 WHERE id = " + id);
      std::this_thread::sleep_for(std::chrono::milliseconds(i % 2));
      if (code == SQLITE_OK) code = app.run("COMMIT");
      if (code == SQLITE_OK) continue;
      ++failures;
      app.run("ROLLBACK");
    }
    over = true;
  });
  for (bool last = false; !last;) {
    last = over;
    const auto changed = outbox->changed();
    EXPECT_TRUE(changed || may_pass(changed.error().kind)) << changed.error().text;
    const auto read = outbox->read(taken.last, taken);
    EXPECT_TRUE(read || may_pass(read.error().kind)) << read.error().text;
    reads += read && !last ? 1 : 0;
    if (last && taken.changes < 50 + transactions - static_cast<unsigned>(failures)) last = false;
  }
  application.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(taken.changes, 50 + transactions);
  EXPECT_GT(reads, 0u) << "nothing was read while the application wrote";
}

TEST_P(PoliteOutboxTest, ReadingGoesOnWhileTheLogCannotBeClaimed) {
  make();
  OtherProcess app(path_);
  ASSERT_EQ(app.run("BEGIN; SELECT count(*) FROM t"), SQLITE_OK);
  auto outbox = open({});
  const auto state = outbox->state();
  ASSERT_TRUE(state) << state.error().text;
  Taken taken;
  const auto read = outbox->read(state->trimmed, taken);
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(taken.changes, 50u);
  EXPECT_EQ(outbox->polite_stats().steps, 0u);
  EXPECT_EQ(app.run("UPDATE t SET n = 1; COMMIT"), SQLITE_OK);
}

TEST_P(PoliteOutboxTest, IsNotCaughtUpBeforeTheSchemaWasCompared) {
  make();
  {
    App app(path_);
    app.run(
        app.text("SELECT group_concat('DROP TRIGGER ' || name, ';') FROM sqlite_schema "
                 "WHERE type = 'trigger'"));
    app.run("INSERT INTO t VALUES(1000, 1, 'unseen')");
  }
  OtherProcess reader(path_);
  ASSERT_EQ(reader.run("BEGIN; SELECT count(*) FROM t"), SQLITE_OK);
  auto outbox =
      must(SqliteOutbox::open(path_, {.clock = &wall_, .polite = PoliteOptions{.idle_ms = 20}}));
  ASSERT_TRUE(outbox->state());
  for (int i = 0; i < 5; ++i) {
    const auto refreshed = outbox->refresh_if_schema_changed();
    ASSERT_FALSE(refreshed) << "a reader stands in the way of new triggers";
    EXPECT_EQ(refreshed.error().kind, ErrorKind::kRetry) << refreshed.error().text;
    const auto changed = outbox->changed();
    EXPECT_TRUE(changed) << changed.error().text;
    EXPECT_TRUE(outbox->resending());
    EXPECT_FALSE(outbox->rest());
    wall_.advance_ms(12);
  }
  ASSERT_EQ(reader.run("COMMIT"), SQLITE_OK);
  for (int i = 0; outbox->resending() && i < 1'000; ++i) {
    wall_.advance_ms(30);
    static_cast<void>(outbox->refresh_if_schema_changed());
    static_cast<void>(outbox->changed());
  }
  EXPECT_FALSE(outbox->resending());
  App app(path_);
  EXPECT_GT(app.number("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'"), 0);
  EXPECT_EQ(app.number("SELECT count(*) FROM evodb_outbox WHERE op = 6"), 1);
  EXPECT_EQ(app.number("SELECT count(*) FROM evodb_outbox WHERE op = 3 AND v0 = 1000"), 1);
}

TEST_P(PoliteOutboxTest, ATrimWaitsUntilItIsWorthAWrite) {
  make();
  auto outbox = open({.trim_bytes = 1u << 30, .idle_ms = 100'000, .long_idle_ms = 100'000});
  ASSERT_TRUE(outbox->state());
  Taken taken;
  ASSERT_TRUE(outbox->read(Lsn(), taken));
  EXPECT_FALSE(outbox->wants_trim(taken.last));
  auto eager = open({.trim_bytes = 1});
  ASSERT_TRUE(eager->state());
  Taken again;
  ASSERT_TRUE(eager->read(Lsn(), again));
  EXPECT_TRUE(eager->wants_trim(again.last));
}

// --- space ---------------------------------------------------------------------------------------

TEST_P(PoliteOutboxTest, AnOutboxOverItsLimitStopsCaptureUntilThereIsSpaceAndBeginsAnew) {
  make();
  std::vector<std::string> told;
  const auto open_with = [&](std::uint64_t max_bytes) {
    SqliteOutboxOptions options;
    options.clock = &wall_;
    options.polite.emplace();
    options.polite->reserve_bytes = 64u << 10;
    options.space.max_bytes = max_bytes;
    options.on_event = [&](const std::string& what) { told.push_back(what); };
    auto outbox = SqliteOutbox::open(path_, options);
    EXPECT_TRUE(outbox) << outbox.error().text;
    wall_.advance_ms(1'500);  // so long nobody was seen
    EXPECT_TRUE((*outbox)->state());
    EXPECT_TRUE((*outbox)->changed());
    return std::move(*outbox);
  };
  const auto triggers = [&] {
    return App(path_).number("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'");
  };
  ASSERT_GT(triggers(), 0);
  open_with(1'000).reset();
  EXPECT_EQ(triggers(), 0);
  ASSERT_FALSE(told.empty());
  EXPECT_NE(told.back().find("PAUSED"), std::string::npos) << told.back();
  App(path_).run("INSERT INTO t VALUES(1000, 1, 'unseen')");
  EXPECT_EQ(App(path_).number("SELECT count(*) FROM evodb_outbox WHERE op = 6"), 0);

  open_with(1u << 30).reset();
  EXPECT_GT(triggers(), 0);
  EXPECT_NE(told.back().find("goes on"), std::string::npos) << told.back();
  EXPECT_EQ(App(path_).number("SELECT count(*) FROM evodb_outbox WHERE op = 6"), 1);
  EXPECT_EQ(App(path_).number("SELECT count(*) FROM evodb_state WHERE key = 'full'"), 0);
}

TEST_P(PoliteOutboxTest, WhatAnOutboxHoldsIsWeighedThoughNobodyReadIt) {
  make();
  SqliteOutboxOptions options;
  options.clock = &wall_;
  options.polite.emplace();
  options.polite->reserve_bytes = 0;
  options.space.max_bytes = 2u << 20;
  auto outbox = must(SqliteOutbox::open(path_, options));
  must(outbox->state());
  const auto look = [&] {
    for (int i = 0; i < 2; ++i) {  // under a rollback journal not right behind a write of others
      wall_.advance_ms(1'500);
      must(outbox->changed());
    }
  };
  const auto captured = [&] {
    return App(path_).number("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'") > 0;
  };
  const auto insert = [&](int rows, int bytes) {
    App(path_).run("WITH RECURSIVE i(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM i WHERE x < " +
                   std::to_string(rows) + ") INSERT INTO t(n, filler) SELECT 0, " +
                   "hex(zeroblob(" + std::to_string(bytes / 2) + ")) FROM i");
  };
  // Many small ones were read, and tell nothing of the large ones behind them.
  insert(2'000, 10);
  look();
  Taken taken;
  must(outbox->read(Lsn(), taken));
  EXPECT_TRUE(captured());
  insert(30, 20'000);
  look();
  EXPECT_TRUE(captured()) << "some 700 KB";
  insert(1, 1'500'000);
  look();
  EXPECT_FALSE(captured()) << "2.2 MB";
}

TEST_P(PoliteOutboxTest, OrLetsWritesFailAndSaysWhy) {
  make();
  const auto open_with = [&](std::uint64_t max_bytes) {
    SqliteOutboxOptions options;
    options.clock = &wall_;
    options.polite.emplace();
    options.polite->reserve_bytes = 0;
    options.space = {.max_bytes = max_bytes, .when_full = WhenFull::kBlock};
    auto outbox = SqliteOutbox::open(path_, options);
    EXPECT_TRUE(outbox) << outbox.error().text;
    wall_.advance_ms(1'500);
    EXPECT_TRUE((*outbox)->state());
    EXPECT_TRUE((*outbox)->changed());
  };
  open_with(1'000);
  {
    App app(path_);
    EXPECT_EQ(app.try_run("INSERT INTO t VALUES(1000, 1, 'x')"), SQLITE_CONSTRAINT);
    EXPECT_NE(app.message().find("outbox of captured changes is full"), std::string::npos);
  }
  open_with(1u << 30);
  App(path_).run("INSERT INTO t VALUES(1000, 1, 'x')");
}

INSTANTIATE_TEST_SUITE_P(Journals, PoliteOutboxTest,
                         ::testing::Values("wal", "delete", "truncate", "persist"));

}  // namespace
}  // namespace evodb::capture
