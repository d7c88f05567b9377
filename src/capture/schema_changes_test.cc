// The proof of resends: an application that writes, migrates and restores as it likes, and an edge
// that looks at the schema, sends rows again and reads whenever it happens to. Whenever it has
// caught up, the tables rebuilt from the changes are the tables.
#include <cstdlib>

#include "capture/capture_plan.h"
#include "capture/capture_test_db.h"

namespace evodb::capture {
namespace {

using sim::SeededRandom;

std::string any_of(SeededRandom& random, const std::vector<std::string>& list) {
  return list[random.below(list.size())];
}

class Migrations {
 public:
  explicit Migrations(std::uint64_t seed)
      : random_(seed), path_(dir_.file("app.db")), app_(std::make_unique<App>(path_)) {
    app_->run("PRAGMA journal_mode = " + std::string(seed % 2 == 0 ? "wal" : "delete"));
    settings();
    for (const std::string& table : names()) create(table);
    for (int i = 0; i < 30; ++i) write();
    app_->try_run("COMMIT");
    must(install_with({.db = path_}));
    outbox_ = open();
  }

  void step() {
    switch (random_.below(14)) {
      case 0: migrate(); break;
      case 1: look(); break;
      case 2: read(); break;
      case 3:
      case 4: chunk(); break;
      default: write();
    }
    if (random_.below(60) == 0 && app_is_idle()) {  // a new process
      outbox_.reset();
      outbox_ = open();
    }
    if (random_.below(120) == 0) backup();
    if (random_.below(150) == 0) restore();
    if (random_.below(100) == 0) trim();
  }

  void expect_equal(const std::string& when) {
    app_->try_run("COMMIT");
    // Tables that wait have waited for long enough; that the clock says so is noticed by another
    // schema.
    for (int i = 0; i < 6; ++i) {
      look();
      app_->try_run(
          "UPDATE evodb_waiting SET since = since - 100000;"
          "CREATE TABLE noticed(x); DROP TABLE noticed");
      if (outbox_->resending()) resend_all(*outbox_);
    }
    read();
    // What was logged until a change was noticed may fit nothing: the RESET takes it away.
    replica_.settle();
    replica_.faults.clear();
    const Database db = must(Database::open(path_, {}));
    std::set<std::string> there;
    for (const FoundTable& found : must(find_tables(db))) {
      there.insert(found.name);
      replica_.widen(found.name, found.shape.value_count());
      ASSERT_EQ(replica_.rows_of(found.name), rows_in(*app_, found.shape))
          << when << ": " << found.name << "\n"
          << log_;
    }
    for (const auto& [table, rows] : replica_.tables) {
      ASSERT_TRUE(there.contains(table) || rows.empty()) << when << ": " << table << "\n" << log_;
    }
    log_.clear();
  }

 private:
  static const std::vector<std::string>& names() {
    static const std::vector<std::string> all = {"users", "orders", "notes", "users_backup"};
    return all;
  }

  std::unique_ptr<SqliteOutbox> open() {
    return must(SqliteOutbox::open(
        path_, {.busy_timeout_ms = 20, .resend_chunk = {.rows_max = 1 + random_.below(8)}}));
  }
  void settings() {
    app_->run("PRAGMA synchronous = OFF; PRAGMA recursive_triggers = " +
              std::to_string(random_.below(2)));
  }

  void run(const std::string& sql) {
    const int code = app_->try_run(sql);
    log_ += sql + (code == SQLITE_OK ? "\n" : "   -- " + app_->message() + "\n");
  }

  std::string shape() {
    static const std::vector<std::string> keys = {
        "(id INTEGER PRIMARY KEY, a, b)",
        "(id TEXT PRIMARY KEY, a, b UNIQUE)",
        "(id, a, b)",
        "(id, a, b UNIQUE)",
        "(a TEXT, b INT, id, PRIMARY KEY(id, b))",
        "(b, id INT, a TEXT, PRIMARY KEY(a COLLATE NOCASE, id DESC)) WITHOUT ROWID",
        "(id INTEGER PRIMARY KEY, b NOT NULL DEFAULT 5, a TEXT AS (b || 'x'), c)"};
    return any_of(random_, keys);
  }
  void create(const std::string& table) { run("CREATE TABLE " + table + shape()); }

  std::vector<std::string> columns_of(const std::string& table) {
    std::vector<std::string> columns;
    const std::string all = app_->text("SELECT group_concat(name) FROM pragma_table_xinfo('" +
                                       table + "') WHERE hidden = 0");
    for (std::size_t at = 0; at < all.size();) {
      const std::size_t end = std::min(all.find(',', at), all.size());
      columns.push_back(all.substr(at, end - at));
      at = end + 1;
    }
    return columns;
  }
  std::string any_table() {
    std::string found = app_->text(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'evodb_*' AND name "
        "NOT GLOB 'sqlite_*' ORDER BY (rowid * " +
        std::to_string(1 + random_.below(1000)) + ") % 37 LIMIT 1");
    return found.empty() ? "users" : found;
  }

