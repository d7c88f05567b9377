#include "parent/recovery.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <span>
#include <utility>

#include "ingest/checkpoint_store.h"
#include "parent/parent.h"
#include "parent/set_aside.h"

namespace evodb::parent {

namespace {

// Whose changes land, as the catalog knows it, and the writer epoch since which they do.
constexpr char journal_property[] = "evodb.journal-id";
constexpr char journal_since_property[] = "evodb.journal-since";

std::string landed_path(const std::string& directory) { return directory + "/landed.filter"; }

// Behind a lost journal every object must be read, in one go: a store that fails one call in a
// hundred would never let a parent start that has a few hundred objects. So each read is tried some
// times by itself. Without waiting: who tries all of it again waits longer each time.
class PatientReads final : public store::ObjectStore {
 public:
  explicit PatientReads(store::ObjectStore& store) : store_(store) {}
  Result<void> put(const std::string& key, std::string_view bytes, store::PutMode mode) override {
    return refused_is_away(store_.put(key, bytes, mode));
  }
  Result<void> put_all(std::span<const store::NewObject> objects) override {
    return refused_is_away(store_.put_all(objects));
  }
  Result<std::string> get(const std::string& key) override {
    return again([&] { return store_.get(key); });
  }
  Result<void> remove(const std::string& key) override {
    return refused_is_away(store_.remove(key));
  }
  Result<std::vector<store::ObjectInfo>> list(const std::string& prefix) override {
    return again([&] { return store_.list(prefix); });
  }
  std::string location(const std::string& key) const override { return store_.location(key); }
  Result<std::string> key_of(const std::string& location) const override {
    return store_.key_of(location);
  }
  Result<bool> is_at(const std::string& location) override { return store_.is_at(location); }
  void spell_as(const std::string& location) override { store_.spell_as(location); }
  Result<void> check() override { return store_.check(); }

 private:
  static constexpr int attempts_max = 4;

  template <class Call>
  static auto again(Call call) -> decltype(call()) {
    for (int attempt = 1;; ++attempt) {
      auto result = call();
      // A refusal (403) may be a moment's too: proxies and large stores give some; and so may an
      // answer that ended early.
      const bool hopeless = !result && result.error().kind != ErrorKind::kRetry &&
                            result.error().kind != ErrorKind::kInvalid &&
                            result.error().kind != ErrorKind::kCorrupt &&
                            result.error().kind != ErrorKind::kOverLimit;
      if (result || hopeless || attempt == attempts_max) return refused_is_away(std::move(result));
    }
  }
  // Somebody repairs credentials or a bucket's policy, and we wait.
  template <class T>
  static Result<T> refused_is_away(Result<T> result) {
    if (result || (result.error().kind != ErrorKind::kInvalid &&
                   result.error().kind != ErrorKind::kOverLimit)) {
      return result;
    }
    return fail(ErrorKind::kRetry, std::move(result).error().text);
  }

