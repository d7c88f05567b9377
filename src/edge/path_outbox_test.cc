// What lies at a path changes under a running edge: moved, copied over, replaced, missing, emptied.
// Then at any moment, between any two calls of a real uplink.
#include "edge/path_outbox.h"

#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "capture/install.h"
#include "edge/fake_parent.h"
#include "edge/uplink.h"
#include "sim/seams/fake_clock.h"
#include "sim/seams/fake_loop.h"
#include "sim/seams/seeded_random.h"

namespace evodb::edge {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The application, and everybody else who does something to its database.
class People {
 public:
  explicit People(std::string mode) : mode_(std::move(mode)) {
    std::string pattern = fs::temp_directory_path() / "evodb-path-XXXXXX";
    directory_ = mkdtemp(pattern.data());
    fs::create_directory(directory_ / "data");
    path = directory_ / "data" / "app.db";
    create();
  }
  ~People() {
    close();
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
  }

  fs::path file(const std::string& name) const { return directory_ / name; }
  void open() {
    close();
    ASSERT_EQ(sqlite3_open(path.c_str(), &db_), SQLITE_OK);
    sqlite3_busy_timeout(db_, 2'000);
  }
  void close() {
    sqlite3_close(db_);
    db_ = nullptr;
  }
  // A new database with the application's table.
  void create() {
    open();
    run("PRAGMA journal_mode=" + mode_);
    run("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v)");
  }
  int try_run(const std::string& sql) {
    return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  }
  void run(const std::string& sql) {
    ASSERT_EQ(try_run(sql), SQLITE_OK) << sqlite3_errmsg(db_) << "\n" << sql;
  }
  std::string text(const std::string& sql) {
    sqlite3_stmt* s = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(db_, sql.c_str(), -1, &s, nullptr), SQLITE_OK)
        << sqlite3_errmsg(db_);
    std::string out;
    if (sqlite3_step(s) == SQLITE_ROW && sqlite3_column_text(s, 0) != nullptr) {
      out = reinterpret_cast<const char*>(sqlite3_column_text(s, 0));
    }
    sqlite3_finalize(s);
    return out;
  }
  std::map<std::int64_t, std::int64_t> rows() {
    std::map<std::int64_t, std::int64_t> found;
    sqlite3_stmt* s = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(db_, "SELECT id, v FROM t", -1, &s, nullptr), SQLITE_OK);
    while (sqlite3_step(s) == SQLITE_ROW) {
      found[sqlite3_column_int64(s, 0)] = sqlite3_column_int64(s, 1);
    }
    sqlite3_finalize(s);
    return found;
  }
  // SQLite's backup API, into the database or out of it.
  void back_up(const fs::path& to) { copy(to, false); }
  void restore(const fs::path& from) { copy(from, true); }
  // VACUUM INTO and mv over the database, which the application opens again.
  void rebuild_and_move() {
    fs::remove(file("rebuilt.db"));
    run("VACUUM INTO '" + file("rebuilt.db").string() + "'");
    close();
    replace_by_move(file("rebuilt.db"));
  }
  // The application is stopped meanwhile.
  void replace_by_move(const fs::path& from) {
    close();
    fs::rename(from, path);
    open();
  }
  void replace_by_copy(const fs::path& from) {
    close();
    // As `cp`: the same inode, written over.
    std::ifstream in(from, std::ios::binary);
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out << in.rdbuf();
    out.close();
    open();
  }

  std::string path;

 private:
  void copy(const fs::path& other, bool in) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(other.c_str(), &db), SQLITE_OK);
    sqlite3* const from = in ? db : db_;
    sqlite3* const to = in ? db_ : db;
    sqlite3_backup* const backup = sqlite3_backup_init(to, "main", from, "main");
    ASSERT_NE(backup, nullptr) << sqlite3_errmsg(to);
    EXPECT_EQ(sqlite3_backup_step(backup, -1), SQLITE_DONE);
    EXPECT_EQ(sqlite3_backup_finish(backup), SQLITE_OK);
    sqlite3_close(db);
  }

  const std::string mode_;
  fs::path directory_;
  sqlite3* db_ = nullptr;
};

