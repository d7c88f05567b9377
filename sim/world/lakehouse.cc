#include "sim/world/lakehouse.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "table/open_lakehouse.h"

namespace evodb::sim {

namespace {
constexpr std::int64_t wait_slice_ms = 50;  // a machine that waits is looked at this often
constexpr std::uint64_t late_ms_max = 4'000;

std::string name_of(const table::IoRequest& io) {
  if (const auto* put = std::get_if<table::PutObjects>(&io)) {
    const bool data = put->objects.front().key.ends_with(".parquet");
    return data ? "put data and metadata" : "put metadata";
  }
  if (std::holds_alternative<table::GetObject>(io)) return "get";
  if (std::holds_alternative<table::RemoveObject>(io)) return "remove";
  if (std::holds_alternative<table::ListObjects>(io)) return "list";
  return std::holds_alternative<table::LoadTable>(io) ? "load" : "swap";
}

}  // namespace

std::shared_ptr<CatalogFile> new_catalog_file() {
  auto rows = table::open_sqlite_catalog(":memory:", "evodb", "evodb");
  EVODB_ASSERT(rows.has_value(), "SQLite gives us memory");
  return std::make_shared<CatalogFile>(CatalogFile{*std::move(rows), {}});
}

std::shared_ptr<CatalogFile> copy_of(
    const CatalogFile& file, const std::function<std::string(const std::string&)>& renamed) {
  auto copy = new_catalog_file();
  if (file.newest_writer.value == 0) return copy;  // nobody has written yet
  (void)file.rows->reopen();                       // whoever copies it has seen nothing yet
  table::Catalog& to = *copy->rows;
  copy->newest_writer = to.claim(file.newest_writer).value();
  for (const char* key :
       {table::catalog_id_property, table::warehouse_id_property, table::parent_id_property,
        "evodb.journal-id", "evodb.journal-since", "evodb.rebuilding"}) {
    const auto value = file.rows->property(key).value();
    if (value)
      EVODB_ASSERT(to.set_property(copy->newest_writer, key, *value).has_value(), "copied");
  }
  const auto entries = file.rows->list().value();
  for (const table::TableEntry& entry : entries) {
    const std::string name = renamed(entry.name);
    if (name.empty()) continue;
    const auto put = to.swap(copy->newest_writer, name, std::nullopt, entry.metadata_location);
    EVODB_ASSERT(put.has_value(), "copied");
  }
  return copy;
}

std::optional<Strike> FaultyCatalog::strikes(Fault kind) {
  auto strike = plan_.strikes(kind);
  if (strike) on_strike_(*strike);
  return strike;
}

Result<void> FaultyCatalog::in_place() const {
  if (open_ == at_path_) return {};
  return fail(ErrorKind::kStale, "the catalog was removed or replaced while it was open");
}

Result<void> FaultyCatalog::reopen() {
  open_ = at_path_;
  return open_->rows->reopen();
}

Result<std::vector<table::TableEntry>> FaultyCatalog::list() {
  EVODB_TRY(in_place());
  return open_->rows->list();
}

Result<std::optional<std::string>> FaultyCatalog::load(const std::string& table) {
  if (strikes(Fault::kCatalogError)) return fail(ErrorKind::kRetry, "the catalog is away");
  EVODB_TRY(in_place());
  return open_->rows->load(table);
}

Result<std::optional<std::string>> FaultyCatalog::property(const std::string& key) {
  EVODB_TRY(in_place());
  return open_->rows->property(key);
}

Result<void> FaultyCatalog::set_property(table::WriterEpoch writer, const std::string& key,
                                         const std::string& value) {
  EVODB_TRY(in_place());
  return open_->rows->set_property(writer, key, value);
}

Result<void> FaultyCatalog::swap(table::WriterEpoch writer, const std::string& table,
                                 const std::optional<std::string>& expected,
                                 const std::string& metadata_location) {
  if (strikes(Fault::kCatalogError)) return fail(ErrorKind::kRetry, "the catalog is away");
  EVODB_TRY(in_place());
  auto strike = strikes(Fault::kCatalogAmbiguous);
  if (!strike) return really_swap(open_, writer, table, expected, metadata_location);
  switch (strike->random.below(3)) {
    case 0: (void)really_swap(open_, writer, table, expected, metadata_location); break;
    case 1:
      // Not to a file that was written over since: whose call this was has its lock no more.
      ground_.after(strike->ms_below(late_ms_max),
                    [=, this, file = open_, of = open_->overwritten] {
                      if (file->overwritten != of) return;
                      (void)really_swap(file, writer, table, expected, metadata_location);
                    });
      break;
    default: break;
  }
  return fail(ErrorKind::kOutcomeUnknown, "the catalog did not answer");
}

Result<void> FaultyCatalog::really_swap(const std::shared_ptr<CatalogFile>& file,
                                        table::WriterEpoch writer, const std::string& table,
                                        const std::optional<std::string>& expected,
                                        const std::string& metadata_location) {
  auto done = file->rows->swap(writer, table, expected, metadata_location);
  if (done && on_commit_ && file == at_path_) {
    on_commit_(table, metadata_location, writer < file->newest_writer);
  }
  return done;
}

Result<table::WriterEpoch> FaultyCatalog::claim(table::WriterEpoch at_least) {
  EVODB_TRY(in_place());
  auto claimed = open_->rows->claim(at_least);
  if (claimed) open_->newest_writer = std::max(open_->newest_writer, *claimed);
  return claimed;
}

Result<table::WriterEpoch> FaultyCatalog::claim_above(table::WriterEpoch held,
                                                      table::WriterEpoch at_least) {
  EVODB_TRY(in_place());
  // The rows are one object for all parents here: whose a claim is, only its epoch tells.
  EVODB_TRY(open_->rows->set_property(held, "exists", "true"));
  return claim(at_least);
}

std::int64_t SimStoreRunner::travel_ms(std::int64_t max) {
  const std::int64_t ms = delay_ms(max);
  auto late = lakehouse_.plan.strikes(Fault::kStoreLate);
  if (!late) return ms;
  lakehouse_.on_strike(*late);
  return late->ms_below(late_ms_max);
}

void SimStoreRunner::run(std::function<void(store::ObjectStore&, table::Catalog&)> work) {
  loop_.after(travel_ms(lakehouse_.course.store_ms_max) + plant_.store_work_takes_ms(),
              [this, work = std::move(work)] { work(store_, lakehouse_.catalog); });
}

void SimStoreRunner::flush(std::shared_ptr<lake::FlushMachine> machine,
                           std::function<void()> done) {
  loop_.after(
      0, [this, machine = std::move(machine), done = std::move(done)] { drive(machine, done); });
}

void SimStoreRunner::drive(const std::shared_ptr<lake::FlushMachine>& machine,
                           const std::function<void()>& done) {
  if (!plant_.may_go_on(*machine)) {
    loop_.after(wait_slice_ms, [this, machine, done] { drive(machine, done); });
    return;
  }
  lake::FlushStep step = machine->next();
  if (step.io) {
    plant_.before_io(*step.io);
    send(machine, done, *std::move(step.io));
  } else if (step.wait_ms > 0) {
    where_ = "waiting";
    loop_.after(std::min(step.wait_ms, wait_slice_ms),
                [this, machine, done] { drive(machine, done); });
  } else {
    where_.clear();
    done();
  }
}

void SimStoreRunner::send(const std::shared_ptr<lake::FlushMachine>& machine,
                          const std::function<void()>& done, table::IoRequest io) {
  const Course& course = lakehouse_.course;
  where_ = name_of(io);
  const std::int64_t ms = travel_ms(machine->table().starts_with("notes") ? course.slow_table_ms_max
                                                                          : course.store_ms_max);
  // The request travels on the ground: it arrives whatever becomes of its sender. The answer finds
  // the sender alive, or nobody.
  lakehouse_.ground.after(
      ms, [this, alive = std::weak_ptr<bool>(alive_),
           waiting = std::weak_ptr<lake::FlushMachine>(machine), done, &store = lakehouse_.store,
           &catalog = lakehouse_.catalog, &plant = plant_, io = std::move(io)] {
        auto response = table::perform(store, catalog, io);
        plant.after_io(io, response, store);
        const auto machine = waiting.lock();
        if (alive.expired() || !machine) return;
        loop_.after(delay_ms(lakehouse_.course.store_ms_max),
                    [this, machine, done, response = std::move(response)]() mutable {
                      machine->on_response(std::move(response));
                      drive(machine, done);
                    });
      });
}

}  // namespace evodb::sim
