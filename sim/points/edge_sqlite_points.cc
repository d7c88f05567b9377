// An edge whose outbox lies in the application's own database: an application that writes, the
// shipped triggers and SqliteOutbox, real SQLite on the forgetful disk.
#include <array>
#include <utility>

#include "capture/install.h"
#include "capture/sqlite_outbox.h"
#include "sim/points/points.h"
#include "sim/points/sqlite_app.h"
#include "sim/seams/fake_clock.h"
#include "sim/seams/sqlite_disk.h"

namespace evodb::sim {
namespace {

constexpr char path[] = "edge/app.db";
constexpr const char* tables[] = {"goods"};
constexpr char create_tables[] = "CREATE TABLE goods(id INTEGER PRIMARY KEY,v)";

struct Mode {
  const char* journal;
  const char* synchronous;  // of the application's connections
  bool may_lose;            // a power loss may take the last commits, as SQLite says of it
};

std::unexpected<Error> wrong(std::string what) {
  return fail(ErrorKind::kInternal, std::move(what));
}

// What the application commits, transaction by transaction.
const std::vector<std::string>& transactions() {
  static const std::vector<std::string> all = {
      "INSERT INTO goods VALUES(1,'tea'),(2,x'00ff')",
      "UPDATE goods SET v=3 WHERE id=1;INSERT INTO goods VALUES(3,printf('%.900c','n'))",
      "INSERT OR REPLACE INTO goods VALUES(2,'oat milk');UPDATE goods SET id=9 WHERE id=3",
      "INSERT INTO goods VALUES(4,printf('%.3000c','o'));DELETE FROM goods WHERE id=1",
      "UPDATE goods SET v=v||'!'",
      "DELETE FROM goods WHERE id=9;INSERT INTO goods VALUES(5,NULL)",
      "INSERT INTO goods VALUES(6,9e99),(7,-0.0)",
  };
  return all;
}

// Databases with capture installed, as files; made once a mode.
std::map<std::string, std::string> prepared(const Mode& mode) {
  FakeDisk disk;
  FakeClock clock;
  SeededRandom random(3);
  (void)disk.make_directories("edge");
  SqliteDisk sqlite(disk, clock, random);
  {
    SqliteApp app(path, sqlite.name());
    app.run("PRAGMA journal_mode=" + std::string(mode.journal));
    app.run(create_tables);
  }
  (void)capture::install({.db = path, .source = "shop", .vfs = sqlite.name()}, clock, random);
  std::map<std::string, std::string> files;
  for (const std::string& name : disk.paths()) files[name] = disk.contents(name);
  return files;
}

class EdgeWorld final : public DiskWorld {
 public:
  EdgeWorld(const Mode& mode, const std::map<std::string, std::string>& files)
      : mode_(mode), sqlite_(disk_, clock_, random_) {
    for (const auto& [name, bytes] : files) disk_.put(name, bytes);
  }

  FakeDisk& disk() override { return disk_; }
  std::map<std::string, std::uint64_t>* gave_up = nullptr;  // errors that ended an edge's process

  Result<void> work() override {
    for (std::size_t i = 0; i < transactions().size(); ++i) {
      clock_.advance_ms(7);
      EVODB_TRY(transact(transactions()[i]));
      if (i % 2 == 1) EVODB_TRY(edge([&] { return parent_.receive(*outbox_); }));
      EVODB_TRY(edge([&] { return resend_some(); }));
      if (i % 3 == 2) EVODB_TRY(edge([&] { return trim(); }));
      if (i == 2) (void)connection().run("PRAGMA wal_checkpoint(TRUNCATE)");
      if (i == 3) outbox_.reset();
      if (i == 4) EVODB_TRY(edge([&] { return begin_epoch(); }));
      if (i == 5) app_.reset();
      if (disk_.crashed()) return wrong("the disk is off");
    }
    return {};
  }

  void forget() override {
    outbox_.reset();
    app_.reset();
    sqlite_.forget();
    ++lives_;
    // Of the application's own database this is SQLite's and Linux's affair: what a later process
    // finds in the log may never have been written, and what is built on it goes with it.
    sync_failed_ = sync_failed_ || disk_.failed_sync();
  }

  Result<void> recover() override {
    EVODB_TRY(check_application());
    // In every second life the application comes first: what was lost is written over with other
    // changes before anybody compares.
    const bool application_first = lives_ % 2 == 0;
    if (application_first) EVODB_TRY(must_transact());
    return check_edge();
  }
  Result<void> go_on() override {
    EVODB_TRY(must_transact());
    EVODB_TRY(check_edge());
    EVODB_TRY(trim());
    outbox_.reset();
    return check_edge();
  }