void install(const std::string& path) {
  sim::FakeClock clock;
  sim::SeededRandom random(3);
  const auto installed = capture::install({.db = path, .source = "app"}, clock, random);
  ASSERT_TRUE(installed) << installed.error().text;
}

// What a parent that folds the newest epoch has.
std::map<std::int64_t, std::int64_t> fold(const FakeParent::Life& life) {
  std::map<std::int64_t, std::int64_t> rows;
  const auto values = [](const std::string& encoded) {
    std::array<std::int64_t, 2> found{};
    wire::ValuesReader reader({true, 2, encoded});
    ValueView value;
    for (std::size_t i = 0; i < 2 && reader.next(&value); ++i) found[i] = value.integer;
    return found;
  };
  for (const auto& [lsn, entry] : life.entries) {
    if (entry.table != "t") continue;
    if (carries_reason(entry.op)) rows.clear();
    if (!entry.before.empty()) rows.erase(values(entry.before)[0]);
    if (!entry.after.empty()) rows[values(entry.after)[0]] = values(entry.after)[1];
  }
  return rows;
}

// A running edge with a parent, on a fake network and clock, over real files.
class Edge {
 public:
  explicit Edge(const std::string& path, std::uint64_t seed = 1) : network(seed) {
    auto opened = PathOutbox::open(
        path, loop.clock(),
        {.busy_timeout_ms = 20, .rest_in_vain_ms = 0, .on_event = [this](const std::string& what) {
           events.push_back(what);
         }});
    EXPECT_TRUE(opened) << opened.error().text;
    outbox = std::move(*opened);
  }
  void start(capture::Outbox& as_seen) {
    uplink = std::make_unique<Uplink>(
        loop, network.random(), as_seen,
        UplinkOptions{.link = {.parent = {.host = "parent"}}, .on_copy = on_copy}, observer);
    uplink->start();
  }
  // What the runner's follower does, at most a second later.
  Result<void> look() {
    const bool changed = EVODB_TRY(outbox->changed());
    if (!changed) return {};  // it may rest: nobody reads for nothing
    EVODB_TRY(outbox->refresh());
    uplink->notify();
    return {};
  }
  bool run_until_caught_up() {
    for (int i = 0; i < 400; ++i) {
      const auto looked = look();
      if (!looked && looked.error().kind != ErrorKind::kRetry) {
        ADD_FAILURE() << looked.error().text;
        return false;
      }
      const auto head = outbox->head();
      network.run_for(100);
      const auto again = outbox->head();
      if (looked && head && again && *again == *head && uplink->caught_up(*head) &&
          !outbox->resending()) {
        return true;
      }
    }
    return false;
  }
  const FakeParent::Life& newest() { return parent.lives["app"].rbegin()->second; }

  struct Observer final : UplinkObserver {
    void on_fatal(const Error& error) override { ADD_FAILURE() << "fatal: " << error.text; }
    void on_renamed(std::string_view source, std::string_view) override { renamed = source; }
    std::string renamed;
  };
  CopyRule on_copy = CopyRule::kRename;
  sim::FakeNetwork network;
  FakeParent parent{network};
  sim::FakeLoop loop{network, "edge"};
  Observer observer;
  std::vector<std::string> events;
  std::unique_ptr<PathOutbox> outbox;
  std::unique_ptr<Uplink> uplink;
};

class PathOutboxTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    people.run("INSERT INTO t VALUES(1, 1)");
    install(people.path);
    edge = std::make_unique<Edge>(people.path);
    edge->start(*edge->outbox);
    expect_all();
  }
  void expect_all() {
    ASSERT_TRUE(edge->run_until_caught_up()) << text_of(edge->uplink->stats().last_error);
    EXPECT_EQ(fold(edge->newest()), people.rows());
    EXPECT_THAT(edge->parent.violations, IsEmpty());
  }
  // The application is stopped: a moment later nothing of its log lies there any more.
  void rest() {
    for (int i = 0; i < 50 && fs::exists(people.path + "-wal"); ++i) {
      ASSERT_TRUE(edge->look());
      edge->network.run_for(20);
    }
    EXPECT_FALSE(fs::exists(people.path + "-wal"));
    EXPECT_EQ(edge->outbox->resting(), std::string(GetParam()) == "wal");
  }
  // Another edge process, after something happened while none ran.
  template <class Happens>
  void restart(Happens happens) {
    edge.reset();
    happens();
    edge = std::make_unique<Edge>(people.path);
    const auto looked = edge->outbox->refresh();
    ASSERT_TRUE(looked || looked.error().kind == ErrorKind::kRetry) << looked.error().text;
    edge->start(*edge->outbox);
    expect_all();
  }
  std::size_t epochs() { return edge->parent.lives["app"].size(); }

  People people{GetParam()};
  std::unique_ptr<Edge> edge;
};

