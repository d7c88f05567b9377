// SegmentList: which segments there are, shared by the thread that commits and those that read.
//
// Threads: any; one mutex inside. Lifetime: the journal's.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "journal/segment_format.h"

namespace evodb::journal {

struct LiveSegment {
  SegmentHeader header;
  std::string path;
  Position end;         // of its records; meaningless while it is the last one
  bool active = false;  // the last one
};

class SegmentList {
 public:
  // The segment that holds `position`, or the oldest one with `trimmed` if it lies before that.
  LiveSegment find(Position position, bool* trimmed) const {
    const std::lock_guard lock(mutex_);
    *trimmed = position < segments_.front().header.first;
    std::size_t i = segments_.size() - 1;
    while (i > 0 && position < segments_[i].header.first) --i;
    return at(i);
  }
  Position first() const {
    const std::lock_guard lock(mutex_);
    return segments_.front().header.first;
  }
  LiveSegment oldest() const {
    const std::lock_guard lock(mutex_);
    return at(0);
  }
  std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return segments_.size();
  }
  void push_back(LiveSegment segment) {
    const std::lock_guard lock(mutex_);
    segments_.push_back(std::move(segment));
  }
  void pop_front() {
    const std::lock_guard lock(mutex_);
    segments_.erase(segments_.begin());
  }

 private:
  LiveSegment at(std::size_t i) const {
    LiveSegment segment = segments_[i];
    segment.active = i + 1 == segments_.size();
    if (!segment.active) segment.end = segments_[i + 1].header.first;
    return segment;
  }
  mutable std::mutex mutex_;
  std::vector<LiveSegment> segments_;  // oldest first; never empty once open
};

}  // namespace evodb::journal