 private:
  bool may_lose() const { return mode_.may_lose || sync_failed_; }

  SqliteApp& connection() {
    if (!app_) {
      app_ = std::make_unique<SqliteApp>(path, sqlite_.name());
      (void)app_->run("PRAGMA synchronous=" + std::string(mode_.synchronous) +
                      ";PRAGMA wal_autocheckpoint=8");
    }
    return *app_;
  }

  // One transaction of the application. One that fails may have happened all the same.
  Result<void> transact(const std::string& sql) {
    const int code = connection().run("BEGIN IMMEDIATE;" + sql + ";COMMIT");
    if (code == SQLITE_OK) {
      if (maybe_) EVODB_TRY(resolve(sql));
      committed_.push_back(sql);
      return {};
    }
    if (disk_.crashed()) {
      if (!maybe_) maybe_ = sql;
      return wrong("the disk is off");
    }
    (void)connection().run("ROLLBACK");
    maybe_ = sql;
    return {};
  }
  Result<void> must_transact() {
    const std::string key = std::to_string(1'000 + ++after_);
    EVODB_TRY(transact("INSERT INTO goods VALUES(" + key + ",'after')"));
    return maybe_ ? Result<void>(wrong("work does not go on: " + app_->message())) : Result<void>();
  }

  using Tables = std::array<ParentModel::Rows, std::size(tables)>;
  // What the first `n` committed transactions and then `more` make of empty tables.
  Tables mirror(std::size_t n, const std::vector<std::string>& more) const {
    static std::map<std::string, Tables> known;
    std::string key;
    for (std::size_t i = 0; i < n; ++i) key += committed_[i] + '\n';
    for (const std::string& sql : more) key += sql + '\n';
    if (const auto found = known.find(key); found != known.end()) return found->second;
    SqliteApp app(":memory:", "");
    app.run(create_tables);
    for (std::size_t i = 0; i < n; ++i) app.run(committed_[i]);
    for (const std::string& sql : more) app.run(sql);
    Tables found;
    for (std::size_t i = 0; i < found.size(); ++i) (void)app.rows(tables[i], &found[i]);
    known[key] = found;
    return found;
  }
  Result<Tables> application() {
    Tables found;
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (!connection().rows(tables[i], &found[i])) return wrong("the application cannot read");
    }
    return found;
  }
  // After a transaction that failed another one, `next`, was committed: did the first happen?
  Result<void> resolve(const std::string& next) {
    const Tables now = EVODB_TRY(application());
    const std::string failed = *std::exchange(maybe_, std::nullopt);
    if (now == mirror(committed_.size(), {next})) return {};
    if (now != mirror(committed_.size(), {failed, next})) {
      return wrong("after a failed transaction the tables are neither with nor without it");
    }
    committed_.push_back(failed);
    return {};
  }

  Result<void> check_application() {
    app_.reset();
    const std::string integrity = connection().text("PRAGMA integrity_check");
    if (integrity != "ok") return wrong("integrity_check: " + integrity + app_->message());
    const Tables now = EVODB_TRY(application());
    if (maybe_) {
      const std::string sql = *std::exchange(maybe_, std::nullopt);
      if (now == mirror(committed_.size(), {sql})) {
        committed_.push_back(sql);
        return {};
      }
    }
    std::size_t n = committed_.size();
    if (now == mirror(n, {})) return {};
    while (may_lose() && n > 0) {
      if (now != mirror(--n, {})) continue;
      committed_.resize(n);
      return {};
    }
    return wrong("the application's tables are not what it committed");
  }

  // --- the edge's process ---------------------------------------------------------------------

  Result<void> open_edge() {
    if (outbox_) return {};
    outbox_ = EVODB_TRY(capture::SqliteOutbox::open(
        path, {.vfs = sqlite_.name(), .resend_chunk = {.rows_max = 2}}));
    const auto connected = parent_.connect(*outbox_);
    if (!connected) {
      outbox_.reset();
      return fail(connected.error());
    }
    // Only where commits may be lost: in the rollback journal's modes also the edge's own, whose
    // connection leaves `synchronous` as it is (FULL).
    const bool commits_stay = !may_lose() && std::string_view(mode_.journal) == "wal";
    if (*connected && commits_stay) return wrong("a new epoch although nothing was lost");
    return {};
  }

