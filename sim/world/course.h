// Course: what kind of history one seed is: how many edges, how busy, how slow everything is, and
// which faults strike how often. Drawn from (profile, seed).
//
//   const Course course = EVODB_TRY(draw_course("swarm", seed));
//
// Every profile draws each feature of a history (kills, power losses, a lying store, ...) by
// chance; a named profile has its own features for sure. Swarm testing (Groce et al., 2012): a
// history with few kinds of fault, often, reaches states that a bit of everything never does.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "evodb/result.h"
#include "sim/world/faults.h"

namespace evodb::sim {

struct Course {
  FaultRates rates{};
  std::uint32_t edges = 3;
  std::uint32_t v1_children = 0;
  std::uint32_t v1_wrong_percent = 0;  // of their entries that are no rows, or have no time
  bool sqlite = false;                 // one edge's database is a real one
  bool people = false;                 // one more edge has a real one, and people work on it
  bool knows_copies = false;           // children say in which life of their database they are
  std::uint32_t visitors = 0;          // sources that come, write a little, and go
  std::int64_t faults_ms = 15'000;
  std::int64_t pause_ms_max = 120;  // between two transactions of an application
  bool wait_durable = false;        // some edges keep changes only until durable
  bool odd_values = false;          // values that do not fit their column; rows that are too large
  bool fills_journal = false;       // the store stays away until the journal is full
  bool speaks_s3 = false;           // the store is reached as an S3 server is
  std::uint64_t first_lsn = 0;      // of every outbox
  std::int64_t sync_ms_max = 3;
  std::int64_t store_ms_max = 30;       // one call
  std::int64_t slow_table_ms_max = 30;  // one call for Notes
  std::int64_t delay_us_max = 500;      // of the network
  std::uint32_t window_bytes = 64u << 10;
  std::uint64_t buffer_bytes = 32u << 10;  // of the lake
  std::uint32_t snapshots_max = 6;         // of a table, and as many former metadata files
  std::int64_t tend_ms = 10'000;           // how often a parent looks after the catalog

  // A backup or a lost disk may take away what nobody can give back; then nobody may count on it.
  bool loses_journals() const {
    return rate(Fault::kJournalLost) > 0 || rate(Fault::kBitRot) > 0 || has_operator();
  }
  void keep_journals() {
    for (const Fault fault : {Fault::kJournalLost, Fault::kBitRot, Fault::kDataLost,
                              Fault::kDataRestored, Fault::kDataCopied}) {
      rate(fault) = 0;
    }
  }
  bool has_operator() const {
    return rate(Fault::kDataLost) > 0 || rate(Fault::kDataRestored) > 0 ||
           rate(Fault::kDataCopied) > 0;
  }
  // Else copies keep the name that they have, and a session that is replayed comes back from where
  // another life took its place.
  bool has_lives() const {
    return knows_copies || (rate(Fault::kCopy) == 0 && rate(Fault::kReplay) == 0);
  }
  std::uint32_t rate(Fault fault) const { return rates[static_cast<std::size_t>(fault)]; }
  std::uint32_t& rate(Fault fault) { return rates[static_cast<std::size_t>(fault)]; }
};

struct Profile {
  std::string_view name, about;
};
std::span<const Profile> profiles();

// Errors: kInvalid (no such profile).
Result<Course> draw_course(std::string_view profile, std::uint64_t seed);

}  // namespace evodb::sim
