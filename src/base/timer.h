// Timer: one piece of delayed work that belongs to somebody. It is cancelled when its owner goes
// and when it is set again, so that delayed work never meets an owner that is gone.
//
//   Timer timer(loop);                          // usually a member: Timer timer_{loop_};
//   timer.set(500, [&] { try_again(); });       // in place of what was set before
//   if (timer.is_set()) timer.cancel();
//
// Threads: the loop's. The loop outlives it.
#pragma once

#include <cstdint>
#include <utility>

#include "base/loop.h"

namespace evodb::base {

class Timer {
 public:
  explicit Timer(Loop& loop) : loop_(loop) {}
  ~Timer() { cancel(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // `work` runs once, after `delay_ms`. It may set the timer again, and it may end the owner.
  template <class Work>
  void set(std::int64_t delay_ms, Work work) {
    cancel();
    id_ = loop_.after(delay_ms, [this, work = std::move(work)] {
      id_ = TimerId();
      work();
    });
  }
  void cancel() {
    if (!is_set()) return;
    loop_.cancel(id_);
    id_ = TimerId();
  }
  // From set() until `work` begins.
  bool is_set() const { return id_ != TimerId(); }

 private:
  Loop& loop_;
  TimerId id_;
};

}  // namespace evodb::base
