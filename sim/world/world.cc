#include "sim/world/world.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "base/assert.h"
#include "lake/landed_filter.h"
#include "table/append.h"

namespace evodb::sim {

namespace {

constexpr std::int64_t step_ms = 20;

std::unique_ptr<table::Catalog> shipped_catalog() {
  auto catalog = table::open_sqlite_catalog(":memory:", "evodb", "evodb");
  EVODB_ASSERT(catalog.has_value(), "SQLite gives us memory");
  return std::move(*catalog);
}

}  // namespace

World::World(const WorldOptions& options)
    : options_(options),
      network_(options.seed),
      random_(options.seed * 0x9e3779b97f4a7c15u + 1),
      ground_(network_, "ground"),
      store_(ground_.clock()),
      catalog_(shipped_catalog(), random_) {
  with_power_loss_ = chance(60);
  with_edge_crashes_ = chance(50);
  with_cuts_ = chance(70);
  with_store_faults_ = chance(60);
  with_clock_jumps_ = chance(30);
  with_lost_journal_ = chance(25);
  if (with_store_faults_) {
    catalog_.set_fault_percent(10);
    store_.fail_if([this](const FakeStore::Call&) -> std::optional<FakeStore::Fault> {
      if (!chance(8)) return std::nullopt;
      switch (random_.below(3)) {
        case 0: return FakeStore::Fault::kRetry;
        case 1: return FakeStore::Fault::kUnknownBefore;
        default: return FakeStore::Fault::kUnknownAfter;
      }
    });
  }
  for (std::uint32_t i = 0; i < options.edges; ++i) {
    Edge edge;
    edge.outbox = std::make_unique<ModelOutbox>("edge-" + std::to_string(i), random_);
    // Only who waits for `persisted` may lose a parent's whole disk.
    edge.wait = !with_lost_journal_ && chance(40) ? WaitLevel::kDurable : WaitLevel::kPersisted;
    edges_.push_back(std::move(edge));
  }
}

World::~World() {
  disk_.crash();
  parent_.reset();
}

void World::violate(std::string text) {
  violations_.push_back("at " + std::to_string(network_.now().value) + " ms: " + std::move(text));
}

void World::start_parent() {
  EVODB_ASSERT(!parent_, "one parent at a time");
  parent_starts_at_ms_ = -1;
  // Sometimes the disk stops in the middle of what follows.
  if (with_power_loss_ && chance(40)) disk_.crash_at(disk_.mutations() + 1 + random_.below(400));
  parent_ = std::make_unique<ParentLife>(
      ParentLife::Surroundings{network_, random_, disk_, store_, catalog_, encoder_});
  const auto started = parent_->start();
  if (!started) {
    if (!disk_.crashed()) violate("the parent does not start: " + started.error().text);
    ++counts_.failed_starts;
    crash_parent();
  }
}

void World::crash_parent() {
  const bool machine = disk_.crashed() || (with_power_loss_ && chance(50));
  disk_.crash();
  parent_->die(machine && chance(50) ? FakeLoop::Crash::kSilent : FakeLoop::Crash::kReset);
  parent_.reset();
  const CrashModel power[] = {CrashModel::kLost, CrashModel::kTorn, CrashModel::kReordered};
  disk_.restart(machine ? power[random_.below(3)] : CrashModel::kKilled, random_);
  ++(machine ? counts_.power_losses : counts_.parent_crashes);
  parent_starts_at_ms_ = network_.now().value + static_cast<std::int64_t>(random_.below(2'000));
}

void World::lose_journal() {
  if (parent_) crash_parent();
  for (const auto& path : disk_.paths()) disk_.remove(path);
  ++counts_.journals_lost;
}

void World::start_edge(Edge& edge) {
  edge.life.reset();
  edge.life = std::make_unique<EdgeLife>(network_, random_, *edge.outbox, edge.wait);
}

void World::write_some() {
  const std::int64_t now = network_.now().value;
  for (auto& edge : edges_) {
    if (now < edge.writes_at_ms) continue;
    edge.outbox->transact(UnixMillis(network_.options().wall_start_ms + now));
    edge.life->notify();
    // Bursts and pauses.
    edge.writes_at_ms = now + static_cast<std::int64_t>(random_.below(chance(10) ? 3'000 : 120));
  }
}

void World::make_trouble() {
  const std::int64_t now = network_.now().value;
  if (parent_ && (disk_.crashed() || chance(1) || (parent_->failure() && chance(20)))) {
    if (parent_->failure() && !disk_.crashed() && parent_->failure()->kind != ErrorKind::kRetry) {
      violate("the parent gives up: " + parent_->failure()->text);
    }
    crash_parent();
  }
  if (with_lost_journal_ && counts_.journals_lost < 2 && random_.below(400) == 0) lose_journal();
  if (!parent_ && parent_starts_at_ms_ >= 0 && now >= parent_starts_at_ms_) start_parent();

  for (auto& edge : edges_) {
    if (with_edge_crashes_ && random_.below(150) == 0) {
      start_edge(edge);
      ++counts_.edge_crashes;
    }
    if (edge.life->failure()) {
      violate(edge.outbox->source() + " gives up: " + *edge.life->failure());
      start_edge(edge);
    }
  }
  if (with_cuts_ && random_.below(60) == 0) {
    const std::string& edge = edges_[random_.below(edges_.size())].outbox->source();
    if (chance(60)) {
      network_.cut("parent", edge);
      ++counts_.cuts;
    } else {
      network_.partition(chance(50) ? "parent" : edge, chance(50) ? edge : "parent");
      network_heals_at_ms_ = now + static_cast<std::int64_t>(random_.below(4'000));
      ++counts_.partitions;
    }
  }
  if (network_heals_at_ms_ >= 0 && now >= network_heals_at_ms_) {
    network_.heal_all();
    network_heals_at_ms_ = -1;
  }
  if (with_store_faults_ && store_returns_at_ms_ < 0 && random_.below(300) == 0) {
    store_.set_away(true);
    store_returns_at_ms_ = now + static_cast<std::int64_t>(random_.below(5'000));
    ++counts_.store_outages;
  }
  if (store_returns_at_ms_ >= 0 && now >= store_returns_at_ms_) {
    store_.set_away(false);
    store_returns_at_ms_ = -1;
  }
  if (with_clock_jumps_ && parent_ && random_.below(200) == 0) {
    parent_->loop().set_wall_offset_ms(static_cast<std::int64_t>(random_.below(7'200'000)) -
                                       3'600'000);
    ++counts_.clock_jumps;
  }
}

void World::heal() {
  network_.heal_all();
  store_.clear_faults();
  store_.set_away(false);
  catalog_.set_fault_percent(0);
  with_power_loss_ = false;
  if (parent_ && (disk_.crashed() || parent_->failure())) crash_parent();
  if (!parent_) start_parent();
  disk_.crash_at(0);
}

bool World::all_persisted() const {
  return std::all_of(edges_.begin(), edges_.end(), [](const Edge& edge) {
    return edge.outbox->trimmed() == edge.outbox->head() &&
           (edge.wait == WaitLevel::kPersisted || edge.life->persisted() >= edge.outbox->head());
  });
}

void World::run() {
  for (auto& edge : edges_) start_edge(edge);
  start_parent();
  while (network_.now().value < options_.trouble_ms) {
    write_some();
    make_trouble();
    network_.run_for(step_ms);
  }
  heal();
  if (!network_.run_while_not([this] { return all_persisted(); }, options_.heal_ms_max)) {
    for (const auto& edge : edges_) {
      violate(edge.outbox->source() + " is not persisted after healing: head " +
              std::to_string(edge.outbox->head().value) + ", trimmed " +
              std::to_string(edge.outbox->trimmed().value) + "; " + edge.life->describe());
    }
  }
  for (const auto& edge : edges_) {
    counts_.changes += edge.outbox->head().value;
    if (edge.outbox->epoch() != Epoch(1)) violate(edge.outbox->source() + " began a new epoch");
    if (edge.life->failure()) violate(edge.outbox->source() + ": " + *edge.life->failure());
  }
  judge("after healing");

  // Once more from the disk: whatever lands again now would be there twice.
  crash_parent();
  start_parent();
  network_.run_for(5'000);
  judge("after one more restart");
}

void World::judge(const std::string& when) {
  std::map<std::string, std::string> locations;
  const auto tables = catalog_.list();
  EVODB_ASSERT(tables.has_value(), "the catalog is healed");
  for (const auto& entry : *tables) locations[entry.name] = entry.metadata_location;

  using Identity = std::tuple<std::string, std::uint64_t, std::uint64_t>;  // source, epoch, LSN
  std::map<std::string, std::map<Identity, int>> landed;
  for (const auto& [table, location] : locations) {
    const auto live = table::list_live_files(store_, location);
    if (!live) return violate(when + ": " + table + " cannot be read: " + live.error().text);
    for (const auto& file : live->data) {
      const auto key = store_.key_of(file.location);
      const auto bytes = key ? store_.get(*key) : Result<std::string>(fail(key.error()));
      if (!bytes) return violate(when + ": " + bytes.error().text);
      const auto read =
          lake::scan_identities(*bytes, [&](std::string_view source, Epoch epoch, Lsn lsn) {
            ++landed[table][{std::string(source), epoch.value, lsn.value}];
          });
      if (!read) return violate(when + ": " + file.location + ": " + read.error().text);
    }
  }
  std::uint64_t missing = 0, rows = 0, twice = 0;
  std::uint64_t written = 0;
  for (const auto& edge : edges_) {
    for (const auto& change : edge.outbox->written()) {
      ++written;
      std::string table = change.table + "_changes";
      std::transform(table.begin(), table.end(), table.begin(), ::tolower);
      const auto found = landed[table].find({edge.outbox->source(), 1, change.lsn.value});
      if (found == landed[table].end()) ++missing;
    }
  }
  for (const auto& [table, identities] : landed) {
    for (const auto& [identity, count] : identities) {
      rows += static_cast<std::uint64_t>(count);
      if (count > 1) ++twice;
    }
  }
  if (missing != 0 || twice != 0 || rows != written) {
    violate(when + ": " + std::to_string(written) + " changes written, " + std::to_string(rows) +
            " rows landed, " + std::to_string(missing) + " missing, " + std::to_string(twice) +
            " twice");
  }
}

}  // namespace evodb::sim
