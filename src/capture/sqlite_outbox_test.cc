#include "capture/sqlite_outbox.h"

#include <atomic>
#include <thread>
#include <utility>

#include <gmock/gmock.h>

#include "base/limits.h"
#include "capture/capture_test_db.h"
#include "sim/seams/fake_disk.h"
#include "sim/seams/sqlite_disk.h"

namespace evodb::capture {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class SqliteOutboxTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    app_.run(std::string("PRAGMA journal_mode = ") + GetParam());
    app_.run("CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
    must(install_with({.db = path_}));
    outbox_ = must(SqliteOutbox::open(path_, {.busy_timeout_ms = 20}));
  }
  std::vector<SeenChange> read(Lsn after, std::size_t changes_max = SIZE_MAX) {
    Collector collector(changes_max);
    must(outbox_->read(after, collector));
    return collector.seen;
  }
  static std::vector<std::uint64_t> labels(const std::vector<SeenChange>& changes) {
    std::vector<std::uint64_t> out;
    for (const SeenChange& c : changes) out.push_back(c.txn.value);
    return out;
  }
  void insert(int count) {
    app_.run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
             std::to_string(count) + ") INSERT INTO t(v) SELECT i FROM n");
  }

  TempDir dir_;
  std::string path_ = dir_.file("app.db");
  App app_{path_};
  std::unique_ptr<SqliteOutbox> outbox_;
};

