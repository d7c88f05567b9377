// ThreadExecutor: an Executor that is one thread with a queue.
//
//   ThreadExecutor landing("landing");
//   landing.post([] { ... });
//
// Work runs in the order of post(); what is posted for later joins the queue when its time has
// come. The destructor lets what was posted finish but not what is due later, then joins; post()
// after that began is dropped. The queue is not bounded by itself: posters coalesce (parent.cc
// posts at most one commit, one pump and one trim at a time).
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/loop.h"

namespace evodb::base {

class ThreadExecutor : public Executor {
 public:
  explicit ThreadExecutor(const std::string& name);  // at most 15 characters: the thread's name
  ~ThreadExecutor() override;
  void post(std::function<void()> work) override;
  void post_after(std::int64_t delay_ms, std::function<void()> work) override;
  // Finishes what was posted and ends the thread. Idempotent.
  void stop();

 private:
  using SteadyClock = std::chrono::steady_clock;

  void run();
  // Moves what is due into the queue. REQUIRES: mutex_.
  void take_due();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::function<void()>> queue_;
  std::multimap<SteadyClock::time_point, std::function<void()>> later_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace evodb::base
