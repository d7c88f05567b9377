#include <algorithm>

#include "sim/plants/plant.h"

namespace evodb::sim {

std::span<const PlantInfo> plants() { return {}; }

Result<const PlantInfo*> find_plant(std::string_view name) {
  const auto all = plants();
  const auto found = std::ranges::find(all, name, &PlantInfo::name);
  if (found != all.end()) return &*found;
  return fail(ErrorKind::kInvalid,
              "no plant is called '" + std::string(name) + "'; see --list-plants");
}

}  // namespace evodb::sim