TEST_P(SqliteOutboxTest, ReadsAllInOrderAcrossItsSlices) {
  insert(5'000);
  const auto all = read(Lsn());
  ASSERT_THAT(all, SizeIs(5'000));
  for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i].lsn.value, i + 1);
  EXPECT_EQ(all.back().txn.value, 5'000u) << "one snapshot, one label";
  EXPECT_EQ(all.front().txn.value, 5'000u);
  EXPECT_THAT(read(Lsn(4'990)), SizeIs(10));
  EXPECT_THAT(read(Lsn(), 3), SizeIs(3)) << "the sink stops it";
}

TEST_P(SqliteOutboxTest, ChangesThatBecameVisibleTogetherKeepOneLabel) {
  insert(3);
  EXPECT_THAT(labels(read(Lsn(), 2)), ElementsAre(3, 3));
  insert(2);
  EXPECT_THAT(labels(read(Lsn())), ElementsAre(3, 3, 3, 5, 5)) << "a resend changes no label";
  EXPECT_THAT(labels(read(Lsn(3))), ElementsAre(5, 5));
}

TEST_P(SqliteOutboxTest, ARestartKeepsTheLabelThatTheParentKnows) {
  insert(5);
  outbox_->resume_group(TxnId(3));  // the parent has LSN 2 of the group that ends at 3
  EXPECT_THAT(labels(read(Lsn(2))), ElementsAre(3, 5, 5));
  outbox_->resume_group(TxnId(0));
  EXPECT_THAT(labels(read(Lsn(2))), ElementsAre(5, 5, 5));
}

TEST_P(SqliteOutboxTest, TrimForgetsWhatLiesBelowAndLsnsGoOn) {
  insert(10);
  const ChainHash chain = chain_at(*outbox_, Lsn(4));
  must(outbox_->trim(outbox_->state()->epoch, Lsn(4), chain));
  OutboxState state = must(outbox_->state());
  EXPECT_EQ(state.trimmed, Lsn(4));
  EXPECT_EQ(state.trimmed_chain, chain);
  EXPECT_EQ(state.head, Lsn(10));
  EXPECT_THAT(read(Lsn()), SizeIs(6));
  EXPECT_EQ(app_.number("SELECT count(*) FROM evodb_outbox"), 7) << "and the row at the mark";
  must(outbox_->trim(outbox_->state()->epoch, Lsn(2), ChainHash(1)));
  EXPECT_EQ(must(outbox_->state()).trimmed, Lsn(4)) << "a mark does not go back";

  must(trim_to(*outbox_, Lsn(10)));
  EXPECT_THAT(read(Lsn()), IsEmpty());
  EXPECT_EQ(must(outbox_->state()).head, Lsn(10));
  app_.run("DELETE FROM t; VACUUM");
  EXPECT_EQ(read(Lsn()).front().lsn, Lsn(11)) << "no LSN is used twice";
  ASSERT_FALSE(outbox_->trim(outbox_->state()->epoch, Lsn(99), ChainHash(1)).has_value());
}

TEST_P(SqliteOutboxTest, ABigTrimIsDoneInSmallSteps) {
  insert(30'000);
  const ChainHash chain = chain_at(*outbox_, Lsn(30'000));
  // Each commit is one step: what is deleted in it was proved in it.
  std::vector<std::int64_t> steps;
  std::int64_t last = 0;
  std::atomic<bool> done = false;
  std::thread watcher([&] {
    App other(path_);
    while (!done) {
      const std::int64_t now = other.number("SELECT value FROM evodb_state WHERE key = 'trimmed'");
      if (now != last) steps.push_back(std::exchange(last, now));
    }
  });
  Result<void> trimmed;
  do {
    trimmed = outbox_->trim(outbox_->state()->epoch, Lsn(30'000), chain);
  } while (!trimmed && trimmed.error().kind == ErrorKind::kRetry);
  done = true;
  watcher.join();
  must(trimmed);
  EXPECT_GT(steps.size(), 1u);
  EXPECT_EQ(must(outbox_->state()).trimmed_chain, chain);
  EXPECT_THAT(read(Lsn()), IsEmpty());
  EXPECT_EQ(app_.number("SELECT count(*) FROM evodb_outbox"), 1);
}

TEST_P(SqliteOutboxTest, RowsBelowTheMarkAreSweptAndTheRowAtItStays) {
  insert(3'000);
  must(trim_to(*outbox_, Lsn(2'999)));
  const ChainHash chain = must(outbox_->state()).trimmed_chain;
  // As a version that set the mark first and was killed then left them.
  app_.run(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2998) "
      "INSERT INTO evodb_outbox(id, tbl, op, v0, v1) SELECT i, 1, 0, i, i FROM n");
  outbox_ = must(SqliteOutbox::open(path_, {}));
  EXPECT_THAT(read(Lsn()), SizeIs(1)) << "nobody sees what is trimmed";
  for (int i = 0; i < 10; ++i) must(outbox_->changed());
  EXPECT_EQ(app_.text("SELECT group_concat(id) FROM evodb_outbox"), "2999,3000");
  EXPECT_EQ(must(outbox_->state()).trimmed_chain, chain);
}

TEST_P(SqliteOutboxTest, NoticesWritesOfOthersAndOnlyThose) {
  EXPECT_TRUE(must(outbox_->changed()));
  EXPECT_FALSE(must(outbox_->changed()));
  insert(1);
  EXPECT_TRUE(must(outbox_->changed()));
  EXPECT_FALSE(must(outbox_->changed()));
  must(trim_to(*outbox_, Lsn(1)));
  EXPECT_FALSE(must(outbox_->changed()));
}

TEST_P(SqliteOutboxTest, SchemaChangesAreFollowed) {
  EXPECT_FALSE(must(outbox_->refresh_if_schema_changed()));
  app_.run("CREATE TABLE u(a, b); INSERT INTO u VALUES(1, 2); ALTER TABLE t ADD COLUMN w");
  EXPECT_TRUE(must(outbox_->refresh_if_schema_changed()));
  EXPECT_FALSE(must(outbox_->refresh_if_schema_changed()));
  resend_all(*outbox_);
  app_.run("INSERT INTO t VALUES(1, 2, 3)");
  const auto all = read(Lsn());
  ASSERT_THAT(all, SizeIs(2));
  EXPECT_EQ(all[0].op, Op::kSnapshot);
  EXPECT_EQ(all[0].table, "u");
  EXPECT_EQ(all[1].schema_version, 2u);
  EXPECT_THAT(all[1].after, SizeIs(3));
}

TEST_P(SqliteOutboxTest, ANewEpochSendsEverythingAgain) {
  insert(3);
  must(trim_to(*outbox_, Lsn(2)));
  const Epoch before = must(outbox_->state()).epoch;
  EXPECT_EQ(must(outbox_->begin_epoch(Epoch())).value, before.value + 1);
  EXPECT_EQ(must(outbox_->begin_epoch(Epoch(before.value + 10))).value, before.value + 10);
  const OutboxState state = must(outbox_->state());
  EXPECT_EQ(state.epoch.value, before.value + 10);
  EXPECT_EQ(state.trimmed, Lsn(2));
  EXPECT_EQ(state.trimmed_chain, ChainHash(0));
  EXPECT_TRUE(outbox_->resending());
  resend_all(*outbox_);
  EXPECT_FALSE(outbox_->resending());
  std::vector<Op> ops;
  for (const SeenChange& c : read(Lsn())) ops.push_back(c.op);
  EXPECT_THAT(ops, ElementsAre(Op::kInsert, Op::kReset, Op::kReset, Op::kSnapshot, Op::kSnapshot,
                               Op::kSnapshot));
}

TEST_P(SqliteOutboxTest, AnEmptiedOutboxStartsANewEpochInsteadOfLosingChanges) {
  insert(5);
  must(trim_to(*outbox_, Lsn(5)));
  const Epoch before = must(outbox_->state()).epoch;
  outbox_.reset();
  app_.run("DELETE FROM evodb_outbox; INSERT INTO t(v) VALUES('lost otherwise')");
  outbox_ = must(SqliteOutbox::open(path_, {}));
  EXPECT_GT(must(outbox_->state()).epoch, before);
  resend_all(*outbox_);
  const auto all = read(Lsn());
  ASSERT_THAT(all, SizeIs(7));
  EXPECT_EQ(all.front().lsn, Lsn(6));
  EXPECT_EQ(all.front().op, Op::kReset);
}

TEST_P(SqliteOutboxTest, ALockMeansTryAgain) {
  insert(1);
  must(outbox_->state());
  app_.run("BEGIN IMMEDIATE");
  const auto trimmed = trim_to(*outbox_, Lsn(1));
  ASSERT_FALSE(trimmed.has_value());
  EXPECT_EQ(trimmed.error().kind, ErrorKind::kRetry);
  app_.run("COMMIT");
  must(trim_to(*outbox_, Lsn(1)));
}

TEST_P(SqliteOutboxTest, ReadingLeavesNoLockBehind) {
  insert(10);
  read(Lsn(), 3);
  app_.run("BEGIN EXCLUSIVE; INSERT INTO t(v) VALUES(1); COMMIT");
}

TEST_P(SqliteOutboxTest, ARowOverTheLimitIsNamedNotSent) {
  const std::string over = std::to_string(base::row_bytes_max);
  app_.run("INSERT INTO t VALUES(1, zeroblob(" + over + ")); INSERT INTO t VALUES(2, 'small')");
  app_.run("UPDATE t SET v = zeroblob(5000000) WHERE id = 2");
  app_.run("UPDATE t SET v = zeroblob(5000001) WHERE id = 2");
  app_.run("CREATE TABLE k(k TEXT PRIMARY KEY NOT NULL)");
  must(outbox_->refresh_if_schema_changed());
  app_.run("INSERT INTO k VALUES('begin' || hex(zeroblob(" + over + ")))");
  const auto all = read(Lsn());
  ASSERT_THAT(all, SizeIs(5));
  EXPECT_EQ(all[0].op, Op::kOversize);
  EXPECT_EQ(all[0].key, (std::vector<Value>{Value::integer(1)}));
  EXPECT_THAT(all[0].reason, HasSubstr("at most 8388608"));
  EXPECT_FALSE(all[0].has_before || all[0].has_after);
  EXPECT_TRUE(all[2].has_before);
  EXPECT_EQ(all[3].op, Op::kUpdate) << "both rows are too much, the new one is not";
  EXPECT_FALSE(all[3].has_before);
  EXPECT_TRUE(all[3].has_after);
  EXPECT_EQ(all[4].op, Op::kOversize);
  EXPECT_FALSE(all[4].has_key);
  EXPECT_THAT(all[4].reason, HasSubstr("'begin000"));
  EXPECT_LT(all[4].reason.size(), 500u);
}

TEST_P(SqliteOutboxTest, WideTablesAreReadWholeAndInHalves) {
  // The widest takes seconds: SQLite reads its whole schema again for each column that is added.
  const int widest = std::string(GetParam()) == "wal" ? 1'990 : 200;
  for (const int width : {64, 65, widest}) {
    std::string columns = "id INTEGER PRIMARY KEY";
    for (int i = 1; i < width; ++i) columns += ",c" + std::to_string(i);
    const std::string name = "w" + std::to_string(width);
    app_.run("CREATE TABLE " + name + "(" + columns + ")");
    must(outbox_->refresh_if_schema_changed());
    const Lsn before = must(outbox_->state()).head;
    app_.run("INSERT INTO " + name + "(id, c63) VALUES(1, 'old')");
    app_.run("UPDATE " + name + " SET c63 = 'new'; DELETE FROM " + name);
    const auto all = read(before);
    ASSERT_THAT(all, SizeIs(3)) << width;
    EXPECT_THAT(all[1].before, SizeIs(width));
    EXPECT_EQ(all[1].before[63], Value::text("old"));
    EXPECT_EQ(all[1].after[63], Value::text("new"));
    EXPECT_EQ(all[2].before[63], Value::text("new"));
  }
  std::string columns = "a";
  for (int i = 1; i < 1'991; ++i) columns += ",c" + std::to_string(i);
  app_.run("CREATE TABLE too_wide(" + columns + ")");
  must(outbox_->refresh_if_schema_changed());
  bool named = false;
  for (const TableStatus& t : must(status(path_)).tables) {
    if (t.name == "too_wide") named = t.reason.find("at most 1990") != std::string::npos;
  }
  EXPECT_TRUE(named);
}

TEST_P(SqliteOutboxTest, StatusCountsWhatIsHeld) {
  insert(100);
  must(trim_to(*outbox_, Lsn(40)));
  const CaptureStatus now = must(status(path_));
  EXPECT_EQ(now.head, Lsn(100));
  EXPECT_EQ(now.trimmed, Lsn(40));
  EXPECT_EQ(now.held_changes, 60u);
  EXPECT_GT(now.held_bytes, 60u);
  EXPECT_EQ(now.source, must(outbox_->state()).source);
}

TEST_P(SqliteOutboxTest, ADefinitionThatNoParentTakesIsDamageAndNotSentForEver) {
  insert(3);
  app_.run("UPDATE evodb_columns SET key_ordinal = 16");
  outbox_ = must(SqliteOutbox::open(path_, {}));
  Collector sink;
  const auto read = outbox_->read(Lsn(), sink);
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().kind, ErrorKind::kCorrupt);
  EXPECT_THAT(read.error().text, HasSubstr("evodb_columns"));
  EXPECT_THAT(sink.seen, IsEmpty());
}

TEST_P(SqliteOutboxTest, NumbersBeyondCountingAreDamage) {
  insert(3);
  for (const char* sql :
       {"UPDATE evodb_state SET value = -1 WHERE key = 'epoch'",
        "UPDATE evodb_state SET value = 9223372036854775807 WHERE key = 'trimmed'",
        "UPDATE evodb_outbox SET id = 9223372036854775807 WHERE id = 3"}) {
    app_.run("BEGIN");
    app_.run(sql);
    app_.run("COMMIT");
    const auto opened = SqliteOutbox::open(path_, {});
    ASSERT_FALSE(opened.has_value()) << sql;
    EXPECT_EQ(opened.error().kind, ErrorKind::kCorrupt);
    app_.run("UPDATE evodb_state SET value = 1 WHERE key = 'epoch'");
    app_.run("UPDATE evodb_state SET value = 0 WHERE key = 'trimmed'");
  }
}

TEST_P(SqliteOutboxTest, AnUncapturedDatabaseSaysHowToCaptureIt) {
  const std::string other = dir_.file("other.db");
  App(other).run("CREATE TABLE t(a)");
  const auto opened = SqliteOutbox::open(other, {});
  ASSERT_FALSE(opened.has_value());
  EXPECT_THAT(opened.error().text, HasSubstr("evodb capture install"));
}

TEST_P(SqliteOutboxTest, DamagedMarksAreSaidAndNotActedOn) {
  insert(5);
  must(trim_to(*outbox_, Lsn(1)));
  outbox_.reset();
  for (const std::string change :
       {"value = 4 WHERE key = 'trimmed'", "value = 'shoq' WHERE key = 'source'",
        "value = value + 1 WHERE key = 'epoch'", "value = 1 WHERE key = 'paused'"}) {
    app_.run("CREATE TEMP TABLE kept AS SELECT * FROM evodb_state");
    app_.run("UPDATE evodb_state SET " + change);
    const auto opened = SqliteOutbox::open(path_, {});
    ASSERT_FALSE(opened) << change;
    EXPECT_EQ(opened.error().kind, ErrorKind::kCorrupt) << change;
    EXPECT_THAT(opened.error().text, HasSubstr("checksum of evodb_state"));
    app_.run("DELETE FROM evodb_state; INSERT INTO evodb_state SELECT * FROM kept");
    app_.run("DROP TABLE temp.kept");
  }
  EXPECT_EQ(app_.number("SELECT count(*) FROM evodb_outbox"), 5) << "nothing was swept";
}

// A database that was captured before there was a checksum, a life and an anchor.
TEST_P(SqliteOutboxTest, ADatabaseOfFormat1BecomesOneOfFormat2WhereItIsAndGoesOn) {
  insert(5);
  must(trim_to(*outbox_, Lsn(1)));
  const OutboxState before = must(outbox_->state());
  outbox_.reset();
  app_.run(
      "DELETE FROM evodb_outbox WHERE id <= 1;"
      "DELETE FROM evodb_state WHERE key IN ('sum', 'life', 'open', 'anchor', 'dense_after');"
      "UPDATE evodb_state SET value = 1 WHERE key = 'format'");
  outbox_ = must(SqliteOutbox::open(path_, {}));
  OutboxState after = must(outbox_->state());
  EXPECT_EQ(after.epoch, before.epoch) << "no new epoch for that";
  EXPECT_NE(after.life, 0u);
  EXPECT_EQ(app_.number("SELECT value FROM evodb_state WHERE key = 'format'"), 2);
  EXPECT_THAT(read(Lsn()), SizeIs(4));
  must(trim_to(*outbox_, Lsn(2)));
  EXPECT_EQ(app_.number("SELECT count(*) FROM evodb_state WHERE key = 'sum'"), 1);
  EXPECT_EQ(app_.number("SELECT value <> 0 FROM evodb_state WHERE key = 'anchor'"), 1);
}

// A page whose cells lie in another order: SQLite gives them as they lie.
TEST(SqliteOutboxOnABadDisk, IdsThatDoNotGrowAreDamage) {
  sim::FakeDisk disk;
  sim::FakeClock clock;
  sim::SeededRandom random(4);
  sim::SqliteDisk sqlite(disk, clock, random);
  (void)disk.make_directories("d");
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open_v2("d/a.db", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                            sqlite.name().c_str()),
            SQLITE_OK);
  const auto run = [&](const char* sql) {
    ASSERT_EQ(sqlite3_exec(db, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
  };
  run("CREATE TABLE t(a INTEGER PRIMARY KEY)");
  ASSERT_TRUE(install({.db = "d/a.db", .vfs = sqlite.name()}, clock, random));
  run("INSERT INTO t VALUES(1),(2),(3)");
  std::int64_t root = 0, page = 0;
  for (auto& [sql, into] :
       {std::pair{"SELECT rootpage FROM sqlite_schema WHERE name='evodb_outbox'", &root},
        std::pair{"PRAGMA page_size", &page}}) {
    sqlite3_stmt* s = nullptr;
    ASSERT_EQ(sqlite3_prepare_v2(db, sql, -1, &s, nullptr), SQLITE_OK);
    ASSERT_EQ(sqlite3_step(s), SQLITE_ROW);
    *into = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
  }
  sqlite3_close(db);
  std::string bytes = disk.contents("d/a.db");
  // Of the rows 1 and 2, behind the anchor.
  const auto cells = static_cast<std::size_t>((root - 1) * page + 10);
  std::swap(bytes[cells], bytes[cells + 2]);
  std::swap(bytes[cells + 1], bytes[cells + 3]);
  disk.put("d/a.db", bytes);
  auto outbox = SqliteOutbox::open("d/a.db", {.vfs = sqlite.name()});
  ASSERT_TRUE(outbox) << outbox.error().text;
  Collector got;
  auto read = (*outbox)->read(Lsn(0), got);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().kind, ErrorKind::kStale) << "it begins with a hole";
  ASSERT_TRUE((*outbox)->state()) << "which begins a new epoch";
  read = (*outbox)->read(Lsn(0), got);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().kind, ErrorKind::kCorrupt);
  EXPECT_THAT(read.error().text, HasSubstr("evodb_outbox is damaged, id 1 follows 2"));
  EXPECT_THAT(got.seen, SizeIs(1)) << "of LSN 2";
}

INSTANTIATE_TEST_SUITE_P(Journals, SqliteOutboxTest, ::testing::Values("wal", "delete"),
                         [](const auto& param) { return std::string(param.param); });

// What waits is due by the clock, not by the next write.
struct WaitingTableTest : ::testing::Test {
  WaitingTableTest() {
    must(disk.make_directories("d"));
    EXPECT_EQ(sqlite3_open_v2("d/a.db", &app, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                              sqlite.name().c_str()),
              SQLITE_OK);
    run("PRAGMA journal_mode = wal; CREATE TABLE t(id INTEGER PRIMARY KEY)");
    must(install({.db = "d/a.db", .source = "s", .vfs = sqlite.name()}, clock, random));
    outbox = must(SqliteOutbox::open("d/a.db", {.vfs = sqlite.name(), .clock = &clock}));
    settle();
  }
  ~WaitingTableTest() override {
    outbox.reset();
    sqlite3_close(app);
  }
  void run(const std::string& sql) {
    ASSERT_EQ(sqlite3_exec(app, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(app);
  }
  // As a follower, until there is nothing more to do.
  int settle() {
    int looks = 0;
    for (; must(outbox->changed()); ++looks) must(outbox->refresh_if_schema_changed());
    return looks;
  }
  std::set<std::string> tables() {
    Collector collector;
    must(outbox->read(Lsn(), collector));
    std::set<std::string> found;
    for (const SeenChange& c : collector.seen) found.insert(c.table);
    return found;
  }

  sim::FakeClock clock;
  sim::SeededRandom random{1};
  sim::FakeDisk disk;
  sim::SqliteDisk sqlite{disk, clock, random};
  sqlite3* app = nullptr;
  std::unique_ptr<SqliteOutbox> outbox;
};

TEST_F(WaitingTableTest, IsCapturedWhenItsTimeComesThoughNobodyWrites) {
  run("CREATE TABLE users_backup(id INTEGER PRIMARY KEY); INSERT INTO users_backup VALUES(1)");
  EXPECT_GT(settle(), 0);
  EXPECT_FALSE(outbox->resending());
  EXPECT_FALSE(outbox->rest()) << "somebody must look when its time comes";
  clock.advance_ms(4'900);
  EXPECT_EQ(settle(), 0);
  clock.advance_ms(200);
  EXPECT_GT(settle(), 0);
  EXPECT_THAT(tables(), ElementsAre("users_backup"));
  clock.advance_ms(100'000);
  EXPECT_EQ(settle(), 0);
}

TEST_F(WaitingTableTest, IsCapturedAlsoWhereTheClockGoesBackMeanwhile) {
  run("CREATE TABLE users_backup(id INTEGER PRIMARY KEY); INSERT INTO users_backup VALUES(1)");
  settle();
  clock.jump_wall_ms(-86'400'000);
  for (int i = 0; i < 6; ++i) {
    clock.advance_ms(1'000);
    settle();
  }
  EXPECT_THAT(tables(), ElementsAre("users_backup"));
}

}  // namespace
}  // namespace evodb::capture
