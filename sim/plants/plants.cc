#include <algorithm>

#include "sim/plants/plant.h"
#include "sim/plants/plant_list.h"

namespace evodb::sim {

std::span<const PlantInfo> plants() {
  static const std::vector<PlantInfo> all = [] {
    std::vector<PlantInfo> list;
    for (auto part : {edge_plants(), ingest_plants(), disk_plants(), landing_plants(),
                      store_plants(), lakehouse_plants()}) {
      list.insert(list.end(), part.begin(), part.end());
    }
    return list;
  }();
  return all;
}

Result<const PlantInfo*> find_plant(std::string_view name) {
  const auto all = plants();
  const auto found = std::ranges::find(all, name, &PlantInfo::name);
  if (found != all.end()) return &*found;
  return fail(ErrorKind::kInvalid,
              "no plant is called '" + std::string(name) + "'; see --list-plants");
}

}  // namespace evodb::sim