TEST_P(PathOutboxTest, FollowsAFileThatIsMovedOverIt) {
  people.back_up(people.file("backup.db"));
  people.run("INSERT INTO t VALUES(2, 2), (3, 3)");
  expect_all();
  people.close();
  rest();
  people.replace_by_move(people.file("backup.db"));
  people.run("INSERT INTO t VALUES(10, 10), (11, 11), (12, 12)");
  expect_all();
  EXPECT_EQ(epochs(), 2u);
  EXPECT_THAT(edge->events, Contains(HasSubstr("another file lies at")));
  people.close();
  rest();
  people.open();
  people.rebuild_and_move();
  expect_all();
  people.run("DELETE FROM t WHERE id = 10");
  expect_all();
}

TEST_P(PathOutboxTest, FollowsAFileThatIsWrittenOver) {
  people.back_up(people.file("backup.db"));
  people.run("INSERT INTO t VALUES(2, 2), (3, 3)");
  expect_all();
  people.close();
  rest();
  people.replace_by_copy(people.file("backup.db"));
  expect_all();
  EXPECT_EQ(epochs(), 2u) << "though nothing was written since";
  people.run("INSERT INTO t VALUES(10, 10)");
  expect_all();
  EXPECT_EQ(people.text("PRAGMA integrity_check"), "ok");
}

TEST_P(PathOutboxTest, DoesNotRestOverASchemaThatItCouldNotCompare) {
  people.run(
      people.text("SELECT group_concat('DROP TRIGGER ' || name, ';') FROM sqlite_schema "
                  "WHERE type = 'trigger'"));
  people.run("INSERT INTO t VALUES(2, 2)");  // unseen
  people.run("BEGIN IMMEDIATE");
  // As a follower: after a change it refreshes until that has succeeded once.
  ASSERT_TRUE(edge->outbox->changed().value_or(false));
  Result<void> refreshed = edge->outbox->refresh();
  EXPECT_FALSE(refreshed);
  for (int i = 0; i < 5; ++i) {
    static_cast<void>(edge->outbox->changed());
    EXPECT_FALSE(edge->outbox->resting());
    EXPECT_TRUE(edge->outbox->resending());
  }
  people.run("COMMIT");
  refreshed = edge->outbox->refresh();
  ASSERT_TRUE(refreshed) << refreshed.error().text;
  expect_all();
}

TEST_P(PathOutboxTest, RestsWhileNobodyUsesTheDatabaseAndGoesOnAsTheSameLog) {
  for (int i = 2; i < 6; ++i) {
    people.close();
    rest();
    people.open();
    people.run("INSERT INTO t VALUES(" + std::to_string(i) + ", 1)");
    expect_all();
  }
  EXPECT_EQ(epochs(), 1u);
  EXPECT_EQ(edge->uplink->stats().outbox_changes, 0u);
  EXPECT_EQ(edge->outbox->opened(), 1u);
  EXPECT_THAT(edge->events, IsEmpty());
}

