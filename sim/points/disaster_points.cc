// Disaster recovery: a whole parent in the world of one thread loses its disk, and its successor
// starts from the lakehouse alone; either of them stops or fails at every call.
#include <algorithm>
#include <utility>

#include "lake/parquet_encoder.h"
#include "sim/points/lakehouse_calls.h"
#include "sim/points/points.h"
#include "sim/world/edge_life.h"
#include "sim/world/oracle.h"
#include "sim/world/parent_life.h"

namespace evodb::sim {
namespace {

// What happens, besides the loss that happens always.
struct Plan {
  std::uint64_t lose_at = 0;  // the first parent's n-th disk call; 0: when it has done its part
  std::uint64_t stop_at = 0;  // the second parent's n-th disk call
  CrashModel model = CrashModel::kKilled;
  bool lose_again = false;      // and its disk with it
  std::uint64_t strike_at = 0;  // the second parent's n-th call to the lakehouse
  CallFault strike = CallFault::kRetry;
  std::optional<Error> disk_error;  // at stop_at instead of a stop
};

class DisasterWorld final : public EdgeWitness {
 public:
  DisasterWorld()
      : network_(5),
        random_(6),
        ground_(network_, "ground"),
        store_(ground_.clock()),
        catalog_(std::move(*table::open_sqlite_catalog(":memory:", "evodb", "evodb")), calls_),
        outbox_({.source = "shop", .seed = 6}),
        oracle_(
            store_,
            [this](const std::string&) { return std::vector<const Application*>{&outbox_}; },
            [this](Invariant, std::string text) { violations.push_back(std::move(text)); }) {
    calls_.watch(store_);
    catalog_.on_commit([this](const std::string& table, const std::string& location) {
      oracle_.on_commit(table, location);
    });
  }
  ~DisasterWorld() override {
    disk_.crash();
    parent_.reset();
  }

  std::vector<std::string> violations;
  // Of the undisturbed run: the first parent's calls to the disk; the second's to disk and
  // lakehouse.
  std::uint64_t first_disk = 0, second_disk = 0, second_calls = 0;

  void run(const Plan& plan) {
    edge_ = std::make_unique<EdgeLife>(network_, random_, outbox_, outbox_, EdgeLifeOptions{},
                                       *this, none_);
    if (plan.lose_at != 0) disk_.crash_at(plan.lose_at);
    start_parent();
    for (int i = 0; i < 5; ++i) {
      write(2);
      run_until([&] { return i == 4 || outbox_.trimmed() == outbox_.head(); }, 60);
      if (disk_.crashed()) break;
    }
    first_disk = disk_.mutations();
    lose_disk();

    second(plan);
    await_persisted();
  }

