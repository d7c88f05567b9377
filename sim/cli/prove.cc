#include "sim/cli/prove.h"

#include "sim/cli/workers.h"
#include "sim/plants/plant.h"

namespace evodb::sim {

std::vector<PlantReport> prove(std::uint64_t first_seed, std::uint64_t histories_max,
                               unsigned processes) {
  std::vector<PlantReport> reports;
  for (const PlantInfo& info : plants()) {
    PlantReport report{info.name, info.about, info.profile, false, "", "", 0};
    std::vector<HistoryOptions> histories;
    for (std::uint64_t i = 0; i < histories_max; ++i) {
      histories.push_back({.seed = first_seed + i,
                           .profile = std::string(info.profile),
                           .plant = std::string(info.name)});
    }
    run_side_by_side(histories, processes,
                     [&](const HistoryOptions&, const HistoryReport& history) {
                       ++report.histories;
                       if (history.findings.empty()) return true;
                       report.caught = true;
                       report.invariant = history.findings.front().invariant;
                       report.text = history.findings.front().text;
                       return false;
                     });
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace evodb::sim
