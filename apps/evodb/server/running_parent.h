// RunningParent: a parent with the real seams, behind LakehouseParent. It can hand over to another
// process and take over from one: running_parent_hand_over.cc, docs/upgrade.md.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/posix/epoll_loop.h"
#include "base/posix/posix_disk.h"
#include "base/posix/system_clock.h"
#include "base/posix/thread_executor.h"
#include "evodb/parent.h"
#include "lake/parquet_encoder.h"
#include "parent/parent.h"
#include "server/config.h"
#include "server/data_lock.h"
#include "server/hand_over_channel.h"
#include "server/lakehouse_parent.h"
#include "server/store_threads.h"
#include "server/successor.h"

namespace evodb::app {

// What `store.*` and `data` say of the warehouse.
store::StoreOptions store_options(const Config& config);

class RunningParent final : public ServedParent {
 public:
  ~RunningParent() override { stop(std::chrono::milliseconds(0)); }

  Result<void> start(const Config& config, const Waiting& waiting);
  // In place of start(). Until it succeeds, this must not be destroyed: the process ends instead.
  Result<void> take_over(const Config& config, HandOverChannel& channel,
                         const std::function<void()>& taking);

  std::string address() const override { return address_; }
  LakehouseBufferStats get_buffer_stats() override;
  void with_gate(std::function<void(gate::Gate&)> work) override;
  std::string status_json() override;
  Result<void> flush() override;
  void stop(std::chrono::milliseconds deadline) override;
  Result<HandOverReport> hand_over_to(Successor& next, const HandOverPatience& patience) override;

 private:
  // One waits for events while the other syncs the journal.
  static constexpr unsigned loop_threads = 2;

  // All that needs neither the data directory's lock nor the parent that ran before.
  Result<void> prepare(const Config& config);
  void make_parent();
  parent::ParentStatus status_now();

  // What is given to the next process.
  struct Given {
    parent::HandedOver handed;
    std::vector<int> listeners, connections;  // borrowed from the loop
  };
  Result<Given> give_up_rooms(const HandOverPatience& patience);
  // `left_ms`: until when all of it must have been sent.
  Result<void> give(HandOverChannel& channel, const Given& given,
                    const std::function<std::int64_t()>& left_ms);
  // The rooms again, from what they gave up.
  Result<void> go_on(parent::HandedOver handed);

  std::string data_;
  parent::ParentOptions options_;
  std::unique_ptr<DataLock> lock_;
  base::PosixDisk disk_;
  base::SystemClock clock_;
  base::SystemRandom random_;
  lake::ParquetEncoder encoder_;
  std::unique_ptr<base::EpollLoop> loop_;
  std::unique_ptr<base::ThreadExecutor> landing_;
  std::unique_ptr<StoreThreads> store_;
  std::unique_ptr<parent::Parent> parent_;
  std::thread thread_;  // runs the loop, with another one
  std::string address_;
  bool stopped_ = false;
};

}  // namespace evodb::app
