// HeldBytes: how many bytes the changes take that an outbox holds, from samples.
//
//   HeldBytes held;
//   held.forget(mark);                           // trimmed up to there
//   held.add(head, bytes);                       // of the changes behind the last ones added
//   if (held.total() > limit) ...
//
// Each call of add() is a layer of its own: a few large changes among many small ones are not lost
// in one average over all, and a layer of a second's changes is mostly weighed change by change. Of
// a layer that is trimmed in part the rest counts in proportion.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <utility>

#include "evodb/types.h"

namespace evodb::capture {

class HeldBytes {
 public:
  // Everything up to `mark` is gone.
  void forget(Lsn mark) {
    while (!layers_.empty() && layers_.front().end <= mark) layers_.pop_front();
    if (!layers_.empty() && mark > begin_) {
      Layer& first = layers_.front();
      const double left = static_cast<double>(first.end.value - mark.value) /
                          static_cast<double>(first.end.value - begin_.value);
      first.bytes = static_cast<std::uint64_t>(static_cast<double>(first.bytes) * left);
    }
    begin_ = std::max(begin_, mark);
  }
  // The newest change that was added.
  Lsn end() const { return layers_.empty() ? begin_ : layers_.back().end; }
  // All in (end(), head]. REQUIRES: head > end().
  void add(Lsn head, std::uint64_t bytes) {
    layers_.push_back({head, bytes});
    if (layers_.size() > layers_max) merge();
  }
  std::uint64_t changes() const { return end().value - begin_.value; }
  std::uint64_t total() const {
    std::uint64_t sum = 0;
    for (const Layer& layer : layers_) sum += layer.bytes;
    return sum;
  }

 private:
  static constexpr std::size_t layers_max = 1'024;
  struct Layer {
    Lsn end;  // it begins behind the one before it
    std::uint64_t bytes = 0;
  };
  void merge() {
    std::deque<Layer> halved;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      if (i % 2 == 0) {
        halved.push_back(layers_[i]);
      } else {
        halved.back() = {layers_[i].end, halved.back().bytes + layers_[i].bytes};
      }
    }
    layers_ = std::move(halved);
  }

  Lsn begin_;
  std::deque<Layer> layers_;
};

}  // namespace evodb::capture
