// SimLakehouse: the object store and the catalog that outlive every parent, with their faults; and
// the StoreRunner through which one life of a parent reaches them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lake/flush_machine.h"
#include "parent/store_runner.h"
#include "sim/plants/plant.h"
#include "sim/seams/fake_loop.h"
#include "sim/world/course.h"
#include "sim/world/faults.h"
#include "store/store.h"
#include "table/catalog.h"

namespace evodb::sim {

// A catalog whose swaps may succeed and say that they do not know, fail before anything happened,
// or come through long after they said so. Everything else is the shipped catalog, in memory.
class FaultyCatalog final : public table::Catalog {
 public:
  using OnCommit =
      std::function<void(const std::string& table, const std::string& location, bool superseded)>;

  // `on_strike` hears of every fault; see World.
  using OnStrike = std::function<void(const Strike&)>;
  FaultyCatalog(std::unique_ptr<table::Catalog> catalog, FakeLoop& ground, FaultPlan& plan,
                OnStrike on_strike)
      : catalog_(std::move(catalog)),
        ground_(ground),
        plan_(plan),
        on_strike_(std::move(on_strike)) {}

  // Called at every swap that came through, whatever its caller was told. `superseded`: another
  // writer had claimed the catalog before.
  void on_commit(OnCommit on_commit) { on_commit_ = std::move(on_commit); }

  // Another engine's load and compare-and-swap: it knows nothing of our writers.
  std::optional<std::string> foreign_load(const std::string& table) {
    auto location = catalog_->load(table);
    return location ? *location : std::nullopt;
  }
  Result<void> foreign_swap(const std::string& table, const std::string& expected,
                            const std::string& metadata_location) {
    return catalog_->swap(newest_writer_, table, expected, metadata_location);
  }

  using Catalog::claim;
  Result<table::WriterEpoch> claim(table::WriterEpoch at_least) override;
  Result<std::vector<table::TableEntry>> list() override { return catalog_->list(); }
  Result<std::optional<std::string>> load(const std::string& table) override;
  Result<void> swap(table::WriterEpoch writer, const std::string& table,
                    const std::optional<std::string>& expected,
                    const std::string& metadata_location) override;
  Result<std::optional<std::string>> property(const std::string& key) override {
    return catalog_->property(key);
  }
  Result<void> reopen() override { return catalog_->reopen(); }
  Result<void> set_property(table::WriterEpoch writer, const std::string& key,
                            const std::string& value) override {
    return catalog_->set_property(writer, key, value);
  }

 private:
  std::optional<Strike> strikes(Fault kind);
  Result<void> really_swap(table::WriterEpoch writer, const std::string& table,
                           const std::optional<std::string>& expected,
                           const std::string& metadata_location);

  std::unique_ptr<table::Catalog> catalog_;
  FakeLoop& ground_;
  OnCommit on_commit_;
  table::WriterEpoch newest_writer_;
  FaultPlan& plan_;
  OnStrike on_strike_;
};

// Of one life of a parent. Its own events belong to that parent's loop and go with it; what is on
// its way to the store is not its own any more.
class SimStoreRunner final : public parent::StoreRunner {
 public:
  struct Lakehouse {
    FakeLoop& ground;
    store::ObjectStore& store;
    table::Catalog& catalog;
    const Course& course;
    FaultPlan& plan;
    FaultyCatalog::OnStrike on_strike;
  };
  SimStoreRunner(FakeLoop& loop, base::Random& random, const Lakehouse& lakehouse, Plant& plant)
      : loop_(loop), random_(random), lakehouse_(lakehouse), plant_(plant) {}

  void flush(std::shared_ptr<lake::FlushMachine> machine, std::function<void()> done) override;
  void run(std::function<void(store::ObjectStore&, table::Catalog&)> work) override;
  const store::ObjectStore& naming() const override { return lakehouse_.store; }
  // Where flushes are just now, for the coverage report: "put", "swap", ...; "" if none waits.
  const std::string& where() const { return where_; }

 private:
  void drive(const std::shared_ptr<lake::FlushMachine>& machine, const std::function<void()>& done);
  void send(const std::shared_ptr<lake::FlushMachine>& machine, const std::function<void()>& done,
            table::IoRequest io);
  // Of a request on its way: below `max`, or one of those that arrive seconds later.
  std::int64_t travel_ms(std::int64_t max);
  std::int64_t delay_ms(std::int64_t max) {
    return static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(max)));
  }

  FakeLoop& loop_;
  base::Random& random_;
  std::string where_;
  Lakehouse lakehouse_;
  Plant& plant_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // weak in answers under way
};

}  // namespace evodb::sim
