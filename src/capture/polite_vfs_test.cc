#include "capture/polite_vfs.h"

#include <atomic>
#include <thread>

#include "capture/capture_test_db.h"
#include "capture/other_process.h"
#include "sim/seams/fake_disk.h"
#include "sim/seams/sqlite_disk.h"

namespace evodb::capture {
namespace {

Database open_polite(const std::string& path, const std::string& vfs = "") {
  auto db = Database::open(path, {.busy_timeout_ms = 0, .vfs = vfs, .polite = true});
  EXPECT_TRUE(db) << db.error().text;
  return std::move(*db);
}

void make(const std::string& path, const std::string& mode) {
  App app(path);
  ASSERT_EQ(app.text("PRAGMA journal_mode = " + mode), mode);
  app.run("CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER, filler BLOB)");
  app.run(
      "WITH RECURSIVE i(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM i WHERE x < 200) "
      "INSERT INTO t SELECT x, 0, zeroblob(1000) FROM i");
}

Result<std::int64_t> sum(const Database& db) {
  return consistently(db, [&] { return db.integer("SELECT sum(n) FROM t"); });
}

class PoliteVfsTest : public ::testing::Test {
 protected:
  TempDir dir_;
  const std::string path_ = dir_.file("app.db");
};

// --- WAL ----------------------------------------------------------------------------------------

TEST_F(PoliteVfsTest, ReadersAreShutOutOnlyWhenNobodyReads) {
  make(path_, "wal");
  App app(path_);
  const Database db = open_polite(path_);
  PoliteVfs& vfs = *db.polite();
  ASSERT_TRUE(vfs.in_wal_mode());
  app.run("BEGIN");
  app.number("SELECT count(*) FROM t");
  EXPECT_FALSE(vfs.shut_readers_out());
  app.run("COMMIT");
  ASSERT_TRUE(vfs.shut_readers_out());
  EXPECT_FALSE(vfs.shut_readers_out()) << "they are already";
  vfs.let_readers_in();
  EXPECT_EQ(app.number("SELECT count(*) FROM t"), 200);
}

TEST_F(PoliteVfsTest, OurTransactionRunsWhileReadersAreShutOutAndTheyWaitInsteadOfFailing) {
  make(path_, "wal");
  App app(path_);
  sqlite3_busy_timeout(app.handle(), 0);
  const Database db = open_polite(path_);
  for (const bool restarts_the_log : {false, true}) {
    // A log that is in the database whole is begun anew by the next writer, by other locks.
    if (restarts_the_log) app.run("PRAGMA wal_checkpoint");
    ASSERT_TRUE(db.polite()->shut_readers_out());
    std::atomic<bool> read = false;
    std::thread reader([&] {
      EXPECT_EQ(app.try_run("BEGIN; SELECT count(*) FROM t; UPDATE t SET n = n + 1 WHERE id = 1; "
                            "COMMIT"),
                SQLITE_OK)
          << app.message();
      read = true;
    });
    auto transaction = Transaction::begin(db, Transaction::Kind::kWrite);
    ASSERT_TRUE(transaction) << transaction.error().text;
    ASSERT_TRUE(db.run("UPDATE t SET n = n + 1 WHERE id = 2"));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_FALSE(read);
    ASSERT_TRUE(transaction->commit());
    db.polite()->let_readers_in();
    reader.join();
  }
  EXPECT_EQ(app.number("SELECT sum(n) FROM t"), 4);
}

// Two processes: the application reads, thinks, writes; we write when it is polite, or (the
// counter-check) whenever the lock is free.
int failures_of_an_application(const std::string& path, bool polite) {
  std::atomic<bool> over = false;
  OtherProcess app(path);
  std::thread guest([&] {
    const Database db = open_polite(path);
    while (!over) {
      if (!polite || db.polite()->shut_readers_out()) {
        {
          auto transaction = Transaction::begin(db, Transaction::Kind::kWrite);
          if (transaction) {
            EXPECT_TRUE(db.run("UPDATE t SET n = n + 1 WHERE id = 2"));
            EXPECT_TRUE(transaction->commit());
          }
        }
        db.polite()->let_readers_in();
      }
      db.polite()->sleep_us(200);
    }
  });
  int failures = 0;
  for (int i = 0; i < 100; ++i) {
    int code = app.run("BEGIN");
    if (code == SQLITE_OK) code = app.run("SELECT count(*) FROM t");
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    if (code == SQLITE_OK) code = app.run("UPDATE t SET n = n + 1 WHERE id = 1");
    if (code == SQLITE_OK) code = app.run("COMMIT");
    if (code == SQLITE_OK) continue;
    ++failures;
    app.run("ROLLBACK");
  }
  over = true;
  guest.join();
  return failures;
}

TEST_F(PoliteVfsTest, NoDeferredTransactionFailsBesideAPoliteWriterAndManyBesideAnother) {
  make(path_, "wal");
  EXPECT_EQ(failures_of_an_application(path_, /*polite=*/true), 0);
  // Closed again before the next process is made, which would inherit it.
  EXPECT_GT(App(path_).number("SELECT n FROM t WHERE id = 2"), 0) << "it never had a turn";
  EXPECT_GT(failures_of_an_application(path_, /*polite=*/false), 0);
}

// --- rollback journal ---------------------------------------------------------------------------

TEST_F(PoliteVfsTest, ALookTakesNoLockAndTellsThatSomebodyWroteMeanwhile) {
  for (const std::string mode : {"delete", "truncate", "persist"}) {
    const std::string path = dir_.file(mode + ".db");
    make(path, mode);
    OtherProcess app(path);
    ASSERT_EQ(app.run("PRAGMA journal_mode = " + mode), SQLITE_OK);
    const Database db = open_polite(path);
    auto found = sum(db);
    ASSERT_TRUE(found) << mode << found.error().text;
    EXPECT_EQ(*found, 0);

    auto look = Transaction::begin(db, Transaction::Kind::kRead);
    ASSERT_TRUE(look);
    ASSERT_TRUE(db.integer("SELECT sum(n) FROM t"));
    EXPECT_EQ(app.run("UPDATE t SET n = 1 WHERE id = 7"), SQLITE_OK) << "busy_timeout is 0";
    EXPECT_FALSE(look->commit());
    found = sum(db);
    ASSERT_TRUE(found) << mode;
    EXPECT_EQ(*found, 1);
    EXPECT_EQ(db.polite()->real_locks(), 0u);
  }
}

TEST_F(PoliteVfsTest, AWriterThatThinksBeforeItsCommitDoesNotStopLooks) {
  make(path_, "delete");
  OtherProcess app(path_);
  const Database db = open_polite(path_);
  ASSERT_EQ(app.run("BEGIN IMMEDIATE; UPDATE t SET n = 1 WHERE id = 7"), SQLITE_OK);
  const auto found = sum(db);
  ASSERT_TRUE(found) << found.error().text;
  EXPECT_EQ(*found, 0);
  EXPECT_EQ(app.run("COMMIT"), SQLITE_OK);
}

constexpr const char* spill =
    "PRAGMA cache_size = 5; PRAGMA cache_spill = 1; BEGIN IMMEDIATE; UPDATE t SET n = 1";

TEST_F(PoliteVfsTest, WhatAWriterHasInTheFileBeforeItsCommitIsNotTaken) {
  make(path_, "delete");
  OtherProcess app(path_);
  const Database db = open_polite(path_);
  ASSERT_EQ(app.run(spill), SQLITE_OK);
  EXPECT_FALSE(sum(db));
  ASSERT_EQ(app.run("ROLLBACK"), SQLITE_OK);
  const auto found = sum(db);
  ASSERT_TRUE(found);
  EXPECT_EQ(*found, 0);
}

TEST_F(PoliteVfsTest, PagesThatWereChangedAndChangedBackWhileReadAreNoticed) {
  make(path_, "delete");
  OtherProcess app(path_);
  const Database db = open_polite(path_);
  auto look = Transaction::begin(db, Transaction::Kind::kRead);
  ASSERT_TRUE(look);
  ASSERT_EQ(app.run(spill), SQLITE_OK);
  ASSERT_TRUE(db.integer("SELECT max(n) FROM t"));
  ASSERT_EQ(app.run("ROLLBACK"), SQLITE_OK);  // the counter is the one of before
  EXPECT_FALSE(look->commit());
  EXPECT_EQ(*sum(db), 0);
}

TEST_F(PoliteVfsTest, AHotJournalIsLeftToALockingReadAndRepairedByIt) {
  make(path_, "delete");
  {
    OtherProcess app(path_);
    ASSERT_EQ(app.run(spill), SQLITE_OK);
    app.kill_it();
  }
  // Opening finds that nobody is there to repair it, and does.
  const Database db = open_polite(path_);
  EXPECT_FALSE(db.polite()->hot_journal());
  EXPECT_EQ(*sum(db), 0);
  EXPECT_GT(db.polite()->real_locks(), 0u);
}

TEST_F(PoliteVfsTest, AJournalThatBecomesHotUnderAConnectionIsToldAndNotRead) {
  make(path_, "delete");
  OtherProcess app(path_);
  const Database db = open_polite(path_);
  ASSERT_EQ(app.run(spill), SQLITE_OK);
  app.kill_it();
  const auto found = sum(db);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().kind, ErrorKind::kRetry);
  EXPECT_TRUE(db.polite()->hot_journal());
  EXPECT_EQ(db.integer("SELECT sum(n) FROM t").value_or(-1), 0);
  EXPECT_FALSE(db.polite()->hot_journal());
}

TEST_F(PoliteVfsTest, AfterSealOnlyWhatWasReadCanBeReadAgain) {
  make(path_, "delete");
  OtherProcess app(path_);
  const Database db = open_polite(path_);
  auto look = Transaction::begin(db, Transaction::Kind::kRead);
  ASSERT_TRUE(look);
  ASSERT_TRUE(db.integer("SELECT sum(n) FROM t WHERE id < 50"));
  ASSERT_TRUE(db.polite()->seal());
  ASSERT_EQ(app.run("UPDATE t SET n = 5 WHERE id IN (20, 190)"), SQLITE_OK);
  ASSERT_TRUE(db.run("PRAGMA shrink_memory"));  // pages may leave the cache
  const auto known = db.integer("SELECT sum(n) FROM t WHERE id < 50");
  EXPECT_TRUE(!known || *known == 0) << "either as it was, or not at all";
  EXPECT_FALSE(db.integer("SELECT n FROM t WHERE id = 190"));
}

TEST_F(PoliteVfsTest, ATableThatIsMadeWhileTheSchemaIsReadIsSeenAfterwards) {
  make(path_, "delete");
  OtherProcess app(path_);
  const Database db = open_polite(path_);
  auto look = Transaction::begin(db, Transaction::Kind::kRead);
  ASSERT_TRUE(look);
  ASSERT_TRUE(db.integer("SELECT sum(n) FROM t"));
  ASSERT_EQ(app.run("CREATE TABLE later AS SELECT 42 AS x"), SQLITE_OK);
  EXPECT_FALSE(look->commit());
  EXPECT_EQ(consistently(db, [&] { return db.integer("SELECT x FROM later"); }).value_or(-1), 42);
}

TEST_F(PoliteVfsTest, AnErrorThatWasConcludedFromTornPagesIsNoError) {
  make(path_, "delete");
  OtherProcess app(path_);
  const Database db = open_polite(path_);
  const auto found = consistently(db, [&]() -> Result<std::int64_t> {
    EVODB_TRY(db.integer("SELECT sum(n) FROM t"));
    EXPECT_EQ(app.run("UPDATE t SET n = 1"), SQLITE_OK);
    return fail(ErrorKind::kCorrupt, "the sum is not what it should be");
  });
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().kind, ErrorKind::kRetry);
}

