// What a journal's directory holds, and whether that is all that it ought to hold.
//
//   RecoveredJournal found = EVODB_TRY(read_journal(disk, directory, options));   // changes nothing
//   EVODB_TRY(repair_journal(disk, directory, found));   // cuts the torn tail, syncs the rest
//
// The rules, and why they hold: docs/formats/journal.md, "Where the log ends".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/disk.h"
#include "evodb/result.h"
#include "journal/journal.h"
#include "journal/segment_format.h"

namespace evodb::journal {

struct RecoveredSegment {
  SegmentHeader header;
  std::string name;
  Position end;  // of its last record
  std::uint64_t records = 0;
  std::uint64_t file_bytes = 0;
};

struct RecoveredJournal {
  std::vector<RecoveredSegment> segments;  // empty: there is no journal
  std::vector<std::string> spares;         // names
  std::vector<std::string> leftovers;      // names of half-made files

  // Of the last segment.
  Position proven;              // everything before it was synced, the file itself says
  std::string unproven;         // the bytes of the records from there on
  std::uint64_t zero_from = 0;  // file offsets to be overwritten with zeros; equal: none
  std::uint64_t zero_to = 0;
  std::uint64_t torn_bytes = 0;
};

// Errors: kCorrupt (damage before data that may have been acknowledged), kInvalid (a later format),
// or the disk's.
Result<RecoveredJournal> read_journal(base::Disk& disk, const std::string& directory,
                                      const JournalOptions& options);

Result<void> repair_journal(base::Disk& disk, const std::string& directory,
                            const RecoveredJournal& found);

}  // namespace evodb::journal
