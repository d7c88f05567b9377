// Flush and commit: journal, lake, FlushMachine and AppendCommit against a store and a catalog that
// stop or fail at every call, and a catalog that is lost whenever the process stops. What was said
// to be persisted must be found by the catalog, and by the store's own pointers alone.
#include <algorithm>
#include <utility>

#include "ingest/batch_record.h"
#include "journal/journal.h"
#include "lake/flush_machine.h"
#include "lake/landed_filter.h"
#include "lake/parquet_encoder.h"
#include "parent/recovery.h"
#include "sim/points/lakehouse_calls.h"
#include "sim/points/points.h"
#include "sim/seams/fake_clock.h"
#include "sim/seams/seeded_random.h"
#include "sim/seams/sqlite_disk.h"
#include "sim/world/quiet_store.h"
#include "table/claim.h"
#include "wire/change.h"

namespace evodb::sim {
namespace {

std::unexpected<Error> wrong(std::string what) {
  return fail(ErrorKind::kInternal, std::move(what));
}

enum class Catalogs : std::uint8_t { kStay, kAreLost };

const wire::TableDef& table_of(std::uint64_t lsn) {
  static const wire::TableDef goods{"goods", 1, {{"id", "INTEGER", 1}, {"v", "TEXT", 0}}};
  static const wire::TableDef notes{"notes", 1, {{"id", "INTEGER", 1}}};
  return lsn % 3 == 0 ? notes : goods;
}

class FlushWorld {
 public:
  explicit FlushWorld(Catalogs catalogs)
      : catalogs_(catalogs), sqlite_(disk_, clock_, random_), store_(clock_) {
    calls.watch(store_);
    open_catalogs();
    (void)disk_.make_directories("j");
    journal_ = *journal::Journal::open(disk_, "j", {.segment_bytes = 8192, .max_bytes = 16 * 8192},
                                       random_, nullptr);
  }

  LakehouseCalls calls;

  // Rounds of changes, each landed before the next comes. Lives end where the lakehouse says that
  // the process stopped.
  Result<void> work() {
    for (int round = 0; round < 2; ++round) {
      for (int i = 0; i < 3 + round; ++i) append();
      EVODB_TRY(land());
    }
    EVODB_TRY(land());
    return check_orphans();
  }

 private:
  std::unique_ptr<table::Catalog> open_catalog() {
    (void)disk_.make_directories("c");
    return std::move(*table::open_sqlite_catalog("c/catalog" + std::to_string(lost_) + ".db",
                                                 "evodb", "evodb", sqlite_.name()));
  }
  void open_catalogs() {
    catalog_ = std::make_unique<CountedCatalog>(open_catalog(), calls);
    reader_ = open_catalog();
  }

  void append() {
    const std::uint64_t lsn = ++appended_;
    const wire::TableDef& def = table_of(lsn);
    std::string definition;
    wire::encode_table_def(definition, def);
    const std::string_view definition_part = definition;
    (void)journal_->append(journal::RecordType::kTableDef, {&definition_part, 1});
    std::string row;
    wire::put_value(row, ValueView::of_integer(static_cast<std::int64_t>(lsn)));
    if (def.columns.size() > 1) wire::put_value(row, ValueView::of_text("tea"));
    wire::BatchWriter writer;
    writer.reset(Lsn(lsn - 1), ChainHash());
    writer.add_change(Op::kInsert, 0, def.fingerprint(), Lsn(lsn), TxnId(lsn), UnixMillis(9), {},
                      {}, {true, static_cast<std::uint32_t>(def.columns.size()), row});
    const std::string body = writer.finish();
    std::string prefix;
    ingest::encode_batch_record_prefix(prefix, {.source = "shop",
                                                .epoch = Epoch(1),
                                                .received_at = UnixMillis(10),
                                                .last_lsn = Lsn(lsn),
                                                .last_txn = TxnId(lsn),
                                                .change_count = 1,
                                                .tables = {{0, def.fingerprint()}}});
    const std::string_view parts[] = {prefix, body};
    (void)journal_->append(journal::RecordType::kBatch, parts);
    (void)journal_->commit();
  }