TEST_F(PoliteVfsTest, UsersAreSeenWithoutALock) {
  make(path_, "delete");
  OtherProcess app(path_);
  const Database db = open_polite(path_);
  PoliteVfs& vfs = *db.polite();
  EXPECT_EQ(vfs.users(), PoliteVfs::Users::kNone);
  ASSERT_EQ(app.run("BEGIN; SELECT count(*) FROM t"), SQLITE_OK);
  EXPECT_EQ(vfs.users(), PoliteVfs::Users::kSome);
  ASSERT_EQ(app.run("COMMIT"), SQLITE_OK);
  EXPECT_EQ(vfs.users(), PoliteVfs::Users::kNone);
  ASSERT_EQ(app.run("BEGIN IMMEDIATE"), SQLITE_OK);
  EXPECT_EQ(vfs.users(), PoliteVfs::Users::kSome);
}

TEST_F(PoliteVfsTest, ADatabaseThatBecomesWalIsFollowed) {
  make(path_, "delete");
  OtherProcess app(path_);
  const Database db = open_polite(path_);
  EXPECT_EQ(*sum(db), 0);
  EXPECT_FALSE(db.polite()->in_wal_mode());
  auto look = Transaction::begin(db, Transaction::Kind::kRead);
  ASSERT_TRUE(db.integer("SELECT sum(n) FROM t"));
  ASSERT_EQ(app.run("PRAGMA journal_mode = WAL; UPDATE t SET n = 1 WHERE id = 1"), SQLITE_OK);
  EXPECT_FALSE(look->commit());
  EXPECT_EQ(*sum(db), 1);
  EXPECT_TRUE(db.polite()->in_wal_mode());
  EXPECT_FALSE(db.polite()->broken());
}

