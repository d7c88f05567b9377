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

// What lies under the path of a catalog's file. A process that had it open has it still when another
// one lies there.
struct CatalogFile {
  std::unique_ptr<table::Catalog> rows;  // the shipped catalog, in memory
  table::WriterEpoch newest_writer;
  std::uint64_t overwritten = 0;  // how often other rows have taken the place of these
};
std::shared_ptr<CatalogFile> new_catalog_file();
// As `cp` makes one. `renamed`: a table's name in the copy, "" where it is to have none.
std::shared_ptr<CatalogFile> copy_of(
    const CatalogFile& file, const std::function<std::string(const std::string& table)>& renamed =
                                 [](const std::string& table) { return table; });

// A catalog whose swaps may succeed and say that they do not know, fail before anything happened,
// or come through long after they said so; and whose file somebody may remove, replace or change.
class FaultyCatalog final : public table::Catalog {
 public:
  using OnCommit =
      std::function<void(const std::string& table, const std::string& location, bool superseded)>;

  // `on_strike` hears of every fault; see World.
  using OnStrike = std::function<void(const Strike&)>;
  FaultyCatalog(std::shared_ptr<CatalogFile> file, FakeLoop& ground, FaultPlan& plan,
                OnStrike on_strike)
      : at_path_(file),
        open_(std::move(file)),
        ground_(ground),
        plan_(plan),
        on_strike_(std::move(on_strike)) {}

  // Called at every swap that came through to the file under the path, whatever its caller was
  // told. `superseded`: another writer had claimed the catalog before.
  void on_commit(OnCommit on_commit) { on_commit_ = std::move(on_commit); }

  const CatalogFile& file() const { return *at_path_; }
  // Another file under the path. Who has the former one open is told kStale until it reopens.
  void replace(std::shared_ptr<CatalogFile> file) { at_path_ = std::move(file); }
  // The same file with other rows: somebody has written into it, or copied over it.
  void overwrite(std::shared_ptr<CatalogFile> other) {
    at_path_->rows = std::move(other->rows);
    at_path_->newest_writer = other->newest_writer;
    ++at_path_->overwritten;
  }

  // Another engine's load and compare-and-swap: it knows nothing of our writers.
  std::optional<std::string> foreign_load(const std::string& table) {
    auto location = at_path_->rows->load(table);
    return location ? *location : std::nullopt;
  }
  Result<void> foreign_swap(const std::string& table, const std::string& expected,
                            const std::string& metadata_location) {
    return at_path_->rows->swap(at_path_->newest_writer, table, expected, metadata_location);
  }

  using Catalog::claim;
  Result<table::WriterEpoch> claim(table::WriterEpoch at_least) override;
  Result<table::WriterEpoch> claim_above(table::WriterEpoch held,
                                         table::WriterEpoch at_least) override;
  Result<std::vector<table::TableEntry>> list() override;
  Result<std::optional<std::string>> load(const std::string& table) override;
  Result<void> swap(table::WriterEpoch writer, const std::string& table,
                    const std::optional<std::string>& expected,
                    const std::string& metadata_location) override;
  Result<std::optional<std::string>> property(const std::string& key) override;
  Result<void> reopen() override;
  Result<void> set_property(table::WriterEpoch writer, const std::string& key,
                            const std::string& value) override;

 private:
  std::optional<Strike> strikes(Fault kind);
  Result<void> in_place() const;
  Result<void> really_swap(const std::shared_ptr<CatalogFile>& file, table::WriterEpoch writer,
                           const std::string& table, const std::optional<std::string>& expected,
                           const std::string& metadata_location);

  std::shared_ptr<CatalogFile> at_path_, open_;
  FakeLoop& ground_;
  OnCommit on_commit_;
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
      : loop_(loop),
        random_(random),
        lakehouse_(lakehouse),
        plant_(plant),
        store_(plant.store(lakehouse_.store)) {}

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
  store::ObjectStore& store_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // weak in answers under way
};

}  // namespace evodb::sim
