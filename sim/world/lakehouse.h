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
#include "sim/seams/fake_loop.h"
#include "sim/seams/fake_store.h"
#include "table/catalog.h"

namespace evodb::sim {

// A catalog whose swaps may succeed and say that they do not know, fail before anything happened,
// or come through long after they said so. Everything else is the shipped catalog, in memory.
class FaultyCatalog final : public table::Catalog {
 public:
  using OnCommit =
      std::function<void(const std::string& table, const std::string& location, bool superseded)>;

  FaultyCatalog(std::unique_ptr<table::Catalog> catalog, FakeLoop& ground, base::Random& random)
      : catalog_(std::move(catalog)), ground_(ground), random_(random) {}

  // Called at every swap that came through, whatever its caller was told. `superseded`: another
  // writer had claimed the catalog before.
  void on_commit(OnCommit on_commit) { on_commit_ = std::move(on_commit); }

  void set_fault_percent(std::uint32_t percent) { fault_percent_ = percent; }
  std::uint64_t faults() const { return faults_; }

  Result<table::WriterEpoch> claim() override;
  Result<std::vector<table::TableEntry>> list() override { return catalog_->list(); }
  Result<std::optional<std::string>> load(const std::string& table) override;
  Result<void> swap(table::WriterEpoch writer, const std::string& table,
                    const std::optional<std::string>& expected,
                    const std::string& metadata_location) override;
  Result<std::optional<std::string>> property(const std::string& key) override {
    return catalog_->property(key);
  }
  Result<void> set_property(table::WriterEpoch writer, const std::string& key,
                            const std::string& value) override {
    return catalog_->set_property(writer, key, value);
  }

 private:
  bool strikes();
  Result<void> really_swap(table::WriterEpoch writer, const std::string& table,
                           const std::optional<std::string>& expected,
                           const std::string& metadata_location);

  std::unique_ptr<table::Catalog> catalog_;
  FakeLoop& ground_;
  OnCommit on_commit_;
  table::WriterEpoch newest_writer_;
  base::Random& random_;
  std::uint32_t fault_percent_ = 0;
  std::uint64_t faults_ = 0;
};

// How long the store and the catalog take, in one history.
struct StoreManners {
  std::int64_t call_ms_max = 30;
  std::int64_t slow_table_ms_max = 30;  // of calls for Notes: tables move apart
  std::uint32_t lingering_percent = 0;  // of requests that arrive seconds late, even if their
                                        // sender is dead by then and its successor at work
};

// Of one life of a parent. Its own events belong to that parent's loop and go with it; what is on
// its way to the store is not its own any more.
class SimStoreRunner final : public parent::StoreRunner {
 public:
  struct Lakehouse {
    FakeLoop& ground;
    FakeStore& store;
    table::Catalog& catalog;
    const StoreManners& manners;
  };
  SimStoreRunner(FakeLoop& loop, base::Random& random, const Lakehouse& lakehouse)
      : loop_(loop), random_(random), lakehouse_(lakehouse) {}

  void flush(std::shared_ptr<lake::FlushMachine> machine, std::function<void()> done) override;
  void run(std::function<void(store::ObjectStore&, table::Catalog&)> work) override;
  const store::ObjectStore& naming() const override { return lakehouse_.store; }

 private:
  void drive(const std::shared_ptr<lake::FlushMachine>& machine, const std::function<void()>& done);
  void send(const std::shared_ptr<lake::FlushMachine>& machine, const std::function<void()>& done,
            table::IoRequest io);
  std::int64_t delay_ms(std::int64_t max) {
    return static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(max)));
  }

  FakeLoop& loop_;
  base::Random& random_;
  Lakehouse lakehouse_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // weak in answers under way
};

}  // namespace evodb::sim
