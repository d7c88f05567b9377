// `evodb bench polite`: does an edge make an application's transactions fail? Applications that
// read, think, and then write, in one deferred transaction, as the default of many libraries is:
// each in a database of its own with an edge process beside it, and as many without one. This
// process is the applications, a thread each; the edges and their parent are processes of their
// own.
//
// The edges are told to trim often, so that they look for a moment to write all the time. Each
// database gets new tables while it runs: an edge then has triggers to write.
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include <sqlite3.h>

#include "base/posix/system_clock.h"
#include "bench/bench_command.h"
#include "bench/lakehouse_reader.h"
#include "capture/install.h"
#include "version.h"

namespace evodb::app {

namespace {

constexpr std::uint64_t transactions_default = 1'000;  // a setting, of 32
constexpr int rows = 20;
constexpr int new_tables = 3;
constexpr const char* trim_bytes = "20000";

struct Setting {
  std::string journal;
  int thinking_ms = 0;
  int busy_timeout_ms = 0;
  // So many databases at once that thinking takes no longer than the rest.
  std::uint64_t databases() const { return thinking_ms >= 200 ? 10 : thinking_ms >= 20 ? 2 : 1; }
  std::string name() const {
    return journal + "_" + std::to_string(thinking_ms) + "ms_timeout_" +
           std::to_string(busy_timeout_ms);
  }
};

std::vector<Setting> all_settings() {
  std::vector<Setting> settings;
  for (const char* journal : {"wal", "delete", "truncate", "persist"}) {
    for (const int thinking_ms : {0, 2, 20, 200}) {
      for (const int busy_timeout_ms : {0, 5'000}) {
        settings.push_back({journal, thinking_ms, busy_timeout_ms});
      }
    }
  }
  return settings;
}

// One application: a database of its own, one connection.
class Application {
 public:
  static Result<std::unique_ptr<Application>> create(const std::string& path,
                                                     const Setting& setting) {
    std::unique_ptr<Application> a(new Application(path, setting));
    if (sqlite3_open(path.c_str(), &a->db_) != SQLITE_OK) return fail(a->error());
    sqlite3_busy_timeout(a->db_, 60'000);
    // What a disk does is not the subject.
    if (a->run("PRAGMA journal_mode = " + setting.journal + "; PRAGMA synchronous = OFF;" +
               "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER NOT NULL)") != SQLITE_OK) {
      return fail(a->error());
    }
    return a;
  }
  ~Application() { sqlite3_close(db_); }

  // After capture was installed, if it is.
  Result<void> fill() {
    for (int i = 1; i <= rows; ++i) {
      if (run("INSERT INTO t VALUES(" + std::to_string(i) + ", 0)") != SQLITE_OK) {
        return fail(error());
      }
    }
    sqlite3_busy_timeout(db_, setting_.busy_timeout_ms);
    return {};
  }

  void work(std::uint64_t transactions) {
    const std::uint64_t quarter = std::max<std::uint64_t>(1, transactions / (new_tables + 1));
    for (std::uint64_t i = 0; i < transactions && !broken_; ++i) {
      const std::uint64_t table = i / quarter;
      const bool makes_table = i > 0 && i % quarter == 0 && table <= new_tables;
      // An edge also finds the database idle, and is met at its trim.
      if (makes_table && setting_.journal == "wal") {
        std::this_thread::sleep_for(std::chrono::milliseconds(1'050));
      }
      const std::string row = std::to_string(i % rows + 1);
      one("SELECT n FROM t WHERE id = " + row,
          makes_table ? "CREATE TABLE more_" + std::to_string(table) +
                            "(id INTEGER PRIMARY KEY); INSERT INTO more_" + std::to_string(table) +
                            " VALUES(1)"
                      : "UPDATE t SET n = n + 1 WHERE id = " + row,
          !makes_table);
    }
    // What the edge did meanwhile; nothing of it is there without one.
    trimmed_ = number("SELECT value FROM evodb_state WHERE key = 'trimmed'");
    triggers_ = number(
        "SELECT count(DISTINCT tbl_name) FROM sqlite_schema WHERE type = 'trigger' "
        "AND tbl_name LIKE 'more\\_%' ESCAPE '\\'");
  }

  // Every update is there once.
  bool holds() { return number("SELECT sum(n) FROM t") == static_cast<std::int64_t>(updates_); }
  const std::string& path() const { return path_; }
  const Setting& setting() const { return setting_; }
  std::uint64_t transactions() const { return transactions_; }
  std::uint64_t failures() const { return failures_; }
  std::uint64_t updates() const { return updates_; }
  std::int64_t trimmed() const { return trimmed_; }
  std::int64_t triggers() const { return triggers_; }
  const std::string& broken() const { return *broken_text_; }
  bool is_broken() const { return broken_; }

 private:
  Application(std::string path, Setting setting)
      : path_(std::move(path)), setting_(std::move(setting)) {}

  int run(const std::string& sql) {
    return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  }
  Error error() { return {ErrorKind::kInternal, path_ + ": " + sqlite3_errmsg(db_)}; }
  std::int64_t number(const char* sql) {
    std::int64_t found = 0;
    const auto take = [](void* into, int, char** values, char**) {
      if (values[0] != nullptr) *static_cast<std::int64_t*>(into) = std::atoll(values[0]);
      return 0;
    };
    sqlite3_busy_timeout(db_, 5'000);
    sqlite3_exec(db_, sql, take, &found, nullptr);
    return found;
  }

  void one(const std::string& read, const std::string& write, bool is_update) {
    ++transactions_;
    int code = run("BEGIN");
    if (code == SQLITE_OK) code = run(read);
    if (code == SQLITE_OK && setting_.thinking_ms > 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(setting_.thinking_ms));
    }
    if (code == SQLITE_OK) code = run(write);
    if (code == SQLITE_OK) code = run("COMMIT");
    if (code == SQLITE_OK) {
      updates_ += is_update ? 1 : 0;
      return;
    }
    if ((code & 0xff) == SQLITE_BUSY) {
      ++failures_;
    } else {
      broken_text_ = error().text;
      broken_ = true;
    }
    run("ROLLBACK");
  }

  const std::string path_;
  const Setting setting_;
  sqlite3* db_ = nullptr;
  std::uint64_t transactions_ = 0, failures_ = 0, updates_ = 0;
  std::int64_t trimmed_ = 0, triggers_ = 0;
  bool broken_ = false;
  std::optional<std::string> broken_text_;
};

using Applications = std::vector<std::unique_ptr<Application>>;

Result<Applications> make_applications(const std::string& folder, bool captured) {
  base::SystemClock clock;
  base::SystemRandom random;
  Applications all;
  for (const Setting& setting : all_settings()) {
    for (std::uint64_t i = 0; i < setting.databases(); ++i) {
      const std::string source = setting.name() + "_" + std::to_string(i);
      const std::string path = folder + "/" + source + (captured ? "_edge.db" : ".db");
      all.push_back(EVODB_TRY(Application::create(path, setting)));
      if (captured) {
        (void)EVODB_TRY(capture::install({.db = path, .source = source}, clock, random));
      }
      EVODB_TRY(all.back()->fill());
    }
  }
  return all;
}

Result<void> check(const Applications& all) {
  for (const auto& a : all) {
    if (a->is_broken()) return fail(ErrorKind::kInternal, a->broken());
    if (!a->holds()) return fail(ErrorKind::kCorrupt, a->path() + " is not what was written to it");
  }
  return {};
}

// Each change of `t` of each application once, by a reader of its own.
Result<void> check_arrived(const BenchParent& parent, const Applications& all) {
  auto reader = EVODB_TRY(bench::LakehouseReader::open(parent.data));
  std::map<std::string, std::set<std::uint64_t>, std::less<>> lsns;
  std::string twice;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(120);
  for (;;) {
    EVODB_TRY(reader.read_new("t_changes", [&](std::string_view source, Epoch, Lsn lsn) {
      if (!lsns[std::string(source)].insert(lsn.value).second) twice = source;
    }));
    if (!twice.empty()) return fail(ErrorKind::kCorrupt, "a change of " + twice + " landed twice");
    const Application* missing = nullptr;
    for (const auto& a : all) {
      std::string source = a->path().substr(a->path().rfind('/') + 1);
      source.resize(source.size() - std::string_view("_edge.db").size());
      if (lsns[source].size() < rows + a->updates()) missing = a.get();
    }
    if (missing == nullptr) return {};
    if (std::chrono::steady_clock::now() > deadline) {
      return fail(ErrorKind::kCorrupt, "changes of " + missing->path() + " did not arrive");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

struct Sums {
  std::uint64_t transactions = 0, failures = 0;
};
Sums sums_of(const Applications& all, const std::string& setting) {
  Sums sums;
  for (const auto& a : all) {
    if (!setting.empty() && a->setting().name() != setting) continue;
    sums.transactions += a->transactions();
    sums.failures += a->failures();
  }
  return sums;
}

}  // namespace

Result<BenchJson> bench_polite(const BenchArguments& arguments) {
  const auto begin = std::chrono::steady_clock::now();
  const std::uint64_t each = arguments.entries != 0 ? arguments.entries : transactions_default;
  const auto parent = EVODB_TRY(start_bench_parent(arguments));
  const std::string folder = parent.scratch->path();
  const Applications with = EVODB_TRY(make_applications(folder, /*captured=*/true));
  const Applications without = EVODB_TRY(make_applications(folder, /*captured=*/false));
  std::vector<std::unique_ptr<ChildProcess>> edges;
  for (const auto& a : with) {
    edges.push_back(
        EVODB_TRY(ChildProcess::start({"edge", "--db", a->path(), "--parent",
                                       "ws://" + parent.parent.address, "--trim-bytes", trim_bytes},
                                      folder + "/edges.log")));
  }

  std::vector<std::thread> threads;
  for (const Applications* all : {&with, &without}) {
    for (const auto& a : *all) {
      threads.emplace_back([&a, each] { a->work(each / a->setting().databases()); });
    }
  }
  for (auto& thread : threads) thread.join();
  EVODB_TRY(check(with));
  EVODB_TRY(check(without));
  for (const auto& edge : edges) {
    if (!edge->running()) {
      return fail(ErrorKind::kInternal, "an edge ended, see " + folder + "/edges.log");
    }
  }
  EVODB_TRY(check_arrived(parent, with));
  for (const auto& edge : edges) edge->signal(SIGTERM);
  for (const auto& edge : edges) (void)edge->wait(10'000);

  BenchJson runs = BenchJson::array();
  for (const Setting& s : all_settings()) {
    const Sums sums = sums_of(with, s.name());
    runs.push_back({{"journal_mode", s.journal},
                    {"thinking_ms", s.thinking_ms},
                    {"busy_timeout_ms", s.busy_timeout_ms},
                    {"transactions", sums.transactions},
                    {"busy_failures", sums.failures},
                    {"busy_failures_without_edge", sums_of(without, s.name()).failures}});
  }
  const Sums sums = sums_of(with, "");
  // What the edges wrote while the applications were at work: otherwise nothing was tried.
  std::uint64_t trimmed = 0, refreshed = 0, wal = 0;
  for (const auto& a : with) {
    if (a->setting().journal != "wal") continue;
    ++wal;
    trimmed += a->trimmed() > 0 ? 1 : 0;
    refreshed += a->triggers() > 0 ? 1 : 0;
  }
  BenchJson metrics = {
      {"transactions", sums.transactions},
      {"busy_failures", sums.failures},
      {"busy_failures_without_edge", sums_of(without, "").failures},
      {"wal_databases", wal},
      {"wal_databases_trimmed_meanwhile", trimmed},
      {"wal_databases_with_new_triggers_meanwhile", refreshed},
      {"seconds", std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()}};
  return BenchJson{{"bench", "polite"},
                   {"checked", true},
                   {"settings",
                    {{"version", version()},
                     {"transactions_a_setting", each},
                     {"databases", with.size()},
                     {"new_tables_a_database", new_tables},
                     {"trim_bytes", trim_bytes},
                     {"set", arguments.sets}}},
                   {"metrics", metrics},
                   {"runs", runs}};
}

}  // namespace evodb::app
