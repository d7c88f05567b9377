// One history, run in this process or in one of its own.
//
//   HistoryReport report = run_history({.seed = 7, .profile = "swarm"});
//   HistoryReport safe = run_history_apart({.seed = 8});   // an assertion or a hang is a violation, too
//
// A failed assertion of the shipped code ends its process: whoever must go on runs it apart.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sim/world/faults.h"
#include "sim/world/world.h"

namespace evodb::sim {

struct HistoryOptions {
  std::uint64_t seed = 1;
  std::string profile = "swarm";
  std::string plant;  // "": none
  std::uint32_t edges_max = UINT32_MAX;
  std::uint64_t transactions_max = UINT64_MAX;
  std::int64_t faults_ms_max = INT64_MAX;
  std::optional<std::set<StrikeName>> only;
};
// The command that runs just this.
std::string command_of(const HistoryOptions& options);

struct Finding {
  std::string invariant, text;
  std::int64_t step = 0;  // virtual milliseconds
};

struct HistoryReport {
  std::uint64_t seed = 0, trace_hash = 0;
  std::vector<Finding> findings;
  WorldCounts counts;
  std::vector<StrikeName> struck;
  std::uint32_t edges = 0;
};

HistoryReport run_history(const HistoryOptions& options,
                          std::function<void(const std::string&)> story = nullptr);
// What comes back of a process that died: one finding, and no counts.
HistoryReport run_history_apart(const HistoryOptions& options);

// For the way between processes; decode aborts on what encode did not write.
std::string encode_report(const HistoryReport& report);
HistoryReport decode_report(const std::string& text);

// The finding of a process that was ended by a signal.
Finding finding_of_death(int wait_status);
inline constexpr unsigned history_seconds_max = 120;  // of real time; then it hangs

}  // namespace evodb::sim
