// OwnEpochs: under which writer epochs the journal in this directory has landed.
//
// Why: a data directory may be copied, and both parents started, or an older copy of it put back.
// Their journals have one id, and behind the copy one position means two things. Writer epochs are
// nobody's twice, so a table's watermark tells: the journal's id, under an epoch that was not
// claimed from here, is another journal's word, and what that one landed is asked of the tables. So
// is a position behind where this journal ended when it had its next epoch: a copy took the earlier
// one along, and went on under it.
//
//   OwnEpochs own = EVODB_TRY(OwnEpochs::load(disk, directory, journal.id));
//   if (own.are_of(mark)) ...                         // its position is one of this journal
//   EVODB_TRY(own.add(disk, directory, writer, end)); // before anything lands under that epoch
//
// File `own.epochs` in the journal's directory: "EVODBOWN", the journal's id, then closed intervals
// of epochs in order: first, last, and up to which position they count (all bits set: the newest),
// all u64, and the CRC32C of all that, u32; little-endian. Each of the newest epochs has one of its
// own. A damaged file owns nothing: then the tables are asked. Threads: any, one at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/disk.h"
#include "evodb/result.h"
#include "journal/journal.h"
#include "table/append.h"

namespace evodb::parent {

class OwnEpochs {
 public:
  // Every epoch: of a journal without a file, that is a new one or of an older version, which kept
  // none.
  explicit OwnEpochs(journal::JournalId journal) : journal_(journal) {}

  // Errors: the disk's.
  static Result<OwnEpochs> load(base::Disk& disk, const std::string& directory,
                                journal::JournalId journal);

  bool are_of(const table::Watermark& mark) const;
  // True: it cannot be told any more whether this epoch was ours, so what its changes hold must be
  // asked of the tables, whenever it was.
  bool have_forgotten(table::WriterEpoch writer) const {
    return intervals_.empty() || writer.value < intervals_.front().first;
  }
  // All tables were read, and what they hold is kept: nothing before `writer` need be known.
  void forget_nothing_before(table::WriterEpoch writer) {
    if (have_forgotten(table::WriterEpoch(0))) {
      intervals_.insert(
          intervals_.begin(),
          {0, intervals_.empty() ? writer.value - 1 : intervals_.front().first - 1, 0});
    }
  }
  // On the disk when this returns, synced. `writer` is the highest epoch that anybody has claimed,
  // `end` where this journal ended then: nothing lies behind it that an earlier one has landed.
  Result<void> add(base::Disk& disk, const std::string& directory, table::WriterEpoch writer,
                   Position end);

 private:
  static constexpr std::size_t exact_max = 64, intervals_max = 4096;
  struct Interval {
    std::uint64_t first = 0, last = UINT64_MAX, end = UINT64_MAX;
    friend bool operator==(const Interval&, const Interval&) = default;
  };

  journal::JournalId journal_;
  std::vector<Interval> intervals_ = {Interval{}};
};

}  // namespace evodb::parent
