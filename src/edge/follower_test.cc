#include "edge/follower.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <thread>

#include <gtest/gtest.h>
#include <sqlite3.h>

#include "base/posix/poll_loop.h"
#include "edge/file_watch.h"
#include "sim/seams/fake_loop.h"

namespace evodb::edge {
namespace {

// --- in virtual time -----------------------------------------------------------------------------

struct FakeWorld {
  explicit FakeWorld(bool has_events) {
    follower.start(has_events);
    network.run_for(0);
  }
  sim::FakeNetwork network{1};
  sim::FakeLoop loop{network, "edge"};
  bool changed = false;
  std::optional<Error> failing, refresh_failing;
  int notified = 0, refreshed = 0;
  std::vector<bool> pauses;
  std::vector<Error> errors;
  Follower follower{loop,
                    {.changed = [this]() -> Result<bool> {
                       if (failing) return fail(*failing);
                       return std::exchange(changed, false);
                     },
                     .refresh = [this]() -> Result<void> {
                       ++refreshed;
                       if (refresh_failing) return fail(*refresh_failing);
                       return {};
                     },
                     .notify = [this] { ++notified; },
                     .pause_events = [this](bool p) { pauses.push_back(p); },
                     .on_error = [this](const Error& e) { errors.push_back(e); }},
                    {}};
};

TEST(Follower, WithEventsLooksOnceASecondWhileIdle) {
  FakeWorld w(true);
  w.network.run_for(5'000);  // the first looks, as after an event
  const std::uint64_t before = w.follower.looks();
  w.network.run_for(10'000);
  EXPECT_EQ(w.follower.looks() - before, 10u);
}

TEST(Follower, WithoutEventsLooksEach12Ms) {
  FakeWorld w(false);
  w.network.run_for(1'000);
  w.changed = true;
  w.network.run_for(13);
  EXPECT_EQ(w.notified, 1);
  EXPECT_EQ(w.refreshed, 1);
}

TEST(Follower, ABurstOfEventsIsOneLook) {
  FakeWorld w(true);
  w.network.run_for(5'000);
  const std::uint64_t before = w.follower.looks();
  w.changed = true;
  for (int i = 0; i < 100; ++i) w.follower.file_event();
  w.network.run_for(2);
  EXPECT_EQ(w.follower.looks() - before, 1u);
  EXPECT_EQ(w.notified, 1);
  EXPECT_EQ(w.pauses, (std::vector<bool>{true, false}));
}

TEST(Follower, ACommitThatIsSeenOnlyAfterItsEventIsFoundSoon) {
  for (const int late_ms : {3, 10, 40, 200}) {  // a slow sync between bytes and commit
    FakeWorld w(true);
    w.network.run_for(5'000);
    w.follower.file_event();
    w.network.run_for(late_ms);
    w.changed = true;
    w.network.run_for(2 * late_ms);
    EXPECT_EQ(w.notified, 1) << late_ms;
  }
}

TEST(Follower, ALockedDatabaseIsAskedAgainSoonAndAnErrorIsToldOnce) {
  FakeWorld w(true);
  w.network.run_for(5'000);
  w.failing = Error{ErrorKind::kRetry, "locked"};
  w.follower.file_event();
  w.network.run_for(100);
  w.failing.reset();
  w.changed = true;
  w.network.run_for(15);
  EXPECT_EQ(w.notified, 1);
  EXPECT_TRUE(w.errors.empty());
  w.failing = Error{ErrorKind::kCorrupt, "corrupt"};
  w.follower.file_event();
  w.network.run_for(100);
  EXPECT_EQ(w.errors.size(), 1u);
}

TEST(Follower, ARefreshThatFoundTheDatabaseLockedIsTriedUntilItWorks) {
  FakeWorld w(true);
  w.network.run_for(5'000);
  w.refresh_failing = Error{ErrorKind::kRetry, "locked"};
  w.changed = true;
  w.follower.file_event();
  w.network.run_for(100);
  EXPECT_GE(w.refreshed, 5);
  w.refresh_failing.reset();
  w.network.run_for(15);
  const int before = w.refreshed;
  w.network.run_for(5'000);
  EXPECT_EQ(w.refreshed, before);
}

// --- with SQLite, other processes and the clock --------------------------------------------------

Result<std::int64_t> data_version(sqlite3* db) {
  sqlite3_stmt* s = nullptr;
  int code = sqlite3_prepare_v2(db, "PRAGMA data_version", -1, &s, nullptr);
  if (code == SQLITE_OK) code = sqlite3_step(s);
  const std::int64_t v = sqlite3_column_int64(s, 0);
  sqlite3_finalize(s);
  if (code == SQLITE_BUSY) return fail(ErrorKind::kRetry, "locked");
  EXPECT_EQ(code, SQLITE_ROW);
  return v;
}

class RealFollower : public ::testing::TestWithParam<const char*> {};

TEST_P(RealFollower, NoticesACommitOfAnotherProcessWithin20Ms) {
  const auto directory =
      std::filesystem::temp_directory_path() / ("evodb-follower-" + std::to_string(getpid()));
  std::filesystem::create_directories(directory);
  const std::string path = directory / "app.db";
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  const std::string setup = std::string("PRAGMA journal_mode=") + GetParam() +
                            "; CREATE TABLE t(x); INSERT INTO t VALUES(1)";
  ASSERT_EQ(sqlite3_exec(db, setup.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);

  constexpr int commits = 10;
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const pid_t child = fork();
  if (child == 0) {  // writes a row each 60 ms and says when it was committed
    sqlite3* other = nullptr;
    int bad = sqlite3_open(path.c_str(), &other);
    sqlite3_busy_timeout(other, 1'000);
    for (int i = 0; i < commits; ++i) {
      usleep(60'000);
      bad |= sqlite3_exec(other, "INSERT INTO t VALUES(2)", nullptr, nullptr, nullptr);
      const std::int64_t now = std::chrono::steady_clock::now().time_since_epoch().count();
      bad |= write(pipe_ends[1], &now, sizeof now) != sizeof now;
    }
    _exit(bad);
  }
  auto loop = *base::PollLoop::create();
  auto watch = FileWatch::create(path);
#ifdef __linux__
  ASSERT_TRUE(watch);
#endif
  std::int64_t seen = -1;
  std::vector<std::int64_t> noticed;
  Follower follower(
      *loop,
      {.changed = [&]() -> Result<bool> {
         const std::int64_t v = EVODB_TRY(data_version(db));
         return std::exchange(seen, v) != v;
       },
       .notify =
           [&] { noticed.push_back(std::chrono::steady_clock::now().time_since_epoch().count()); },
       .pause_events = [&](bool p) { loop->pause_watch((*watch)->fd(), p); }},
      {});
  loop->watch((*watch)->fd(), [&] {
    if ((*watch)->drain()) follower.file_event();
  });
  follower.start(true);
  std::vector<std::int64_t> committed(commits);
  // Until the other process is done, however long a busy disk makes it wait.
  const auto began = std::chrono::steady_clock::now();
  int status = 0;
  std::function<void()> look = [&] {
    if (waitpid(child, &status, WNOHANG) == child) {
      loop->after(100, [&] { loop->stop(); });
    } else {
      loop->after(100, look);
    }
  };
  loop->after(100, look);
  loop->run();
  EXPECT_EQ(status, 0);
  for (std::int64_t& c : committed) ASSERT_EQ(read(pipe_ends[0], &c, sizeof c), 8);
  int in_time = 0;
  std::int64_t before = 0;
  for (const std::int64_t c : committed) {
    // Between the commit before and 20 ms after this one returned.
    in_time += std::ranges::any_of(
        noticed, [&](std::int64_t n) { return n > before && n < c + 20'000'000; });
    before = c;
  }
  // Without the watch, looking each second, none of them would be. A busy machine holds some up.
  EXPECT_GE(in_time * 2, commits);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  EXPECT_LE(loop->wakeups(), 400 + 20 * took.count());
  sqlite3_close(db);
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
  std::filesystem::remove_all(directory);
}

INSTANTIATE_TEST_SUITE_P(JournalModes, RealFollower,
                         ::testing::Values("WAL", "DELETE", "TRUNCATE", "PERSIST"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace evodb::edge
