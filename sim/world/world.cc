#include "sim/world/world.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "base/assert.h"

namespace evodb::sim {

namespace {

constexpr std::int64_t step_ms = 20;
constexpr std::size_t violations_max = 20;
constexpr std::size_t journal_header_bytes = 4'096;  // of a segment; docs/formats/journal.md

std::unique_ptr<table::Catalog> shipped_catalog() {
  auto catalog = table::open_sqlite_catalog(":memory:", "evodb", "evodb");
  EVODB_ASSERT(catalog.has_value(), "SQLite gives us memory");
  return std::move(*catalog);
}

}  // namespace

void WorldCounts::add(const WorldCounts& other) {
  changes += other.changes;
  commits += other.commits;
  parent_crashes += other.parent_crashes;
  power_losses += other.power_losses;
  stops += other.stops;
  edge_crashes += other.edge_crashes;
  cuts += other.cuts;
  partitions += other.partitions;
  store_outages += other.store_outages;
  clock_jumps += other.clock_jumps;
  journals_lost += other.journals_lost;
  restores += other.restores;
  new_epochs += other.new_epochs;
  disk_faults += other.disk_faults;
  failed_starts += other.failed_starts;
  trims += other.trims;
  starved_steps += other.starved_steps;
}

World::World(const WorldOptions& options)
    : options_(options),
      network_(options.seed),
      random_(options.seed * 0x9e3779b97f4a7c15u + 1),
      ground_(network_, "ground"),
      store_(ground_.clock()),
      catalog_(shipped_catalog(), ground_, random_),
      oracle_(
          store_,
          [this](const std::string& source) {
            std::vector<const ModelOutbox*> histories;
            for (const Edge& edge : edges_) {
              if (edge.outbox->source() != source) continue;
              for (const auto& former : edge.former) histories.push_back(former.get());
              histories.push_back(edge.outbox.get());
            }
            return histories;
          },
          [this](std::string text) { violate(std::move(text)); }) {
  catalog_.on_commit(
      [this](const std::string& table, const std::string& location, bool superseded) {
        if (superseded) violate(table + ": a parent commits after another has taken over");
        oracle_.on_commit(table, location);
      });
  draw_kinds();
  store_.fail_if([this](const FakeStore::Call& call) { return on_store_call(call); });
  for (std::uint32_t i = 0; i < options.edges; ++i) {
    Edge edge;
    edge.outbox = std::make_unique<ModelOutbox>("edge-" + std::to_string(i), random_);
    // Only who waits for `persisted` may lose a parent's whole disk.
    edge.wait = !kinds_.lost_journal && chance(40) ? WaitLevel::kDurable : WaitLevel::kPersisted;
    edges_.push_back(std::move(edge));
  }
}

World::~World() {
  disk_.crash();
  parent_.reset();
}

void World::draw_kinds() {
  kinds_ = {.power_loss = chance(60),
            .stops_amid_writes = chance(60),
            .edge_crashes = chance(50),
            .cuts = chance(70),
            .store_faults = chance(60),
            .clock_jumps = chance(30),
            .lost_journal = chance(25),
            .disk_faults = chance(30),
            .slow_disk = chance(25),
            .busy = chance(30),
            .stops = chance(50)};
  // Which changes a database lost to a backup had sent cannot be told without the journal.
  kinds_.restores = !kinds_.lost_journal && chance(40);
  const std::uint64_t lives[] = {100, 100, 300, 1'000};
  parent_lives_steps_ = lives[random_.below(4)];
  kinds_.full_journal = chance(20);
  if (kinds_.full_journal) {
    kinds_.busy = true;
    parent_lives_steps_ = 1'000;
  }
  if (chance(40)) manners_.slow_table_ms_max = 600;
  if (!kinds_.store_faults) return;
  manners_.lingering_percent = chance(30) ? 15 : 2;
  catalog_.set_fault_percent(10);
}

// Every call to the store passes here, with faults or without.
std::optional<FakeStore::Fault> World::on_store_call(const FakeStore::Call& call) {
  const bool data = call.key.ends_with(".parquet");
  if (call.kind == FakeStore::Kind::kGet && data && counts_.journals_lost == 0) {
    violate("a parent whose journal is there reads what has landed: " + call.key);
  }
  if (!kinds_.store_faults || !chance(8)) return std::nullopt;
  switch (random_.below(4)) {
    case 0: return FakeStore::Fault::kRetry;
    case 1: return FakeStore::Fault::kUnknownBefore;
    case 2: return FakeStore::Fault::kUnknownAfter;
    default:
      return call.kind == FakeStore::Kind::kPut ? FakeStore::Fault::kInvalid
                                                : FakeStore::Fault::kRetry;
  }
}

void World::violate(std::string text) {
  if (violations_.size() >= violations_max) return;  // the first ones tell
  violations_.push_back("at " + std::to_string(now()) + " ms: " + std::move(text));
}

World::Edge& World::edge_of(const ModelOutbox& outbox) {
  const auto found = std::find_if(edges_.begin(), edges_.end(),
                                  [&](const Edge& edge) { return edge.outbox.get() == &outbox; });
  EVODB_ASSERT(found != edges_.end(), "only an outbox in use is spoken for");
  return *found;
}

// --- processes
// ------------------------------------------------------------------------------------

void World::start_parent() {
  EVODB_ASSERT(!parent_, "one parent at a time");
  parent_starts_at_ms_ = -1;
  // Sometimes the process or the machine stops in the middle of what follows.
  if (kinds_.stops_amid_writes && chance(40))
    disk_.crash_at(disk_.mutations() + 1 + random_.below(400));
  parent_ =
      std::make_unique<ParentLife>(ParentLife::Surroundings{network_,
                                                            random_,
                                                            disk_,
                                                            {ground_, store_, catalog_, manners_},
                                                            encoder_,
                                                            kinds_.slow_disk ? 1'500 : 3});
  const auto started = parent_->start();
  if (started) {
    check_synced();
    return check_recovered_marks();
  }
  if (!disk_.crashed() && !disk_may_fail_) {
    violate("the parent does not start: " + started.error().text);
  }
  ++counts_.failed_starts;
  crash_parent();
}

void World::crash_parent() {
  const bool machine = kinds_.power_loss && chance(50);
  if (parent_) {
    disk_.crash();
    parent_->die(machine && chance(50) ? FakeLoop::Crash::kSilent : FakeLoop::Crash::kReset);
    parent_.reset();
  }
  const CrashModel power[] = {CrashModel::kLost, CrashModel::kTorn, CrashModel::kReordered};
  disk_.restart(machine ? power[random_.below(3)] : CrashModel::kKilled, random_);
  ++(machine ? counts_.power_losses : counts_.parent_crashes);
  parent_starts_at_ms_ = now() + some_ms(chance(30) ? 50 : 2'000);
  disk_may_fail_ = false;
  disk_has_room_at_ms_ = -1;
  stopped_.reset();
}

void World::start_edge(Edge& edge) {
  edge.life.reset();
  edge.life = std::make_unique<EdgeLife>(network_, random_, *edge.outbox, edge.wait, *this);
}

void World::write_some() {
  for (auto& edge : edges_) {
    if (now() < edge.writes_at_ms) continue;
    edge.outbox->transact(UnixMillis(network_.options().wall_start_ms + now()));
    edge.life->notify();
    // Bursts and pauses.
    edge.writes_at_ms = now() + some_ms(chance(10) ? 3'000 : kinds_.busy ? 40 : 120);
  }
}

// --- what must hold
// ---------------------------------------------------------------------------------

void World::on_told_durable(const ModelOutbox& outbox, Lsn lsn) {
  Edge& edge = edge_of(outbox);
  edge.told_durable = std::max(edge.told_durable, lsn);
}

void World::on_told_persisted(const ModelOutbox& outbox, Lsn lsn) {
  oracle_.check_landed(outbox, lsn, "was told persisted");
}

void World::on_trimmed(const ModelOutbox& outbox, Lsn lsn) {
  Edge& edge = edge_of(outbox);
  if (edge.wait == WaitLevel::kPersisted) return oracle_.check_landed(outbox, lsn, "trimmed");
  if (lsn > edge.told_durable) violate(outbox.source() + " trimmed what nobody had made durable");
}

// What survived the crash: every change of which an edge was told that it is durable.
void World::check_recovered_marks() {
  std::map<std::pair<std::string, std::uint64_t>, Lsn> durable;
  parent_->parent().ingest().for_each_source([&](const ingest::SourceMark& mark) {
    durable[{mark.source, mark.epoch.value}] = mark.durable;
  });
  for (const Edge& edge : edges_) {
    const Lsn held = durable[{edge.outbox->source(), edge.outbox->epoch().value}];
    if (held >= edge.told_durable) continue;
    // A parent that lost its journal calls durable what its child had trimmed: that has landed.
    if (counts_.journals_lost > 0 && oracle_.landed_through(*edge.outbox) >= edge.told_durable) {
      continue;
    }
    violate(edge.outbox->source() + " was told durable up to " +
            std::to_string(edge.told_durable.value) + ", the parent recovers " +
            std::to_string(held.value));
  }
}

// Between two events everything that the journal calls durable is on the platter.
void World::check_synced() {
  if (!parent_ || disk_.crashed()) return;
  std::map<std::uint64_t, std::string> segments;  // by the position at which they begin
  for (const std::string& path : disk_.paths()) {
    if (!path.ends_with(".seg")) continue;
    const std::string name = path.substr(path.rfind('/') + 1, 16);
    segments[std::strtoull(name.c_str(), nullptr, 16)] = path;
  }
  const std::uint64_t durable = parent_->parent().journal().durable_end().value;
  for (auto segment = segments.begin(); segment != segments.end(); ++segment) {
    const auto next = std::next(segment);
    const std::uint64_t end = next == segments.end() ? durable : std::min(durable, next->first);
    if (end <= segment->first) continue;
    if (disk_.on_platter(segment->second, journal_header_bytes + (end - segment->first))) continue;
    violate("the journal calls durable what " + segment->second + " would lose");
  }
}

void World::check_bounds() {
  if (!parent_ || disk_.crashed()) return;
  const auto options = ParentLife::options();
  const auto& journal = parent_->parent().journal();
  if (journal.trimmed()) counts_.trims = 1;
  const auto above = [&](const char* what, std::uint64_t is, std::uint64_t may_be) {
    if (is > may_be) {
      violate(std::string(what) + ": " + std::to_string(is) + ", at most " +
              std::to_string(may_be) + " are allowed");
    }
  };
  above("journal", journal.held_bytes(), options.journal.max_bytes);
  // Checkpoints and the filter of a lost journal lie beside it.
  above("disk", disk_.total_bytes(), options.journal.max_bytes + (64u << 10));
  above("in flight", parent_->parent().ingest().stats().inflight_bytes,
        options.ingest.inflight_bytes_max + options.gate.frame_bytes_max);
  for (const Edge& edge : edges_) {
    if (edge.life->starved()) ++counts_.starved_steps;
  }
  parent_->parent().status([this, above, options](const parent::ParentStatus& status) {
    // It asks for room, then takes one record of any size.
    above("lake", status.lake.buffers.bytes,
          options.lake.buffer_bytes_max + 2 * options.gate.frame_bytes_max);
    above("lake, in entries", status.lake.buffers.entries,
          options.lake.buffer_entries_max + EdgeLife::batch_entries);
  });
}

// --- the course of a history
// ------------------------------------------------------------------------

void World::heal() {
  network_.heal_all();
  store_.set_away(false);
  catalog_.set_fault_percent(0);
  manners_ = {};
  kinds_ = {.lost_journal = kinds_.lost_journal};
  if (parent_ && (disk_.crashed() || parent_->failure() || disk_may_fail_ || stopped_)) {
    crash_parent();
  }
  if (!parent_) start_parent();
  disk_.crash_at(0);
}

bool World::all_persisted() const {
  return std::all_of(edges_.begin(), edges_.end(), [](const Edge& edge) {
    return edge.outbox->trimmed() == edge.outbox->head() &&
           (edge.wait == WaitLevel::kPersisted || edge.life->persisted() >= edge.outbox->head());
  });
}

void World::await_all_persisted(const std::string& when) {
  if (network_.run_while_not([this] { return all_persisted(); }, options_.heal_ms_max)) {
    network_.run_for(100);
    const auto left = parent_->parent().ingest().stats().inflight_bytes;
    if (left > 0)
      violate(when + ": nothing is in flight, but counted as such: " + std::to_string(left));
    return;
  }
  for (const auto& edge : edges_) {
    violate(when + ": " + edge.outbox->source() + " is not persisted: head " +
            std::to_string(edge.outbox->head().value) + ", trimmed " +
            std::to_string(edge.outbox->trimmed().value) + "; " + edge.life->describe());
  }
}

void World::run() {
  for (auto& edge : edges_) start_edge(edge);
  start_parent();
  while (now() < options_.trouble_ms) {
    write_some();
    make_trouble();
    network_.run_for(step_ms);
    check_synced();
    check_bounds();
  }
  heal();
  await_all_persisted("after healing");
  stop_and_judge();

  // Once more from the disk: whatever lands again now would be there twice.
  start_parent();
  network_.run_for(5'000);
  await_all_persisted("after one more restart");
  for (const auto& edge : edges_) {
    oracle_.judge(*edge.outbox, "at the end");
    counts_.changes += edge.outbox->head().value;
    counts_.new_epochs += edge.outbox->epoch().value - 1;
    if (edge.former.empty() && edge.outbox->epoch() != Epoch(1)) {
      violate(edge.outbox->source() + " began a new epoch, and nothing was restored");
    }
    if (edge.life->failure()) violate(edge.outbox->source() + ": " + *edge.life->failure());
  }
  oracle_.judge_files("at the end");
  counts_.commits = oracle_.commits();
}

// A parent that is asked to stop while all is well lands what it has called durable.
void World::stop_and_judge() {
  for (auto& edge : edges_) edge.writes_at_ms = 0;
  write_some();
  network_.run_for(some_ms(60));
  const auto stopped = std::make_shared<bool>(false);
  parent_->stop([stopped] { *stopped = true; });
  if (!network_.run_while_not([&] { return *stopped; }, 60'000)) violate("a stop does not end");
  for (const auto& edge : edges_) {
    oracle_.check_landed(*edge.outbox, edge.told_durable, "a stop ended, durable was");
  }
  parent_->die(FakeLoop::Crash::kReset);
  parent_.reset();
}

}  // namespace evodb::sim