  store::ObjectStore& store_;
};

// What another try may find otherwise.
template <class T>
Result<T> passing(Result<T> result) {
  if (result) return result;
  const ErrorKind kind = result.error().kind;
  if (kind != ErrorKind::kOutcomeUnknown && kind != ErrorKind::kStale &&
      kind != ErrorKind::kNotFound && kind != ErrorKind::kExists) {
    return result;
  }
  return fail(ErrorKind::kRetry, std::move(result).error().text);
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

// What one table holds, by (table, source, epoch). With an error, `unread` is the first data file
// that could not be read, or empty; what the others hold was added all the same.
Result<void> scan_table(store::ObjectStore& store, const std::string& location_key,
                        const std::string& metadata_location, lake::LandedFilter& filter,
                        std::string& unread) {
  const auto scan_file = [&](const std::string& location) -> Result<void> {
    const std::string bytes = EVODB_TRY(store.get(EVODB_TRY(store.key_of(location))));
    return lake::scan_identities(bytes, [&](std::string_view source, Epoch epoch, Lsn lsn) {
      filter.add(location_key, source, epoch, lsn);
    });
  };
  unread.clear();
  Result<void> all;
  for (const auto& file : EVODB_TRY(table::list_live_files(store, metadata_location)).data) {
    auto scanned = scan_file(file.location);
    if (scanned || !all) continue;
    unread = file.location;
    all = fail(scanned.error().kind, file.location + ": " + scanned.error().text);
    if (!table::store_answers(store)) break;
  }
  return all;
}

// What every table holds; and which tables could not be read, each for its own reason. Errors: the
// store is away.
Result<std::unique_ptr<lake::LandedFilter>> scan_tables(
    store::ObjectStore& store, const std::vector<table::FoundTable>& tables,
    UnscannedTables& unscanned) {
  auto filter = std::make_unique<lake::LandedFilter>();
  const auto note = [&](const std::string& location_key, const Error& why, std::string unread) {
    unscanned[location_key] = {
        {why.kind,
         "the journal was lost or is an older one, so all of its files must be read before "
         "anything lands in it: " +
             why.text + " (put it back, or let an engine delete its rows)"},
        std::move(unread)};
  };
  for (const auto& [state, sick] : tables) {
    // Whoever opens the lakehouse again may find it well. What it holds is not known all the same.
    if (sick) note(state.location_key, *sick, {});
    if (sick || !state.watermark) continue;  // or somebody else's table in our namespace
    std::string unread;
    const auto scanned =
        scan_table(store, state.location_key, state.metadata_location, *filter, unread);
    if (scanned) continue;
    if (!table::store_answers(store)) return fail(ErrorKind::kRetry, scanned.error().text);
    note(state.location_key, scanned.error(), unread);
  }
  return filter;
}

// Is what every table holds in a filter of these scans?
bool all_known(const std::vector<table::FoundTable>& tables, const UnscannedTables& unscanned) {
  return unscanned.empty() &&
         std::ranges::none_of(tables, [](const auto& found) { return found.sick.has_value(); });
}

Result<void> keep_filter(base::Disk& disk, const std::string& directory,
                         const lake::LandedFilter& filter) {
  return base::write_file_atomically(disk, landed_path(directory), filter.encode());
}

// The property that names the journal comes first: behind a crash between the two, more is scanned
// than need be.
Result<void> remember_journal(table::Catalog& catalog, table::WriterEpoch writer,
                              journal::JournalId journal) {
  EVODB_TRY(catalog.set_property(writer, journal_property, std::to_string(journal.value)));
  return catalog.set_property(writer, journal_since_property, std::to_string(writer.value));
}

// True if this journal and its checkpoint hold every mark that the tables' changes gave: then it
// does not matter that the catalog does not know it.
bool wrote_all(const OwnEpochs& own, const std::vector<table::FoundTable>& tables) {
  bool any = false;
  for (const auto& [state, sick] : tables) {
    if (sick) return false;
    if (!state.watermark) continue;
    if (!own.are_of(*state.watermark)) return false;
    any = true;
  }
  return any;
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
    // What was set aside was trimmed, and has not landed. Then landing says it when all of it has.
    if (checkpoint->older && !EVODB_TRY(disk.exists(SetAside::path_in(directory)))) {
      EVODB_TRY(recovered.ingest->restore_persisted());
    }
    from = stands_for;
  } else if (from.value != 0 && !recovered.report.created && journal.trimmed()) {
    return fail(ErrorKind::kCorrupt,
                "the journal in " + directory +
                    " was trimmed, but its checkpoint is missing; restore it, or move the whole "
                    "directory away to start from the lakehouse");
  }
  const auto cursor = journal.read_from(from);
  journal::Record record;
  while (EVODB_TRY(cursor->next(&record))) EVODB_TRY(recovered.ingest->replay(record));

  recovered.landed = EVODB_TRY(load_landed_filter(disk, directory));
  return recovered;
}

Result<std::unique_ptr<lake::LandedFilter>> load_landed_filter(base::Disk& disk,
                                                               const std::string& directory) {
  if (!EVODB_TRY(disk.exists(landed_path(directory)))) return nullptr;
  const std::string bytes = EVODB_TRY(base::read_whole_file(disk, landed_path(directory)));
  return EVODB_TRY(lake::LandedFilter::decode(bytes));
}

namespace {

// Is it not the catalog any more that was claimed, but another file or an older copy?
bool is_another(table::Catalog& catalog) {
  const auto there = catalog.list();
  return !there && there.error().kind == ErrorKind::kStale;
}

// Whoever was replaced while it tried again steps over nobody who has come since.
Result<table::WriterEpoch> claim_again(table::Catalog& catalog, table::WriterEpoch held) {
  const bool another = is_another(catalog);
  EVODB_TRY(catalog.reopen());
  if (held.value == 0 || another) return catalog.claim(table::WriterEpoch(held.value + 1));
  auto claimed = catalog.claim_above(held, table::WriterEpoch());
  if (claimed || claimed.error().kind != ErrorKind::kStale) return claimed;
  // An older copy, which cannot tell. Epochs grow all the same.
  EVODB_TRY(catalog.reopen());
  return catalog.claim(table::WriterEpoch(held.value + 1));
}

}  // namespace

Result<RecoveredCatalog> recover_catalog(base::Disk& disk, const std::string& journal_directory,
                                         JournalExtent journal, store::ObjectStore& store,
                                         table::Catalog& catalog, table::WriterEpoch& writer,
                                         base::Random& random, LoadTables load) {
  RecoveredCatalog recovered;
  writer = EVODB_TRY(claim_again(catalog, writer));
  const std::string ours = std::to_string(journal.id.value);
  const auto remembered = EVODB_TRY(catalog.property(journal_property));
  const auto parent_id = EVODB_TRY(catalog.property(table::parent_id_property));
  if (remembered == ours && parent_id) {
    recovered.parent_id = *parent_id;
    recovered.writer = writer;
    if (load == LoadTables::kLater) return recovered;
    auto tables = passing(
        load_checked_tables(disk, journal_directory, journal, store, catalog, writer, random));
    recovered.writer = writer;
    if (tables) {
      recovered.tables = *std::move(tables);
      return recovered;
    }
    if (tables.error().kind != ErrorKind::kRetry) return fail(std::move(tables).error());
    // Where the store is away, children are served all the same.
    EVODB_TRY(keep_end(disk, journal_directory, journal));
    return recovered;
  }

  // Another journal, or none, wrote what the catalog knows. What the tables hold is asked of the
  // store.
  PatientReads reads(store);
  auto opened = passing(table::open_lakehouse(reads, catalog, random, writer));
  recovered.writer = writer;
  if (!opened) return fail(std::move(opened).error());
  recovered.parent_id = opened->claim->record().parent;
  recovered.notes = std::move(opened->notes);
  const OwnEpochs own = EVODB_TRY(OwnEpochs::load(disk, journal_directory, journal.id));
  if (!wrote_all(own, opened->tables)) {
    // First the filter on disk, then the catalog's word that this journal is the one: a crash
    // between the two scans again.
    recovered.landed = EVODB_TRY(scan_tables(reads, opened->tables, recovered.unscanned));
    if (!recovered.landed->empty()) {
      EVODB_TRY(keep_filter(disk, journal_directory, *recovered.landed));
    }
  }
  // This journal may have been the catalog's once before, and have lost its end since.
  EVODB_TRY(keep_end(disk, journal_directory, journal));
  // What a sick table holds is not known yet: the next start scans again.
  if (all_known(opened->tables, recovered.unscanned)) {
    EVODB_TRY(remember_journal(catalog, recovered.writer, journal.id));
  }
  return recovered;
}

Result<bool> can_be_scanned(store::ObjectStore& store, table::Catalog& catalog,
                            const std::string& table, const UnscannedTable& before) {
  const auto location = EVODB_TRY(catalog.load(table));
  if (!location) return true;
  // First what failed, which is cheap.
  const auto live = EVODB_TRY(table::list_live_files(store, *location));
  const bool named = std::ranges::any_of(
      live.data, [&](const table::DataFile& file) { return file.location == before.unread; });
  if (named) (void)EVODB_TRY(store.get(EVODB_TRY(store.key_of(before.unread))));
  lake::LandedFilter ignored;
  std::string unread;
  return scan_table(store, "", *location, ignored, unread).has_value();
}

Result<void> check_watermarks(const JournalExtent& journal, const OwnEpochs& own,
                              const std::vector<table::FoundTable>& tables) {
  for (const auto& [state, sick] : tables) {
    if (!state.watermark || !own.are_of(*state.watermark)) continue;
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

namespace {

// What the tables must be asked themselves, although the catalog says that this journal is the one
// whose changes land.
struct ToScan {
  bool old_filter = false;  // it knows tables by names that they may have no more
  // Another journal's changes have landed since this one became the catalog's, or those of a copy of
  // it: a data directory that was put back, catalog and all, or copied. What it has not landed, its
  // successor may have.
  bool another_came = false;
  bool since_unknown = false;  // an older version does not say since when: then any other counts
};

Result<ToScan> look_what_to_scan(base::Disk& disk, const std::string& directory,
                                 const JournalExtent& journal, const OwnEpochs& own,
                                 table::Catalog& catalog,
                                 const std::vector<table::FoundTable>& tables) {
  ToScan to_scan;
  const auto filter = EVODB_TRY(load_landed_filter(disk, directory));
  to_scan.old_filter = filter && filter->is_by_name();
  // Else recover_catalog has scanned.
  if (EVODB_TRY(catalog.property(journal_property)) != std::to_string(journal.id.value)) {
    return to_scan;
  }
  const auto since = EVODB_TRY(catalog.property(journal_since_property));
  std::uint64_t epoch = 0;
  if (since) {
    const char* const end = since->data() + since->size();
    const auto [stop, error] = std::from_chars(since->data(), end, epoch);
    to_scan.since_unknown = error != std::errc() || stop != end;
  } else {
    to_scan.since_unknown = true;
  }
  to_scan.another_came = std::ranges::any_of(tables, [&](const table::FoundTable& found) {
    const auto& mark = found.state.watermark;
    return !found.sick && mark && !own.are_of(*mark) &&
           (to_scan.since_unknown || mark->writer.value >= epoch ||
            own.have_forgotten(mark->writer));
  });
  return to_scan;
}

}  // namespace

Result<LoadedTables> load_checked_tables(base::Disk& disk, const std::string& journal_directory,
                                         const JournalExtent& journal, store::ObjectStore& store,
                                         table::Catalog& catalog, table::WriterEpoch& writer,
                                         base::Random& random) {
  PatientReads reads(store);
  const auto another = [] {
    return fail(ErrorKind::kStale, "the catalog was removed, replaced or set back");
  };
  if (is_another(catalog)) return another();
  auto opened = table::open_lakehouse(reads, catalog, random, writer);
  // Else somebody's commit came between.
  if (!opened && is_another(catalog)) return another();
  opened = passing(std::move(opened));
  if (!opened) return fail(std::move(opened).error());
  const Position end = EVODB_TRY(lowest_unchecked_end(disk, journal_directory, journal));
  OwnEpochs own = EVODB_TRY(OwnEpochs::load(disk, journal_directory, journal.id));
  EVODB_TRY(check_watermarks({journal.id, end}, own, opened->tables));
  LoadedTables loaded{
      std::move(opened->claim), std::move(opened->tables), std::move(opened->notes), nullptr, {}};
  const ToScan to_scan =
      EVODB_TRY(look_what_to_scan(disk, journal_directory, journal, own, catalog, loaded.tables));
  for (auto& found : loaded.tables) {
    const auto& mark = found.state.watermark;
    found.state.watermark_is_ours = mark && own.are_of(*mark);
  }
  if (to_scan.another_came) {
    loaded.notes.emplace_back(
        "changes of another journal, or of a copy of this one, have landed since: an older data "
        "directory was put back, or a copy of it was started; what the tables hold is read from "
        "them");
  }
  if (to_scan.old_filter || to_scan.another_came) {
    loaded.landed = EVODB_TRY(scan_tables(reads, loaded.tables, loaded.unscanned));
  }
  if (all_known(loaded.tables, loaded.unscanned)) {
    if (loaded.landed) {
      if (auto kept = keep_filter(disk, journal_directory, *loaded.landed); !kept) {
        return fail(ErrorKind::kRetry, std::move(kept).error().text);
      }
    }
    if (to_scan.another_came) own.forget_nothing_before(writer);
    if (to_scan.another_came || to_scan.since_unknown) {
      EVODB_TRY(passing(remember_journal(catalog, writer, journal.id)));
    }
  }
  if (auto added = own.add(disk, journal_directory, writer, end); !added) {
    return fail(ErrorKind::kRetry, std::move(added).error().text);
  }
  // Before anything lands: what lands then lies behind that end and proves nothing against it.
  if (auto gone = forget_unchecked_end(disk, journal_directory); !gone) {
    return fail(ErrorKind::kRetry, std::move(gone).error().text);
  }
  return loaded;
}

}  // namespace evodb::parent
