#include "edge/edge_runner.h"

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "base/posix/epoll_loop.h"
#include "base/posix/socket_address.h"
#include "capture/install.h"
#include "edge/fake_parent.h"

namespace evodb::edge {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// An application's database with capture, and a strict parent on real sockets.
struct RunnerTest : ::testing::Test {
  RunnerTest()
      : directory(std::filesystem::temp_directory_path() /
                  ("evodb-runner-" + std::to_string(getpid()))),
        loop(*base::EpollLoop::create()),
        parent(*loop, "127.0.0.1:0") {
    std::filesystem::remove_all(directory);
    std::filesystem::create_directories(directory);
    path = directory / "app.db";
    EXPECT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5'000);
    sql("PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT);"
        "INSERT INTO t(x) VALUES('old')");
    base::SystemClock clock;
    base::SystemRandom random;
    const auto installed = capture::install({.db = path, .source = "app"}, clock, random);
    EXPECT_TRUE(installed) << installed.error().text;
    thread = std::thread([this] { loop->run(); });
  }
  ~RunnerTest() override {
    loop->stop();
    thread.join();
    EXPECT_THAT(parent.violations, IsEmpty());
    sqlite3_close(db);
    std::filesystem::remove_all(directory);
  }
  void sql(const std::string& text) {
    char* error = nullptr;
    EXPECT_EQ(sqlite3_exec(db, text.c_str(), nullptr, nullptr, &error), SQLITE_OK) << error;
  }
  EdgeOptions options() {
    EdgeOptions o;
    o.db = path;
    o.uplink.link.parent.host = "127.0.0.1";
    o.uplink.link.parent.port = base::parse_host_port(parent.address())->port;
    return o;
  }
  template <class F>
  auto ask(F f) {
    std::promise<decltype(f(parent))> answer;
    loop->post([&] { answer.set_value(f(parent)); });
    return answer.get_future().get();
  }
  std::size_t entries() {
    return ask([](FakeParent& p) {
      std::size_t n = 0;
      for (auto& [epoch, life] : p.lives["app"]) n += life.entries.size();
      return n;
    });
  }

  std::filesystem::path directory;
  std::string path;
  sqlite3* db = nullptr;
  std::unique_ptr<base::EpollLoop> loop;
  FakeParent parent;
  std::thread thread;
};

TEST_F(RunnerTest, UntilCaughtUpItSendsAllAndTrimsIt) {
  sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
      "INSERT INTO t(x) SELECT 'row ' || i FROM n; UPDATE t SET x = 'new' WHERE id % 10 = 0;"
      "DELETE FROM t WHERE id % 7 = 0");
  EdgeOptions o = options();
  o.until_caught_up = true;
  std::vector<EdgeProgress> told;
  o.on_progress = [&](const EdgeProgress& p) { told.push_back(p); };
  auto runner = *EdgeRunner::create(o);
  const auto report = runner->run();
  ASSERT_TRUE(report) << report.error().text;
  EXPECT_TRUE(report->caught_up);
  const auto status = *capture::status(path);
  EXPECT_EQ(status.held_changes, 0u);
  EXPECT_EQ(status.trimmed, status.head);
  EXPECT_EQ(report->progress.uplink.trimmed, status.head);
  EXPECT_EQ(entries(), status.head.value);
  ASSERT_GE(told.size(), 2u);
  EXPECT_EQ(told.back().uplink.last_persisted_lsn, status.head);
  // Nothing is left: it says so once a parent has welcomed it.
  auto again = *EdgeRunner::create(o);
  ASSERT_TRUE(again->run());
}

