#include "sim/points/points.h"

#include <algorithm>
#include <utility>

#include "sim/seams/seeded_random.h"

namespace evodb::sim {
namespace {

using Effect = FakeDisk::Effect;

struct Model {
  CrashModel model;
  const char* name;
  bool random;
};
// kLost is random too: whether a name survives is drawn for each by itself.
constexpr Model models[] = {{CrashModel::kKilled, "killed", false},
                            {CrashModel::kLost, "lost", true},
                            {CrashModel::kTorn, "torn", true},
                            {CrashModel::kReordered, "reordered", true}};

struct DiskFault {
  const char* name;
  ErrorKind kind;
  Effect effect;
};
// What a disk may answer, and what it did before it answered so.
constexpr DiskFault disk_faults[] = {
    {"EIO", ErrorKind::kInternal, Effect::kNothing},
    {"EIO after a short write", ErrorKind::kInternal, Effect::kHalf},
    {"EIO after all was done", ErrorKind::kInternal, Effect::kAll},
    {"ENOSPC after a short write", ErrorKind::kNoSpace, Effect::kHalf},
    {"ENOSPC", ErrorKind::kNoSpace, Effect::kNothing},
    {"retry", ErrorKind::kRetry, Effect::kNothing},
    {"outcome unknown, done", ErrorKind::kOutcomeUnknown, Effect::kAll},
    {"outcome unknown, not done", ErrorKind::kOutcomeUnknown, Effect::kNothing},
};

class Enumeration {
 public:
  Enumeration(const MakeWorld& make, const Extent& extent, Report& report, const DiskPoints& points)
      : make_(make), extent_(extent), report_(report), points_(points) {}

  void run() {
    std::uint64_t calls = 0, reads = 0, recovery_calls = 0;
    {
      const auto world = make_();
      if (const auto done = world->work(); !done) {
        return report_.violate("undisturbed: " + done.error().text);
      }
      calls = world->disk().mutations();
      reads = world->disk().reads();
      restart(*world, CrashModel::kLost, 1);
      if (const auto fine = check(*world); !fine) {
        return report_.violate("undisturbed, then power lost: " + fine.error().text);
      }
      recovery_calls = world->disk().mutations() - calls;
    }
    report_.calls += calls;
    for (std::uint64_t n = 1; n <= calls; n += extent_.stride) crash_at(n);
    if (!points_.failures) return;
    for (std::uint64_t n = 1; n <= calls; n += extent_.stride) fail_at(n);
    if (points_.failed_syncs) {
      for (std::uint64_t n = 1; n <= calls; n += extent_.stride) fail_and_die_at(n);
    }
    for (std::uint64_t n = 1; n <= reads; n += extent_.stride) fail_read_at(n);
    for (std::uint64_t n = 1; n <= recovery_calls; n += extent_.stride) fail_recovery_at(n);
  }

 private:
  void restart(DiskWorld& world, CrashModel model, std::uint64_t seed) {
    world.disk().crash();  // what a destructor writes must not help
    world.forget();
    SeededRandom random(seed);
    world.disk().restart(model, random);
  }

  static Result<void> check(DiskWorld& world) {
    EVODB_TRY(world.recover());
    return world.go_on();
  }

  std::string where(const DiskWorld&, std::uint64_t n, const std::string& struck,
                    const std::string& how) const {
    return "call " + std::to_string(n) + " (" + struck + "), " + how;
  }

  void crash_at(std::uint64_t n) {
    for (const Model& model : models) {
      const std::uint64_t seeds = model.random ? std::min(extent_.seeds, points_.seeds_max) : 1;
      for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        const std::string how = std::string(model.name) + " seed " + std::to_string(seed);
        ++report_.crashes;
        const auto world = crashed(n, model.model, seed, how);
        if (!world) return;
        const std::string at = where(*world, n, world->disk().struck(), how);
        const std::uint64_t before = world->disk().mutations();
        auto fine = world->recover();
        const std::uint64_t calls = world->disk().mutations() - before;
        if (fine) fine = world->go_on();
        if (!fine) {
          report_.violate(at + ": " + fine.error().text);
          continue;
        }
        if (points_.second_crashes && seed == 1 && crashes_twice(model)) {
          second_crashes(n, model, seed, calls, at);
        }
      }
    }
  }

  bool crashes_twice(const Model& model) const {
    return points_.through_sqlite ? model.model == CrashModel::kTorn
                                  : model.model != CrashModel::kLost;
  }

  // The world after the machine stopped at its n-th call; null if it did not.
  std::unique_ptr<DiskWorld> crashed(std::uint64_t n, CrashModel model, std::uint64_t seed,
                                     const std::string& how) {
    auto world = make_();
    world->disk().crash_at(n);
    (void)world->work();  // what a machine that is off says
    if (!world->disk().crashed()) {
      report_.violate("call " + std::to_string(n) + ", " + how + ": it was never made");
      return nullptr;
    }
    restart(*world, model, seed);
    return world;
  }

