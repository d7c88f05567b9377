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
  void stop(std::function<void()> done) { parent_->stop(10'000, std::move(done)); }
  void die(FakeLoop::Crash how);
  parent::Parent& parent() { return *parent_; }
  FakeLoop& loop() { return loop_; }
  const SimStoreRunner& store_runner() const { return runner_; }

 private:
  FakeLoop loop_;
  SimExecutor journal_io_, landing_;
  SimStoreRunner runner_;
  std::unique_ptr<parent::Parent> parent_;
  std::optional<Error> failure_;
  bool open_ = false;
};

}  // namespace evodb::sim
