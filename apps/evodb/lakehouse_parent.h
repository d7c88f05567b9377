// The real seams of a parent, wired: the only place that does so for the server's rooms.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "config.h"
#include "evodb/parent.h"
#include "parent/parent.h"

namespace evodb::app {

// It also gives its gate to code of this process.
class GatedParent : public LakehouseParent {
 public:
  // `work` runs on the loop's thread, unless the parent stops before.
  virtual void with_gate(std::function<void(gate::Gate&)> work) = 0;
};
using Waiting = std::function<void(const std::string& why)>;

// From a loaded configuration; LakehouseParent::start makes one from its options. Where a start
// takes longer than a second, `waiting` is told why, once for each reason, in the calling thread.
Result<std::unique_ptr<GatedParent>> start_parent(const Config& config,
                                                  const Waiting& waiting = {});

// The offline half: everything that can be wrong with the settings without touching the network.
Result<parent::ParentOptions> parent_options(const Config& config);

}  // namespace evodb::app
