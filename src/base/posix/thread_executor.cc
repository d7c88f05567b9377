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

void ThreadExecutor::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void ThreadExecutor::run() {
  std::vector<std::function<void()>> batch;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      batch.swap(queue_);
    }
    for (auto& work : batch) work();
    batch.clear();
  }
}

}  // namespace evodb::base
