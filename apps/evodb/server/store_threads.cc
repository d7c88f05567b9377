#include "server/store_threads.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace evodb::app {

namespace {
// A waiting machine is looked at this often, so that hurry() and give_up() are felt.
constexpr std::int64_t wait_slice_ms = 50;
}  // namespace

StoreThreads::StoreThreads(std::unique_ptr<store::ObjectStore> store,
                           std::unique_ptr<table::Catalog> catalog, unsigned threads)
    : store_(std::move(store)), catalog_(std::move(catalog)) {
  constexpr unsigned others = 2;
  for (unsigned i = 0; i < threads + others; ++i) {
    threads_.emplace_back([this] { work_loop(); });
    pthread_setname_np(threads_.back().native_handle(), "store");
  }
}

StoreThreads::~StoreThreads() { stop(); }

void StoreThreads::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (auto& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void StoreThreads::post(std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    queue_.push_back(std::move(work));
  }
  wake_.notify_one();
}

void StoreThreads::work_loop() {
  for (;;) {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

void StoreThreads::run(std::function<void(store::ObjectStore&, table::Catalog&)> work) {
  post([this, work = std::move(work)] { work(*store_, *catalog_); });
}

void StoreThreads::flush(std::shared_ptr<lake::FlushMachine> machine, std::function<void()> done) {
  post([this, machine = std::move(machine), done = std::move(done)] {
    drive(*machine);
    done();
  });
}

void StoreThreads::drive(lake::FlushMachine& machine) {
  for (;;) {
    const lake::FlushStep step = machine.next();
    if (step.io) {
      machine.on_response(table::perform(*store_, *catalog_, *step.io));
    } else if (step.wait_ms > 0) {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, std::chrono::milliseconds(std::min(step.wait_ms, wait_slice_ms)),
                     [this] { return stopping_; });
      if (stopping_) machine.give_up();
    } else {
      return;
    }
  }
}

}  // namespace evodb::app
