// StoreThreads: the real StoreRunner: a few threads on which object store, catalog and encoder may
// block.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "parent/store_runner.h"

namespace evodb::app {

class StoreThreads : public parent::StoreRunner {
 public:
  // `threads` is the most flushes that run at once; there is one more for what the parent asks
  // itself, and one for its readers (parent::IcebergRest reads one thing at a time).
  StoreThreads(std::unique_ptr<store::ObjectStore> store, std::unique_ptr<table::Catalog> catalog,
               unsigned threads);
  ~StoreThreads() override;  // ends waits, lets running calls finish, joins

  void flush(std::shared_ptr<lake::FlushMachine> machine, std::function<void()> done) override;
  void run(std::function<void(store::ObjectStore&, table::Catalog&)> work) override;
  const store::ObjectStore& naming() const override { return *store_; }
  void stop();

 private:
  void post(std::function<void()> work);
  void work_loop();
  void drive(lake::FlushMachine& machine);

  std::unique_ptr<store::ObjectStore> store_;
  std::unique_ptr<table::Catalog> catalog_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;  // bounded: lake.flushes_max and a few
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace evodb::app
