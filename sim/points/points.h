// The enumerator of crash points: what a workload supplies, and the loops that stop its machine at
// every call and fail every call.
//
//   Report report("journal");
//   const auto make = [] { return std::make_unique<AppendAndTrim>(); };   // a DiskWorld of yours
//   enumerate_disk(make, {}, report);
//   for (const std::string& violation : report.violations) ...
//
// Nothing is drawn: a workload is run once undisturbed to count its calls, then once for each of
// them and each way in which it can go wrong. Chance decides only what a power loss leaves of the
// bytes that were not synced; there each point is run with several seeds.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "evodb/result.h"
#include "sim/seams/fake_disk.h"

namespace evodb::sim {

// What was enumerated, and what was wrong.
struct Report {
  explicit Report(std::string of) : workload(std::move(of)) {}

  std::string workload;
  std::uint64_t calls = 0;              // of undisturbed runs
  std::uint64_t crashes = 0;            // one stop of the machine
  std::uint64_t second_crashes = 0;     // another one during the recovery
  std::uint64_t failures = 0;           // one call that failed, and then a crash or not
  std::uint64_t flips = 0;              // one bit
  std::uint64_t flips_refused = 0;      // said to be damage, or made good again
  std::uint64_t flips_unseen = 0;       // wrong values were served: see the workload's note
  std::vector<std::string> notes;       // for people
  std::vector<std::string> violations;  // the first violations_max
  std::uint64_t violation_count = 0;

  static constexpr std::size_t violations_max = 20;
  std::uint64_t points() const { return crashes + second_crashes + failures + flips; }
  void violate(std::string text);
};

// How much of it: all, or for a unit test every n-th point with one seed.
struct Extent {
  std::uint64_t stride = 1;
  std::uint64_t seeds = 3;  // for each random crash model
};

// One machine, from its first start on.
class DiskWorld {
 public:
  virtual ~DiskWorld() = default;
  virtual FakeDisk& disk() = 0;
  // The workload, to its end or until the disk is off. Calls that fail are met as the product's
  // user meets them: tried again where the error says so, started anew where it must be. Errors:
  // what no fault excuses.
  virtual Result<void> work() = 0;
  // The processes died: everything in memory is forgotten. The disk restarts after it.
  virtual void forget() = 0;
  // Starts anew and compares with what was acknowledged. Errors: what it found, or that the disk is
  // off or fails.
  virtual Result<void> recover() = 0;
  // After recover(): works on a little and compares again.
  virtual Result<void> go_on() = 0;
};
using MakeWorld = std::function<std::unique_ptr<DiskWorld>()>;

struct DiskPoints {
  bool second_crashes = true;  // at every call of recover()
  bool failures = true;
  // SQLite hears of a disk's errors only that there was one, or in a write that the disk is full:
  // other kinds would be the same points again.
  bool through_sqlite = false;
  // A process that dies of a failed sync, and a power loss at every call of the next one. Only what
  // is ours to mend: not an application's own database.
  bool failed_syncs = true;
  std::uint64_t seeds_max = UINT64_MAX;
};
void enumerate_disk(const MakeWorld& make, const Extent& extent, Report& report,
                    const DiskPoints& points = {});

// A workload by name.
struct Workload {
  std::string_view name;
  std::string_view about;
  void (*run)(const Extent& extent, Report& report);
};
std::vector<Workload> all_workloads();

// One each; see their files.
void run_journal(const Extent& extent, Report& report);
void run_journal_change_over(const Extent& extent, Report& report);
void run_flush(const Extent& extent, Report& report);
void run_catalog(const Extent& extent, Report& report);
void run_edge_sqlite(const Extent& extent, Report& report);
void run_edge_file(const Extent& extent, Report& report);
void run_disaster(const Extent& extent, Report& report);
void run_bit_flips_journal(const Extent& extent, Report& report);
void run_bit_flips_outbox(const Extent& extent, Report& report);

}  // namespace evodb::sim
