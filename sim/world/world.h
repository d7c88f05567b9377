// World: edges, one parent at a time and a lakehouse in one thread, on a fake clock, a fake network
// that cuts and delays, a disk that forgets what was not synced, and a store that fails and lies.
// The rooms are the shipped ones. One seed is one history.
//
//   World world({.seed = 7, .profile = "power"});
//   world.run();                       // faults, then healing, then the judgement
//   for (const auto& violation : world.violations()) ...
//
// The oracle (oracle.h) looks at every commit; this class adds what edges were told, whether it is
// still so after a crash, the bounds of memory and disk, and that everything lands in the end:
//   world.cc           the course of a history
//   world_checks.cc    what must hold
//   world_parents.cc   lives and deaths of parents
//   strikes.cc         what goes wrong, step by step
//   world_operator.cc  what people and other engines do to catalog and data directory
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "lake/parquet_encoder.h"
#include "parent/parent.h"
#include "sim/plants/plant.h"
#include "sim/seams/fake_disk.h"
#include "sim/seams/fake_loop.h"
#include "sim/seams/fake_network.h"
#include "sim/seams/fake_s3.h"
#include "sim/seams/fake_store.h"
#include "sim/world/course.h"
#include "sim/world/edge_life.h"
#include "sim/world/faults.h"
#include "sim/world/lakehouse.h"
#include "sim/world/model_outbox.h"
#include "sim/world/oracle.h"
#include "sim/world/parent_life.h"
#include "sim/world/people.h"
#include "sim/world/sqlite_database.h"
#include "sim/world/v1_child.h"

namespace evodb::sim {

// A history by what it is made of: the seed alone, or, shrunk, less of what the seed gives.
struct WorldOptions {
  std::uint64_t seed = 1;
  std::string profile = "swarm";
  Plant* plant = nullptr;
  std::uint32_t edges_max = UINT32_MAX;
  std::uint64_t transactions_max = UINT64_MAX;         // of all applications together
  std::int64_t faults_ms_max = INT64_MAX;              // of virtual time
  std::optional<std::set<StrikeName>> only;            // none but these faults
  std::int64_t heal_ms_max = 180'000;                  // then everything must have landed
  std::function<void(const std::string& line)> story;  // told what happens, if set
};

struct Violation {
  Invariant invariant = Invariant::kNothingLost;
  std::int64_t at_ms = 0;
  std::string text;
};

// How much of what happened: a history in which nothing happened proves nothing.
struct WorldCounts {
  std::uint64_t changes = 0, transactions = 0, commits = 0, rows = 0, new_epochs = 0, trims = 0,
                failed_starts = 0, starved_steps = 0, events = 0, restarts = 0, rot_found = 0,
                rejects = 0;
  std::map<Fault, std::uint64_t> faults;
  std::set<std::string> coverage;  // "cut@syncing"
  void add(const WorldCounts& other);
};

class World final : public EdgeWitness {
 public:
  // REQUIRES: options.profile is one.
  explicit World(WorldOptions options);
  ~World() override;

  void run();
  const std::vector<Violation>& violations() const { return violations_; }
  const WorldCounts& counts() const { return counts_; }
  const Course& course() const { return course_; }
  const std::vector<StrikeName>& struck() const { return plan_.struck(); }
  // Of everything that happened: equal for equal options, or something is not deterministic.
  std::uint64_t trace_hash() const;

 private:
  struct Edge {
    std::unique_ptr<ModelOutbox> outbox;
    std::unique_ptr<SqliteDatabase> database;          // of the one that has a real one
    std::vector<std::unique_ptr<ModelOutbox>> former;  // lives of the log that a restore ended
    std::unique_ptr<ModelOutbox> backup;
    std::int64_t loses_power_at_ms = -1;  // then `backup` is what was on its disk
    WaitLevel wait = WaitLevel::kPersisted;
    std::unique_ptr<EdgeLife> life, twin;
    std::int64_t twin_ends_at_ms = -1;
    SeededRandom random{0};  // of the application's pace
    std::int64_t writes_at_ms = 0;
    std::int64_t wall_offset_ms = 0;
    Lsn told_durable;  // in the outbox' present epoch, and not lost on purpose since
    edge::CopyRule on_copy = edge::CopyRule::kWait;
    std::uint64_t starts = 0;  // processes of it so far
    // When it was first copied, or made as a copy: what may tell which of the two was there first.
    struct Copied {
      bool is_copy = false;
      std::uint64_t starts = 0, restarts = 0;  // of its own processes, of parents
    };
    std::optional<Copied> copied;
    bool forked = false;   // restored or copied: it may have to begin epochs
    bool visitor = false;  // comes, writes a little, and goes
  };
  struct Zombie {
    std::unique_ptr<FakeDisk> disk;
    std::unique_ptr<ParentLife> life;
    std::int64_t dies_at_ms = 0;
  };
  // What a database that is no more, or an epoch that is over, had been told.
  struct Told {
    std::string source;
    Epoch epoch;
    Lsn from, through;
  };

  bool chance(std::uint32_t percent) { return random_.below(100) < percent; }
  std::int64_t some_ms(std::uint64_t below) {
    return static_cast<std::int64_t>(random_.below(below));
  }
  std::int64_t now() const { return network_.now().value; }
  UnixMillis wall_now() { return UnixMillis(network_.options().wall_start_ms + now()); }
  void violate(Invariant invariant, std::string text);
  void tell(const std::string& line);
  Edge& edge_of(const ModelOutbox& outbox);
  std::vector<const Application*> applications(const std::string& source) const;