TEST_P(PathOutboxTest, CapturesADatabaseThatIsMadeAnew) {
  people.run("CREATE TABLE private(x)");
  expect_all();
  people.close();
  fs::remove(people.path);
  fs::remove(people.path + "-wal");
  fs::remove(people.path + "-shm");
  EXPECT_FALSE(edge->look());
  EXPECT_THAT(edge->events, Contains(HasSubstr("there is no file")));
  edge->network.run_for(3'000);
  people.create();
  people.run("INSERT INTO t VALUES(7, 7)");
  expect_all();
  EXPECT_EQ(people.text("SELECT value FROM evodb_state WHERE key = 'source'"), "app");
  people.run("UPDATE t SET v = 8");
  expect_all();
}

TEST_P(PathOutboxTest, WaitsForAFileThatIsNoDatabaseYet) {
  people.close();
  rest();
  const std::string aside = people.file("aside.db");
  fs::rename(people.path, aside);
  for (const char* end : {"-wal", "-shm"}) fs::remove(people.path + end);
  std::ofstream(people.path) << "not a database, for a while: " << std::string(200, 'x');
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(edge->look().error().kind, ErrorKind::kRetry);
    edge->network.run_for(1'000);
  }
  fs::remove(people.path);
  // A copy under way: shorter than its header says.
  const auto size = fs::file_size(aside);
  fs::copy_file(aside, people.path);
  fs::resize_file(people.path, size / 2);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(edge->look().error().kind, ErrorKind::kRetry);
    edge->network.run_for(200);
  }
  EXPECT_THAT(edge->events, Contains(HasSubstr("not a whole database yet")));
  fs::copy_file(aside, people.path, fs::copy_options::overwrite_existing);
  edge->network.run_for(200);
  people.open();
  people.run("INSERT INTO t VALUES(2, 2)");
  expect_all();
}

TEST_P(PathOutboxTest, FollowsASymbolicLinkAndADirectory) {
  people.close();
  rest();
  fs::rename(people.file("data"), people.file("first"));
  fs::create_directory(people.file("second"));
  people.path = people.file("second") / "app.db";
  people.create();
  people.run("INSERT INTO t VALUES(5, 5)");
  // The same file under another directory entry, then another file.
  fs::create_directory_symlink(people.file("first"), people.file("data"));
  EXPECT_TRUE(edge->look());
  EXPECT_EQ(epochs(), 1u);
  fs::remove(people.file("data"));
  fs::create_directory_symlink(people.file("second"), people.file("data"));
  expect_all();
  EXPECT_EQ(epochs(), 2u);
}

TEST_P(PathOutboxTest, InstallsCaptureAnewWhereItsTablesAreGoneOrEmpty) {
  std::int64_t id = 100;
  for (const std::string what :
       {"DROP TABLE evodb_victims", "DROP TABLE evodb_state", "DROP TABLE evodb_outbox",
        "DELETE FROM evodb_state", "DELETE FROM evodb_tables", "DELETE FROM evodb_columns",
        "DELETE FROM evodb_state WHERE key = 'epoch'", "DELETE FROM evodb_state WHERE key = 'sum'",
        "DELETE FROM evodb_columns WHERE position = 0",
        "DELETE FROM evodb_columns WHERE position = 1", "DELETE FROM evodb_outbox",
        "DELETE FROM evodb_outbox WHERE id > 0",
        "DROP TABLE evodb_tables; DROP TABLE evodb_columns; DROP TABLE evodb_selection"}) {
    SCOPED_TRACE(what);
    people.run("UPDATE t SET v = v + 1");
    const std::size_t before = epochs();
    expect_all();
    edge->events.clear();
    people.run(what);
    ASSERT_TRUE(edge->look());
    EXPECT_THAT(edge->events, Contains(HasSubstr("every table is sent again")));
    // SQLite looks for a table of a trigger only in the schema as this connection knows it; any
    // other statement reads it again.
    EXPECT_NE(people.text("SELECT count(*) FROM t"), "0");
    people.run("INSERT INTO t VALUES(" + std::to_string(++id) + ", 1)");
    expect_all();
    EXPECT_EQ(epochs(), before + 1);
    EXPECT_EQ(people.text("SELECT value FROM evodb_state WHERE key = 'source'"), "app");
    if (HasFailure()) return;
  }
}

