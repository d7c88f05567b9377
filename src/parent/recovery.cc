#include "parent/recovery.h"

#include <optional>
#include <utility>

#include "base/bytes.h"
#include "ingest/checkpoint_store.h"
#include "parent/parent.h"

namespace evodb::parent {

namespace {

constexpr char journal_property[] = "evodb.journal-id";
constexpr char parent_property[] = "evodb.parent-id";

std::string landed_path(const std::string& directory) { return directory + "/landed.filter"; }

std::string random_hex(base::Random& random) {
  std::string bytes;
  base::put_u64(bytes, random.next());
  return base::to_hex(bytes);
}

// Behind a lost journal every object must be read, in one go: a store that fails one call in a
// hundred would never let a parent start that has a few hundred objects. So each read is tried some
// times by itself. Without waiting: who tries all of it again waits longer each time.
class PatientReads final : public store::ObjectStore {
 public:
  explicit PatientReads(store::ObjectStore& store) : store_(store) {}
  Result<void> put(const std::string& key, std::string_view bytes, store::PutMode mode) override {
    return store_.put(key, bytes, mode);
  }
  Result<std::string> get(const std::string& key) override {
    return again([&] { return store_.get(key); });
  }
  Result<void> remove(const std::string& key) override { return store_.remove(key); }
  Result<std::vector<store::ObjectInfo>> list(const std::string& prefix) override {
    return again([&] { return store_.list(prefix); });
  }
  std::string location(const std::string& key) const override { return store_.location(key); }
  Result<std::string> key_of(const std::string& location) const override {
    return store_.key_of(location);
  }
  Result<void> check() override { return store_.check(); }

 private:
  static constexpr int attempts_max = 4;

  template <class Call>
  static auto again(Call call) -> decltype(call()) {
    for (int attempt = 1;; ++attempt) {
      auto result = call();
      // A refusal (403) may be a moment's too: proxies and large stores give some.
      const bool hopeless = !result && result.error().kind != ErrorKind::kRetry &&
                            result.error().kind != ErrorKind::kInvalid &&
                            result.error().kind != ErrorKind::kOverLimit;
      if (result || hopeless || attempt == attempts_max) return result;
    }
  }

