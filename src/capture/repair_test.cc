#include "capture/repair.h"

#include <gmock/gmock.h>

#include "capture/capture_test_db.h"

namespace evodb::capture {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const char* const our_tables[] = {"evodb_outbox", "evodb_tables",    "evodb_columns",
                                  "evodb_state",  "evodb_selection", "evodb_victims",
                                  "evodb_resend", "evodb_waiting",   "evodb_mark"};

// A captured database that a tool then does something to.
class RepairTest : public ::testing::Test {
 protected:
  void SetUp() override { make(); }
  void make() {
    ++number_;
    path_ = dir_.file("app" + std::to_string(number_) + ".db");
    app_ = std::make_unique<App>(path_);
    app_->run(
        "PRAGMA recursive_triggers = 0; CREATE TABLE t(id INTEGER PRIMARY KEY, v UNIQUE);"
        "CREATE TABLE secret(id INTEGER PRIMARY KEY, v);"
        "INSERT INTO t VALUES(1, 'one'), (2, 'two'); INSERT INTO secret VALUES(1, 'hush')");
    clock_.advance_ms(1);
    before_ =
        must(install({.db = path_, .exclude = {"secret"}, .source = "shop"}, clock_, random_));
    clock_.advance_ms(1);
    app_->run("INSERT INTO t VALUES(3, 'three')");
  }
  Inspection look() {
    const Database db = must(Database::open(path_, {}));
    return must(inspect(db));
  }
  Result<bool> repair_it() { return repair(path_, "", clock_, random_); }
  // SQLite does not look for another schema where what a trigger names is missing: a connection
  // that failed so goes on failing until some other statement of its own has read the database.
  void read_schema_again() { app_->run("SELECT count(*) FROM t"); }
  // Capture works, all of it and nothing else, and the changes that are held rebuild the table.
  void expect_whole(const std::string& when) {
    EXPECT_EQ(look().verdict, Verdict::kWhole) << when << ": " << look().what;
    read_schema_again();
    app_->run(
        "INSERT OR REPLACE INTO t VALUES(9, 'two'); DELETE FROM t WHERE id = 1;"
        "UPDATE secret SET v = 'hush!'");
    auto outbox = must(SqliteOutbox::open(path_, {}));
    must(outbox->refresh_if_schema_changed());
    resend_all(*outbox);
    Replica replica;
    must(outbox->read(Lsn(), replica));
    const Database db = must(Database::open(path_, {}));
    const auto table = must(find_table(db, "t"));
    EXPECT_EQ(replica.rows_of("t"), rows_in(*app_, table->shape)) << when;
    EXPECT_FALSE(replica.tables.contains("secret")) << when;
    EXPECT_EQ(must(outbox->state()).source, "shop") << when;
    EXPECT_EQ(must(status(path_)).broken, std::nullopt) << when;
    EXPECT_FALSE(must(repair_it())) << when << ": nothing is left to do";
  }