// A runner looks at the schema before anything else: what that adds must not hide what is missing.
TEST_P(PathOutboxTest, InstallsCaptureAnewWhereItWasDamagedWhileNoEdgeRan) {
  people.run("CREATE TABLE secret(x)");
  sim::FakeClock clock;
  sim::SeededRandom random(3);
  ASSERT_TRUE(capture::install({.db = people.path, .exclude = {"secret"}}, clock, random));
  std::int64_t id = 100;
  for (const std::string what :
       {"DELETE FROM evodb_tables", "DELETE FROM evodb_columns",
        "DELETE FROM evodb_columns WHERE position = 0",
        "DELETE FROM evodb_columns WHERE position = 1", "DELETE FROM evodb_selection",
        "DELETE FROM evodb_state", "DELETE FROM evodb_state WHERE key = 'epoch'",
        "DELETE FROM evodb_state WHERE key = 'sum'"}) {
    SCOPED_TRACE(what);
    restart([&] {
      people.run(what);
      people.run("INSERT INTO t VALUES(" + std::to_string(++id) + ", 1)");
      people.run("INSERT INTO secret VALUES('never sent')");
    });
    EXPECT_THAT(edge->events, Contains(HasSubstr("every table is sent again")));
    for (const auto& [epoch, life] : edge->parent.lives["app"]) {
      for (const auto& [lsn, entry] : life.entries) EXPECT_NE(entry.table, "secret");
    }
    if (HasFailure()) return;
  }
}

// The memory beside the file may be a second old, and then does not know the newest definitions.
TEST_P(PathOutboxTest, InstallsCaptureAnewWhereHeldChangesNameADefinitionThatIsGone) {
  for (const std::string what :
       {"DELETE FROM evodb_tables WHERE name = 'u'",
        "DELETE FROM evodb_columns WHERE tbl = (SELECT max(id) FROM evodb_tables)"}) {
    SCOPED_TRACE(what);
    const std::string memory = people.path + "-evodb";
    people.run("DROP TABLE IF EXISTS u");
    expect_all();
    restart([&] {
      const fs::path old = people.file("old");
      fs::copy_file(memory, old, fs::copy_options::overwrite_existing);
      people.run("CREATE TABLE u(id INTEGER PRIMARY KEY, v)");
      ASSERT_TRUE(capture::refresh(people.path));
      people.run("INSERT INTO u VALUES(1, 1); UPDATE t SET v = v + 1");
      people.run(what);
      fs::copy_file(old, memory, fs::copy_options::overwrite_existing);
    });
    EXPECT_THAT(edge->events, Contains(HasSubstr("every table is sent again")));
    if (HasFailure()) return;
  }
}

// An error that stays is an error in the end, whatever succeeds in between.
TEST_P(PathOutboxTest, AnErrorThatStaysIsNotTriedForEver) {
  people.run("UPDATE t SET v = v + 1");
  expect_all();
  people.run("INSERT INTO t VALUES(7, 7)");
  people.run("UPDATE evodb_columns SET key_ordinal = 77 WHERE position = 0");
  auto anew = std::make_unique<Edge>(people.path);
  ASSERT_TRUE(anew->outbox->state());
  capture::OutboxState state = *anew->outbox->state();
  struct Nobody final : capture::ChangeSink {
    bool take(const capture::OutboxChange&) override { return true; }
  } nobody;
  ErrorKind kind = ErrorKind::kRetry;
  for (int i = 0; i < 100 && kind == ErrorKind::kRetry; ++i) {
    ASSERT_TRUE(anew->outbox->state());
    const auto read = anew->outbox->read(state.trimmed, nobody);
    ASSERT_FALSE(read);
    kind = read.error().kind;
    anew->network.run_for(100);
  }
  EXPECT_EQ(kind, ErrorKind::kCorrupt);
}

TEST_P(PathOutboxTest, KeepsItsSelectionWhenCaptureIsInstalledAnew) {
  people.run("CREATE TABLE secret(x); INSERT INTO secret VALUES('never sent')");
  sim::FakeClock clock;
  sim::SeededRandom random(3);
  ASSERT_TRUE(capture::install({.db = people.path, .exclude = {"secret"}}, clock, random));
  expect_all();
  people.run("DROP TABLE evodb_state; DROP TABLE evodb_selection");
  expect_all();
  people.run("INSERT INTO secret VALUES('never'); INSERT INTO t VALUES(2, 2)");
  expect_all();
  for (const auto& [epoch, life] : edge->parent.lives["app"]) {
    for (const auto& [lsn, entry] : life.entries) EXPECT_EQ(entry.table, "t") << epoch << lsn;
  }
}

