// ChainMarks: the chain hash at some of the LSNs that were folded, so that an acknowledged prefix
// can be trimmed and a refused batch be sent again from where it began.
//
//   marks.reset({trimmed, chain});
//   marks.add({batch_end, chain_there});
//   ChainMark m = marks.floor(persisted);   // trim there
//   marks.drop_below(m.lsn);
//
// Bounded: beyond marks_max every second one is forgotten, never the first nor the newest. A
// forgotten mark only makes a trim coarser, or a resend begin with a walk from the one before it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>

#include "base/assert.h"
#include "evodb/types.h"

namespace evodb::edge {

struct ChainMark {
  Lsn lsn;
  ChainHash chain;
  friend bool operator==(const ChainMark&, const ChainMark&) = default;
};

class ChainMarks {
 public:
  static constexpr std::size_t marks_max = 8192;

  void reset(ChainMark first) { marks_.assign(1, first); }
  bool empty() const { return marks_.empty(); }
  std::size_t size() const { return marks_.size(); }
  const ChainMark& front() const { return marks_.front(); }
  const ChainMark& back() const { return marks_.back(); }

  // Known already (the same batch cut at the same place again): nothing happens.
  void add(ChainMark mark) {
    const auto at = std::ranges::lower_bound(marks_, mark.lsn, {}, &ChainMark::lsn);
    if (at != marks_.end() && at->lsn == mark.lsn) {
      EVODB_ASSERT(at->chain == mark.chain, "one log has one chain hash at an LSN");
      return;
    }
    marks_.insert(at, mark);
    if (marks_.size() > marks_max) thin_out();
  }
  // The newest mark at or before `lsn`. REQUIRES: not empty, front().lsn <= lsn.
  ChainMark floor(Lsn lsn) const {
    const auto behind = std::ranges::upper_bound(marks_, lsn, {}, &ChainMark::lsn);
    EVODB_ASSERT(behind != marks_.begin(), "marks are asked for what is still held");
    return *(behind - 1);
  }
  // The oldest mark behind `lsn`. REQUIRES: back().lsn > lsn.
  ChainMark above(Lsn lsn) const {
    const auto behind = std::ranges::upper_bound(marks_, lsn, {}, &ChainMark::lsn);
    EVODB_ASSERT(behind != marks_.end(), "there is a mark behind this LSN");
    return *behind;
  }
  // What lies behind is sent again, and may have become something else.
  void drop_above(Lsn lsn) {
    while (marks_.size() > 1 && marks_.back().lsn > lsn) marks_.pop_back();
  }
  void drop_below(Lsn lsn) {
    while (marks_.size() > 1 && marks_.front().lsn < lsn) marks_.pop_front();
  }

 private:
  void thin_out() {
    std::deque<ChainMark> kept;
    for (std::size_t i = 0; i < marks_.size(); ++i) {
      if (i % 2 == 0 || i + 1 == marks_.size()) kept.push_back(marks_[i]);
    }
    marks_.swap(kept);
  }

  std::deque<ChainMark> marks_;
};

}  // namespace evodb::edge