  TempDir dir_;
  std::string path_;
  int number_ = 0;
  sim::FakeClock clock_;
  sim::SeededRandom random_{3};
  std::unique_ptr<App> app_;
  InstallReport before_;
};

TEST_F(RepairTest, AWholeCaptureIsLeftAlone) {
  EXPECT_EQ(look().verdict, Verdict::kWhole) << look().what;
  const std::int64_t version = app_->number("PRAGMA data_version");
  EXPECT_FALSE(must(repair_it()));
  EXPECT_EQ(app_->number("PRAGMA data_version"), version);
}

TEST_F(RepairTest, WhateverTableIsDroppedEmptiedOrShortOfAColumnComesBack) {
  for (const std::string table : our_tables) {
    for (const std::string& damage :
         {"DROP TABLE " + table, "DELETE FROM " + table,
          "CREATE TABLE moved AS SELECT * FROM " + table + "; DROP TABLE " + table +
              "; CREATE TABLE " + table + "(other)"}) {
      make();
      app_->run(damage);
      app_->try_run("DROP TABLE moved");
      const Inspection seen = look();
      // These may well be empty.
      const bool harmless =
          damage.starts_with("DELETE") && (table == "evodb_resend" || table == "evodb_waiting" ||
                                           table == "evodb_victims" || table == "evodb_mark");
      if (!harmless) {
        ASSERT_GE(seen.verdict, Verdict::kIncomplete) << damage;
        EXPECT_THAT(seen.what, HasSubstr(table)) << damage;
        const CaptureStatus said = must(status(path_));
        EXPECT_THAT(said.broken.value_or(""), HasSubstr(table)) << damage;
        EXPECT_EQ(said.writes_fail, app_->try_run("INSERT INTO t VALUES(50, 50); DELETE FROM t "
                                                  "WHERE id = 50") != SQLITE_OK)
            << damage;
        EXPECT_TRUE(must(repair_it())) << damage;
        const Inspection now = look();
        if (seen.verdict == Verdict::kBroken) {
          EXPECT_GT(now.epoch, before_.epoch) << damage;
        }
      }
      expect_whole(damage);
      if (HasFailure()) return;
    }
  }
}

TEST_F(RepairTest, EveryRowOfTheStateMayBeMissing) {
  for (const std::string key : state_keys(outbox_format)) {
    make();
    app_->run("DELETE FROM evodb_state WHERE key = '" + key + "'");
    EXPECT_EQ(look().verdict, Verdict::kBroken) << key;
    EXPECT_TRUE(must(install_with({.db = path_})).already_installed) << key;
    expect_whole(key);
  }
}

TEST_F(RepairTest, AllTablesDroppedAndTriggersLeftIsRepairedUnderTheSameName) {
  std::string sql;
  for (const char* table : our_tables) sql += std::string("DROP TABLE ") + table + ";";
  app_->run(sql);
  EXPECT_NE(app_->try_run("INSERT INTO t VALUES(4, 4)"), SQLITE_OK) << "as it was found";
  const CaptureStatus said = must(status(path_));
  EXPECT_TRUE(said.writes_fail);
  EXPECT_THAT(said.broken.value_or(""), HasSubstr("evodb_victims"));
  EXPECT_EQ(said.source, "shop");
  EXPECT_TRUE(must(repair_it()));
  EXPECT_EQ(App(path_).try_run("INSERT INTO t VALUES(4, 4)"), SQLITE_OK) << "another connection";
  EXPECT_THAT(must(status(path_)).tables, Contains(::testing::Field(&TableStatus::name, "secret")));
  expect_whole("all dropped");
  EXPECT_GT(look().epoch, before_.epoch);
}

TEST_F(RepairTest, InstallRepairsAndSaysSo) {
  app_->run("DROP TABLE evodb_victims");
  const InstallReport report = must(install_with({.db = path_}));
  EXPECT_THAT(report.warnings, Contains(AllOf(HasSubstr("evodb_victims"), HasSubstr("missing"))));
  EXPECT_TRUE(report.changed);
  expect_whole("install");
}

TEST_F(RepairTest, AnUncapturedDatabaseIsNotFound) {
  const std::string other = dir_.file("other.db");
  App(other).run("CREATE TABLE t(a)");
  const auto nothing = repair(other, "", clock_, random_);
  ASSERT_FALSE(nothing.has_value());
  EXPECT_EQ(nothing.error().kind, ErrorKind::kNotFound);
}

TEST_F(RepairTest, RemoveTakesEverythingAwayWhateverIsLeft) {
  const auto gone = [&](const std::string& when) {
    EXPECT_EQ(app_->number("SELECT count(*) FROM sqlite_schema WHERE name GLOB 'evodb_*'"), 0)
        << when;
    app_->run("INSERT INTO t VALUES(70, 70); DELETE FROM t WHERE id = 70");
    EXPECT_EQ(look().verdict, Verdict::kAbsent) << when;
  };
  for (const std::string table : our_tables) {
    for (const std::string& damage : {"DROP TABLE " + table, "DELETE FROM " + table}) {
      make();
      app_->run(damage);
      const auto polite = remove(path_, false);
      const bool log_is_gone = table == "evodb_outbox";
      EXPECT_EQ(polite.has_value(), log_is_gone) << damage << ": unsent changes are kept";
      if (!polite) {
        EXPECT_THAT(polite.error().text, HasSubstr("--force")) << damage;
        EXPECT_GT(app_->number("SELECT count(*) FROM sqlite_schema WHERE name GLOB 'evodb_*'"), 0);
        must(remove(path_, true));
      }
      gone(damage);
    }
  }
  make();
  std::string sql;
  for (const char* table : our_tables) sql += std::string("DROP TABLE ") + table + ";";
  app_->run(sql);
  must(remove(path_, false));
  gone("only triggers were left");
  EXPECT_FALSE(remove(path_, true).has_value()) << "there is nothing to remove";

  make();
  app_->run("UPDATE evodb_state SET value = value + 1 WHERE key = 'epoch'");
  EXPECT_FALSE(status(path_).has_value()) << "its checksum does not hold";
  must(remove(path_, true));
  gone("damaged");
}

}  // namespace
}  // namespace evodb::capture
