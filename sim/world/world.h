// World: edges, one parent at a time and a lakehouse in one thread, on a fake clock, a fake network
// that cuts and delays, a disk that forgets what was not synced, and a store that fails and lies.
// The rooms are the shipped ones. One seed is one history.
//
//   World world({.seed = 7});
//   world.run();                       // trouble, then healing, then the oracle's judgement
//   for (const auto& violation : world.violations()) ...
//
// The oracle knows what the applications wrote and what a reader of the lakehouse finds.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lake/parquet_encoder.h"
#include "parent/parent.h"
#include "sim/seams/fake_disk.h"
#include "sim/seams/fake_loop.h"
#include "sim/seams/fake_network.h"
#include "sim/seams/fake_store.h"
#include "sim/world/edge_life.h"
#include "sim/world/lakehouse.h"
#include "sim/world/model_outbox.h"
#include "sim/world/parent_life.h"

namespace evodb::sim {

struct WorldOptions {
  std::uint64_t seed = 1;
  std::uint32_t edges = 3;
  std::int64_t trouble_ms = 15'000;    // of virtual time
  std::int64_t heal_ms_max = 180'000;  // then everything must have landed
};

// How much of what happened: a history in which nothing happened proves nothing.
struct WorldCounts {
  std::uint64_t changes = 0, parent_crashes = 0, power_losses = 0, edge_crashes = 0, cuts = 0,
                partitions = 0, store_outages = 0, clock_jumps = 0, journals_lost = 0,
                failed_starts = 0;
};

class World {
 public:
  explicit World(const WorldOptions& options);
  ~World();

  void run();
  const std::vector<std::string>& violations() const { return violations_; }
  const WorldCounts& counts() const { return counts_; }
  std::uint64_t trace_hash() const { return network_.trace_hash(); }

 private:
  struct Edge {
    std::unique_ptr<ModelOutbox> outbox;
    WaitLevel wait = WaitLevel::kPersisted;
    std::unique_ptr<EdgeLife> life;
    std::int64_t writes_at_ms = 0;
  };

  bool chance(std::uint32_t percent) { return random_.below(100) < percent; }
  void violate(std::string text);

  void start_parent();
  void crash_parent();
  void lose_journal();
  void start_edge(Edge& edge);
  void make_trouble();
  void write_some();
  void heal();
  bool all_persisted() const;
  void judge(const std::string& when);

  WorldOptions options_;
  FakeNetwork network_;
  SeededRandom random_;
  FakeLoop ground_;  // never crashes: the clock of what outlives every process
  FakeDisk disk_;
  FakeStore store_;
  FaultyCatalog catalog_;
  lake::ParquetEncoder encoder_;
  std::unique_ptr<ParentLife> parent_;
  std::int64_t parent_starts_at_ms_ = -1;
  std::vector<Edge> edges_;

  // Which kinds of trouble this history has, drawn from its seed.
  bool with_power_loss_ = false, with_edge_crashes_ = false, with_cuts_ = false,
       with_store_faults_ = false, with_clock_jumps_ = false, with_lost_journal_ = false;
  std::int64_t store_returns_at_ms_ = -1;
  std::int64_t network_heals_at_ms_ = -1;

  WorldCounts counts_;
  std::vector<std::string> violations_;
};

}  // namespace evodb::sim
