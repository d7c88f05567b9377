// prove: that the simulator would notice. Every plant (sim/plants) is looked for, history by
// history, until an invariant breaks; one that no history of `histories_max` catches has escaped.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace evodb::sim {

struct PlantReport {
  std::string_view plant, about, profile;
  bool caught = false;
  std::string invariant, text;
  std::uint64_t histories = 0;  // until it was
};

// Histories have the seeds first_seed, first_seed + 1, ...
std::vector<PlantReport> prove(std::uint64_t first_seed, std::uint64_t histories_max,
                               unsigned processes);

}  // namespace evodb::sim
