#include "base/posix/thread_executor.h"

#include <pthread.h>

#include <utility>

namespace evodb::base {

ThreadExecutor::ThreadExecutor(const std::string& name) : thread_([this] { run(); }) {
#if defined(__linux__)
  pthread_setname_np(thread_.native_handle(), name.substr(0, 15).c_str());
#else
  (void)name;
#endif
}

ThreadExecutor::~ThreadExecutor() { stop(); }

void ThreadExecutor::post(std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    queue_.push_back(std::move(work));
  }
  wake_.notify_one();
}

void ThreadExecutor::post_after(std::int64_t delay_ms, std::function<void()> work) {
  const auto due = SteadyClock::now() + std::chrono::milliseconds(delay_ms);
  bool first;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    first = later_.emplace(due, std::move(work)) == later_.begin();
  }
  if (first && std::this_thread::get_id() != thread_.get_id()) wake_.notify_one();
}

void ThreadExecutor::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void ThreadExecutor::take_due() {
  while (!later_.empty() && later_.begin()->first <= SteadyClock::now()) {
    queue_.push_back(std::move(later_.begin()->second));
    later_.erase(later_.begin());
  }
}

void ThreadExecutor::run() {
  std::vector<std::function<void()>> batch;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      for (take_due(); queue_.empty() && !stopping_; take_due()) {
        if (later_.empty()) {
          wake_.wait(lock);
        } else {
          wake_.wait_until(lock, later_.begin()->first);
        }
      }
      if (queue_.empty()) return;
      batch.swap(queue_);
    }
    for (auto& work : batch) work();
    batch.clear();
  }
}

}  // namespace evodb::base
