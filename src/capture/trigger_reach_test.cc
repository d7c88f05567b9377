#include "capture/trigger_reach.h"

#include <gtest/gtest.h>

namespace evodb::capture {
namespace {

SchemaText schema() {
  return {.tables = {{"inbox", "CREATE TABLE inbox(id, a)"},
                     {"archive", "CREATE TABLE archive(id, a)"},
                     {"Posts", "CREATE TABLE Posts(id INTEGER PRIMARY KEY)"},
                     {"posts_fts", "CREATE VIRTUAL TABLE posts_fts USING fts5(x, content=posts)"},
                     {"notes", "CREATE TABLE notes(p REFERENCES Posts ON DELETE CASCADE)"},
                     {"odd name", "CREATE TABLE \"odd name\"(a)"},
                     {"v", "CREATE VIEW v AS SELECT * FROM inbox"}},
          .triggers = {{"archive",
                        "CREATE TRIGGER x AFTER INSERT ON archive BEGIN DELETE FROM inbox "
                        "WHERE id = NEW.id; END"},
                       {"v",
                        "CREATE TRIGGER y INSTEAD OF INSERT ON v BEGIN INSERT INTO Posts "
                        "VALUES(1); END"}}};
}

TEST(TriggerReach, SeesWhatATriggerMayChange) {
  const SchemaText s = schema();
  const auto reaches = [&](const char* sql, const char* table) {
    return may_change(s, sql, table);
  };
  EXPECT_TRUE(
      reaches("CREATE TRIGGER t AFTER INSERT ON inbox BEGIN UPDATE INBOX SET a = 1; END", "inbox"));
  EXPECT_TRUE(
      reaches("CREATE TRIGGER t AFTER INSERT ON inbox BEGIN INSERT INTO [archive] VALUES(1, "
              "2); END",
              "inbox"))
      << "through the triggers of another table";
  EXPECT_TRUE(
      reaches("CREATE TRIGGER t AFTER DELETE ON notes BEGIN DELETE FROM posts; END", "notes"))
      << "through a foreign key";
  EXPECT_TRUE(
      reaches("CREATE TRIGGER t AFTER DELETE ON notes BEGIN INSERT INTO v VALUES(1); END", "notes"))
      << "through a view's trigger and a foreign key";
  EXPECT_TRUE(
      reaches("CREATE TRIGGER t AFTER INSERT ON \"odd name\" BEGIN DELETE FROM \"odd name\"; "
              "END",
              "odd name"));
}

TEST(TriggerReach, WhatOnlyStandsInTheHeadOrInALongerNameChangesNothing) {
  const SchemaText s = schema();
  EXPECT_FALSE(may_change(s,
                          "CREATE TRIGGER begin_posts AFTER UPDATE ON posts WHEN NEW.id > 0 BEGIN "
                          "INSERT INTO posts_fts VALUES(NEW.x); /* not posts */ END",
                          "posts"));
  EXPECT_FALSE(
      may_change(s, "CREATE TRIGGER t AFTER INSERT ON inbox BEGIN SELECT 1; END", "inbox"));
}

}  // namespace
}  // namespace evodb::capture