 private:
  void second(const Plan& plan) {
    const std::uint64_t disk_before = disk_.mutations(), calls_before = calls_.made();
    if (plan.strike_at != 0) calls_.strike(calls_before + plan.strike_at, plan.strike);
    if (plan.stop_at != 0 && plan.disk_error) {
      disk_.fail_mutation(disk_before + plan.stop_at, *plan.disk_error);
    } else if (plan.stop_at != 0) {
      disk_.crash_at(disk_before + plan.stop_at);
    }
    write(1);
    start_parent();
    run_until([&] { return outbox_.trimmed() == outbox_.head(); }, 3'000);
    write(2);
    run_until([&] { return outbox_.trimmed() == outbox_.head(); }, 3'000);
    second_disk = disk_.mutations() - disk_before;
    second_calls = calls_.made() - calls_before;
    if (!parent_ || !dead()) return;
    if (plan.lose_again) {
      lose_disk();
    } else {
      end_process(plan.model);
    }
  }

  void write(int transactions) {
    for (; transactions > 0; --transactions) {
      outbox_.transact(UnixMillis(network_.options().wall_start_ms + network_.now().value));
    }
    edge_->notify();
  }
  bool dead() const { return disk_.crashed() || calls_.stopped(); }
  bool useless() const {
    return dead() || !parent_ || parent_->failure() || parent_->parent().journal().poisoned();
  }
  void run_until(const std::function<bool()>& done, std::int64_t ms) {
    network_.run_while_not([&] { return done() || useless(); }, ms);
  }

  void start_parent() {
    parent_ = std::make_unique<ParentLife>(ParentLife::Surroundings{
        network_,
        random_,
        disk_,
        {ground_, store_, catalog_, course_, no_faults_, [](const Strike&) {}},
        encoder_,
        course_,
        none_});
    // One that does not start is dead or useless, and gets a successor.
    const auto started = parent_->start();
    if (!started && !disk_.crashed()) start_error_ = started.error().text;
    if (!started) end_process(CrashModel::kKilled);
  }
  void end_process(CrashModel model) {
    disk_.crash();
    if (parent_) parent_->die(FakeLoop::Crash::kReset);
    parent_.reset();
    calls_.revive();
    disk_.restart(model, random_);
  }
  void lose_disk() {
    end_process(CrashModel::kKilled);
    for (const std::string& path : disk_.paths()) disk_.remove(path);
  }

  // No more faults: everything is persisted, once, in the end.
  void await_persisted() {
    for (int lives = 0; lives < 5; ++lives) {
      if (useless()) {
        end_process(CrashModel::kKilled);
        start_parent();
      }
      run_until([&] { return outbox_.trimmed() == outbox_.head(); }, 60'000);
      if (outbox_.trimmed() == outbox_.head()) break;
    }
    if (outbox_.trimmed() != outbox_.head()) {
      violations.push_back("not everything is persisted: " + edge_->describe() +
                           (start_error_.empty() ? "" : "; the parent: " + start_error_) +
                           (parent_ && parent_->failure() ? parent_->failure()->text : ""));
    }
    if (edge_->failure()) violations.push_back("the edge gives up: " + *edge_->failure());
    oracle_.judge(outbox_, "at the end");
    oracle_.judge_files("at the end");
  }

  void on_told_durable(const ModelOutbox&, Lsn) override {}
  void on_told_persisted(const ModelOutbox& outbox, Lsn lsn) override {
    oracle_.check_landed(outbox, lsn, Invariant::kPersistedAfterCommit, "was told persisted");
  }
  void on_trimmed(const ModelOutbox& outbox, Lsn lsn) override {
    oracle_.check_landed(outbox, lsn, Invariant::kTrimAfterAck, "trimmed");
  }
  void on_new_epoch(const ModelOutbox&, std::string_view why) override {
    violations.push_back("a new epoch for nothing: " + std::string(why));
  }

  FakeNetwork network_;
  SeededRandom random_;
  FakeLoop ground_;
  FakeDisk disk_;
  FakeStore store_;
  const Course course_{.store_ms_max = 4, .slow_table_ms_max = 4};
  FaultPlan no_faults_{1, {}};  // those of this enumeration come at a call's number
  Plant none_;
  LakehouseCalls calls_;
  CountedCatalog catalog_;
  lake::ParquetEncoder encoder_;
  ModelOutbox outbox_;
  Oracle oracle_;
  std::unique_ptr<ParentLife> parent_;
  std::unique_ptr<EdgeLife> edge_;
  std::string start_error_;
};

void run_plan(const Plan& plan, const std::string& at, Report& report) {
  DisasterWorld world;
  world.run(plan);
  for (const std::string& violation : world.violations) report.violate(at + ": " + violation);
}

}  // namespace

void run_disaster(const Extent& extent, Report& report) {
  std::uint64_t first_disk = 0, second_disk = 0, second_calls = 0;
  {
    DisasterWorld world;
    world.run({});
    for (const std::string& violation : world.violations) {
      report.violate("undisturbed: " + violation);
    }
    first_disk = world.first_disk;
    second_disk = world.second_disk;
    second_calls = world.second_calls;
  }
  report.calls = first_disk + second_disk + second_calls;
  const auto call = [](const char* of, std::uint64_t n) {
    return std::string(of) + " call " + std::to_string(n);
  };
  for (std::uint64_t n = 1; n <= first_disk; n += extent.stride) {
    ++report.crashes;
    run_plan({.lose_at = n}, call("the disk is lost at the first parent's disk", n), report);
  }
  for (std::uint64_t n = 1; n <= second_disk; n += extent.stride) {
    for (const CrashModel model :
         {CrashModel::kKilled, CrashModel::kLost, CrashModel::kTorn, CrashModel::kReordered}) {
      ++report.crashes;
      run_plan({.stop_at = n, .model = model}, call("its successor stops at disk", n), report);
    }
    ++report.second_crashes;
    run_plan({.stop_at = n, .lose_again = true}, call("lost again at disk", n), report);
    for (const ErrorKind kind : {ErrorKind::kInternal, ErrorKind::kNoSpace, ErrorKind::kRetry,
                                 ErrorKind::kOutcomeUnknown}) {
      ++report.failures;
      run_plan({.stop_at = n, .disk_error = Error{kind, "injected"}},
               std::string(error_kind_name(kind)) + call(" at disk", n), report);
    }
  }
  for (std::uint64_t n = 1; n <= second_calls; n += extent.stride) {
    for (const CallFault strike : stops) {
      ++report.crashes;
      run_plan({.strike_at = n, .strike = strike}, call("lakehouse", n) + ", " + name_of(strike),
               report);
      ++report.second_crashes;
      run_plan({.lose_again = true, .strike_at = n, .strike = strike},
               call("lakehouse", n) + ", " + name_of(strike) + ", lost again", report);
    }
    for (const CallFault strike : errors) {
      ++report.failures;
      run_plan({.strike_at = n, .strike = strike}, call("lakehouse", n) + ", " + name_of(strike),
               report);
    }
  }
}

}  // namespace evodb::sim
