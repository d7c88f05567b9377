// SimExecutor: base::Executor of one simulated thread: work runs in order, one at a time, each
// after a delay drawn from the network's seed, as an event of the process that owns it. If that
// process crashes, its work is forgotten with it.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "base/loop.h"
#include "sim/seams/fake_loop.h"

namespace evodb::sim {

class SimExecutor final : public base::Executor {
 public:
  // One piece of work begins `delay_ms_max` or less after the one before (or after it was posted).
  SimExecutor(FakeLoop& loop, base::Random& random, std::int64_t delay_ms_max)
      : loop_(loop), random_(random), delay_ms_max_(delay_ms_max) {}

  void post(std::function<void()> work) override {
    queue_.push_back(std::move(work));
    if (queue_.size() == 1) schedule();
  }

  void post_after(std::int64_t delay_ms, std::function<void()> work) override {
    loop_.after(delay_ms, [this, work = std::move(work)] { post(work); });
  }

 private:
  void schedule() {
    const auto delay = random_.below(static_cast<std::uint64_t>(delay_ms_max_) + 1);
    loop_.after(static_cast<std::int64_t>(delay), [this] {
      auto work = std::move(queue_.front());
      work();
      queue_.pop_front();
      if (!queue_.empty()) schedule();
    });
  }

  FakeLoop& loop_;
  base::Random& random_;
  std::int64_t delay_ms_max_;
  std::deque<std::function<void()>> queue_;
};

// base::BlockingWork on such a thread.
class SimBlockingWork final : public base::BlockingWork {
 public:
  SimBlockingWork(FakeLoop& loop, base::Random& random, std::int64_t delay_ms_max)
      : loop_(loop), elsewhere_(loop, random, delay_ms_max) {}

  void run_blocking(std::function<After()> work) override {
    elsewhere_.post([this, work = std::move(work)] { loop_.post(work()); });
  }

 private:
  FakeLoop& loop_;
  SimExecutor elsewhere_;
};

}  // namespace evodb::sim