  std::string value() {
    switch (random_.below(8)) {
      case 0: return "NULL";
      case 1: return "'" + std::string(1, static_cast<char>('a' + random_.below(5))) + "'";
      case 2: return "'" + std::string(1, static_cast<char>('A' + random_.below(5))) + "'";
      default: return std::to_string(random_.below(25));
    }
  }

  void write() {
    const std::string table = any_table();
    const std::vector<std::string> columns = columns_of(table);
    if (columns.empty()) return;
    const std::string policy = any_of(random_, {"", "", " OR REPLACE", " OR IGNORE"});
    const std::string where = " WHERE " + any_of(random_, columns) + " = " + value();
    switch (random_.below(12)) {
      case 0: return run("DELETE FROM " + table + where);
      case 1: return run(random_.below(8) == 0 ? "DELETE FROM " + table : "BEGIN");
      case 2: return run(random_.below(5) == 0 ? "ROLLBACK" : "COMMIT");
      case 3:
      case 4:
      case 5:
        return run("UPDATE" + policy + " " + table + " SET " + any_of(random_, columns) + " = " +
                   value() + where);
      default: break;
    }
    std::string names, values;
    for (const std::string& column : columns) {
      if (random_.below(6) == 0) continue;
      names += (names.empty() ? "" : ", ") + column;
      values += (values.empty() ? "" : ", ") + value();
    }
    if (names.empty()) return;
    run("INSERT" + policy + " INTO " + table + "(" + names + ") VALUES(" + values + ")");
  }

  void migrate() {
    if (random_.below(4) != 0) app_->try_run("COMMIT");
    const std::string table = any_table();
    const std::vector<std::string> columns = columns_of(table);
    const std::string column = columns.empty() ? "id" : any_of(random_, columns);
    const std::string other = columns.empty() ? "id" : any_of(random_, columns);
    const std::string fresh = "n" + std::to_string(++counter_);
    switch (random_.below(18)) {
      case 0: return run("ALTER TABLE " + table + " ADD COLUMN " + fresh);
      case 1: return run("ALTER TABLE " + table + " ADD COLUMN " + fresh + " DEFAULT 'd'");
      case 2: return run("ALTER TABLE " + table + " RENAME COLUMN " + column + " TO " + fresh);
      case 3:  // names swapped
        return run("ALTER TABLE " + table + " RENAME COLUMN " + column + " TO swap; ALTER TABLE " +
                   table + " RENAME COLUMN " + other + " TO " + column + "; ALTER TABLE " + table +
                   " RENAME COLUMN swap TO " + other);
      case 4:
        return run("ALTER TABLE " + table + " RENAME TO " + any_of(random_, names()) +
                   std::to_string(random_.below(3)));
      case 5: return run("DROP TABLE " + table);
      case 6: return create(any_of(random_, names()));
      case 7: run("DROP TABLE " + table); return create(table);
      case 8:  // as Django and TypeORM rebuild a table, in one transaction or in several
        run(random_.below(2) == 0 ? "BEGIN" : "COMMIT");
        run("CREATE TABLE new__t AS SELECT * FROM " + table + " WHERE rowid % 3 <> 1");
        if (random_.below(2) == 0) look();
        run("DROP TABLE " + table);
        if (random_.below(2) == 0) look();
        return run("ALTER TABLE new__t RENAME TO " + table + "; COMMIT");
      case 9:  // the old one is moved away first
        run("ALTER TABLE " + table + " RENAME TO t_old");
        if (random_.below(2) == 0) look();
        run("CREATE TABLE " + table + " AS SELECT * FROM t_old");
        if (random_.below(2) == 0) chunk();
        return run("DROP TABLE t_old");
      case 10:
        return run("CREATE UNIQUE INDEX i" + fresh + " ON " + table + "(" + column +
                   (random_.below(3) == 0 ? " COLLATE NOCASE)" : ")"));
      case 11:
        return run("DROP INDEX " + app_->text("SELECT name FROM sqlite_schema WHERE type = 'index' "
                                              "AND sql IS NOT NULL ORDER BY rowid DESC LIMIT 1"));
      case 12:
        return run("CREATE TRIGGER g" + fresh + " AFTER INSERT ON " + table + " BEGIN " +
                   (random_.below(2) == 0
                        ? "DELETE FROM " + table + " WHERE " + column + " = NEW." + column
                        : "UPDATE " + table + " SET " + column + " = 3 WHERE " + other + " = NEW." +
                              other) +
                   "; END");
      case 13:
        return run("DROP TRIGGER " + app_->text("SELECT name FROM sqlite_schema WHERE type = "
                                                "'trigger' ORDER BY (rowid * 7) % 13 LIMIT 1"));
      case 14: return run("VACUUM");
      case 15:
        if (!app_is_idle()) return;
        must(pause(path_));
        for (int i = 0; i < 3; ++i) write();
        app_->try_run("COMMIT");
        run("ALTER TABLE " + table + " DROP COLUMN " + column);
        must(install_with({.db = path_}));
        return;
      case 16:  // swapped by name
        run("ALTER TABLE " + table + " RENAME TO s");
        run("ALTER TABLE " + any_table() + " RENAME TO " + table);
        return run("ALTER TABLE s RENAME TO s" + std::to_string(random_.below(3)));
      default: return run("CREATE INDEX j" + fresh + " ON " + table + "(" + column + ")");
    }
  }