// --- over another VFS ---------------------------------------------------------------------------

TEST(PoliteVfsOverSqliteDisk, LooksAndWritesWork) {
  sim::FakeClock clock;
  sim::SeededRandom random(7);
  sim::FakeDisk disk;
  ASSERT_TRUE(disk.make_directories("edge"));
  sim::SqliteDisk sqlite(disk, clock, random);
  for (const std::string mode : {"DELETE", "WAL"}) {
    const std::string path = "edge/" + mode + ".db";
    auto app = Database::open(path, {.vfs = sqlite.name(), .create = true});
    ASSERT_TRUE(app) << app.error().text;
    ASSERT_TRUE(app->run("PRAGMA journal_mode = " + mode +
                         "; CREATE TABLE t(n INTEGER);"
                         "INSERT INTO t VALUES(3)"));
    const Database db = open_polite(path, sqlite.name());
    EXPECT_EQ(db.polite()->in_wal_mode(), mode == "WAL");
    EXPECT_EQ(sum(db).value_or(-1), 3);
    if (mode == "WAL") {
      ASSERT_TRUE(app->run("BEGIN"));
      ASSERT_TRUE(app->integer("SELECT n FROM t"));
      EXPECT_FALSE(db.polite()->shut_readers_out());
      ASSERT_TRUE(app->run("COMMIT"));
      ASSERT_TRUE(db.polite()->shut_readers_out());
    }
    ASSERT_TRUE(db.run("BEGIN IMMEDIATE; UPDATE t SET n = 4; COMMIT"));
    db.polite()->let_readers_in();
    EXPECT_EQ(app->integer("SELECT n FROM t").value_or(-1), 4);
    EXPECT_EQ(sum(db).value_or(-1), 4);
  }
}

}  // namespace
}  // namespace evodb::capture
