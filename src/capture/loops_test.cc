// Tables whose changes lead back to them by foreign keys: what is logged is what happened, in an
// order in which each change fits the rows before it. Random histories are in workload_test.cc.
#include <gmock/gmock.h>

#include "capture/capture_test_db.h"
#include "capture/triggers.h"

namespace evodb::capture {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LoopsTest : public ::testing::Test {
 protected:
  void make(const std::string& sql) {
    app_.run("PRAGMA foreign_keys = 1;" + sql);
    must(install_with({.db = path_}));
    outbox_ = must(SqliteOutbox::open(path_, {}));
    must(outbox_->read(replica_.last, replica_));
    replica_.settle();
  }
  // Runs it, and gives what was logged as "op key": i, u, d.
  std::vector<std::string> logged(const std::string& sql) {
    app_.run(sql);
    Collector collector;
    must(outbox_->read(replica_.last, collector));
    must(outbox_->read(replica_.last, replica_));
    EXPECT_THAT(replica_.faults, IsEmpty());
    const Database reader = must(Database::open(path_, {}));
    for (const FoundTable& found : must(find_tables(reader))) {
      EXPECT_EQ(replica_.rows_of(found.name), rows_in(app_, found.shape)) << found.name;
    }
    std::vector<std::string> ops;
    for (const SeenChange& c : collector.seen) {
      const std::vector<Value>& row = c.has_after ? c.after : c.before;
      ops.push_back(std::string(1, "iud"[static_cast<int>(c.op)]) + " " +
                    std::to_string(row[0].view().integer));
    }
    return ops;
  }
  std::int64_t notes() { return app_.number("SELECT count(*) FROM evodb_victims"); }

  TempDir dir_;
  std::string path_ = dir_.file("app.db");
  App app_{path_};
  std::unique_ptr<SqliteOutbox> outbox_;
  Replica replica_;
};

constexpr const char* tree =
    "CREATE TABLE tree(id INTEGER PRIMARY KEY, code INT UNIQUE, "
    "parent INT REFERENCES tree(id) ON DELETE SET NULL ON UPDATE CASCADE, "
    "owner INT UNIQUE REFERENCES tree(code) ON DELETE CASCADE ON UPDATE SET NULL);";

TEST_F(LoopsTest, ARowThatRefersToItselfGetsAnotherKey) {
  make(std::string(tree) + "INSERT INTO tree VALUES(1, 10, 1, 10)");
  EXPECT_THAT(logged("UPDATE tree SET id = 2"), ElementsAre("d 1", "i 2"));
  EXPECT_THAT(logged("UPDATE tree SET code = 11"), ElementsAre("u 2"));
  EXPECT_EQ(app_.text("SELECT id || parent || ifnull(owner, '-') FROM tree"), "22-");
  EXPECT_EQ(notes(), 0);
}

TEST_F(LoopsTest, OthersFollowARowThatGetsAnotherKey) {
  make(std::string(tree) + "INSERT INTO tree VALUES(1, 10, NULL, NULL), (2, 20, 1, NULL)");
  EXPECT_THAT(logged("UPDATE tree SET id = 3 WHERE id = 1"), ElementsAre("d 1", "u 2", "i 3"));
  EXPECT_EQ(notes(), 0);
}

TEST_F(LoopsTest, OrReplaceTakesARowAwayAndWithItTheRowThatItIsAbout) {
  make(std::string(tree) +
       "INSERT INTO tree VALUES(1, 10, NULL, NULL), (2, 20, NULL, 10), (3, 30, 1, NULL)");
  // Row 1 is in the way; with it goes row 2, which it owns. SQLite then has nothing to update.
  EXPECT_THAT(logged("UPDATE OR REPLACE tree SET code = 10, owner = NULL WHERE id = 2"),
              ElementsAre("d 2", "d 1", "u 3"));
  EXPECT_EQ(app_.text("SELECT group_concat(id) FROM tree"), "3");
}

TEST_F(LoopsTest, TwoRowsInTheWayOfOneOfWhichOneRefersToTheOther) {
  make(std::string(tree) + "INSERT INTO tree VALUES(0, 5, NULL, NULL), (7, 4, 0, NULL)");
  logged("INSERT OR REPLACE INTO tree(id, code) VALUES(0, 4)");
  EXPECT_EQ(app_.text("SELECT group_concat(id) FROM tree"), "0");
}

TEST_F(LoopsTest, AChainThatCascadesIsLoggedFromItsEnd) {
  make(std::string(tree) +
       "INSERT INTO tree VALUES(1, 1, NULL, NULL), (2, 2, NULL, 1), (3, 3, NULL, 2)");
  EXPECT_THAT(logged("DELETE FROM tree WHERE id = 1"), ElementsAre("d 3", "d 2", "d 1"));
  app_.run("PRAGMA recursive_triggers = 1");
  logged(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) "
      "INSERT INTO tree(id, code, owner) SELECT i, i, nullif(i - 1, 0) FROM n");
  logged("DELETE FROM tree WHERE id = 1");
  EXPECT_EQ(app_.number("SELECT count(*) FROM tree"), 0);
}

