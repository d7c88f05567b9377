// SqliteOutbox as a guest: beside an application in another process whose busy_timeout is 0.
#include <atomic>
#include <chrono>
#include <thread>

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
  constexpr int transactions = 300;
  std::thread application([&] {
    for (int i = 0; i < transactions; ++i) {
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
  std::uint64_t reads = 0;
  for (bool last = false; !last;) {
    last = over;
    const auto changed = outbox->changed();
    EXPECT_TRUE(changed || may_pass(changed.error().kind)) << changed.error().text;
    const auto read = outbox->read(taken.last, taken);
    EXPECT_TRUE(read || may_pass(read.error().kind)) << read.error().text;
    reads += read ? 1 : 0;
    if (last && taken.changes < 50u + transactions - static_cast<unsigned>(failures)) last = false;
  }
  application.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(taken.changes, 50u + transactions);
  EXPECT_GT(reads, 10u);
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

INSTANTIATE_TEST_SUITE_P(Journals, PoliteOutboxTest,
                         ::testing::Values("wal", "delete", "truncate", "persist"));

}  // namespace
}  // namespace evodb::capture