TEST_F(RunnerTest, UntilCaughtUpWaitsUntilTriggersThatSomebodyDroppedAreBack) {
  EdgeOptions o = options();
  o.until_caught_up = true;
  ASSERT_TRUE((*EdgeRunner::create(o))->run());
  for (const char* what : {"insert", "delete", "update", "rekey"}) {
    sql(std::string("DROP TRIGGER evodb_1_") + what);
  }
  sql("INSERT INTO t(x) VALUES('unseen')");
  sqlite3* reader = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &reader), SQLITE_OK);
  const auto read = [&](const char* text) {
    EXPECT_EQ(sqlite3_exec(reader, text, nullptr, nullptr, nullptr), SQLITE_OK);
  };
  read("BEGIN; SELECT count(*) FROM t");  // until it ends nobody writes politely
  std::atomic<int> connected = 0;
  o.progress_ms = 10;
  o.on_progress = [&](const EdgeProgress& p) { connected += p.uplink.connected ? 1 : 0; };
  std::atomic<bool> over = false;
  auto runner = *EdgeRunner::create(o);
  std::thread running([&] {
    const auto report = runner->run();
    EXPECT_TRUE(report) << report.error().text;
    over = true;
  });
  while (connected < 30 && !over) usleep(1'000);
  EXPECT_FALSE(over) << "all that was recorded is acknowledged, but not all was recorded";
  read("COMMIT");
  running.join();
  sqlite3_close(reader);
  const auto last = ask([](FakeParent& p) {
    const auto& entries = p.lives["app"].rbegin()->second.entries;
    std::vector<Op> ops;
    for (const auto& [lsn, entry] : entries) ops.push_back(entry.op);
    return ops;
  });
  EXPECT_THAT(last,
              ::testing::ElementsAre(Op::kSnapshot, Op::kReset, Op::kSnapshot, Op::kSnapshot));
}

TEST_F(RunnerTest, FollowsWhatOthersWriteUntilItIsStopped) {
  auto runner = *EdgeRunner::create(options());
  std::thread running([&] {
    const auto report = runner->run();
    EXPECT_TRUE(report) << report.error().text;
  });
  // However long it takes: a test that hangs here is one whose changes never came.
  const auto until = [](auto done) {
    while (!done()) usleep(1'000);
  };
  for (std::size_t n = 1; n <= 20; ++n) {
    until([&] { return entries() == n; });
    sql("INSERT INTO t(x) VALUES('more')");
  }
  sql("ALTER TABLE t ADD COLUMN y INTEGER");
  until([&] {
    const auto status = capture::status(path);
    return status && status->tables.at(0).schema_version == 2;
  });
  sql("INSERT INTO t(x, y) VALUES('with', 5)");
  until([&] { return entries() >= 22; });
  runner->stop();
  running.join();
}

TEST_F(RunnerTest, WhatIsNoParentAndWhatIsNotCapturedAreErrors) {
  ask([](FakeParent& p) {
    p.options.http_answer = "HTTP/1.1 404 Not Found\r\n\r\n";
    return 0;
  });
  EdgeOptions o = options();
  auto runner = *EdgeRunner::create(o);
  const auto report = runner->run();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().kind, ErrorKind::kInvalid);
  EXPECT_THAT(report.error().text, HasSubstr("is not an EvoDB parent"));

  o.db = directory / "absent.db";
  auto absent = *EdgeRunner::create(o);
  EXPECT_EQ(absent->run().error().kind, ErrorKind::kInvalid);
  ASSERT_TRUE(capture::remove(path, true));
  o.db = path;
  auto removed = *EdgeRunner::create(o);
  EXPECT_EQ(removed->run().error().kind, ErrorKind::kInvalid);
}

TEST_F(RunnerTest, ARestoredBackupBecomesANewEpochWithASnapshot) {
  EdgeOptions o = options();
  o.until_caught_up = true;
  sql("INSERT INTO t(x) VALUES('a'), ('b')");
  sql("VACUUM INTO '" + (directory / "backup.db").string() + "'");
  sql("INSERT INTO t(x) VALUES('c'), ('d')");
  ASSERT_TRUE((*EdgeRunner::create(o))->run());
  sqlite3_close(db);
  for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(path + end);
  std::filesystem::rename(directory / "backup.db", path);
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  const auto report = (*EdgeRunner::create(o))->run();
  ASSERT_TRUE(report) << report.error().text;
  EXPECT_TRUE(report->caught_up);
  EXPECT_EQ(ask([](FakeParent& p) { return p.lives["app"].size(); }), 2u);
  // Three rows in the backup: they were held under the old numbers; the table begins anew, and they
  // come as a snapshot again.
  EXPECT_EQ(ask([](FakeParent& p) { return p.lives["app"].rbegin()->second.entries.size(); }), 7u);
}

}  // namespace
}  // namespace evodb::edge
