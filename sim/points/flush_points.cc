// Flush and commit: journal, lake, FlushMachine and AppendCommit against a store and a catalog that
// stop or fail at every call.
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
#include "wire/change.h"

namespace evodb::sim {
namespace {

std::unexpected<Error> wrong(std::string what) {
  return fail(ErrorKind::kInternal, std::move(what));
}

constexpr char catalog_path[] = "c/catalog.db";

const wire::TableDef& table_of(std::uint64_t lsn) {
  static const wire::TableDef goods{"goods", 1, {{"id", "INTEGER", 1}, {"v", "TEXT", 0}}};
  static const wire::TableDef notes{"notes", 1, {{"id", "INTEGER", 1}}};
  return lsn % 3 == 0 ? notes : goods;
}

class FlushWorld {
 public:
  FlushWorld() : sqlite_(disk_, clock_, random_), store_(clock_), catalog_(open_catalog(), calls) {
    calls.watch(store_);
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
      EVODB_CHECK(land());
    }
    EVODB_CHECK(land());
    return check_orphans();
  }

 private:
  std::unique_ptr<table::Catalog> open_catalog() {
    (void)disk_.make_directories("c");
    return std::move(*table::open_sqlite_catalog(catalog_path, "evodb", "evodb", sqlite_.name()));
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
    EVODB_CHECK(catalog_retry([&]() -> Result<void> {
      const auto found = EVODB_TRY(parent::recover_catalog(
          disk_, "j", {journal_->id(), journal_->durable_end()}, store_, catalog_, random_));
      identity_ = {found.parent_id, found.writer, journal_->id()};
      return {};
    }));
    parent::LoadedTables loaded;
    EVODB_CHECK(catalog_retry([&]() -> Result<void> {
      loaded = EVODB_TRY(parent::load_checked_tables(disk_, "j",
                                                     {journal_->id(), journal_->durable_end()},
                                                     store_, catalog_, identity_.writer, random_));
      return {};
    }));
    identity_.writer = loaded.claim->record().writer;
    identity_.claim = loaded.claim;
    commits_ = std::make_shared<table::CommitCache>(1u << 20);
    lake_ = lake::Lake::create({}, identity_);
    for (auto& found : loaded.tables) lake_->add_table(std::move(found.state));
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
      EVODB_CHECK(lake_->on_record(record, clock_.wall(), clock_.monotonic()));
    }
    const Position end = journal_->durable_end();
    lake_->request_flush();
    for (int turn = 0; turn < 2'000; ++turn) {
      while (auto job = lake_->next_flush(clock_.monotonic())) {
        lake::FlushMachine machine(std::move(job), encoder_, store_, clock_, random_, {}, commits_);
        if (!drive(machine)) return wrong("the process stopped");
        lake_->on_flush_done(machine.id(), machine.outcome(), clock_.monotonic());
        EVODB_CHECK(check_persisted());
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
      auto response = table::perform(store_, catalog_, *step.io);
      if (calls.stopped()) return false;
      machine.on_response(std::move(response));
    }
  }

  // As a reader whom no fault meets.
  Result<std::map<std::uint64_t, int>> visible() {
    std::map<std::uint64_t, int> lsns;
    QuietStore quiet(store_);
    for (const auto& entry : EVODB_TRY(reader_->list())) {
      auto& live = live_[entry.metadata_location];  // nor does a metadata file
      if (live.empty()) {
        for (const auto& file :
             EVODB_TRY(table::list_live_files(quiet, entry.metadata_location)).data) {
          live.push_back(EVODB_TRY(quiet.key_of(file.location)));
        }
      }
      for (const std::string& key : live) {
        if (!store_.peek(key)) return wrong("a live file is gone: " + key);
        auto& held = scanned_[key];  // a file never changes
        if (held.empty()) {
          EVODB_CHECK(lake::scan_identities(
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
    const auto lsns = EVODB_TRY(visible());
    for (const auto& mark : marks) {
      for (std::uint64_t lsn = 1; lsn <= mark.lsn.value; ++lsn) {
        if (!lsns.contains(lsn))
          return wrong("persisted up to " + std::to_string(mark.lsn.value) + ", LSN " +
                       std::to_string(lsn) + " is not there");
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
      (void)table::remove_orphans(store_, catalog_, entry.name, 1, clock_.wall());
    }
    calls.revive();
    return check_visible();
  }

  FakeDisk disk_;
  FakeClock clock_;
  SeededRandom random_{7};
  SqliteDisk sqlite_;
  FakeStore store_;
  CountedCatalog catalog_;
  std::unique_ptr<table::Catalog> reader_ = open_catalog();    // a connection of its own
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

void run_flush_with(const std::vector<std::pair<std::uint64_t, CallFault>>& strikes,
                    Report& report) {
  FlushWorld world;
  for (const auto& [n, how] : strikes) world.calls.strike(n, how);
  const auto done = world.work();
  if (done) return;
  std::string at;
  for (const auto& [n, how] : strikes) {
    at += "call " + std::to_string(n) + ": " + name_of(how) + "; ";
  }
  report.violate(at + "last at " + world.calls.struck() + ": " + done.error().text);
}

}  // namespace

void run_flush(const Extent& extent, Report& report) {
  std::uint64_t calls = 0;
  {
    FlushWorld world;
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
      // And again, up to a whole start behind it.
      for (std::uint64_t m = n + 1; m <= n + 10; m += extent.stride) {
        ++report.second_crashes;
        run_flush_with({{n, stop}, {m, CallFault::kStopAfter}}, report);
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