  // As a parent: claims the catalog, loads the tables, reads the journal.
  Result<void> start() {
    std::unique_ptr<lake::LandedFilter> landed;
    table::WriterEpoch writer;
    EVODB_TRY(catalog_retry([&]() -> Result<void> {
      auto found =
          EVODB_TRY(parent::recover_catalog(disk_, "j", {journal_->id(), journal_->durable_end()},
                                            store_, *catalog_, writer, random_));
      identity_ = {found.parent_id, found.writer, journal_->id()};
      landed = std::move(found.landed);
      return {};
    }));
    parent::LoadedTables loaded;
    EVODB_TRY(catalog_retry([&]() -> Result<void> {
      loaded = EVODB_TRY(parent::load_checked_tables(disk_, "j",
                                                     {journal_->id(), journal_->durable_end()},
                                                     store_, *catalog_, identity_.writer, random_));
      return {};
    }));
    identity_.writer = loaded.claim->record().writer;
    identity_.claim = loaded.claim;
    if (loaded.landed) landed = std::move(loaded.landed);
    commits_ = std::make_shared<table::CommitCache>(1u << 20);
    lake_ = lake::Lake::create({}, identity_);
    for (auto& found : loaded.tables) {
      if (found.sick) return wrong("a table is sick: " + found.sick->text);
      lake_->add_table(std::move(found.state));
    }
    if (landed) lake_->set_landed_filter(std::move(landed));
    cursor_ = journal_->read_from(journal_->first());
    return {};
  }
  // kRetry, and unknown where the parent ends for it and is started anew.
  template <class Call>
  Result<void> catalog_retry(Call call) {
    Result<void> done;
    for (int tries = 0; tries < 4; ++tries) {
      done = call();
      if (done || calls.stopped()) return done;
      if (done.error().kind == ErrorKind::kInternal) return done;
    }
    return done;
  }

  // Everything that is in the journal, through as many lives as it takes.
  Result<void> land() {
    for (int lives = 0; lives < 4; ++lives) {
      if (calls.stopped()) {
        lake_.reset();
        calls.revive();
        if (catalogs_ == Catalogs::kAreLost) {
          ++lost_;
          open_catalogs();
        }
      }
      Result<void> done;
      if (!lake_) done = start();
      if (done) done = pump();
      if (done) return check_visible();
      if (!calls.stopped()) return done;
    }
    return wrong("it never lands");
  }

  Result<void> pump() {
    journal::Record record;
    while (EVODB_TRY(cursor_->next(&record))) {
      EVODB_TRY(lake_->on_record(record, clock_.wall(), clock_.monotonic()));
    }
    const Position end = journal_->durable_end();
    lake_->request_flush();
    for (int turn = 0; turn < 2'000; ++turn) {
      while (auto job = lake_->next_flush(clock_.monotonic())) {
        lake::FlushMachine machine(std::move(job), encoder_, store_, clock_, random_, {}, commits_);
        if (!drive(machine)) return wrong("the process stopped");
        lake_->on_flush_done(machine.id(), machine.outcome(), clock_.monotonic());
        EVODB_TRY(check_persisted());
      }
      if (lake_->landed_through() >= end) return {};
      clock_.advance_ms(100);
      lake_->request_flush();
    }
    return wrong("a flush never ends");
  }

  // False: the process stopped.
  bool drive(lake::FlushMachine& machine) {
    for (;;) {
      const lake::FlushStep step = machine.next();
      if (step.done()) return true;
      if (step.wait_ms > 0) {
        clock_.advance_ms(step.wait_ms);
        continue;
      }
      auto response = table::perform(store_, *catalog_, *step.io);
      if (calls.stopped()) return false;
      machine.on_response(std::move(response));
    }
  }

