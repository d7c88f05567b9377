// Real SQLite on the forgetful disk: what it promises holds at every call, or the seam is wrong.
#include "sim/seams/sqlite_disk.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "sim/seams/fake_clock.h"
#include "sim/seams/fake_disk.h"
#include "sim/seams/seeded_random.h"

namespace evodb::sim {
namespace {

using Effect = FakeDisk::Effect;

class Connection {
 public:
  explicit Connection(const SqliteDisk& disk) {
    code_ = sqlite3_open_v2("d/a.db", &db_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                            disk.name().c_str());
  }
  ~Connection() { sqlite3_close_v2(db_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int run(const std::string& sql) {
    if (code_ != SQLITE_OK) return code_;
    return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  }
  // "" on any error.
  std::string text(const std::string& sql) {
    std::string out;
    const auto take = [](void* into, int, char** values, char**) {
      *static_cast<std::string*>(into) += values[0] != nullptr ? values[0] : "";
      return 0;
    };
    return sqlite3_exec(db_, sql.c_str(), take, &out, nullptr) == SQLITE_OK ? out : "";
  }

 private:
  sqlite3* db_ = nullptr;
  int code_ = SQLITE_OK;
};

// Journal mode, and what makes each commit of it survive a power loss.
struct Mode {
  std::string journal, synchronous;
};

// An application that counts: row n is committed by the n-th transaction.
class World {
 public:
  World(const Mode& mode, std::uint64_t seed) : mode_(mode), random_(seed) {
    (void)disk.make_directories("d");
    sqlite = std::make_unique<SqliteDisk>(disk, clock_, random_);
  }

  std::unique_ptr<Connection> connect() {
    auto c = std::make_unique<Connection>(*sqlite);
    (void)c->run("PRAGMA journal_mode=" + mode_.journal);
    (void)c->run("PRAGMA synchronous=" + mode_.synchronous);
    (void)c->run("PRAGMA wal_autocheckpoint=6");
    return c;
  }
  // Until the end or an error; `committed` is what was acknowledged.
  void work() {
    const auto c = connect();
    if (c->run("CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY, x)") != SQLITE_OK) return;
    for (int n = 1; n <= 12; ++n) {
      const std::string key = std::to_string(n);
      if (c->run("BEGIN IMMEDIATE; INSERT OR REPLACE INTO t VALUES(" + key +
                 ", randomblob(3000)); INSERT OR REPLACE INTO t VALUES(-" + key +
                 ", randomblob(50)); COMMIT") != SQLITE_OK) {
        (void)c->run("ROLLBACK");
        if (disk.crashed()) return;
        continue;
      }
      committed.push_back(n);
    }
    (void)c->run("BEGIN; INSERT INTO t VALUES(1000, 'never committed')");
  }
  void restart(CrashModel model) {
    sqlite->forget();
    disk.restart(model, random_);
  }
  void check() {
    const auto c = connect();
    ASSERT_EQ(c->text("PRAGMA integrity_check"), "ok");
    if (committed.empty() && c->text("SELECT count(*) FROM sqlite_schema") == "0") return;
    ASSERT_EQ(c->text("SELECT count(*) FROM t WHERE n = 1000"), "0");
    ASSERT_EQ(c->text("SELECT count(*) FROM t WHERE n BETWEEN 1 AND 999"),
              c->text("SELECT count(*) FROM t WHERE n < 0"))
        << "half a transaction";
    for (const int n : committed) {
      ASSERT_EQ(c->text("SELECT count(*) FROM t WHERE n = " + std::to_string(n)), "1") << n;
    }
    ASSERT_EQ(c->run("INSERT OR REPLACE INTO t VALUES(2000, 'work goes on')"), SQLITE_OK);
  }

  FakeDisk disk;
  std::unique_ptr<SqliteDisk> sqlite;
  std::vector<int> committed;

 private:
  Mode mode_;
  FakeClock clock_;
  SeededRandom random_;
};

class Modes : public testing::TestWithParam<Mode> {
 protected:
  std::uint64_t calls() {
    World world(GetParam(), 1);
    world.work();
    EXPECT_EQ(world.committed.size(), 12u);
    return world.disk.mutations();
  }
};

INSTANTIATE_TEST_SUITE_P(Of, Modes,
                         testing::Values(Mode{"wal", "FULL"}, Mode{"delete", "EXTRA"},
                                         Mode{"truncate", "FULL"}, Mode{"persist", "FULL"}),
                         [](const auto& info) { return info.param.journal; });

TEST_P(Modes, ACommitSurvivesACrashAtEveryCallAndNothingElseDoes) {
  const std::uint64_t all = calls();
  EXPECT_GT(all, 50u);
  for (std::uint64_t n = 1; n <= all; ++n) {
    for (const CrashModel model :
         {CrashModel::kLost, CrashModel::kTorn, CrashModel::kReordered, CrashModel::kKilled}) {
      SCOPED_TRACE("call " + std::to_string(n) + " model " +
                   std::to_string(static_cast<int>(model)));
      World world(GetParam(), n);
      world.disk.crash_at(n);
      world.work();
      ASSERT_TRUE(world.disk.crashed());
      world.restart(model);
      world.check();
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST_P(Modes, WhicheverCallFailsSaysSoAndHarmsNothing) {
  const std::uint64_t all = calls();
  for (std::uint64_t n = 1; n <= all; ++n) {
    for (const Effect effect : {Effect::kNothing, Effect::kHalf, Effect::kAll}) {
      for (const ErrorKind kind : {ErrorKind::kInternal, ErrorKind::kNoSpace}) {
        SCOPED_TRACE("call " + std::to_string(n) + " effect " +
                     std::to_string(static_cast<int>(effect)));
        World world(GetParam(), n);
        world.disk.fail_mutation(n, {kind, "injected"}, effect);
        world.work();
        world.check();
        world.restart(CrashModel::kTorn);
        world.check();
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST(SqliteDisk, ConnectionsExcludeEachOtherAsProcessesDo) {
  World world({"delete", "FULL"}, 1);
  const auto one = world.connect(), two = world.connect();
  ASSERT_EQ(one->run("CREATE TABLE t(x)"), SQLITE_OK);
  ASSERT_EQ(one->run("BEGIN IMMEDIATE; INSERT INTO t VALUES(1)"), SQLITE_OK);
  EXPECT_EQ(two->run("BEGIN IMMEDIATE"), SQLITE_BUSY);
  EXPECT_EQ(two->text("SELECT count(*) FROM t"), "0");
  ASSERT_EQ(two->run("BEGIN; SELECT * FROM t"), SQLITE_OK);
  EXPECT_EQ(one->run("COMMIT"), SQLITE_BUSY) << "a reader reads on";
  ASSERT_EQ(two->run("COMMIT"), SQLITE_OK);
  ASSERT_EQ(one->run("COMMIT"), SQLITE_OK);
  EXPECT_EQ(two->text("SELECT count(*) FROM t"), "1");
}

TEST(SqliteDisk, InWalAReaderKeepsItsSnapshotWhileAnotherWrites) {
  World world({"wal", "FULL"}, 1);
  const auto one = world.connect(), two = world.connect();
  ASSERT_EQ(one->run("CREATE TABLE t(x); INSERT INTO t VALUES(1)"), SQLITE_OK);
  ASSERT_EQ(two->run("BEGIN"), SQLITE_OK);
  EXPECT_EQ(two->text("SELECT count(*) FROM t"), "1");
  ASSERT_EQ(one->run("INSERT INTO t VALUES(2)"), SQLITE_OK);
  EXPECT_EQ(two->text("SELECT count(*) FROM t"), "1");
  ASSERT_EQ(two->run("COMMIT"), SQLITE_OK);
  EXPECT_EQ(two->text("SELECT count(*) FROM t"), "2");
  ASSERT_EQ(one->run("BEGIN IMMEDIATE"), SQLITE_OK);
  EXPECT_EQ(two->run("BEGIN IMMEDIATE"), SQLITE_BUSY);
}

TEST(SqliteDisk, IsTheSameForTheSameSeedAndTellsTheSeamsTime) {
  const auto bytes = [](std::uint64_t seed) {
    World world({"wal", "FULL"}, seed);
    world.work();
    EXPECT_EQ(world.connect()->text("SELECT date('now')"), "2023-11-14");
    return world.disk.contents("d/a.db");
  };
  EXPECT_EQ(bytes(1), bytes(1));
  EXPECT_NE(bytes(1), bytes(2));
}

}  // namespace
}  // namespace evodb::sim
