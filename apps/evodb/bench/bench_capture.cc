// `evodb bench capture`: what the triggers cost the application: the same statements on two copies
// of a database in turns, one of them captured. WAL, synchronous=NORMAL, four columns.
#include <chrono>
#include <vector>

#include <sqlite3.h>

#include "base/posix/system_clock.h"
#include "bench/bench_command.h"
#include "bench/quantile.h"
#include "capture/install.h"
#include "version.h"

namespace evodb::app {

namespace {

constexpr int rounds = 7;

class Database {
 public:
  static Result<std::unique_ptr<Database>> create(const std::string& path) {
    std::unique_ptr<Database> database(new Database);
    if (sqlite3_open(path.c_str(), &database->db_) != SQLITE_OK) {
      return fail(ErrorKind::kInvalid, path + ": " + sqlite3_errmsg(database->db_));
    }
    EVODB_TRY(
        database->run("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                      "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, amount REAL, n INTEGER)"));
    return database;
  }
  ~Database() { sqlite3_close(db_); }

  Result<void> run(const char* sql) {
    if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
    return fail(ErrorKind::kInternal, std::string("SQLite: ") + sqlite3_errmsg(db_));
  }

  // `rows` times `sql`, `rows_per_transaction` a transaction; rows a second.
  Result<double> time(const char* sql, int rows, int rows_per_transaction) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(db_, sql, -1, &statement, nullptr) != SQLITE_OK) {
      return fail(ErrorKind::kInternal, std::string("SQLite: ") + sqlite3_errmsg(db_));
    }
    const auto begin = std::chrono::steady_clock::now();
    bool good = true;
    for (int i = 0; i < rows && good; ++i) {
      if (i % rows_per_transaction == 0) good = good && run("BEGIN").has_value();
      sqlite3_bind_int64(statement, 1, i + 1);
      good = good && sqlite3_step(statement) == SQLITE_DONE;
      sqlite3_reset(statement);
      if ((i + 1) % rows_per_transaction == 0) good = good && run("COMMIT").has_value();
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    sqlite3_finalize(statement);
    if (!good) return fail(ErrorKind::kInternal, std::string("SQLite: ") + sqlite3_errmsg(db_));
    return rows / took.count();
  }

  Result<std::int64_t> number(const char* sql) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(db_, sql, -1, &statement, nullptr) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
      sqlite3_finalize(statement);
      return fail(ErrorKind::kInternal, std::string("SQLite: ") + sqlite3_errmsg(db_));
    }
    const std::int64_t value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return value;
  }

 private:
  Database() = default;
  sqlite3* db_ = nullptr;
};

struct Step {
  const char* name;
  const char* sql;
};
constexpr Step steps[] = {
    {"insert", "INSERT INTO t VALUES (?1, 'customer ' || ?1, ?1 / 7.0, ?1 % 97)"},
    {"update", "UPDATE t SET amount = amount + 1, n = n + 1 WHERE id = ?1"},
    {"delete", "DELETE FROM t WHERE id = ?1"},
};

}  // namespace

Result<BenchJson> bench_capture(const BenchArguments& arguments) {
  const auto scratch = EVODB_TRY(ScratchDirectory::create(arguments.directory, "evodb-bench-"));
  auto bare = EVODB_TRY(Database::create(scratch->path() + "/bare.db"));
  auto captured = EVODB_TRY(Database::create(scratch->path() + "/captured.db"));
  base::SystemClock clock;
  base::SystemRandom random;
  (void)EVODB_TRY(capture::install({.db = scratch->path() + "/captured.db"}, clock, random));

  BenchJson metrics;
  std::int64_t changes = 0;
  for (const int per_transaction : {1, 1000}) {
    const int rows = per_transaction == 1 ? 10'000 : 50'000;
    std::vector<std::vector<double>> without(3), with(3), ratio(3);
    for (int round = 0; round < rounds; ++round) {
      for (std::size_t i = 0; i < std::size(steps); ++i) {
        without[i].push_back(EVODB_TRY(bare->time(steps[i].sql, rows, per_transaction)));
        with[i].push_back(EVODB_TRY(captured->time(steps[i].sql, rows, per_transaction)));
        ratio[i].push_back(with[i].back() / without[i].back());
        changes += rows;
      }
      // The answer: every statement left one change behind, beside the row that always stays. Then
      // the outbox is emptied but for its newest row, as an edge would.
      const std::int64_t newest = EVODB_TRY(captured->number("SELECT max(id) FROM evodb_outbox"));
      const std::int64_t held = EVODB_TRY(captured->number("SELECT count(*) FROM evodb_outbox"));
      const std::int64_t expected = 3LL * rows + 1;
      if (newest != changes || held != expected) {
        return fail(ErrorKind::kCorrupt, "the outbox has " + std::to_string(held) +
                                             " changes up to " + std::to_string(newest) + " of " +
                                             std::to_string(changes));
      }
      EVODB_TRY(
          captured->run("DELETE FROM evodb_outbox WHERE id < (SELECT max(id) FROM evodb_outbox)"));
    }
    const std::string size = per_transaction == 1 ? "_1_row" : "_1000_rows";
    for (std::size_t i = 0; i < std::size(steps); ++i) {
      const std::string name = steps[i].name + size;
      metrics[name + "_bare_per_s"] = bench::quantile(without[i], 0.5);
      metrics[name + "_captured_per_s"] = bench::quantile(with[i], 0.5);
      metrics[name + "_captured_over_bare"] = bench::quantile(ratio[i], 0.5);
    }
  }
  return BenchJson{{"bench", "capture"},
                   {"checked", true},
                   {"settings", {{"version", version()}, {"rounds", rounds}, {"columns", 4}}},
                   {"metrics", metrics}};
}

}  // namespace evodb::app
