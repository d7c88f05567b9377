// What an outbox does when the database under it is not the one that it knew.
#include "capture/log_memory.h"

#include <gmock/gmock.h>

#include "capture/capture_test_db.h"

namespace evodb::capture {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// With SQLite's backup API, as `.backup` and `.restore` of its shell.
void copy_database(sqlite3* from, sqlite3* to) {
  sqlite3_backup* const backup = sqlite3_backup_init(to, "main", from, "main");
  ASSERT_NE(backup, nullptr) << sqlite3_errmsg(to);
  EXPECT_EQ(sqlite3_backup_step(backup, -1), SQLITE_DONE);
  EXPECT_EQ(sqlite3_backup_finish(backup), SQLITE_OK);
}

class LogMemoryTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    app_.run(std::string("PRAGMA journal_mode = ") + GetParam());
    app_.run("CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
    must(install_with({.db = path_, .source = "shop"}));
    open();
  }
  void open() {
    outbox_.reset();
    outbox_ = must(SqliteOutbox::open(
        path_, {.on_event = [this](const std::string& what) { events_.push_back(what); }}));
    must(outbox_->state());
  }
  void insert(int id) { app_.run("INSERT INTO t(id) VALUES(" + std::to_string(id) + ")"); }
  // What a parent gets that has everything up to `after`.
  Result<std::vector<std::int64_t>> ids(Lsn after) {
    Collector all;
    EVODB_TRY(outbox_->read(after, all));
    std::vector<std::int64_t> found;
    for (const SeenChange& c : all.seen) {
      if (c.has_after) found.push_back(c.after.at(0).view().integer);
    }
    return found;
  }
  void expect_stale(Lsn cursor, Epoch epoch, Lsn trim, ChainHash chain) {
    const auto read = ids(cursor);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().kind, ErrorKind::kStale) << read.error().text;
    const auto trimmed = outbox_->trim(epoch, trim, chain);
    ASSERT_FALSE(trimmed);
    EXPECT_EQ(trimmed.error().kind, ErrorKind::kStale) << trimmed.error().text;
  }
  // Everything that the table holds is in what comes under the epoch that is now.
  void expect_new_epoch_with_all(Epoch before) {
    const OutboxState state = must(outbox_->state());
    EXPECT_GT(state.epoch, before);
    EXPECT_EQ(state.trimmed_chain, ChainHash());
    EXPECT_EQ(state.source, "shop");
    resend_all(*outbox_);
    const auto sent = must(ids(Lsn()));
    const std::int64_t rows = app_.number("SELECT count(*) FROM t");
    ASSERT_GE(static_cast<std::int64_t>(sent.size()), rows);
    const std::vector<std::int64_t> snapshot(sent.end() - rows, sent.end());
    std::string list;
    for (const std::int64_t id : snapshot) list += (list.empty() ? "" : ",") + std::to_string(id);
    EXPECT_EQ(list, app_.text("SELECT group_concat(id) FROM (SELECT id FROM t ORDER BY id)"));
    EXPECT_THAT(events_, Contains(HasSubstr("every table is sent again")));
    // And it is sound: nothing more is found, and it can be trimmed.
    events_.clear();
    must(trim_to(*outbox_, must(outbox_->state()).head));
    app_.run("INSERT INTO t(v) VALUES('more')");
    must(outbox_->changed());
    EXPECT_THAT(events_, IsEmpty());
  }

  TempDir dir_;
  std::string path_ = dir_.file("app.db");
  App app_{path_};
  std::unique_ptr<SqliteOutbox> outbox_;
  std::vector<std::string> events_;
};

