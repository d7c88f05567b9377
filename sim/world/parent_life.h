// ParentLife: one process of a parent, from its start to its crash.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "evodb/result.h"
#include "parent/parent.h"
#include "sim/seams/fake_disk.h"
#include "sim/seams/fake_loop.h"
#include "sim/world/executor.h"
#include "sim/world/lakehouse.h"

namespace evodb::sim {

class ParentLife {
 public:
  struct Surroundings {
    FakeNetwork& network;
    base::Random& random;
    FakeDisk& disk;
    SimStoreRunner::Lakehouse lakehouse;
    lake::FileEncoder& encoder;
    const Course& course;
    Plant& plant;
    std::function<void(const std::string& line)> say;  // the operator's log
  };
  // Small everywhere, so that a short history meets every limit: segments roll and are trimmed,
  // credit runs out, buffers fill, tables flush many times.
  static parent::ParentOptions options(const Course& course);

  explicit ParentLife(const Surroundings& around);
  // REQUIRES: the disk has crashed, or everything was synced: what a destructor writes must not
  // help.
  ~ParentLife();

  Result<void> start();
  // The error that ended its start later, if one did.
  const std::optional<Error>& failure() const { return failure_; }
  bool open() const { return open_; }
  void stop(std::function<void()> done);
  // The parent gives everything but its sockets to another one in its place: what a process that
  // takes over does, and the old one if that fails. `said` is called when it is done, or why not.
  void hand_over(std::function<void(const Result<void>&)> said);
  bool handing_over() const { return handing_over_; }
  // Why the one that was to take over could not even begin: there is no parent any more.
  const std::optional<Error>& lost() const { return lost_; }
  void die(FakeLoop::Crash how);
  parent::Parent& parent() { return *parent_; }
  FakeLoop& loop() { return loop_; }
  const SimStoreRunner& store_runner() const { return runner_; }

 private:
  FakeLoop loop_;
  SimBlockingWork journal_io_;
  SimExecutor landing_;
  SimStoreRunner runner_;
  parent::ParentSeams seams_;
  parent::ParentOptions options_;
  std::unique_ptr<parent::Parent> parent_;
  std::optional<Error> failure_, lost_;
  bool open_ = false;
  bool handing_over_ = false;
};

}  // namespace evodb::sim
