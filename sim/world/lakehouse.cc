#include "sim/world/lakehouse.h"

#include <algorithm>
#include <utility>

namespace evodb::sim {

namespace {
// A call to the store takes up to so long; a machine that waits is looked at this often.
constexpr std::uint64_t call_ms_max = 30;
constexpr std::int64_t wait_slice_ms = 50;
}  // namespace

bool FaultyCatalog::strikes() {
  if (random_.below(100) >= fault_percent_) return false;
  ++faults_;
  return true;
}

Result<std::optional<std::string>> FaultyCatalog::load(const std::string& table) {
  if (strikes()) return fail(ErrorKind::kRetry, "the catalog is away");
  return catalog_->load(table);
}

Result<void> FaultyCatalog::swap(table::WriterEpoch writer, const std::string& table,
                                 const std::optional<std::string>& expected,
                                 const std::string& metadata_location) {
  if (strikes()) {
    if (random_.below(2) == 0) {
      (void)catalog_->swap(writer, table, expected, metadata_location);
    }
    return fail(ErrorKind::kOutcomeUnknown, "the catalog did not answer");
  }
  return catalog_->swap(writer, table, expected, metadata_location);
}

void SimStoreRunner::run(std::function<void(store::ObjectStore&, table::Catalog&)> work) {
  loop_.after(static_cast<std::int64_t>(random_.below(call_ms_max)),
              [this, work = std::move(work)] { work(store_, catalog_); });
}

void SimStoreRunner::flush(std::shared_ptr<lake::FlushMachine> machine,
                           std::function<void()> done) {
  loop_.after(
      0, [this, machine = std::move(machine), done = std::move(done)] { drive(machine, done); });
}

void SimStoreRunner::drive(std::shared_ptr<lake::FlushMachine> machine,
                           std::function<void()> done) {
  const lake::FlushStep step = machine->next();
  if (step.io) {
    loop_.after(static_cast<std::int64_t>(random_.below(call_ms_max)),
                [this, machine, done, io = *step.io] {
                  machine->on_response(table::perform(store_, catalog_, io));
                  // The answer is under way: a crash here is one after the effect.
                  loop_.after(static_cast<std::int64_t>(random_.below(call_ms_max)),
                              [this, machine, done] { drive(machine, done); });
                });
  } else if (step.wait_ms > 0) {
    loop_.after(std::min(step.wait_ms, wait_slice_ms),
                [this, machine, done] { drive(machine, done); });
  } else {
    done();
  }
}

}  // namespace evodb::sim