// Insert 1, backup, insert 2 and 3, restore, insert 10, 11, 12: with fewer, as many and more.
TEST_P(LogMemoryTest, ARestoredCopyUnderARunningEdgeLosesNothing) {
  for (const int writes_after : {0, 1, 2, 3, 5}) {
    SCOPED_TRACE(writes_after);
    insert(writes_after * 1'000 + 1);
    App backup(dir_.file("backup" + std::to_string(writes_after) + ".db"));
    copy_database(app_.handle(), backup.handle());
    insert(writes_after * 1'000 + 2);
    insert(writes_after * 1'000 + 3);
    const Lsn cursor = must(outbox_->state()).head;
    const Epoch epoch = must(outbox_->state()).epoch;
    const ChainHash chain = chain_at(*outbox_, cursor);
    copy_database(backup.handle(), app_.handle());
    for (int i = 0; i < writes_after; ++i) insert(writes_after * 1'000 + 10 + i);
    expect_stale(cursor, epoch, cursor, chain);
    expect_new_epoch_with_all(epoch);
    if (HasFailure()) return;
  }
}

TEST_P(LogMemoryTest, ACopyThatIsOlderThanTheMarkIsARestoredOneToo) {
  insert(1);
  App backup(dir_.file("backup.db"));
  copy_database(app_.handle(), backup.handle());
  insert(2);
  insert(3);
  must(trim_to(*outbox_, Lsn(3)));
  const Epoch epoch = must(outbox_->state()).epoch;
  copy_database(backup.handle(), app_.handle());
  insert(10);
  EXPECT_TRUE(must(outbox_->changed())) << "found without anybody asking for changes";
  EXPECT_THAT(events_, ElementsAre(AllOf(HasSubstr("restored"), HasSubstr("sent again"))));
  const auto read = ids(Lsn(3));
  ASSERT_FALSE(read) << "who read from the other one is told";
  EXPECT_EQ(read.error().kind, ErrorKind::kStale);
  expect_new_epoch_with_all(epoch);
}

TEST_P(LogMemoryTest, ACopyOfThisVeryMomentIsTheSameLogGoingOn) {
  insert(1);
  insert(2);
  must(outbox_->state());
  const Epoch epoch = must(outbox_->state()).epoch;
  App backup(dir_.file("backup.db"));
  copy_database(app_.handle(), backup.handle());
  copy_database(backup.handle(), app_.handle());
  insert(3);
  EXPECT_TRUE(must(outbox_->changed()));
  EXPECT_THAT(must(ids(Lsn(2))), ElementsAre(3));
  EXPECT_EQ(must(outbox_->state()).epoch, epoch);
  EXPECT_THAT(events_, IsEmpty());
}

TEST_P(LogMemoryTest, AnEmptiedOutboxThatFilledAgainIsNoticedWhileAnEdgeRuns) {
  for (const int writes_after : {0, 2, 5, 9}) {
    SCOPED_TRACE(writes_after);
    for (int i = 0; i < 5; ++i) app_.run("INSERT INTO t(v) VALUES('before')");
    const Lsn cursor = must(outbox_->state()).head;
    const Epoch epoch = must(outbox_->state()).epoch;
    const ChainHash chain = chain_at(*outbox_, cursor);
    app_.run("DELETE FROM evodb_outbox");
    for (int i = 0; i < writes_after; ++i) app_.run("INSERT INTO t(v) VALUES('after')");
    expect_stale(cursor, epoch, cursor, chain);
    expect_new_epoch_with_all(epoch);
    if (HasFailure()) return;
  }
}

TEST_P(LogMemoryTest, AnEmptiedOutboxThatFilledAgainIsNoticedWhenAnEdgeStarts) {
  for (const int writes_after : {0, 2, 5, 9}) {
    for (const bool trimmed : {false, true}) {
      SCOPED_TRACE(std::to_string(writes_after) + (trimmed ? " trimmed" : ""));
      for (int i = 0; i < 5; ++i) app_.run("INSERT INTO t(v) VALUES('before')");
      if (trimmed) must(trim_to(*outbox_, must(outbox_->state()).head));
      const Epoch epoch = must(outbox_->state()).epoch;
      outbox_.reset();
      app_.run("DELETE FROM evodb_outbox");
      for (int i = 0; i < writes_after; ++i) app_.run("INSERT INTO t(v) VALUES('after')");
      open();
      expect_new_epoch_with_all(epoch);
      if (HasFailure()) return;
    }
  }
}

TEST_P(LogMemoryTest, AHoleAmongTheIdsBeginsANewEpoch) {
  for (int i = 0; i < 9; ++i) app_.run("INSERT INTO t(v) VALUES('before')");
  must(trim_to(*outbox_, Lsn(2)));
  const Epoch epoch = must(outbox_->state()).epoch;
  outbox_.reset();
  app_.run("DELETE FROM evodb_outbox WHERE id IN (5, 6)");
  open();
  Collector all;
  const auto read = outbox_->read(Lsn(2), all);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().kind, ErrorKind::kStale);
  EXPECT_THAT(all.seen, SizeIs(2)) << "what stands in front of the hole is right";
  expect_new_epoch_with_all(epoch);
}

TEST_P(LogMemoryTest, ATableWhoseDropWasTakenOutOfTheOutboxEndsInTheNewEpoch) {
  app_.run(
      "CREATE TABLE gone(id INTEGER PRIMARY KEY); CREATE TABLE before(id INTEGER PRIMARY KEY)");
  EXPECT_TRUE(must(outbox_->refresh_if_schema_changed()));
  app_.run("INSERT INTO gone VALUES(1); INSERT INTO before VALUES(1)");
  app_.run("DROP TABLE gone; ALTER TABLE before RENAME TO renamed");
  EXPECT_TRUE(must(outbox_->refresh_if_schema_changed()));
  must(outbox_->state());
  ASSERT_EQ(app_.number("SELECT count(*) FROM evodb_outbox WHERE op = 7"), 2);
  app_.run("INSERT INTO t(v) VALUES('behind them')");
  app_.run("DELETE FROM evodb_outbox WHERE op = 7");
  EXPECT_FALSE(ids(Lsn())) << "there is a hole";
  must(outbox_->state());
  resend_all(*outbox_);
  Collector all;
  must(outbox_->read(Lsn(), all));
  std::map<std::string, Op> last;
  for (const SeenChange& c : all.seen) last[c.table] = c.op;
  EXPECT_EQ(last.at("gone"), Op::kDrop);
  EXPECT_EQ(last.at("before"), Op::kDrop);
  EXPECT_NE(last.at("renamed"), Op::kDrop);
}

TEST_P(LogMemoryTest, ATrimForgetsNothingThatWasNotSentAsWhatItIsNow) {
  for (int i = 0; i < 5; ++i) app_.run("INSERT INTO t(v) VALUES('sent')");
  const Epoch epoch = must(outbox_->state()).epoch;
  const ChainHash chain = chain_at(*outbox_, Lsn(5));
  app_.run("UPDATE evodb_outbox SET v1 = 'not sent' WHERE id = 3");
  const auto trimmed = outbox_->trim(epoch, Lsn(5), chain);
  ASSERT_FALSE(trimmed);
  EXPECT_EQ(trimmed.error().kind, ErrorKind::kStale);
  EXPECT_EQ(app_.number("SELECT count(*) FROM evodb_outbox WHERE id > 0"), 5);
  EXPECT_EQ(app_.number("SELECT value FROM evodb_state WHERE key = 'trimmed'"), 0);
  expect_new_epoch_with_all(epoch);
}

TEST_P(LogMemoryTest, ALongTrimIsProvedAsAWholeBeforeItBegins) {
  app_.run(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
      "INSERT INTO t(v) SELECT i FROM n");
  const Epoch epoch = must(outbox_->state()).epoch;
  const ChainHash chain = chain_at(*outbox_, Lsn(5'000));
  app_.run("UPDATE evodb_outbox SET v1 = 'not sent' WHERE id = 4999");
  EXPECT_EQ(outbox_->trim(epoch, Lsn(5'000), chain).error().kind, ErrorKind::kStale);
  EXPECT_EQ(app_.number("SELECT count(*) FROM evodb_outbox WHERE id > 0"), 5'000);
  EXPECT_EQ(app_.number("SELECT value FROM evodb_state WHERE key = 'trimmed'"), 0);
}

TEST_P(LogMemoryTest, AProcessThatDiedLeavesALogThatBeginsANewLifeAndNoNewEpoch) {
  insert(1);
  const OutboxState first = must(outbox_->state());
  open();
  EXPECT_EQ(must(outbox_->state()).life, first.life) << "it was closed";
  App copy(dir_.file("copy.db"));  // as it is while an edge has it open
  copy_database(app_.handle(), copy.handle());
  auto other = must(SqliteOutbox::open(dir_.file("copy.db"), {}));
  const OutboxState second = must(other->state());
  EXPECT_NE(second.life, first.life);
  EXPECT_EQ(second.epoch, first.epoch);
  EXPECT_EQ(second.head, first.head);
}

TEST_P(LogMemoryTest, TwoProcessesOfOneDatabaseDoNotBeginEpochsAgainstEachOther) {
  insert(1);
  const Epoch epoch = must(outbox_->state()).epoch;
  auto other = must(SqliteOutbox::open(path_, {}));
  must(other->state());
  for (int i = 0; i < 5; ++i) {
    app_.run("INSERT INTO t(v) VALUES('more')");
    must(outbox_->changed());
    must(other->changed());
    must(trim_to(i % 2 == 0 ? *other : *outbox_, must(outbox_->state()).head));
  }
  EXPECT_EQ(must(outbox_->state()).epoch, epoch);
  EXPECT_EQ(must(other->state()).epoch, epoch);
  // One that begins an epoch is followed by the other.
  const Epoch next = must(other->begin_epoch(Epoch()));
  must(outbox_->changed());
  EXPECT_EQ(outbox_->trim(epoch, Lsn(7), ChainHash(1)).error().kind, ErrorKind::kStale);
  EXPECT_EQ(must(outbox_->state()).epoch, next);
}

TEST_P(LogMemoryTest, ALargeRowIsKnownByLessThanItsBytes) {
  app_.run("INSERT INTO t VALUES(1, zeroblob(3000000))");
  must(outbox_->state());
  must(trim_to(*outbox_, Lsn(1)));
  insert(2);
  must(outbox_->changed());
  EXPECT_THAT(must(ids(Lsn(1))), ElementsAre(2));
  EXPECT_THAT(events_, IsEmpty());
  const Epoch epoch = must(outbox_->state()).epoch;
  app_.run("UPDATE evodb_outbox SET at = at + 1 WHERE id = 1");
  must(outbox_->changed());
  expect_new_epoch_with_all(epoch);
}

TEST_P(LogMemoryTest, AWiderOutboxHasTheSameRows) {
  insert(1);
  must(trim_to(*outbox_, Lsn(1)));
  const Epoch epoch = must(outbox_->state()).epoch;
  app_.run("CREATE TABLE wide(a, b, c, d, e, f, g, h)");
  must(outbox_->changed());
  must(outbox_->refresh_if_schema_changed());
  app_.run("INSERT INTO wide(a) VALUES(5)");
  must(outbox_->changed());
  EXPECT_EQ(must(outbox_->state()).epoch, epoch);
  EXPECT_THAT(events_, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(JournalModes, LogMemoryTest, ::testing::Values("wal", "delete"),
                         [](const auto& param) { return std::string(param.param); });

}  // namespace
}  // namespace evodb::capture
