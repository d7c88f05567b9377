// The catalog's SQLite file on the forgetful disk: swaps and properties that were acknowledged
// stay, what failed is there or not, and no writer epoch is given twice.
#include <map>
#include <optional>
#include <utility>

#include "sim/points/points.h"
#include "sim/seams/fake_clock.h"
#include "sim/seams/seeded_random.h"
#include "sim/seams/sqlite_disk.h"
#include "table/catalog.h"

namespace evodb::sim {
namespace {

std::unexpected<Error> wrong(std::string what) {
  return fail(ErrorKind::kInternal, std::move(what));
}

constexpr char catalog_path[] = "c/catalog.db";

class CatalogWorld final : public DiskWorld {
 public:
  CatalogWorld() : sqlite_(disk_, clock_, random_) { (void)disk_.make_directories("c"); }
  FakeDisk& disk() override { return disk_; }

  Result<void> work() override {
    for (int i = 0; i < 9; ++i) {
      if (i == 4) catalog_.reset();  // closed in peace, and claimed anew
      EVODB_TRY(step([&] { return commit("t" + std::to_string(i % 2)); }));
      if (i % 4 == 1) EVODB_TRY(step([&] { return set_property(); }));
    }
    return {};
  }
  void forget() override {
    catalog_.reset();
    sqlite_.forget();
  }
  Result<void> recover() override {
    EVODB_TRY(open());
    return compare();
  }
  Result<void> go_on() override {
    EVODB_TRY(commit("t0"));
    return compare();
  }

 private:
  struct Value {
    std::optional<std::string> now, maybe;
  };

  Result<void> open() {
    if (catalog_) return {};
    auto opened =
        EVODB_TRY(table::open_sqlite_catalog(catalog_path, "evodb", "evodb", sqlite_.name()));
    const table::WriterEpoch claimed = EVODB_TRY(opened->claim());
    if (claimed <= writer_) return wrong("a writer epoch is given twice");
    writer_ = claimed;
    catalog_ = std::move(opened);
    return {};
  }
  // As a flush: again after kRetry, a look-up where the outcome is unknown; the rest needs a new
  // process.
  template <class Step>
  Result<void> step(Step what) {
    Result<void> done;
    for (int tries = 0; tries < 5; ++tries) {
      done = open();
      if (done && tries > 0) done = compare();
      if (done) done = what();
      if (done || disk_.crashed() || done.error().kind == ErrorKind::kInternal) return done;
      if (tries > 1) catalog_.reset();
    }
    return done;
  }
  Result<void> commit(const std::string& table) {
    Value& value = tables_[table];
    const std::string next = table + "/" + std::to_string(++versions_) + ".json";
    value.maybe = next;
    EVODB_TRY(catalog_->swap(writer_, table, value.now, next));
    value = {next, std::nullopt};
    return {};
  }
  Result<void> set_property() {
    Value& value = property_;
    const std::string next = std::to_string(++versions_);
    value.maybe = next;
    EVODB_TRY(catalog_->set_property(writer_, "p", next));
    value = {next, std::nullopt};
    return {};
  }
  static Result<void> settle(Value& value, const std::optional<std::string>& found,
                             const std::string& what) {
    if (found == value.now) {
      value.maybe.reset();
      return {};
    }
    if (!value.maybe || found != value.maybe) {
      return wrong(what + " is " + found.value_or("absent") + ", acknowledged was " +
                   value.now.value_or("nothing"));
    }
    value = {found, std::nullopt};
    return {};
  }
  Result<void> compare() {
    for (auto& [table, value] : tables_) {
      EVODB_TRY(settle(value, EVODB_TRY(catalog_->load(table)), table));
    }
    return settle(property_, EVODB_TRY(catalog_->property("p")), "the property");
  }

  FakeDisk disk_;
  FakeClock clock_;
  SeededRandom random_{7};
  SqliteDisk sqlite_;
  std::unique_ptr<table::Catalog> catalog_;
  table::WriterEpoch writer_;
  std::map<std::string, Value> tables_;
  Value property_;
  int versions_ = 0;
};

}  // namespace

void run_catalog(const Extent& extent, Report& report) {
  enumerate_disk([] { return std::make_unique<CatalogWorld>(); }, extent, report,
                 {.through_sqlite = true});
}

}  // namespace evodb::sim
