#include "capture/resend.h"

#include <gmock/gmock.h>

#include "capture/capture_test_db.h"

namespace evodb::capture {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A database whose every table begins anew, sent again in chunks of a few rows.
class ResendTest : public ::testing::Test {
 protected:
  void begin(const std::string& sql) {
    app_.run(sql);
    must(install_with({.db = path_}));
    outbox_ = must(SqliteOutbox::open(path_, {.resend_chunk = {.rows_max = 3}}));
    must(outbox_->read(Lsn(), replica_));
    must(outbox_->begin_epoch(Epoch()));
  }
  void settle() {
    resend_all(*outbox_);
    must(outbox_->read(replica_.last, replica_));
    replica_.settle();
    EXPECT_THAT(replica_.faults, IsEmpty());
  }
  void expect_equal(const std::string& when) {
    const Database db = must(Database::open(path_, {}));
    for (const FoundTable& found : must(find_tables(db))) {
      ASSERT_EQ(found.skip_reason, std::nullopt);
      replica_.widen(found.name, found.shape.value_count());
      ASSERT_EQ(replica_.rows_of(found.name), rows_in(app_, found.shape))
          << when << ": " << found.name;
    }
  }

  TempDir dir_;
  std::string path_ = dir_.file("app.db");
  App app_{path_};
  std::unique_ptr<SqliteOutbox> outbox_;
  Replica replica_;
};

std::string some_rows(const std::string& table, const std::string& values, int count) {
  return "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
         std::to_string(count) + ") INSERT OR IGNORE INTO " + table + " SELECT " + values +
         " FROM n;";
}

const char* const kinds[][3] = {
    {"id INTEGER PRIMARY KEY, v", "", "i * 7 - 40, i"},
    {"k TEXT PRIMARY KEY NOT NULL, v", "", "'k' || i, i"},
    {"v, k TEXT NOT NULL COLLATE NOCASE PRIMARY KEY", "", "i, char(65 + i % 26) || i"},
    {"v, b INT, a TEXT, PRIMARY KEY(a, b DESC)", "WITHOUT ROWID", "i, i % 4, 'a' || (i / 4)"},
    {"a, b, v, PRIMARY KEY(a DESC, b COLLATE NOCASE)", "WITHOUT ROWID",
     "CASE i % 3 WHEN 0 THEN i WHEN 1 THEN 't' || i ELSE x'00' END, char(97 + i % 9), i"},
    {"a, b TEXT, v, PRIMARY KEY(a, b)", "",
     "CASE WHEN i % 3 = 0 THEN NULL ELSE i % 5 END, CASE WHEN i % 4 = 0 THEN NULL ELSE i % 2 END, "
     "i % 2"},
    {"k TEXT PRIMARY KEY DESC, v", "", "CASE WHEN i % 2 = 0 THEN NULL ELSE 'k' || i END, i % 3"},
    {"a, v", "", "i, i"},
    {"_rowid_, oid, v", "", "i, i, i"},
    {"a INT, v, s AS (a + 1) STORED, t AS (s * 2), PRIMARY KEY(a)", "", nullptr},
};

TEST_F(ResendTest, EveryKindOfTableIsSentWholeWhileTheApplicationWrites) {
  std::string sql = "PRAGMA recursive_triggers = 0;";
  for (std::size_t i = 0; i < std::size(kinds); ++i) {
    const std::string name = "t" + std::to_string(i);
    sql += "CREATE TABLE " + name + "(" + kinds[i][0] + ") " + kinds[i][1] + ";";
    if (kinds[i][2] != nullptr) sql += some_rows(name, kinds[i][2], 40);
  }
  sql += some_rows("t9(a, v)", "i, i", 40);
  begin(sql);
  sim::SeededRandom random(5);
  for (int round = 0; round < 400; ++round) {
    for (int statements = 0; statements < 3; ++statements) {
      const std::size_t i = random.below(std::size(kinds));
      const std::string name = "t" + std::to_string(i);
      const std::string where = " WHERE v = " + std::to_string(random.below(40));
      switch (random.below(5)) {
        case 0: app_.run("DELETE FROM " + name + where); break;
        case 1: app_.run("UPDATE " + name + " SET v = v + 1" + where); break;
        case 2:
          app_.try_run("UPDATE OR REPLACE " + name + " SET v = v + 100, " +
                       (i == 0 || i == 1   ? (i == 0 ? "id = id + 1" : "k = k || 'x'")
                        : i == 2 || i == 6 ? "k = k || 'x'"
                                           : "v = 7") +
                       where);
          break;
        default:
          app_.try_run(some_rows(i == 9 ? "t9(a, v)" : name,
                                 i == 9 ? "i + abs(random()) % 90, i" : kinds[i][2],
                                 static_cast<int>(random.below(6))));
      }
    }
    if (outbox_->resending()) must(outbox_->resend_step());
    must(outbox_->read(replica_.last, replica_));
    if (round % 50 == 0) app_.run("PRAGMA wal_checkpoint");
  }
  settle();
  expect_equal("after all chunks");
  app_.run("UPDATE t5 SET v = 9; DELETE FROM t6 WHERE v = 1");
  must(outbox_->read(replica_.last, replica_));
  EXPECT_THAT(replica_.faults, IsEmpty()) << "every change fits again";
  expect_equal("afterwards");
}

TEST_F(ResendTest, AChunkIsBoundedAndTheNextProcessGoesOnBehindIt) {
  begin("CREATE TABLE t(id INTEGER PRIMARY KEY, v);" + some_rows("t", "i, i", 10));
  EXPECT_TRUE(must(outbox_->resend_step()));
  EXPECT_EQ(app_.number("SELECT count(*) FROM evodb_outbox WHERE op = 3"), 10 + 3);
  EXPECT_TRUE(must(status(path_)).tables[0].resending);
  outbox_ = must(SqliteOutbox::open(path_, {.resend_chunk = {.rows_max = 3}}));
  EXPECT_TRUE(must(outbox_->resend_step()));
  EXPECT_EQ(app_.number("SELECT count(*) FROM evodb_outbox WHERE op = 3"), 10 + 6);
  settle();
  EXPECT_EQ(app_.number("SELECT count(*) FROM evodb_outbox WHERE op = 3"), 20) << "none twice";
  EXPECT_FALSE(must(status(path_)).tables[0].resending);
  expect_equal("at the end");
}

TEST_F(ResendTest, AChunkIsBoundedByBytesAndByTime) {
  app_.run("CREATE TABLE t(id INTEGER PRIMARY KEY, v);" + some_rows("t", "i, zeroblob(1000)", 100));
  must(install_with({.db = path_}));
  const Database db = must(Database::open(path_, {}));
  const auto again = [&] { must(queue_resend(db, must(load_captured(db, 1)), 0)); };
  Resender resender;
  again();
  EXPECT_EQ(must(resender.step(db, nullptr, {.bytes_max = 10'000})).rows, 10u);

  // A clock that ticks each time it is looked at.
  struct Ticking final : base::Clock {
    UnixMillis wall() override { return UnixMillis(); }
    base::MonotonicMillis monotonic() override { return base::MonotonicMillis(++now); }
    std::int64_t now = 0;
  } clock;
  again();
  const ResendStep step = must(resender.step(db, &clock, {.time_ms = 3}));
  EXPECT_GT(step.rows, 0u);
  EXPECT_LT(step.rows, 100u);
  EXPECT_TRUE(step.pending);
}

TEST_F(ResendTest, ASchemaChangeInTheMiddleIsLookedAtFirst) {
  begin("CREATE TABLE t(id INTEGER PRIMARY KEY, a, b);" + some_rows("t", "i, i, -i", 10));
  must(outbox_->resend_step());
  app_.run("ALTER TABLE t RENAME COLUMN a TO c; UPDATE t SET c = 100 WHERE id = 2");
  const auto refused = outbox_->resend_step();
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().kind, ErrorKind::kRetry);
  settle();
  expect_equal("renamed");
  must(outbox_->begin_epoch(Epoch()));
  must(outbox_->resend_step());
  app_.run("ALTER TABLE t ADD COLUMN d DEFAULT 7");
  settle();
  expect_equal("joined");
  must(outbox_->begin_epoch(Epoch()));
  must(outbox_->resend_step());
  app_.run("DROP TABLE t");
  settle();
  EXPECT_THAT(replica_.dropped["t"], HasSubstr("dropped"));
  EXPECT_THAT(replica_.rows_of("t"), IsEmpty());
}

TEST_F(ResendTest, VacuumInTheMiddleBeginsTheWalkAgain) {
  begin("CREATE TABLE t(v); CREATE TABLE k(k TEXT PRIMARY KEY NOT NULL, v);" +
        some_rows("t", "i", 30) + some_rows("k", "'k' || i, i", 30) +
        "DELETE FROM t WHERE v % 3 = 1; DELETE FROM k WHERE v % 3 = 1");
  must(outbox_->resend_step());
  app_.run("VACUUM; INSERT INTO t VALUES(99)");
  settle();
  expect_equal("after VACUUM");
  EXPECT_GE(replica_.resets["t"], 2) << "its rows have other keys";
  const int resets = replica_.resets["t"];
  app_.run("VACUUM");
  settle();
  expect_equal("after another");
  EXPECT_EQ(replica_.resets["t"], resets + 1);
  EXPECT_EQ(replica_.resets["k"], 1) << "it has a key";
}

TEST_F(ResendTest, AColumnThatJoinedIsSentOnlyWhereItHoldsAValue) {
  begin(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, a);"
      "CREATE TABLE n(a, b, v, PRIMARY KEY(a, b));" +
      some_rows("t", "i, i", 20) + some_rows("n", "NULL, i % 3, i % 2", 20));
  settle();
  const std::int64_t before = app_.number("SELECT max(id) FROM evodb_outbox");
  app_.run(
      "ALTER TABLE t ADD COLUMN late; UPDATE t SET late = 'x' WHERE id IN (3, 17);"
      "ALTER TABLE n ADD COLUMN late; UPDATE n SET late = 'y' WHERE b = 1");
  settle();
  expect_equal("columns joined");
  EXPECT_EQ(
      app_.number("SELECT count(*) FROM evodb_outbox WHERE op = 3 AND v0 IS NOT NULL AND id > " +
                  std::to_string(before)),
      2);
  EXPECT_EQ(replica_.resets["t"], 1) << "it did not begin anew";
  EXPECT_EQ(replica_.resets["n"], 2) << "rows with NULL in their key are known by all values";
  app_.run("DELETE FROM n WHERE b = 1");
  must(outbox_->read(replica_.last, replica_));
  EXPECT_THAT(replica_.faults, IsEmpty());
  app_.run("ALTER TABLE n ADD COLUMN later; INSERT INTO n VALUES(1, 1, 1, 1, 1)");
  settle();
  expect_equal("a row with a key only");
  EXPECT_EQ(replica_.resets["n"], 2);
}

// A collation that only the application has: its order is not known here.
TEST_F(ResendTest, AKeyWithTheApplicationsOwnCollationIsSentInOne) {
  const auto backwards = [](void*, int a_size, const void* a, int b_size, const void* b) {
    const std::string_view left(static_cast<const char*>(a), static_cast<std::size_t>(a_size));
    const std::string_view right(static_cast<const char*>(b), static_cast<std::size_t>(b_size));
    return right.compare(left);
  };
  sqlite3_create_collation(app_.handle(), "backwards", SQLITE_UTF8, nullptr, backwards);
  begin("CREATE TABLE n(k TEXT COLLATE backwards PRIMARY KEY, v);" +
        some_rows("n", "CASE WHEN i % 2 = 0 THEN NULL ELSE 'k' || i END, 1", 10));
  app_.run("INSERT INTO n VALUES(NULL, 1)");
  settle();
  EXPECT_EQ(replica_.rows_of("n").size(), 11u);
}

}  // namespace
}  // namespace evodb::capture