  // As the runner does: kRetry is tried again, any other error ends the process, and it is started
  // anew.
  template <class Step>
  Result<void> edge(Step step) {
    Result<void> done;
    for (int tries = 0; tries < 4; ++tries) {
      done = open_edge();
      if (done) done = step();
      if (done || disk_.crashed()) return done;
      if (capture::may_pass(done.error().kind)) continue;
      if (gave_up != nullptr) ++(*gave_up)[done.error().text];
      outbox_.reset();
    }
    return done;
  }

  // One chunk, as a follower's look does.
  Result<void> resend_some() {
    if (!outbox_->resending()) return {};
    EVODB_TRY(outbox_->refresh_if_schema_changed());
    EVODB_TRY(outbox_->resend_step());
    return {};
  }
  Result<void> trim() {
    EVODB_TRY(open_edge());
    EVODB_TRY(
        outbox_->trim(EVODB_TRY(outbox_->state()).epoch, parent_.received(), parent_.chain()));
    const auto state = EVODB_TRY(outbox_->state());
    if (state.trimmed < parent_.received()) return wrong("a trim that did not");
    trimmed_ = std::max(trimmed_, state.trimmed);
    return {};
  }
  Result<void> begin_epoch() {
    EVODB_TRY(parent_.receive(*outbox_));
    EVODB_TRY(trim());
    const Epoch begun = EVODB_TRY(outbox_->begin_epoch(Epoch()));
    if (begun <= parent_.epoch()) return wrong("a new epoch that is none");
    const bool renewed = EVODB_TRY(parent_.connect(*outbox_));
    if (renewed) return wrong("its own new epoch is refused");
    return {};
  }

  // The parent, having taken everything, has the application's tables row for row.
  Result<void> check_edge() {
    EVODB_TRY(open_edge());
    if (!may_lose() && std::string_view(mode_.journal) == "wal" &&
        EVODB_TRY(outbox_->state()).trimmed < trimmed_) {
      return wrong("the trim mark went back");
    }
    while (outbox_->resending()) EVODB_TRY(resend_some());
    EVODB_TRY(parent_.receive(*outbox_));
    const Tables now = EVODB_TRY(application());
    for (std::size_t i = 0; i < now.size(); ++i) {
      const auto found = parent_.tables().find(tables[i]);
      const ParentModel::Rows& theirs =
          found == parent_.tables().end() ? ParentModel::Rows() : found->second;
      if (theirs != now[i]) {
        return wrong("epoch " + std::to_string(parent_.epoch().value) + ": the parent has " +
                     std::to_string(theirs.size()) + " rows of " + tables[i] +
                     ", not those of the application (" + std::to_string(now[i].size()) + ")");
      }
    }
    return {};
  }

  const Mode& mode_;
  FakeDisk disk_;
  FakeClock clock_;
  SeededRandom random_{5};
  SqliteDisk sqlite_;
  std::unique_ptr<SqliteApp> app_;
  std::unique_ptr<capture::SqliteOutbox> outbox_;
  ParentModel parent_;

  std::vector<std::string> committed_;  // acknowledged, or found after a failure
  std::optional<std::string> maybe_;    // failed: it may be found later
  Lsn trimmed_;
  bool sync_failed_ = false;  // in a life that is over
  int lives_ = 0, after_ = 0;
};

}  // namespace

void run_edge_sqlite(const Extent& extent, Report& report) {
  // In the rollback journal's mode only EXTRA makes a commit outlive the power (sqlite.org/pragma).
  static constexpr Mode modes[] = {
      {"wal", "FULL", false}, {"delete", "EXTRA", false}, {"wal", "NORMAL", true}};
  std::map<std::string, std::uint64_t> gave_up;
  for (const Mode& mode : modes) {
    const auto files = prepared(mode);
    Report part(report.workload);
    enumerate_disk(
        [&] {
          auto world = std::make_unique<EdgeWorld>(mode, files);
          world->gave_up = &gave_up;
          return world;
        },
        extent, part,
        {.second_crashes = !mode.may_lose,
         .failures = !mode.may_lose,
         .through_sqlite = true,
         .failed_syncs = false,
         .seeds_max = 1});
    report.calls += part.calls;
    report.crashes += part.crashes;
    report.second_crashes += part.second_crashes;
    report.failures += part.failures;
    for (const std::string& text : part.violations) {
      report.violate(std::string(mode.journal) + "/" + mode.synchronous + ", " + text);
    }
    report.violation_count += part.violation_count - part.violations.size();
  }
  for (const auto& [text, times] : gave_up) {
    report.notes.push_back("ended an edge's process " + std::to_string(times) + " times: " + text);
  }
}

}  // namespace evodb::sim