  // As a reader whom no fault meets.
  Result<std::map<std::uint64_t, int>> visible() {
    std::vector<std::string> locations;
    for (const auto& entry : EVODB_TRY(reader_->list())) {
      locations.push_back(entry.metadata_location);
    }
    return read(locations);
  }
  // As one who has lost the catalog.
  Result<std::map<std::uint64_t, int>> pointed() {
    std::map<std::string, std::string> newest;  // pointer by the table's folder
    for (const auto& [key, bytes] : store_.objects()) {
      if (const auto parsed = table::parse_pointer_key(key)) newest[parsed->location_key] = bytes;
    }
    std::vector<std::string> locations;
    for (const auto& [folder, bytes] : newest) {
      locations.push_back(store_.location(EVODB_TRY(table::decode_pointer(bytes)).metadata_key));
    }
    return read(locations);
  }
  Result<std::map<std::uint64_t, int>> read(const std::vector<std::string>& locations) {
    std::map<std::uint64_t, int> lsns;
    QuietStore quiet(store_);
    for (const std::string& location : locations) {
      auto& live = live_[location];  // nor does a metadata file
      if (live.empty()) {
        for (const auto& file : EVODB_TRY(table::list_live_files(quiet, location)).data) {
          live.push_back(EVODB_TRY(quiet.key_of(file.location)));
        }
      }
      for (const std::string& key : live) {
        if (!store_.peek(key)) return wrong("a live file is gone: " + key);
        auto& held = scanned_[key];  // a file never changes
        if (held.empty()) {
          EVODB_TRY(lake::scan_identities(
              EVODB_TRY(quiet.get(key)),
              [&](std::string_view, Epoch, Lsn lsn) { held.push_back(lsn.value); }));
        }
        for (const std::uint64_t lsn : held) ++lsns[lsn];
      }
    }
    return lsns;
  }
  // Whoever is told `persisted` is told the truth.
  Result<void> check_persisted() {
    std::vector<lake::PersistedMark> marks;
    lake_->take_persisted(&marks);
    if (marks.empty()) return {};
    const auto by_catalog = EVODB_TRY(visible());
    const auto by_pointers = EVODB_TRY(pointed());
    for (const auto& mark : marks) {
      for (std::uint64_t lsn = 1; lsn <= mark.lsn.value; ++lsn) {
        const bool seen = by_catalog.contains(lsn), found = by_pointers.contains(lsn);
        if (seen && found) continue;
        return wrong("persisted up to " + std::to_string(mark.lsn.value) + ", LSN " +
                     std::to_string(lsn) + (seen ? " has no pointer" : " is not there"));
      }
    }
    return {};
  }
  Result<void> check_visible() {
    const auto lsns = EVODB_TRY(visible());
    if (lsns.size() != appended_) {
      return wrong(std::to_string(lsns.size()) + " of " + std::to_string(appended_) +
                   " changes landed");
    }
    for (const auto& [lsn, times] : lsns) {
      if (times != 1) return wrong("LSN " + std::to_string(lsn) + " landed twice");
    }
    return {};
  }
  // What crashed flushes left goes, what is alive stays.
  Result<void> check_orphans() {
    clock_.advance_ms(1'000);
    for (const auto& entry : EVODB_TRY(reader_->list())) {
      (void)table::remove_orphans(store_, *catalog_, entry.name, 1, clock_.wall());
    }
    calls.revive();
    return check_visible();
  }

  const Catalogs catalogs_;
  int lost_ = 0;  // catalogs
  FakeDisk disk_;
  FakeClock clock_;
  SeededRandom random_{7};
  SqliteDisk sqlite_;
  FakeStore store_;
  std::unique_ptr<CountedCatalog> catalog_;
  std::unique_ptr<table::Catalog> reader_;                     // a connection of its own
  std::map<std::string, std::vector<std::uint64_t>> scanned_;  // LSNs by data file
  std::map<std::string, std::vector<std::string>> live_;       // keys by metadata file
  lake::ParquetEncoder encoder_;
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<journal::JournalCursor> cursor_;
  std::unique_ptr<lake::Lake> lake_;
  std::shared_ptr<table::CommitCache> commits_;  // of this process' life
  lake::Lake::Identity identity_;
  std::uint64_t appended_ = 0;
};

void run_flush_with(const std::vector<std::pair<std::uint64_t, CallFault>>& strikes, Report& report,
                    Catalogs catalogs = Catalogs::kStay) {
  FlushWorld world(catalogs);
  for (const auto& [n, how] : strikes) world.calls.strike(n, how);
  const auto done = world.work();
  if (done) return;
  std::string at = catalogs == Catalogs::kAreLost ? "the catalog is lost; " : "";
  for (const auto& [n, how] : strikes) {
    at += "call " + std::to_string(n) + ": " + name_of(how) + "; ";
  }
  report.violate(at + "last at " + world.calls.struck() + ": " + done.error().text);
}

}  // namespace

void run_flush(const Extent& extent, Report& report) {
  std::uint64_t calls = 0;
  {
    FlushWorld world(Catalogs::kStay);
    if (const auto done = world.work(); !done) {
      return report.violate("undisturbed: " + done.error().text);
    }
    calls = world.calls.made();
  }
  report.calls = calls;
  for (std::uint64_t n = 1; n <= calls; n += extent.stride) {
    for (const CallFault stop : stops) {
      ++report.crashes;
      run_flush_with({{n, stop}}, report);
      run_flush_with({{n, stop}}, report, Catalogs::kAreLost);
      // And again, up to a whole start behind it.
      for (std::uint64_t m = n + 1; m <= n + 10; m += extent.stride) {
        ++report.second_crashes;
        run_flush_with({{n, stop}, {m, CallFault::kStopAfter}}, report);
        run_flush_with({{n, stop}, {m, CallFault::kStopAfter}}, report, Catalogs::kAreLost);
      }
    }
    for (const CallFault error : errors) {
      ++report.failures;
      run_flush_with({{n, error}}, report);
      for (std::uint64_t m = n + 1; m <= n + 10; m += extent.stride) {
        ++report.failures;
        run_flush_with({{n, error}, {m, CallFault::kStopAfter}}, report);
      }
    }
  }
}

}  // namespace evodb::sim
