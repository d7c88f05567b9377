// Faults: what may go wrong in a history, how often, and which of it did.
//
//   FaultPlan plan(seed, course.rates);
//   if (auto strike = plan.strikes(Fault::kParentKill)) {      // this time it does
//     const auto pause_ms = strike->random.below(2'000);
//     ...
//   }
//   plan.struck();              // in order; a shrunk history keeps some of them
//
// Each kind draws from a stream of its own, and what a strike draws belongs to that strike alone: a
// history that is run again without some of its strikes keeps the others as they were. That is what
// shrinking (shrink.h) rests on.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sim/seams/seeded_random.h"

namespace evodb::sim {

enum class Fault : std::uint8_t {
  kParentKill,       // kill -9 at any moment
  kParentPowerLoss,  // unsynced bytes lost, torn or reordered
  kCrashAmidWrite,   // the process or machine stops inside a disk call
  kParentStop,       // an orderly stop and start
  kEdgeKill,
  kEdgePowerLoss,  // the application's last transactions were not synced: they are gone
  kCut,            // a connection, bytes in flight lost
  kPartition,      // one way: bytes wait
  kSlowReader,     // a child that takes nothing of its acknowledgements for a while
  kStoreOutage,
  kStoreError,      // one call fails, or is refused
  kStoreAmbiguous,  // one call times out; it may have happened
  kStoreLate,       // a request arrives seconds later, whatever became of its sender
  kListLag,         // listings do not show the newest objects for a while
  kCatalogError,
  kCatalogAmbiguous,  // a swap whose answer is lost, or that comes through later
  kForeignCommit,     // another engine commits to one of our tables
  kSyncError,         // a sync fails, and the pages count as clean
  kDiskError,         // EIO, a short write
  kDiskFull,
  kBitRot,           // one bit of a journal file
  kClockJump,        // of the parent's or a child's wall clock, both ways
  kJournalLost,      // the parent's whole disk
  kRestore,          // a database goes back to a backup and is written on
  kCopy,             // a database file is copied; both go on under one name
  kTwin,             // two processes speak for one database
  kZombie,           // a parent that was replaced goes on writing
  kReplay,           // everything that a child once sent comes again, byte for byte
  kNewerMinor,       // a child of a later minor version of the wire
  kHandOver,         // a parent gives its place to the next one, sockets and all (docs/upgrade.md)
  kOddAnswer,        // the store is an S3 server, and something answers in its place (fake_s3.h)
  kSendsAgain,       // a client of the first generation forgets what it was acknowledged
  kCatalogLost,      // the catalog's file is removed, also while a parent has it open
  kCatalogRestored,  // or an older copy of it comes back
  kDataLost,         // the data directory: journal and catalog
  kDataRestored,     // an older copy of it comes back
  kDataCopied,       // a copy of it is started elsewhere, and the first one goes on
  kForeignColumns,   // another engine adds, drops, renames or reorders columns
  kForeignTable,     // it renames a table in the catalog, or drops it there
  kPeople,           // somebody restores, empties or migrates a real database
  kCount,
};
inline constexpr std::size_t fault_count = static_cast<std::size_t>(Fault::kCount);

// "parent-kill"; what --json and the reports call it.
std::string_view fault_name(Fault fault);

// About one in so many questions; 0: never.
using FaultRates = std::array<std::uint32_t, fault_count>;

// The n-th strike of a kind in one history, from 0: "cut#3".
struct StrikeName {
  Fault kind = Fault::kCount;
  std::uint32_t number = 0;
  friend auto operator<=>(const StrikeName&, const StrikeName&) = default;
};
std::string to_string(StrikeName name);
std::optional<StrikeName> parse_strike(std::string_view text);

struct Strike {
  StrikeName name;
  SeededRandom random;  // of this strike alone

  bool chance(std::uint32_t percent) { return random.below(100) < percent; }
  std::int64_t ms_below(std::uint64_t n) { return static_cast<std::int64_t>(random.below(n)); }
};

class FaultPlan {
 public:
  // `only`: none but these strike.
  FaultPlan(std::uint64_t seed, const FaultRates& rates,
            std::optional<std::set<StrikeName>> only = std::nullopt);

  // Whether a fault of this kind happens here and now.
  std::optional<Strike> strikes(Fault kind);
  // From now on nothing strikes: healing.
  void end() { rates_ = {}; }
  const FaultRates& rates() const { return rates_; }
  const std::vector<StrikeName>& struck() const { return struck_; }

 private:
  std::uint64_t seed_;
  FaultRates rates_;
  std::optional<std::set<StrikeName>> only_;
  std::vector<SeededRandom> streams_;  // by kind
  std::array<std::uint32_t, fault_count> numbers_{};
  std::vector<StrikeName> struck_;
};

}  // namespace evodb::sim