  store::ObjectStore& store_;
};

Result<std::vector<table::TableState>> load_tables(store::ObjectStore& store,
                                                   table::Catalog& catalog) {
  std::vector<table::TableState> states;
  for (const auto& entry : EVODB_TRY(catalog.list())) {
    // Somebody else's table in our namespace, outside of our warehouse or of a kind that we do not
    // write: its name is taken, nothing else of it concerns us.
    table::TableState foreign;
    foreign.name = entry.name;
    const auto key = store.key_of(entry.metadata_location);
    if (!key) {
      states.push_back(std::move(foreign));
      continue;
    }
    const std::string json = EVODB_TRY(store.get(*key));
    auto state = table::parse_table_state(entry.name, entry.metadata_location, json, store);
    if (!state && state.error().kind == ErrorKind::kInvalid) state = std::move(foreign);
    states.push_back(EVODB_TRY(std::move(state)));
  }
  return states;
}

// A full disk may have room the next time.
Result<void> keep_end(base::Disk& disk, const std::string& directory,
                      const JournalExtent& journal) {
  auto kept = keep_unchecked_end(disk, directory, journal);
  if (!kept && kept.error().kind == ErrorKind::kNoSpace) {
    return fail(ErrorKind::kRetry, std::move(kept).error().text);
  }
  return kept;
}

// What every table holds, by (table, source, epoch).
Result<std::unique_ptr<lake::LandedFilter>> scan_tables(store::ObjectStore& store,
                                                        table::Catalog& catalog) {
  auto filter = std::make_unique<lake::LandedFilter>();
  for (const auto& state : EVODB_TRY(load_tables(store, catalog))) {
    if (!state.watermark) continue;  // somebody else's table in our namespace
    const auto live = EVODB_TRY(table::list_live_files(store, state.metadata_location));
    for (const auto& file : live.data) {
      const std::string key = EVODB_TRY(store.key_of(file.location));
      const std::string bytes = EVODB_TRY(store.get(key));
      EVODB_CHECK(lake::scan_identities(bytes, [&](std::string_view source, Epoch epoch, Lsn lsn) {
        filter->add(state.name, source, epoch, lsn);
      }));
    }
  }
  return filter;
}

}  // namespace

Result<RecoveredJournal> recover_journal(base::Disk& disk, const std::string& directory,
                                         const journal::JournalOptions& journal_options,
                                         const ingest::IngestOptions& ingest_options,
                                         base::Random& random, RoomWraps* wraps) {
  RoomWraps none;
  if (wraps == nullptr) wraps = &none;
  RecoveredJournal recovered;
  recovered.journal = wraps->journal(EVODB_TRY(
      journal::Journal::open(disk, directory, journal_options, random, &recovered.report)));
  journal::Journal& journal = *recovered.journal;
  recovered.ingest = wraps->ingest(ingest::Ingest::create(ingest_options, journal));

  Position from = journal.first();
  if (auto checkpoint = EVODB_TRY(ingest::load_checkpoint(disk, directory, journal.id()))) {
    const Position stands_for = EVODB_TRY(recovered.ingest->restore_checkpoint(checkpoint->bytes));
    if (stands_for > journal.durable_end()) {
      return fail(ErrorKind::kCorrupt,
                  "the checkpoint in " + directory +
                      " is ahead of the journal beside it: segments are missing; restore them, or "
                      "move the whole directory away to start from the lakehouse");
    }
    // An older checkpoint, because the newest one is damaged: the marks of what was trimmed since
    // are nowhere, and without them the changes would land a second time.
    if (stands_for < from) {
      return fail(ErrorKind::kCorrupt,
                  "the newest checkpoint in " + directory +
                      " is damaged, and the journal was trimmed since the one before; restore it, "
                      "or move the whole directory away to start from the lakehouse");
    }
    if (checkpoint->older) EVODB_CHECK(recovered.ingest->restore_persisted());
    from = stands_for;
  } else if (from.value != 0 && !recovered.report.created && journal.trimmed()) {
    return fail(ErrorKind::kCorrupt,
                "the journal in " + directory +
                    " was trimmed, but its checkpoint is missing; restore it, or move the whole "
                    "directory away to start from the lakehouse");
  }
  const auto cursor = journal.read_from(from);
  journal::Record record;
  while (EVODB_TRY(cursor->next(&record))) EVODB_CHECK(recovered.ingest->replay(record));

  if (EVODB_TRY(disk.exists(landed_path(directory)))) {
    const std::string bytes = EVODB_TRY(base::read_whole_file(disk, landed_path(directory)));
    recovered.landed = EVODB_TRY(lake::LandedFilter::decode(bytes));
  }
  return recovered;
}

Result<RecoveredCatalog> recover_catalog(base::Disk& disk, const std::string& journal_directory,
                                         JournalExtent journal, store::ObjectStore& store,
                                         table::Catalog& catalog, base::Random& random,
                                         LoadTables load) {
  RecoveredCatalog recovered;
  recovered.writer = EVODB_TRY(catalog.claim());
  if (auto id = EVODB_TRY(catalog.property(parent_property))) {
    recovered.parent_id = *id;
  } else {
    recovered.parent_id = random_hex(random);
    EVODB_CHECK(catalog.set_property(recovered.writer, parent_property, recovered.parent_id));
  }

  const std::string ours = std::to_string(journal.id.value);
  const auto remembered = EVODB_TRY(catalog.property(journal_property));
  if (remembered == ours) {
    if (load == LoadTables::kLater) return recovered;
    auto states = load_checked_tables(disk, journal_directory, journal, store, catalog);
    if (states) {
      recovered.tables = *std::move(states);
      return recovered;
    }
    if (states.error().kind == ErrorKind::kCorrupt) return fail(std::move(states).error());
    // Where the store is away, children are served all the same.
    EVODB_CHECK(keep_end(disk, journal_directory, journal));
    return recovered;
  }

  // Another journal, or none, wrote what the tables hold. First the filter on disk, then the
  // catalog's word that this journal is the one: a crash between the two scans again.
  PatientReads reads(store);
  auto scanned = scan_tables(reads, catalog);
  // Refused (credentials, a bucket's policy), an object that a table names is not there, an answer
  // without an end: as good as away. Somebody repairs it, and we wait.
  if (!scanned && (scanned.error().kind == ErrorKind::kInvalid ||
                   scanned.error().kind == ErrorKind::kNotFound ||
                   scanned.error().kind == ErrorKind::kOverLimit)) {
    return fail(ErrorKind::kRetry, std::move(scanned).error().text);
  }
  recovered.landed = EVODB_TRY(std::move(scanned));
  if (!recovered.landed->empty()) {
    EVODB_CHECK(base::write_file_atomically(disk, landed_path(journal_directory),
                                            recovered.landed->encode()));
  }
  // This journal may have been the catalog's once before, and have lost its end since.
  EVODB_CHECK(keep_end(disk, journal_directory, journal));
  EVODB_CHECK(catalog.set_property(recovered.writer, journal_property, ours));
  return recovered;
}

Result<void> check_watermarks(const JournalExtent& journal,
                              const std::vector<table::TableState>& states) {
  for (const auto& state : states) {
    if (!state.watermark || state.watermark->journal != journal.id.value) continue;
    if (state.watermark->position <= journal.durable_end) continue;
    return fail(ErrorKind::kCorrupt,
                "the journal ended at position " + std::to_string(journal.durable_end.value) +
                    ", but table " + state.name + " holds what it had up to " +
                    std::to_string(state.watermark->position.value) +
                    ": its end is damaged. Restore it from a copy (and remove unchecked.end beside "
                    "it, if that is there), or move the journal directory aside to begin a new "
                    "journal: children that wait for persisted resend what the lakehouse does not "
                    "have.");
  }
  return {};
}

Result<std::vector<table::TableState>> load_checked_tables(base::Disk& disk,
                                                           const std::string& journal_directory,
                                                           const JournalExtent& journal,
                                                           store::ObjectStore& store,
                                                           table::Catalog& catalog) {
  // Whatever is wrong with the store may be mended while children are served.
  auto states = load_tables(store, catalog);
  if (!states) return fail(ErrorKind::kRetry, std::move(states).error().text);
  const Position end = EVODB_TRY(lowest_unchecked_end(disk, journal_directory, journal));
  EVODB_CHECK(check_watermarks({journal.id, end}, *states));
  // Before anything lands: what lands then lies behind that end and proves nothing against it.
  if (auto gone = forget_unchecked_end(disk, journal_directory); !gone) {
    return fail(ErrorKind::kRetry, std::move(gone).error().text);
  }
  return states;
}

}  // namespace evodb::parent
