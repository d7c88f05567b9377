#include "sim/world/world.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/assert.h"

namespace evodb::sim {

namespace {

constexpr std::int64_t step_ms = 20;  // on average
constexpr std::size_t violations_max = 20;
constexpr std::uint64_t visitor_transactions = 2;

Course course_of(const WorldOptions& options) {
  auto course = draw_course(options.profile, options.seed);
  EVODB_ASSERT(course.has_value(), "the profile exists");
  course->edges = std::min(course->edges, options.edges_max);
  course->faults_ms = std::min(course->faults_ms, options.faults_ms_max);
  return *course;
}

}  // namespace

void WorldCounts::add(const WorldCounts& other) {
  changes += other.changes;
  transactions += other.transactions;
  commits += other.commits;
  rows += other.rows;
  new_epochs += other.new_epochs;
  trims += other.trims;
  failed_starts += other.failed_starts;
  starved_steps += other.starved_steps;
  events += other.events;
  restarts += other.restarts;
  rot_found += other.rot_found;
  rejects += other.rejects;
  for (const auto& [fault, n] : other.faults) faults[fault] += n;
  coverage.insert(other.coverage.begin(), other.coverage.end());
}

World::World(WorldOptions options)
    : options_(std::move(options)),
      course_(course_of(options_)),
      plant_(options_.plant != nullptr ? *options_.plant : none_),
      plan_(options_.seed, course_.rates, options_.only),
      network_(options_.seed),
      random_(options_.seed * 0x9e3779b97f4a7c15u + 1),
      ground_(network_, "ground"),
      app_clock_(network_, "application"),
      disk_(std::make_unique<FakeDisk>()),
      store_(ground_.clock()),
      oracle_(
          store_, [this](const std::string& source) { return applications(source); },
          [this](Invariant invariant, std::string text) { violate(invariant, std::move(text)); }) {
  add_catalog(new_catalog_file());
  store_.fail_if([this](const FakeStore::Call& call) { return on_store_call(call); });
  if (course_.speaks_s3) speak_s3();
  network_.options().delay_us_max = course_.delay_us_max;
  network_.options().window_bytes = course_.window_bytes;
}

World::~World() {
  disk_->crash();
  for (Zombie& zombie : zombies_) zombie.disk->crash();
  parent_.reset();
  zombies_.clear();
}

std::uint64_t World::trace_hash() const {
  // What the network folds, and what it cannot see.
  std::uint64_t hash = network_.trace_hash();
  for (const std::uint64_t v :
       {counts_.changes, counts_.commits, counts_.rows, disk_->mutations(), store_.calls()}) {
    hash = SeededRandom(hash ^ v).next();
  }
  for (const StrikeName& name : plan_.struck()) {
    hash = SeededRandom(hash ^ (static_cast<std::uint64_t>(name.kind) << 32 | name.number)).next();
  }
  return hash;
}

void World::violate(Invariant invariant, std::string text) {
  tell("VIOLATION " + std::string(invariant_name(invariant)) + ": " + text);
  if (violations_.size() >= violations_max) return;  // the first ones tell
  violations_.push_back({invariant, now(), std::move(text)});
}

void World::tell(const std::string& line) {
  if (!options_.story) return;
  char time[32];
  std::snprintf(time, sizeof time, "%10.3f s  ", static_cast<double>(network_.now_us()) / 1e6);
  options_.story(time + line);
}

World::Edge& World::edge_of(const ModelOutbox& outbox) {
  const auto found = std::find_if(edges_.begin(), edges_.end(),
                                  [&](const Edge& edge) { return edge.outbox.get() == &outbox; });
  EVODB_ASSERT(found != edges_.end(), "only an outbox in use is spoken for");
  return *found;
}

std::vector<const Application*> World::applications(const std::string& source) const {
  std::vector<const Application*> found;
  for (const Edge& edge : edges_) {
    if (!edge.outbox->names().contains(source)) continue;
    for (const auto& former : edge.former) found.push_back(former.get());
    found.push_back(edge.outbox.get());
  }
  if (people_ && source == People::source) found.push_back(people_.get());
  for (const auto& child : v1_children_) {
    if (child->source() == source) found.push_back(child.get());
  }
  return found;
}

// --- the course of a history ---------------------------------------------------------------------

void World::begin() {
  for (std::uint32_t i = 0; i < course_.edges; ++i) {
    Edge edge;
    const bool real = course_.sqlite && i == 0;
    // Streams of its own: fewer edges leave the others as they were.
    edge.random = SeededRandom(options_.seed * 31 + i);
    edge.outbox = std::make_unique<ModelOutbox>(
        ModelOptions{.source = "edge-" + std::to_string(i),
                     .seed = edge.random.next(),
                     .first_lsn = course_.first_lsn == 0 || real ? 0 : course_.first_lsn + 7 * i,
                     // SQLite's affinities would make other values of them.
                     .odd_values = course_.odd_values && !real,
                     .has_lives = course_.has_lives()});
    if (course_.wait_durable && edge.random.below(2) == 0) edge.wait = WaitLevel::kDurable;
    edges_.push_back(std::move(edge));
  }
  if (course_.sqlite) create_database(edges_[0]);
  for (auto& edge : edges_) start_edge(edge);
  if (course_.people) {
    people_ =
        std::make_unique<People>(network_, random_, options_.seed * 11 + 5, plant_,
                                 [this](const std::string& line) { tell("people: " + line); });
    if (const auto created = people_->create(); !created) {
      violate(Invariant::kStarts, "capture cannot be installed: " + created.error().text);
      people_.reset();
    }
  }
  for (std::uint32_t i = 0; i < course_.v1_children; ++i) {
    v1_children_.push_back(
        std::make_unique<V1Child>(network_, "v1-" + std::to_string(i), options_.seed * 131 + i,
                                  V1ChildOptions{.wrong_percent = course_.v1_wrong_percent}));
    v1_writes_at_ms_.push_back(0);
  }
}

void World::create_database(Edge& edge) {
  edge.database =
      std::make_unique<SqliteDatabase>(*edge.outbox, app_clock_.clock(), options_.seed * 7 + 3);
  if (const auto created = edge.database->create(); !created) {
    violate(Invariant::kStarts, "capture cannot be installed: " + created.error().text);
    edge.database.reset();
  }
}

void World::restart_database(Edge& edge, CrashModel model) {
  edge.life.reset();
  if (const auto there = edge.database->restart(model); !there) {
    violate(Invariant::kNothingLost, edge.outbox->source() + ": " + there.error().text);
  }
}

void World::start_edge(Edge& edge) {
  edge.life.reset();
  ++edge.starts;
  edge.outbox->open();
  if (edge.database) restart_database(edge, CrashModel::kKilled);
  capture::Outbox& log = edge.database ? static_cast<capture::Outbox&>(*edge.database)
                                       : static_cast<capture::Outbox&>(*edge.outbox);
  edge.life = std::make_unique<EdgeLife>(
      network_, random_, *edge.outbox, log,
      EdgeLifeOptions{.wait = edge.wait,
                      // Whoever waits to be given a name gets one in the end.
                      .on_copy = healing_ ? edge::CopyRule::kRename : edge.on_copy,
                      .newer_minor = strike(Fault::kNewerMinor).has_value(),
                      .wall_offset_ms = edge.wall_offset_ms},
      *this, plant_);
}

void World::write_some() {
  const auto pause_ms = [&](SeededRandom& random) {
    // Bursts and pauses.
    const bool rests = random.below(10) == 0;
    return static_cast<std::int64_t>(
        random.below(rests ? 3'000 : static_cast<std::uint64_t>(course_.pause_ms_max)));
  };
  for (auto& edge : edges_) {
    if (edge.visitor || now() < edge.writes_at_ms) continue;
    if (counts_.transactions >= options_.transactions_max) return;
    ++counts_.transactions;
    edge.outbox->transact(UnixMillis(wall_now().value + edge.wall_offset_ms));
    if (edge.database) {
      app_clock_.set_wall_offset_ms(edge.wall_offset_ms);
      if (const auto written = edge.database->apply(); !written) {
        violate(Invariant::kStarts, edge.outbox->source() + ": " + written.error().text);
      }
    }
    edge.life->notify();
    if (edge.twin) edge.twin->notify();
    edge.writes_at_ms = now() + pause_ms(edge.random);
  }
  if (people_ && now() >= people_write_at_ms_ && counts_.transactions < options_.transactions_max) {
    ++counts_.transactions;
    people_->write();
    people_write_at_ms_ = now() + some_ms(static_cast<std::uint64_t>(course_.pause_ms_max) * 2);
  }
  for (std::size_t i = 0; i < v1_children_.size(); ++i) {
    if (now() < v1_writes_at_ms_[i] || counts_.transactions >= options_.transactions_max) continue;
    ++counts_.transactions;
    v1_children_[i]->write(wall_now());
    v1_writes_at_ms_[i] = now() + some_ms(static_cast<std::uint64_t>(course_.pause_ms_max) * 2);
  }
}

// Sources that come, write a little, and go when that is safe; the oracle remembers them.
void World::visit() {
  if (course_.visitors == 0 || healing_) return;
  const std::int64_t due = static_cast<std::int64_t>(course_.visitors) * now() /
                           std::max<std::int64_t>(1, course_.faults_ms);
  for (; static_cast<std::int64_t>(visits_) < due; ++visits_) {
    Edge edge;
    edge.visitor = true;
    edge.outbox = std::make_unique<ModelOutbox>(ModelOptions{
        .source = "visitor-" + std::to_string(visits_), .seed = options_.seed * 977 + visits_});
    for (std::uint64_t n = 0; n < visitor_transactions; ++n) edge.outbox->transact(wall_now());
    edges_.push_back(std::move(edge));
    start_edge(edges_.back());
  }
  for (auto& edge : edges_) {
    if (edge.visitor && edge.life && edge.outbox->trimmed() == edge.outbox->head()) {
      edge.life.reset();
    }
  }
}

void World::heal() {
  tell("--- healing: nothing goes wrong from here on");
  healing_ = true;
  plan_.end();
  course_.sync_ms_max = 3;
  course_.store_ms_max = course_.slow_table_ms_max = 30;
  network_.options().delay_us_max = 500;
  network_.options().window_bytes = 64u << 10;
  network_.heal_all();
  store_.set_away(false);
  store_.set_list_lag_ms(0);
  end_superseded(true);
  replayers_.clear();
  return_system_names();
  for (auto& edge : edges_) {
    edge.twin.reset();
    if (edge.loses_power_at_ms >= 0) edge.loses_power_at_ms = -1;
    const bool waits = course_.knows_copies && edge.forked;
    if (!edge.visitor && edge.life && (edge.life->failure() || waits)) start_edge(edge);
  }
  if (parent_ && (disk_->crashed() || parent_->failure() || disk_may_fail_ || stopped_ || rotten_ ||
                  halted_)) {
    restart_parent();
  }
  // A start may find rot in the journal, or, once it has looked at the tables, that its end is
  // gone.
  for (int i = 0; i < 5; ++i) {
    if (!parent_) start_parent();
    network_.run_for(rotten_ ? 500 : 0);
    if (parent_ && rotten_) {
      parent_->parent().status(
          [this](const parent::ParentStatus& status) { check_status(status); });
      network_.run_for(100);
    }
    if (parent_ && !find_rot()) break;
  }
  disk_->crash_at(0);
}

bool World::is_persisted(const Edge& edge) const {
  const Lsn head = edge.outbox->head();
  if (edge.outbox->trimmed() != head) return false;
  // An epoch that began with everything trimmed has nothing to persist.
  return edge.wait == WaitLevel::kPersisted || !edge.life || edge.life->persisted() >= head ||
         edge.outbox->epoch_base() == head;
}

bool World::all_persisted() const {
  return std::ranges::all_of(edges_, [this](const Edge& e) { return is_persisted(e); }) &&
         (!people_ || people_->is_persisted()) &&
         std::ranges::all_of(v1_children_,
                             [](const auto& child) { return child->all_acknowledged(); });
}

void World::await_all_persisted(const std::string& when) {
  if (!parent_) return;  // it does not start; that was said
  if (course_.rate(Fault::kForeignColumns) > 0) {
    // A table that was dropped came back as it was before its columns had their names again.
    network_.run_for(5'000);
    return_system_names();
  }
  const auto in_flight = [this] { return parent_->parent().ingest().stats().inflight_bytes; };
  const auto at_rest = [&] { return all_persisted() && in_flight() == 0; };
  const auto hopeless = [&] {
    return std::ranges::any_of(v1_children_,
                               [](const auto& child) { return child->is_hopeless(); });
  };
  if (network_.run_while_not([&] { return at_rest() || hopeless(); }, options_.heal_ms_max) &&
      at_rest()) {
    network_.run_for(100);
    return;
  }
  if (all_persisted()) {
    violate(Invariant::kBounds,
            when + ": nothing is in flight, but counted as such: " + std::to_string(in_flight()));
  }
  parent_->parent().status([this](const parent::ParentStatus& status) {
    for (const Error& why : status.degraded) tell("the parent is degraded: " + why.text);
  });
  network_.run_for(100);
  for (const auto& edge : edges_) {
    if (is_persisted(edge)) continue;
    violate(Invariant::kLiveness, when + ": " + edge.outbox->source() + ": head " +
                                      std::to_string(edge.outbox->head().value) + ", trimmed " +
                                      std::to_string(edge.outbox->trimmed().value) + "; " +
                                      (edge.life ? edge.life->describe() : "gone"));
  }
  if (people_ && !people_->is_persisted()) {
    violate(Invariant::kLiveness, when + ": people: " + people_->describe());
  }
  for (const auto& child : v1_children_) {
    if (!child->all_acknowledged()) {
      violate(Invariant::kLiveness, when + ": " + child->source() + ": " + child->describe());
    }
  }
}

void World::run() {
  begin();
  start_parent();
  while (now() < course_.faults_ms) {
    write_some();
    visit();
    strike_all();
    network_.run_for(1 + some_ms(2 * step_ms - 1));  // whatever anybody is in the middle of
    if (parent_ && parent_->lost()) on_failed_start(Error(*parent_->lost()));
    check_synced();
    check_bounds();
  }
  heal();
  await_all_persisted("after healing");
  check_chains();
  check_quiet();
  stop_and_judge();

  // Once more from the disk: whatever lands again now would be there twice.
  start_parent();
  network_.run_for(5'000);
  await_all_persisted("after one more restart");
  // Clients of the first generation are told of durable only.
  if (!v1_children_.empty()) network_.run_for(5'000);
  judge_at_the_end();
  counts_.commits = oracle_.commits();
  counts_.rows = oracle_.rows();
  counts_.events = network_.events_run();
}

// A parent that is asked to stop while all is well lands what it has called durable.
void World::stop_and_judge() {
  if (!parent_) return;
  for (auto& edge : edges_) edge.writes_at_ms = 0;
  write_some();
  network_.run_for(some_ms(60));
  tell("the parent is asked to stop");
  const auto stopped = std::make_shared<bool>(false);
  parent_->stop([stopped] { *stopped = true; });
  if (!network_.run_while_not([&] { return *stopped; }, 60'000)) {
    violate(Invariant::kStopLands, "a stop does not end");
  }
  for (const auto& edge : edges_) {
    oracle_.check_landed(*edge.outbox, edge.told_durable, Invariant::kStopLands,
                         "a stop ended, durable was");
  }
  parent_->die(FakeLoop::Crash::kReset);
  parent_.reset();
}

}  // namespace evodb::sim
