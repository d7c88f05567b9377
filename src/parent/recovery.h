// Recovery of a parent: the two halves that need a disk and a lakehouse.
//
//   recover_journal     blocking, on the journal's disk: journal, checkpoint, replayed marks
//   recover_catalog     where blocking on store and catalog is allowed: fencing, lost-journal check
//   load_checked_tables the same: the lakehouse is claimed and put together; every table's state,
//                       held against the journal
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/disk.h"
#include "evodb/result.h"
#include "ingest/ingest.h"
#include "journal/journal.h"
#include "lake/landed_filter.h"
#include "parent/own_epochs.h"
#include "parent/unchecked_end.h"
#include "store/store.h"
#include "table/append.h"
#include "table/catalog.h"
#include "table/open_lakehouse.h"

namespace evodb::parent {

class RoomWraps;  // parent.h

struct RecoveredJournal {
  std::unique_ptr<journal::Journal> journal;
  std::unique_ptr<ingest::Ingest> ingest;
  std::unique_ptr<lake::LandedFilter> landed;  // left by an earlier loss, or null
  journal::RecoveryReport report;
};

Result<RecoveredJournal> recover_journal(base::Disk& disk, const std::string& directory,
                                         const journal::JournalOptions& journal_options,
                                         const ingest::IngestOptions& ingest_options,
                                         base::Random& random, RoomWraps* wraps = nullptr);

// What an earlier loss of a journal left beside this one, or null.
Result<std::unique_ptr<lake::LandedFilter>> load_landed_filter(base::Disk& disk,
                                                               const std::string& directory);

// A table of which nobody can tell what it holds: nothing may land in it.
struct UnscannedTable {
  Error why;
  std::string unread;  // the data file that could not be read, a location; or empty
};
using UnscannedTables = std::map<std::string, UnscannedTable>;  // by location_key

// The lakehouse, claimed, and every table's state held against the journal.
struct LoadedTables {
  std::shared_ptr<table::Claim> claim;
  std::vector<table::FoundTable> tables;
  std::vector<std::string> notes;  // what was found otherwise than expected
  // What the tables hold, and which could not be read, where that had to be asked anew; or null:
  // then what is known of it holds. On disk, unless some could not be read.
  std::unique_ptr<lake::LandedFilter> landed;
  UnscannedTables unscanned;
};

struct RecoveredCatalog {
  std::string parent_id;
  table::WriterEpoch writer;
  // Set when the catalog remembers another journal than this one: what the tables hold. It is on
  // disk, and the catalog names this journal, when recover_catalog returns.
  std::unique_ptr<lake::LandedFilter> landed;
  // What `landed` has not, or only in part. The catalog does not name this journal yet: whoever
  // calls again, reads them again.
  UnscannedTables unscanned;
  // Every table's state, checked, where the store could be asked. Otherwise load_checked_tables is
  // to be called later.
  std::optional<LoadedTables> tables;
  std::vector<std::string> notes;  // as in LoadedTables
};

// A scan sees all that ever landed, also from before an earlier loss. What of one table cannot be
// read makes that table sick or unscanned; only a store that gives nothing is an error. Errors:
// kRetry (store or catalog away; call again), kCorrupt as load_checked_tables; others are final.
// kFenced: another parent has claimed the lakehouse since this process did.
// kLater: the tables' states are not asked for, so nothing waits for the store.
// `writer` is what this process has claimed last (0: nothing yet), and then what it has claimed
// since, after an error too.
enum class LoadTables : std::uint8_t { kNow, kLater };
Result<RecoveredCatalog> recover_catalog(base::Disk& disk, const std::string& journal_directory,
                                         JournalExtent journal, store::ObjectStore& store,
                                         table::Catalog& catalog, table::WriterEpoch& writer,
                                         base::Random& random, LoadTables load = LoadTables::kNow);

// Would recover_catalog scan this table now? Reads no more than one file where that one still
// fails. Errors: those of the object that cannot be read.
Result<bool> can_be_scanned(store::ObjectStore& store, table::Catalog& catalog,
                            const std::string& table, const UnscannedTable& before);

// kCorrupt: a table holds what this journal no longer does. Damage in a journal's last group may
// look like a torn tail (docs/formats/journal.md); going on would give old positions new meanings.
// Watermarks that are not of `own` say nothing about this journal.
Result<void> check_watermarks(const JournalExtent& journal, const OwnEpochs& own,
                              const std::vector<table::FoundTable>& tables);

// A table without a watermark is somebody else's; of one that we could not even write to, the name
// is all that is given. `writer` is as in table::open_lakehouse. What is compared is the lowest end
// that was not compared yet (unchecked_end.h). Errors: kCorrupt as check_watermarks, or that file;
// kFenced, kInvalid (another warehouse: says what to do); kRetry (the store, the catalog or the
// disk; call again); kStale (the catalog is not the one that was claimed: recover_catalog again).
Result<LoadedTables> load_checked_tables(base::Disk& disk, const std::string& journal_directory,
                                         const JournalExtent& journal, store::ObjectStore& store,
                                         table::Catalog& catalog, table::WriterEpoch& writer,
                                         base::Random& random);

}  // namespace evodb::parent
