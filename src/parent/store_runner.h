// StoreRunner: the seam through which a parent's slow work (object store, catalog, encoding) runs
// beside its loop and its landing. Real: a few threads (apps/evodb). Simulated: delayed events.
#pragma once

#include <functional>
#include <memory>

#include "lake/flush_machine.h"
#include "store/store.h"
#include "table/catalog.h"

namespace evodb::parent {

class StoreRunner {
 public:
  virtual ~StoreRunner() = default;
  // Drives the machine to its end; then `done` runs somewhere: it must only post.
  virtual void flush(std::shared_ptr<lake::FlushMachine> machine, std::function<void()> done) = 0;
  // Runs `work` where blocking is allowed.
  virtual void run(std::function<void(store::ObjectStore&, table::Catalog&)> work) = 0;
  // Only for names: location() and key_of().
  virtual const store::ObjectStore& naming() const = 0;
};

}  // namespace evodb::parent
