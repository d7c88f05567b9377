// World: edges, one parent at a time and a lakehouse in one thread, on a fake clock, a fake network
// that cuts and delays, a disk that forgets what was not synced, and a store that fails and lies.
// The rooms are the shipped ones. One seed is one history.
//
//   World world({.seed = 7});
//   world.run();                       // trouble, then healing, then the oracle's judgement
//   for (const auto& violation : world.violations()) ...
//
// oracle.h has what is checked at every commit; this class adds what edges were told, whether it is
// still so after a crash, the bounds of memory and disk, and that everything lands in the end.
// world.cc has the course of a history, trouble.cc what goes wrong in it.
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
#include "sim/world/oracle.h"
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
  std::uint64_t changes = 0, commits = 0, parent_crashes = 0, power_losses = 0, stops = 0,
                edge_crashes = 0, cuts = 0, partitions = 0, store_outages = 0, clock_jumps = 0,
                journals_lost = 0, restores = 0, new_epochs = 0, disk_faults = 0, failed_starts = 0,
                starved_steps = 0, trims = 0;
  void add(const WorldCounts& other);
};

class World final : public EdgeWitness {
 public:
  explicit World(const WorldOptions& options);
  ~World() override;

  void run();
  const std::vector<std::string>& violations() const { return violations_; }
  const WorldCounts& counts() const { return counts_; }
  std::uint64_t trace_hash() const { return network_.trace_hash(); }

 private:
  struct Edge {
    std::unique_ptr<ModelOutbox> outbox;
    std::vector<std::unique_ptr<ModelOutbox>> former;  // lives of the log that a restore ended
    std::unique_ptr<ModelOutbox> backup;
    WaitLevel wait = WaitLevel::kPersisted;
    std::unique_ptr<EdgeLife> life;
    std::int64_t writes_at_ms = 0;
    Lsn told_durable;  // in the outbox' present epoch, and not lost on purpose since
  };
  // Which kinds of trouble this history has, drawn from its seed.
  struct Kinds {
    bool power_loss = false, stops_amid_writes = false, edge_crashes = false, cuts = false,
         store_faults = false, clock_jumps = false, lost_journal = false, disk_faults = false,
         restores = false, full_journal = false, slow_disk = false, busy = false, stops = false;
  };

  bool chance(std::uint32_t percent) { return random_.below(100) < percent; }
  std::int64_t some_ms(std::uint64_t below) {
    return static_cast<std::int64_t>(random_.below(below));
  }
  std::int64_t now() const { return network_.now().value; }
  void violate(std::string text);
  Edge& edge_of(const ModelOutbox& outbox);

  void draw_kinds();
  std::optional<FakeStore::Fault> on_store_call(const FakeStore::Call& call);
  void start_parent();
  void crash_parent();
  void start_edge(Edge& edge);
  void write_some();
  void heal();
  void check_recovered_marks();
  void check_synced();
  void check_bounds();
  bool all_persisted() const;
  void await_all_persisted(const std::string& when);
  void stop_and_judge();

  // --- trouble.cc
  void make_trouble();
  void trouble_parent();
  void trouble_disk();
  void trouble_edges();
  void trouble_network();
  void trouble_store();
  void lose_journal();
  void stop_parent();
  void restore(Edge& edge);

  // --- what edges come to believe
  void on_told_durable(const ModelOutbox& outbox, Lsn lsn) override;
  void on_told_persisted(const ModelOutbox& outbox, Lsn lsn) override;
  void on_trimmed(const ModelOutbox& outbox, Lsn lsn) override;

  WorldOptions options_;
  FakeNetwork network_;
  SeededRandom random_;
  FakeLoop ground_;  // never crashes: the clock of what outlives every process
  FakeDisk disk_;
  FakeStore store_;
  StoreManners manners_;
  FaultyCatalog catalog_;
  lake::ParquetEncoder encoder_;
  std::vector<Edge> edges_;
  Oracle oracle_;
  std::unique_ptr<ParentLife> parent_;

  Kinds kinds_;
  std::uint64_t parent_lives_steps_ = 100;  // on average, until it is killed
  std::int64_t parent_starts_at_ms_ = -1;
  std::int64_t store_returns_at_ms_ = -1;
  std::int64_t network_heals_at_ms_ = -1;
  std::int64_t disk_has_room_at_ms_ = -1;
  bool disk_may_fail_ = false;     // a fault is planned or was met in this life of the parent
  std::shared_ptr<bool> stopped_;  // while the parent stops of its own accord: whether it has

  WorldCounts counts_;
  std::vector<std::string> violations_;
};

}  // namespace evodb::sim
