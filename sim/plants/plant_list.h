// The plants by the room that they are put around. Each function gives that room's part of the
// table in plants.cc.
#pragma once

#include <memory>
#include <vector>

#include "sim/plants/plant.h"

namespace evodb::sim {

std::vector<PlantInfo> edge_plants();     // edge_plants.cc
std::vector<PlantInfo> ingest_plants();   // ingest_plants.cc
std::vector<PlantInfo> disk_plants();     // disk_plants.cc: below the journal
std::vector<PlantInfo> landing_plants();  // landing_plants.cc: journal to lake
std::vector<PlantInfo> store_plants();    // store_plants.cc: flushes, store, catalog
std::vector<PlantInfo>
lakehouse_plants();  // lakehouse_plants.cc: catalog, claim, pointers, columns

// The wraps that a plant has made: rooms refer to them for as long as the plant lives.
template <class Wrap>
class Kept {
 public:
  template <class... Real>
  Wrap& make(Real&... real) {
    return *wraps_.emplace_back(std::make_unique<Wrap>(real...));
  }

 private:
  std::vector<std::unique_ptr<Wrap>> wraps_;
};

template <class P>
std::unique_ptr<Plant> make_one() {
  return std::make_unique<P>();
}

}  // namespace evodb::sim
