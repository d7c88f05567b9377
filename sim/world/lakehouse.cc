#include "sim/world/lakehouse.h"

#include <algorithm>
#include <utility>

namespace evodb::sim {

namespace {
constexpr std::int64_t wait_slice_ms = 50;  // a machine that waits is looked at this often
constexpr std::uint64_t late_ms_max = 4'000;
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
  if (!strikes()) return really_swap(writer, table, expected, metadata_location);
  switch (random_.below(3)) {
    case 0: (void)really_swap(writer, table, expected, metadata_location); break;
    case 1:
      ground_.after(static_cast<std::int64_t>(random_.below(late_ms_max)),
                    [=, this] { (void)really_swap(writer, table, expected, metadata_location); });
      break;
    default: break;
  }
  return fail(ErrorKind::kOutcomeUnknown, "the catalog did not answer");
}

Result<void> FaultyCatalog::really_swap(table::WriterEpoch writer, const std::string& table,
                                        const std::optional<std::string>& expected,
                                        const std::string& metadata_location) {
  auto done = catalog_->swap(writer, table, expected, metadata_location);
  if (done && on_commit_) on_commit_(table, metadata_location, writer < newest_writer_);
  return done;
}

Result<table::WriterEpoch> FaultyCatalog::claim() {
  auto claimed = catalog_->claim();
  if (claimed) newest_writer_ = std::max(newest_writer_, *claimed);
  return claimed;
}

void SimStoreRunner::run(std::function<void(store::ObjectStore&, table::Catalog&)> work) {
  loop_.after(delay_ms(lakehouse_.manners.call_ms_max),
              [this, work = std::move(work)] { work(lakehouse_.store, lakehouse_.catalog); });
}

void SimStoreRunner::flush(std::shared_ptr<lake::FlushMachine> machine,
                           std::function<void()> done) {
  loop_.after(
      0, [this, machine = std::move(machine), done = std::move(done)] { drive(machine, done); });
}

void SimStoreRunner::drive(const std::shared_ptr<lake::FlushMachine>& machine,
                           const std::function<void()>& done) {
  lake::FlushStep step = machine->next();
  if (step.io) {
    send(machine, done, *std::move(step.io));
  } else if (step.wait_ms > 0) {
    loop_.after(std::min(step.wait_ms, wait_slice_ms),
                [this, machine, done] { drive(machine, done); });
  } else {
    done();
  }
}

void SimStoreRunner::send(const std::shared_ptr<lake::FlushMachine>& machine,
                          const std::function<void()>& done, table::IoRequest io) {
  const StoreManners& manners = lakehouse_.manners;
  const bool lingers = random_.below(100) < manners.lingering_percent;
  const std::int64_t ms =
      lingers ? static_cast<std::int64_t>(random_.below(late_ms_max))
              : delay_ms(machine->table().starts_with("notes") ? manners.slow_table_ms_max
                                                               : manners.call_ms_max);
  // The request travels on the ground: it arrives whatever becomes of its sender. The answer finds
  // the sender alive, or nobody.
  lakehouse_.ground.after(
      ms, [this, alive = std::weak_ptr<bool>(alive_),
           waiting = std::weak_ptr<lake::FlushMachine>(machine), done, &store = lakehouse_.store,
           &catalog = lakehouse_.catalog, io = std::move(io)] {
        auto response = table::perform(store, catalog, io);
        const auto machine = waiting.lock();
        if (alive.expired() || !machine) return;
        loop_.after(delay_ms(lakehouse_.manners.call_ms_max),
                    [this, machine, done, response = std::move(response)]() mutable {
                      machine->on_response(std::move(response));
                      drive(machine, done);
                    });
      });
}

}  // namespace evodb::sim
