// Where a journal ended when it was put to use before the tables could be asked about that end.
//
// Why: damage in the journal's last group may look like a torn tail, and then the journal ends
// before what the tables hold of it. check_watermarks sees that, but only where the store answers.
// While it is away children are served, and positions behind the end get new meanings. The next
// start finds a journal that is long enough, so the end that was not checked must be kept.
//
//   EVODB_TRY(keep_unchecked_end(disk, directory, journal));   // before children are served
//   const Position end = EVODB_TRY(lowest_unchecked_end(disk, directory, journal));
//   EVODB_TRY(check_watermarks({journal.id, end}, own, tables));  // when the tables are there
//   EVODB_TRY(forget_unchecked_end(disk, directory));          // before anything lands
//
// File `unchecked.end` in the journal's directory: "EVODBEND", the journal's id and the position,
// u64 each, and the CRC32C of all that, u32; little-endian. Threads: any, one at a time. Errors:
// kCorrupt (the file is damaged), or the disk's.
#pragma once

#include <string>

#include "base/disk.h"
#include "evodb/result.h"
#include "journal/journal.h"

namespace evodb::parent {

struct JournalExtent {
  journal::JournalId id;
  Position durable_end;  // as recovered
};

// The lower of the journal's own end and the one that was kept for it.
Result<Position> lowest_unchecked_end(base::Disk& disk, const std::string& directory,
                                      const JournalExtent& journal);
// On the disk when this returns, synced; never higher than what was kept before.
Result<void> keep_unchecked_end(base::Disk& disk, const std::string& directory,
                                const JournalExtent& journal);
// Gone for good when this returns.
Result<void> forget_unchecked_end(base::Disk& disk, const std::string& directory);

}  // namespace evodb::parent
