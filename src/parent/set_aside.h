// SetAside: the changes of tables that cannot be written just now, kept on the disk beside the
// journal, so that the journal can be trimmed and every other table goes on.
//
//   auto aside = EVODB_TRY(SetAside::open(disk, "evodb-data/journal", journal_id, bytes_max));
//   const bool had_room = EVODB_TRY(aside->append(record, definitions));  // a record, whole
//   EVODB_TRY(aside->sync());                        // only now may the journal let go of it
//   auto cursor = aside->cursor_before(journal.first(), journal.read_from(journal.first()));
//   EVODB_TRY(aside->clear());                       // when all of it has landed
//
// Records keep their positions in the journal, and what is read is them, in order, and then the
// journal. So nothing else needs to know: a table's watermark says what of them has landed.
// Format: docs/formats/set-aside.md. Threads: one at a time (the landing executor).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/disk.h"
#include "evodb/result.h"
#include "journal/journal.h"

namespace evodb::parent {

class SetAside {
 public:
  // What an earlier life left, less a torn end (the journal still has that); what another journal's
  // parent left is removed: its children hold it. Errors: the disk's.
  static Result<std::unique_ptr<SetAside>> open(base::Disk& disk, const std::string& directory,
                                                journal::JournalId journal,
                                                std::uint64_t bytes_max);

  // False: it is full. Records come in order, as a cursor gave them; one that it gave from here is
  // not written again. `definitions`: encoded, those that the record refers to. Errors: the disk's; what was written then is cut off by the
  // next append.
  Result<bool> append(const journal::Record& record, const std::vector<std::string>& definitions);
  Result<void> sync();
  Result<void> clear();

  static std::string path_in(const std::string& directory) {
    return directory + "/set-aside.spill";
  }
  bool empty() const { return end_ == 0; }
  bool is_full() const { return end_ >= bytes_max_; }
  std::uint64_t bytes() const { return end_; }
  Position last_end() const { return last_end_; }  // of the newest record

  // What lies before `from`, and then what `journal` gives, which holds all from there on. What is
  // here of that is dropped before the journal's first record is given: whoever reads on sets aside
  // again what must be, and that may be more, of other tables. Must not outlive this.
  std::unique_ptr<journal::JournalCursor> cursor_before(
      Position from, std::unique_ptr<journal::JournalCursor> journal);

 private:
  class Cursor;
  SetAside(base::Disk& disk, std::string directory, journal::JournalId journal,
           std::uint64_t bytes_max)
      : disk_(disk), directory_(std::move(directory)), journal_(journal), bytes_max_(bytes_max) {}
  std::string path() const { return path_in(directory_); }
  Result<void> recover();
  Result<void> create();
  void cut(std::uint64_t end, Position last, Position last_end);

  base::Disk& disk_;
  const std::string directory_;
  const journal::JournalId journal_;
  const std::uint64_t bytes_max_;
  std::shared_ptr<base::File> file_;  // with the cursors that read it
  std::uint64_t end_ = 0;             // 0: there is no file
  bool has_tail_ = false;             // behind end_ lies what was cut, until something is appended
  Position last_, last_end_;
  bool synced_ = true;
  std::unordered_map<std::uint64_t, std::uint64_t> defined_at_;  // by fingerprint: a position
};

}  // namespace evodb::parent
