// The real seams of a parent, wired: the only place that does so for the server's rooms.
#pragma once

#include <memory>

#include "config.h"
#include "evodb/parent.h"
#include "parent/parent.h"

namespace evodb::app {

// From a loaded configuration; LakehouseParent::start makes one from its options.
Result<std::unique_ptr<LakehouseParent>> start_parent(const Config& config);

// The offline half: everything that can be wrong with the settings without touching the network.
Result<parent::ParentOptions> parent_options(const Config& config);

}  // namespace evodb::app