  bool app_is_idle() { return sqlite3_get_autocommit(app_->handle()) != 0; }

  // A lock means: the next time.
  void look() {
    const auto looked = outbox_->refresh_if_schema_changed();
    if (!looked) {
      EXPECT_EQ(looked.error().kind, ErrorKind::kRetry) << looked.error().text;
    }
  }
  void chunk() {
    const auto done = outbox_->resend_step();
    if (!done) {
      EXPECT_EQ(done.error().kind, ErrorKind::kRetry) << done.error().text;
    }
  }
  void read() {
    const auto done = outbox_->read(replica_.last, replica_);
    if (!done) {
      EXPECT_EQ(done.error().kind, ErrorKind::kRetry) << done.error().text << log_;
    }
  }
  void trim() {
    if (!app_is_idle()) return;
    read();
    must(trim_to(*outbox_, replica_.last));
  }

  void backup() {
    if (!app_is_idle()) return;
    std::error_code ignored;
    std::filesystem::remove(dir_.file("backup.db"), ignored);
    run("VACUUM INTO '" + dir_.file("backup.db") + "'");
    has_backup_ = true;
  }
  // Into the file, as .restore does. That the life of the log ended is the outbox's to notice.
  void restore() {
    if (!has_backup_ || !app_is_idle()) return;
    log_ += "restore\n";
    outbox_.reset();
    sqlite3* from = nullptr;
    ASSERT_EQ(sqlite3_open(dir_.file("backup.db").c_str(), &from), SQLITE_OK);
    sqlite3_backup* copy = sqlite3_backup_init(app_->handle(), "main", from, "main");
    ASSERT_NE(copy, nullptr) << app_->message();
    EXPECT_EQ(sqlite3_backup_step(copy, -1), SQLITE_DONE);
    sqlite3_backup_finish(copy);
    sqlite3_close(from);
    for (int i = 0; i < 3; ++i) write();
    app_->try_run("COMMIT");
    outbox_ = open();
    must(outbox_->begin_epoch(Epoch()));
    // A reader takes the newest epoch.
    const OutboxState state = must(outbox_->state());
    replica_.tables.clear();
    replica_.widths.clear();
    replica_.unsettled.clear();
    for (const std::string& t : names()) replica_.unsettled.insert(t);
    replica_.faults.clear();
    replica_.last = state.trimmed;
    // What is held of the old epoch may not fit the state before it.
    Replica ignored;
    must(outbox_->read(state.trimmed, ignored));
    replica_.tables = ignored.tables;
    replica_.widths = ignored.widths;
    replica_.unsettled = ignored.unsettled;
    replica_.last = ignored.last;
  }

  SeededRandom random_;
  TempDir dir_;
  std::string path_;
  std::unique_ptr<App> app_;
  std::unique_ptr<SqliteOutbox> outbox_;
  Replica replica_;
  std::string log_;
  int counter_ = 0;
  bool has_backup_ = false;
};

TEST(SchemaChanges, WhateverTheApplicationDoesTheChangesRebuildItsTables) {
  // EVODB_CAPTURE_SEEDS=1000 for a long look.
  const char* const wanted = std::getenv("EVODB_CAPTURE_SEEDS");
  const std::uint64_t seeds = wanted != nullptr ? std::stoull(wanted) : 12;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    Migrations history(seed);
    for (int i = 1; i <= 240; ++i) {
      history.step();
      if (i % 40 == 0) {
        history.expect_equal("seed " + std::to_string(seed) + " step " + std::to_string(i));
      }
      if (::testing::Test::HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace evodb::capture