TEST_P(PathOutboxTest, ACopyTakesANameOfItsOwnWhereThatIsWanted) {
  edge->parent.options.copies = {"app"};
  edge->parent.say_bye(wire::ByeReason::kShutdown);
  edge->network.run_for(15'000);
  ASSERT_TRUE(edge->run_until_caught_up()) << text_of(edge->uplink->stats().last_error);
  const std::string name = edge->observer.renamed;
  EXPECT_THAT(name, ::testing::MatchesRegex("app-copy-[a-z2-7]{8}"));
  EXPECT_EQ(fold(edge->parent.lives[name].rbegin()->second), people.rows());
  EXPECT_EQ(people.text("SELECT value FROM evodb_state WHERE key = 'source'"), name);
  // A copy of the copy.
  edge->parent.options.copies.insert(name);
  edge->parent.say_bye(wire::ByeReason::kShutdown);
  edge->network.run_for(15'000);
  people.run("INSERT INTO t VALUES(2, 2)");
  ASSERT_TRUE(edge->run_until_caught_up());
  EXPECT_EQ(edge->observer.renamed.size(), name.size());
  EXPECT_NE(edge->observer.renamed, name);
  EXPECT_EQ(fold(edge->parent.lives[edge->observer.renamed].rbegin()->second), people.rows());
}

TEST_P(PathOutboxTest, ACopyWaitsWhereThatIsWanted) {
  edge->uplink.reset();
  edge->on_copy = CopyRule::kWait;
  edge->start(*edge->outbox);
  edge->parent.options.copies = {"app"};
  people.run("INSERT INTO t VALUES(2, 2)");
  edge->network.run_for(60'000);
  EXPECT_EQ(edge->observer.renamed, "");
  EXPECT_THAT(text_of(edge->uplink->stats().last_error),
              HasSubstr("another database streams as 'app'"));
  edge->parent.options.copies.clear();  // the other one was stopped
  expect_all();
}

INSTANTIATE_TEST_SUITE_P(JournalModes, PathOutboxTest, ::testing::Values("wal", "delete"),
                         [](const auto& param) { return std::string(param.param); });

// --- at any moment ------------------------------------------------------------------------------

// Before each call of the uplink somebody may do something to the database.
class Meddled final : public capture::Outbox {
 public:
  Meddled(Edge& edge, People& people, std::uint64_t seed)
      : edge_(edge), people_(people), dice_(seed) {}

  Result<capture::OutboxState> state() override {
    meddle();
    return edge_.outbox->state();
  }
  Result<Lsn> head() override { return edge_.outbox->head(); }
  Result<void> read(Lsn after, capture::ChangeSink& sink) override {
    meddle();
    return edge_.outbox->read(after, sink);
  }
  void resume_group(TxnId label) override { edge_.outbox->resume_group(label); }
  Result<void> trim(Epoch epoch, Lsn through, ChainHash chain) override {
    meddle();
    return edge_.outbox->trim(epoch, through, chain);
  }
  Result<Epoch> begin_epoch(Epoch at_least) override {
    meddle();
    return edge_.outbox->begin_epoch(at_least);
  }

  void write() {
    for (std::uint64_t n = dice_.below(4); n > 0; --n) {
      const std::string id = std::to_string(dice_.below(20));
      const std::string v = std::to_string(++value_);
      switch (dice_.below(4)) {
        case 0: (void)people_.try_run("DELETE FROM t WHERE id = " + id); break;
        case 1: (void)people_.try_run("UPDATE t SET v = " + v + " WHERE id = " + id); break;
        default: (void)people_.try_run("INSERT OR REPLACE INTO t VALUES(" + id + "," + v + ")");
      }
    }
  }
  void meddle() {
    write();
    if (calm || dice_.below(12) != 0) return;
    const std::uint64_t what = dice_.below(12);
    done.push_back(static_cast<int>(what));
    const auto backup = people_.file("backup.db");
    switch (what) {
      case 0:
      case 1: people_.back_up(backup); break;
      case 2:
      case 3:
        if (fs::exists(backup)) people_.restore(backup);
        break;
      case 4:
        if (close_all()) people_.rebuild_and_move();
        break;
      case 5:
        if (!fs::exists(backup) || !close_all()) break;
        fs::copy_file(backup, people_.file("copy.db"), fs::copy_options::overwrite_existing);
        people_.replace_by_move(people_.file("copy.db"));
        break;
      case 6: (void)people_.try_run("DELETE FROM evodb_outbox"); break;
      case 7: (void)people_.try_run("DELETE FROM evodb_state"); break;
      case 8: (void)people_.try_run("DROP TABLE evodb_victims"); break;
      case 9: (void)people_.try_run("DELETE FROM evodb_tables"); break;
      case 10: {  // holes
        const std::string at = std::to_string(dice_.below(5));
        (void)people_.try_run(
            "DELETE FROM evodb_outbox WHERE id IN (SELECT id FROM evodb_outbox WHERE id < (SELECT "
            "max(id) FROM evodb_outbox) ORDER BY id LIMIT 2 OFFSET " +
            at + ")");
        break;
      }
      default:
        people_.close();
        for (const char* end : {"", "-wal", "-shm", "-journal"}) fs::remove(people_.path + end);
        people_.create();
    }
    write();
  }

  // The application is stopped, and the edge has had the moment that it needs to let go of the log
  // which the application's last close would have removed. False: it has not.
  bool close_all() {
    people_.close();
    for (int i = 0; i < 20; ++i) {
      const auto changed = edge_.outbox->changed();
      if (!changed || !*changed) break;
    }
    const bool gone = !fs::exists(people_.path + "-wal");
    people_.open();
    return gone;
  }

  bool calm = false;
  std::vector<int> done;

 private:
  Edge& edge_;
  People& people_;
  sim::SeededRandom dice_;
  std::int64_t value_ = 0;
};

class AnyMoment : public ::testing::TestWithParam<const char*> {};

TEST_P(AnyMoment, WhateverIsDoneToTheDatabaseTheNewestEpochIsWhatItHolds) {
  const char* const wanted = std::getenv("EVODB_PATH_SEEDS");
  const std::uint64_t seeds = wanted != nullptr ? std::stoull(wanted) : 12;
  std::size_t meddlings = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    People people(GetParam());
    install(people.path);
    Edge edge(people.path, seed);
    Meddled meddled(edge, people, seed);
    edge.start(meddled);
    for (int second = 0; second < 40; ++second) {
      meddled.meddle();
      const auto looked = edge.look();
      ASSERT_TRUE(looked || looked.error().kind == ErrorKind::kRetry) << looked.error().text;
      edge.network.run_for(1 + edge.network.random().below(1'000));
    }
    meddled.calm = true;
    ASSERT_TRUE(edge.run_until_caught_up()) << text_of(edge.uplink->stats().last_error);
    // The last calls wrote once more; now nobody writes, and it is caught up again.
    struct Still final : capture::Outbox {
      explicit Still(capture::Outbox& to_) : to(to_) {}
      Result<capture::OutboxState> state() override { return to.state(); }
      Result<Lsn> head() override { return to.head(); }
      Result<void> read(Lsn a, capture::ChangeSink& s) override { return to.read(a, s); }
      void resume_group(TxnId l) override { to.resume_group(l); }
      Result<void> trim(Epoch e, Lsn t, ChainHash c) override { return to.trim(e, t, c); }
      Result<Epoch> begin_epoch(Epoch e) override { return to.begin_epoch(e); }
      capture::Outbox& to;
    } still(*edge.outbox);
    edge.uplink.reset();
    edge.start(still);
    ASSERT_TRUE(edge.run_until_caught_up()) << text_of(edge.uplink->stats().last_error);
    ASSERT_EQ(fold(edge.newest()), people.rows())
        << "epochs " << edge.parent.lives["app"].size() << ", done "
        << ::testing::PrintToString(meddled.done) << "\n"
        << ::testing::PrintToString(edge.events);
    EXPECT_THAT(edge.parent.violations, IsEmpty());
    EXPECT_EQ(people.text("PRAGMA integrity_check"), "ok");
    meddlings += meddled.done.size();
    edge.uplink.reset();
  }
  EXPECT_GT(meddlings, seeds * 5) << "something was done at all";
}

INSTANTIATE_TEST_SUITE_P(JournalModes, AnyMoment, ::testing::Values("wal", "delete"),
                         [](const auto& param) { return std::string(param.param); });

}  // namespace
}  // namespace evodb::edge