  // --- course
  void begin();
  void start_edge(Edge& edge);
  void create_database(Edge& edge);
  void restart_database(Edge& edge, CrashModel model);
  void write_some();
  void visit();
  void heal();
  bool is_persisted(const Edge& edge) const;
  bool all_persisted() const;
  void await_all_persisted(const std::string& when);
  void stop_and_judge();
  void judge_at_the_end();
  void check_quiet();

  // --- checks
  void check_recovered_marks();
  void check_synced();
  void check_bounds();
  void check_status(const parent::ParentStatus& status);
  void check_chains();
  void check_view(const Edge& edge);
  void check_names();
  void on_told_durable(const ModelOutbox& outbox, Lsn lsn) override;
  void on_told_persisted(const ModelOutbox& outbox, Lsn lsn) override;
  void on_trimmed(const ModelOutbox& outbox, Lsn lsn) override;
  void on_new_epoch(const ModelOutbox& outbox, std::string_view why) override;
  void on_renamed(const ModelOutbox& outbox, std::string_view why) override;

  // --- parents
  void start_parent();
  void on_failed_start(const Error& error);
  void crash_parent(bool power_loss, base::Random& random);
  void restart_parent();  // by its operator
  void stop_parent();
  void hand_over_parent();
  void lose_journal();
  // Whether the parent refused its journal because of flipped bits; then its operator has moved the
  // journal aside, as the error asks.
  bool find_rot();
  void move_journal_aside();
  void replace_parent(Strike& strike);
  // On this disk, soon; the one that runs goes on for a while without new connections.
  void start_another_parent(std::unique_ptr<FakeDisk> volume, Strike& strike);
  void end_superseded(bool all);

  // --- faults
  std::optional<Strike> strike(Fault kind);
  void note(const Strike& strike);
  std::string where() const;
  std::optional<FakeStore::Fault> on_store_call(const FakeStore::Call& call);
  void speak_s3();
  std::optional<FakeS3::Odd> on_s3_request(const store::S3Request& request);
  store::ObjectStore& lakehouse_store() { return s3_ ? *s3_ : store_; }
  void strike_all();
  void strike_parent();
  void strike_disk();
  void rot(Strike& strike);
  void strike_edges();
  void strike_edge(std::size_t index);
  void restore(Edge& edge, base::Random& random, std::uint64_t new_transactions);
  void copy(std::size_t index, Strike& strike);
  void strike_network();
  void strike_store();

  // --- operators and other engines
  FaultyCatalog& catalog() { return *catalogs_.back(); }
  void add_catalog(std::shared_ptr<CatalogFile> file);
  void strike_operator();
  void on_catalog_changed();
  void lose_catalog(Strike& strike);
  void restore_catalog(Strike& strike);
  void restore_data(Strike& strike);
  void copy_data(Strike& strike);
  void journal_went_back();
  std::optional<std::string> some_table(Strike& strike) const;
  // Another engine's commit of metadata that `change` has made of the present one; it may say no.
  void foreign_metadata(const std::string& table,
                        const std::function<bool(nlohmann::json& metadata)>& change);
  void foreign_commit(Strike& strike);
  void foreign_columns(Strike& strike);
  void foreign_table(Strike& strike);
  void return_system_names();

  WorldOptions options_;
  Course course_;
  Plant none_;
  Plant& plant_;
  FaultPlan plan_;
  FakeNetwork network_;
  SeededRandom random_;
  FakeLoop ground_;     // never crashes: the clock of what outlives every process
  FakeLoop app_clock_;  // of the machine with the real database
  std::unique_ptr<FakeDisk> disk_;
  FakeStore store_;
  std::unique_ptr<store::ObjectStore> s3_;  // in front of it, where the course says so
  // The last one is that of the present data directory; plants refer to all of them.
  std::vector<std::unique_ptr<FaultyCatalog>> catalogs_;
  std::shared_ptr<CatalogFile> catalog_backup_;
  struct DataBackup {
    std::map<std::string, std::string> files;  // of the journal's directory
    std::shared_ptr<CatalogFile> catalog;
  };
  std::optional<DataBackup> data_backup_;
  lake::ParquetEncoder encoder_;
  std::vector<Edge> edges_;
  std::unique_ptr<People> people_;
  std::int64_t people_write_at_ms_ = 0;
  std::vector<std::unique_ptr<V1Child>> v1_children_;
  std::vector<std::int64_t> v1_writes_at_ms_;
  std::vector<std::unique_ptr<Replayer>> replayers_;
  std::vector<Told> told_;
  Oracle oracle_;
  std::unique_ptr<ParentLife> parent_;
  std::vector<Zombie> zombies_;

  std::int64_t parent_starts_at_ms_ = -1;
  std::int64_t store_returns_at_ms_ = -1;
  std::int64_t listing_complete_at_ms_ = -1;
  std::int64_t system_names_return_at_ms_ = -1;
  std::int64_t network_heals_at_ms_ = -1;
  std::int64_t disk_has_space_at_ms_ = -1;
  bool healing_ = false;
  bool disk_may_fail_ = false;  // a fault is planned or was met in this life of the parent
  bool rotten_ = false;         // bits flipped on the present disk
  bool halted_ = false;         // landing has stopped; its operator sees that
  bool refuses_later_ = false;  // it has refused its journal since it serves
  std::uint32_t journals_lost_ = 0;
  bool catalog_changed_ = false;   // it was lost or went back: what it knew of the journal, too
  bool epochs_damaged_ = false;    // then the tables are asked what they hold
  std::shared_ptr<bool> stopped_;  // while the parent stops of its own accord: whether it has
  std::uint64_t visits_ = 0;
  std::uint64_t foreign_commits_ = 0;

  WorldCounts counts_;
  std::vector<Violation> violations_;
};

}  // namespace evodb::sim
