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

// A catalog whose swaps may succeed and say that they do not know, or fail before anything
// happened. Everything else is the shipped catalog, in memory.
class FaultyCatalog final : public table::Catalog {
 public:
  FaultyCatalog(std::unique_ptr<table::Catalog> catalog, base::Random& random)
      : catalog_(std::move(catalog)), random_(random) {}

  void set_fault_percent(std::uint32_t percent) { fault_percent_ = percent; }
  std::uint64_t faults() const { return faults_; }

  Result<table::WriterEpoch> claim() override { return catalog_->claim(); }
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

  std::unique_ptr<table::Catalog> catalog_;
  base::Random& random_;
  std::uint32_t fault_percent_ = 0;
  std::uint64_t faults_ = 0;
};

// Of one life of a parent: its events belong to that parent's loop and go with it.
class SimStoreRunner final : public parent::StoreRunner {
 public:
  SimStoreRunner(FakeLoop& loop, base::Random& random, FakeStore& store, table::Catalog& catalog)
      : loop_(loop), random_(random), store_(store), catalog_(catalog) {}

  void flush(std::shared_ptr<lake::FlushMachine> machine, std::function<void()> done) override;
  void run(std::function<void(store::ObjectStore&, table::Catalog&)> work) override;
  const store::ObjectStore& naming() const override { return store_; }

 private:
  void drive(std::shared_ptr<lake::FlushMachine> machine, std::function<void()> done);

  FakeLoop& loop_;
  base::Random& random_;
  FakeStore& store_;
  table::Catalog& catalog_;
};

}  // namespace evodb::sim
