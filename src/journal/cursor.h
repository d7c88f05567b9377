// SegmentCursor: reads durable records, across segments, while others are appended.
//
// Reads in chunks of 256 KiB and checks every record again: memory and disks rot, and a record that
// does not hold is never served. Threads: its owner's.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "base/disk.h"
#include "journal/journal.h"
#include "journal/segment_list.h"

namespace evodb::journal {

class SegmentCursor final : public JournalCursor {
 public:
  SegmentCursor(base::Disk& disk, const SegmentList& segments,
                const std::atomic<std::uint64_t>& durable_end, Position position)
      : disk_(disk), segments_(segments), durable_end_(durable_end), position_(position) {}

  Result<bool> next(Record* record) override;
  Position position() const override { return position_; }

 private:
  static constexpr std::size_t chunk_bytes = 256u << 10;

  // Learns what is durable now, in which segment position_ lies, and opens that. False: nothing
  // yet.
  Result<bool> find_more();
  // At least `n` bytes of the log from position_ on into chunk_.
  Result<void> fill(std::size_t n);
  Result<bool> give(Record* record);
  std::unexpected<Error> broken(ErrorKind kind, const std::string& what);

  base::Disk& disk_;
  const SegmentList& segments_;
  const std::atomic<std::uint64_t>& durable_end_;
  Position position_;
  LiveSegment segment_;
  Position limit_;                    // what may be read of segment_
  std::unique_ptr<base::File> file_;  // of segment_; null: not entered
  std::string chunk_;
  Position chunk_first_;  // position of chunk_'s first byte
  std::size_t chunk_size_ = 0;
  Error error_;  // once set, every call says it
  bool failed_ = false;
};

}  // namespace evodb::journal
