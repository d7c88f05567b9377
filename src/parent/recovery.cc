#include "parent/recovery.h"

#include <optional>
#include <utility>

#include "base/bytes.h"
#include "ingest/checkpoint_store.h"

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
                                         base::Random& random) {
  RecoveredJournal recovered;
  recovered.journal = EVODB_TRY(
      journal::Journal::open(disk, directory, journal_options, random, &recovered.report));
  journal::Journal& journal = *recovered.journal;
  recovered.ingest = ingest::Ingest::create(ingest_options, journal);

  Position from = journal.first();
  if (auto checkpoint = EVODB_TRY(ingest::load_checkpoint(disk, directory, journal.id()))) {
    const Position stands_for = EVODB_TRY(recovered.ingest->restore_checkpoint(*checkpoint));
    if (stands_for > journal.durable_end()) {
      return fail(ErrorKind::kCorrupt,
                  "the checkpoint in " + directory +
                      " is ahead of the journal beside it: segments are missing; restore them, or "
                      "move the whole directory away to start from the lakehouse");
    }
    // An older checkpoint, because the newest one is damaged: the marks of what was trimmed since
    // are nowhere, and without them the changes would land a second time.
    if (stands_for < journal.first()) {
      return fail(ErrorKind::kCorrupt,
                  "the newest checkpoint in " + directory +
                      " is damaged, and the journal was trimmed since the one before; restore it, "
                      "or move the whole directory away to start from the lakehouse");
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
  while (EVODB_TRY(cursor->next(&record))) EVODB_CHECK(recovered.ingest->replay(record));

  if (EVODB_TRY(disk.exists(landed_path(directory)))) {
    const std::string bytes = EVODB_TRY(base::read_whole_file(disk, landed_path(directory)));
    recovered.landed = EVODB_TRY(lake::LandedFilter::decode(bytes));
  }
  return recovered;
}

Result<RecoveredCatalog> recover_catalog(base::Disk& disk, const std::string& journal_directory,
                                         journal::JournalId journal, store::ObjectStore& store,
                                         table::Catalog& catalog, base::Random& random) {
  RecoveredCatalog recovered;
  recovered.writer = EVODB_TRY(catalog.claim());
  if (auto id = EVODB_TRY(catalog.property(parent_property))) {
    recovered.parent_id = *id;
  } else {
    recovered.parent_id = random_hex(random);
    EVODB_CHECK(catalog.set_property(recovered.writer, parent_property, recovered.parent_id));
  }

  const std::string ours = std::to_string(journal.value);
  const auto remembered = EVODB_TRY(catalog.property(journal_property));
  if (remembered == ours) return recovered;

  // Another journal, or none, wrote what the tables hold. First the filter on disk, then the
  // catalog's word that this journal is the one: a crash between the two scans again.
  recovered.landed = EVODB_TRY(scan_tables(store, catalog));
  if (!recovered.landed->empty()) {
    EVODB_CHECK(base::write_file_atomically(disk, landed_path(journal_directory),
                                            recovered.landed->encode()));
  }
  EVODB_CHECK(catalog.set_property(recovered.writer, journal_property, ours));
  return recovered;
}

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

}  // namespace evodb::parent