TEST_F(LoopsTest, AChangeOfNoKeyIsLoggedAsInAnyTable) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, up INT REFERENCES t(id) ON DELETE CASCADE, v);"
      "INSERT INTO t VALUES(1, 1, 'a'), (2, 1, 'b')");
  EXPECT_THAT(logged("UPDATE t SET v = v || '!'"), ElementsAre("u 1", "u 2"));
  EXPECT_THAT(logged("INSERT INTO t VALUES(3, 2, 'c')"), ElementsAre("i 3"));
  EXPECT_EQ(notes(), 0);
}

TEST_F(LoopsTest, NotesOfRowsThatLiveOnStayFew) {
  make(std::string(tree) +
       "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) "
       "INSERT INTO tree(id, code) SELECT i, i FROM n");
  logged("INSERT OR IGNORE INTO tree(id, code) SELECT id, code FROM tree");
  EXPECT_LT(notes(), 50);
  logged("UPDATE OR IGNORE tree SET code = 7");
  EXPECT_LE(notes(), 210);
  logged("DELETE FROM tree WHERE id > 3");
  must(trim_to(*outbox_, replica_.last));
  EXPECT_EQ(notes(), 0);
}

// Triggers of before, or the keys came later: then changes may have been logged in a wrong order.
TEST_F(LoopsTest, ATableThatBeginsToLoopBeginsAnew) {
  make(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, n INT UNIQUE, other INT REFERENCES o(id));"
      "CREATE TABLE o(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES(1, 1, NULL)");
  const auto loops = [&] {
    return app_.number("SELECT count(*) FROM sqlite_schema WHERE name = '" +
                       before_delete_trigger(1) + "' OR name = '" + before_delete_trigger(2) + "'");
  };
  EXPECT_EQ(loops(), 0) << "a foreign key without an action changes nothing";
  app_.run(
      "CREATE TABLE c(t INT REFERENCES t(n) ON UPDATE CASCADE);"
      "CREATE TRIGGER back AFTER UPDATE ON c BEGIN UPDATE t SET other = NULL; END");
  must(outbox_->refresh_if_schema_changed());
  EXPECT_EQ(loops(), 1);
  Collector collector;
  must(outbox_->read(replica_.last, collector));
  std::vector<std::string> reasons;
  for (const SeenChange& c : collector.seen) {
    if (c.op == Op::kReset) reasons.push_back(c.reason);
  }
  EXPECT_THAT(reasons, ElementsAre(HasSubstr("foreign keys lead from it back")));
  app_.run("DROP TABLE c");
  must(outbox_->refresh_if_schema_changed());
  EXPECT_EQ(loops(), 0);
}

}  // namespace
}  // namespace evodb::capture