  void second_crashes(std::uint64_t n, const Model& model, std::uint64_t seed, std::uint64_t calls,
                      const std::string& at) {
    for (std::uint64_t m = 1; m <= calls; m += extent_.stride) {
      const auto world = crashed(n, model.model, seed, at);
      if (!world) return;
      ++report_.second_crashes;
      world->disk().crash_at(world->disk().mutations() + m);
      const auto first = world->recover();
      if (!world->disk().crashed()) {
        report_.violate(at + ", again at call " + std::to_string(m) +
                        " of the recovery: " + (first ? "it was never made" : first.error().text));
        continue;
      }
      const std::string struck = world->disk().struck();
      restart(*world, model.model, seed + m);
      if (const auto fine = check(*world); !fine) {
        report_.violate(at + ", again at call " + std::to_string(m) + " of the recovery (" +
                        struck + "): " + fine.error().text);
      }
    }
  }

  // After the failure the processes go on; then they are killed, or the power goes. What a life
  // after that serves must survive another power loss, whatever a failed sync did to the pages.
  void settle(DiskWorld& world, const Result<void>& worked, const std::string& at,
              CrashModel model) {
    if (!worked) return report_.violate(at + ": " + worked.error().text);
    restart(world, model, 1);
    if (const auto fine = check(world); !fine) {
      return report_.violate(at + ", then a crash: " + fine.error().text);
    }
    restart(world, CrashModel::kLost, 2);
    if (const auto fine = check(world); !fine) {
      report_.violate(at + ", then a crash, a start and a power loss: " + fine.error().text);
    }
  }

  void fail_at(std::uint64_t n) {
    for (const DiskFault& fault : disk_faults) {
      if (!counts(fault)) continue;
      for (const Model& model : models) {
        if (model.model == CrashModel::kReordered) continue;
        if (points_.through_sqlite && model.model != CrashModel::kKilled) continue;
        const auto world = make_();
        world->disk().fail_mutation(n, {fault.kind, fault.name}, fault.effect);
        ++report_.failures;
        const auto worked = world->work();
        settle(*world, worked,
               where(*world, n, world->disk().struck(),
                     std::string(fault.name) + ", then " + model.name),
               model.model);
      }
    }
  }

  bool counts(const DiskFault& fault) const {
    return !points_.through_sqlite || fault.kind == ErrorKind::kInternal ||
           (fault.kind == ErrorKind::kNoSpace && fault.effect == Effect::kHalf);
  }

  // A sync fails and the process dies before it does anything about it. The next one reads what was
  // never written, builds on it, and the power goes at each of its calls.
  void fail_and_die_at(std::uint64_t n) {
    const auto prepare = [&]() -> std::unique_ptr<DiskWorld> {
      auto world = make_();
      world->disk().fail_mutation(n, {ErrorKind::kInternal, "EIO"}, Effect::kNothing);
      world->disk().crash_at(n + 1);
      (void)world->work();
      if (!world->disk().crashed()) return nullptr;
      return world;
    };
    auto world = prepare();
    if (!world || !world->disk().failed_sync()) return;
    restart(*world, CrashModel::kKilled, 1);
    const std::uint64_t before = world->disk().mutations();
    const std::string at = "call " + std::to_string(n) + " (sync) fails, the process dies";
    ++report_.failures;
    if (const auto fine = check(*world); !fine) {
      return report_.violate(at + ": " + fine.error().text);
    }
    const std::uint64_t calls = world->disk().mutations() - before;
    for (std::uint64_t m = 1; m <= calls; m += extent_.stride) {
      world = prepare();
      restart(*world, CrashModel::kKilled, 1);
      ++report_.failures;
      world->disk().crash_at(world->disk().mutations() + m);
      (void)check(*world);
      const std::string struck = world->disk().struck();
      restart(*world, CrashModel::kLost, m);
      if (const auto fine = check(*world); !fine) {
        report_.violate(at + ", power lost at call " + std::to_string(m) + " of the next (" +
                        struck + "): " + fine.error().text);
      }
    }
  }

  void fail_read_at(std::uint64_t n) {
    const auto world = make_();
    world->disk().fail_read(n, {ErrorKind::kInternal, "EIO"});
    ++report_.failures;
    const auto worked = world->work();
    settle(*world, worked, where(*world, n, world->disk().struck(), "EIO while reading"),
           CrashModel::kKilled);
  }

  // A call of the start itself fails. That start may fail for it, the next one must not.
  void fail_recovery_at(std::uint64_t m) {
    for (const DiskFault& fault : disk_faults) {
      if (!counts(fault)) continue;
      const auto world = make_();
      if (!world->work()) return;
      restart(*world, CrashModel::kTorn, m);
      world->disk().fail_mutation(world->disk().mutations() + m, {fault.kind, fault.name},
                                  fault.effect);
      ++report_.failures;
      (void)check(*world);
      const std::string at = "call " + std::to_string(m) + " of the recovery (" +
                             world->disk().struck() + "), " + fault.name;
      settle(*world, {}, at, CrashModel::kKilled);
    }
  }

  const MakeWorld& make_;
  const Extent& extent_;
  Report& report_;
  const DiskPoints& points_;
};

}  // namespace

void Report::violate(std::string text) {
  ++violation_count;
  if (violations.size() < violations_max) violations.push_back(std::move(text));
}

void enumerate_disk(const MakeWorld& make, const Extent& extent, Report& report,
                    const DiskPoints& points) {
  Enumeration(make, extent, report, points).run();
}

}  // namespace evodb::sim
