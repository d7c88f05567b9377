// What goes wrong in a history. All of it is drawn from the seed, step by step.
#include <utility>

#include "base/assert.h"
#include "sim/world/world.h"
#include "store/s3_store.h"
#include "store/sigv4.h"

namespace evodb::sim {

namespace {
constexpr std::uint64_t copies_max = 2;    // under one name
constexpr std::size_t databases_max = 10;  // copies of copies land no sooner than others
constexpr std::uint32_t journals_lost_max = 2;
}  // namespace

std::optional<Strike> World::strike(Fault kind) {
  auto strike = plan_.strikes(kind);
  if (strike) note(*strike);
  return strike;
}

void World::note(const Strike& strike) {
  ++counts_.faults[strike.name.kind];
  counts_.coverage.insert(std::string(fault_name(strike.name.kind)) + "@" + where());
  tell(to_string(strike.name) + " while " + where());
}

// The step of the protocol at which the parent is.
std::string World::where() const {
  if (!parent_) return "down";
  if (!parent_->open()) return "starting";
  std::string where;
  if (stopped_) where = "stopping ";
  if (parent_->parent().journal().has_pending()) where += "syncing ";
  if (const std::string& store = parent_->store_runner().where(); !store.empty()) {
    where += "flush:" + store;
  }
  return where.empty() ? "idle" : where;
}

// Every call to the store passes here, with faults or without.
std::optional<FakeStore::Fault> World::on_store_call(const FakeStore::Call& call) {
  const bool data = call.key.ends_with(".parquet");
  if (call.kind == FakeStore::Kind::kGet && data && journals_lost_ == 0 && !catalog_changed_ &&
      !epochs_damaged_) {
    violate(Invariant::kReadsLittle,
            "a parent whose journal is there reads what has landed: " + call.key);
  }
  if (auto error = strike(Fault::kStoreError)) {
    if (error->chance(70) || call.kind != FakeStore::Kind::kPut) return FakeStore::Fault::kRetry;
    return FakeStore::Fault::kInvalid;
  }
  if (auto ambiguous = strike(Fault::kStoreAmbiguous)) {
    return ambiguous->chance(50) ? FakeStore::Fault::kUnknownBefore
                                 : FakeStore::Fault::kUnknownAfter;
  }
  return std::nullopt;
}

// The shipped S3Store, over a server in front of the same objects.
void World::speak_s3() {
  auto server = std::make_unique<FakeS3>(
      store_, [](std::string_view bytes) { return "\"" + store::md5_hex(bytes) + "\""; },
      [this](const store::S3Request& request) { return on_s3_request(request); });
  s3_ = store::S3Store::open({.url = "s3://warehouse", .side_by_side = false},
                             plant_.s3(std::move(server)))
            .value();
}

std::optional<FakeS3::Odd> World::on_s3_request(const store::S3Request& request) {
  auto odd = strike(Fault::kOddAnswer);
  if (!odd) return std::nullopt;
  const auto what = static_cast<FakeS3::Oddity>(
      odd->random.below(static_cast<std::uint64_t>(FakeS3::Oddity::kCount)));
  counts_.coverage.insert("odd-answer:" + std::string(oddity_name(what)) + " to " + request.method);
  // A server that sends us elsewhere has done nothing before.
  const bool carried_out = odd->chance(50) && what != FakeS3::Oddity::kRedirect;
  tell(request.what + ": " + std::string(oddity_name(what)) +
       (carried_out ? ", carried out" : ", not carried out"));
  return FakeS3::Odd{what, carried_out};
}

void World::strike_all() {
  end_superseded(false);
  strike_parent();
  strike_operator();
  strike_disk();
  strike_edges();
  strike_network();
  strike_store();
}

void World::strike_parent() {
  if (parent_ && stopped_ && *stopped_) {
    tell("the parent has stopped");
    parent_->die(FakeLoop::Crash::kReset);
    parent_.reset();
    crash_parent(false, random_);
  }
  find_rot();
  if (parent_ && parent_->failure() && !disk_->crashed() && !disk_may_fail_ && !rotten_ &&
      parent_->failure()->kind != ErrorKind::kRetry) {
    violate(Invariant::kStarts, "the parent gives up: " + parent_->failure()->text);
  }
  // A process that a fault made useless is ended by whoever watches it.
  const bool useless =
      parent_ && (parent_->failure() || halted_ || parent_->parent().journal().poisoned());
  if (useless && chance(20)) restart_parent();
  auto power = strike(Fault::kParentPowerLoss);
  auto kill = strike(Fault::kParentKill);
  if (parent_ && disk_->crashed()) {
    crash_parent(chance(50) && course_.rate(Fault::kParentPowerLoss) > 0, random_);
  } else if (power && parent_) {
    crash_parent(true, power->random);
  } else if (kill && parent_) {
    crash_parent(false, kill->random);
  }
  const bool serves =
      parent_ && parent_->open() && !parent_->handing_over() && !stopped_ && !disk_->crashed();
  if (strike(Fault::kHandOver) && serves) hand_over_parent();
  if (auto stop = strike(Fault::kParentStop);
      stop && parent_ && !stopped_ && !parent_->handing_over()) {
    stop_parent();
  }
  if (auto zombie = strike(Fault::kZombie);
      zombie && parent_ && parent_->open() && !stopped_ && !disk_->crashed()) {
    replace_parent(*zombie);
  }
  if (journals_lost_ < journals_lost_max && strike(Fault::kJournalLost)) lose_journal();
  if (!parent_ && parent_starts_at_ms_ >= 0 && now() >= parent_starts_at_ms_) start_parent();
  if (auto jump = strike(Fault::kClockJump)) {
    const std::int64_t offset_ms = jump->ms_below(7'200'000) - 3'600'000;
    if (parent_ && jump->chance(60)) {
      parent_->loop().set_wall_offset_ms(offset_ms);
    } else {
      Edge& edge = edges_[jump->random.below(edges_.size())];
      edge.wall_offset_ms = offset_ms;
      if (edge.life) edge.life->loop().set_wall_offset_ms(offset_ms);
    }
  }
}

// A sync or a write that fails, a disk that is full for a while, a bit that flips.
void World::strike_disk() {
  if (disk_has_space_at_ms_ >= 0 && now() >= disk_has_space_at_ms_) {
    tell("the disk has room again");
    disk_->fail_all_mutations(std::nullopt);
    disk_has_space_at_ms_ = -1;
  }
  if (!parent_ || disk_->crashed()) return;
  if (auto error = strike(Fault::kDiskError)) {
    disk_may_fail_ = true;
    disk_->fail_mutation(disk_->mutations() + 1 + error->random.below(20),
                         {ErrorKind::kInternal, "input/output error"});
  }
  if (auto error = strike(Fault::kSyncError)) {
    disk_may_fail_ = true;
    disk_->fail_next_sync({ErrorKind::kInternal, "input/output error"});
  }
  if (auto full = strike(Fault::kDiskFull)) {
    disk_may_fail_ = true;
    disk_->fail_all_mutations(Error{ErrorKind::kNoSpace, "no space left on device"});
    disk_has_space_at_ms_ = now() + full->ms_below(3'000);
  }
  if (auto flip = strike(Fault::kBitRot)) rot(*flip);
}

void World::rot(Strike& strike) {
  const auto paths = disk_->paths();
  if (paths.empty()) return;
  const std::string& path = paths[strike.random.below(paths.size())];
  const std::size_t bytes = disk_->contents(path).size();
  if (bytes == 0) return;
  const std::uint64_t bit = strike.random.below(bytes * 8);
  tell("bit " + std::to_string(bit) + " of " + path + " flips");
  disk_->flip_bit(path, bit);
  if (path.ends_with("/own.epochs")) epochs_damaged_ = true;
  rotten_ = true;
  // A journal that lost its newest group unseen (see on the journal's page) may know less than was
  // trimmed.
  for (Edge& edge : edges_) edge.forked = true;
}

void World::strike_edges() {
  const std::size_t count = edges_.size();
  for (std::size_t i = 0; i < count; ++i) {
    if (!edges_[i].visitor) strike_edge(i);
  }
  if (people_) {
    if (auto act = strike(Fault::kPeople)) {
      const std::string did = people_->act(*act);
      tell("somebody " + did);
      counts_.coverage.insert("somebody " + did);
    }
    if (strike(Fault::kEdgeKill)) people_->restart_edge();
    if (strike(Fault::kCut)) network_.cut("parent", People::source);
  }
  for (auto& child : v1_children_) {
    if (strike(Fault::kEdgeKill)) child->restart();
    if (strike(Fault::kSendsAgain)) child->send_again();
  }
  std::erase_if(replayers_, [](const auto& replayer) { return replayer->done(); });
}

void World::strike_edge(std::size_t index) {
  Edge* edge = &edges_[index];
  if (edge->life->failure()) {
    // A bad frame from a half-written stream is no reason to give up; nothing here is.
    violate(Invariant::kStarts, edge->outbox->source() + " gives up: " + *edge->life->failure());
    start_edge(*edge);
  }
  if (strike(Fault::kEdgeKill)) start_edge(*edge);
  if (edge->database) {
    // Restores, copies and second processes are the models' part.
    if (auto power = strike(Fault::kEdgePowerLoss)) {
      const CrashModel models[] = {CrashModel::kLost, CrashModel::kTorn, CrashModel::kReordered};
      tell(edge->outbox->source() + "'s machine loses power");
      restart_database(*edge, models[power->random.below(3)]);
      start_edge(*edge);
    }
    return;
  }
  if (edge->twin && now() >= edge->twin_ends_at_ms) edge->twin.reset();
  if (auto twin = strike(Fault::kTwin); twin && !edge->twin) {
    edge->outbox->open();
    edge->twin = std::make_unique<EdgeLife>(network_, random_, *edge->outbox, *edge->outbox,
                                            EdgeLifeOptions{.wait = edge->wait}, *this, plant_);
    edge->twin_ends_at_ms = now() + 200 + twin->ms_below(4'000);
  }
  if (auto replay = strike(Fault::kReplay); replay && !edge->life->sent().empty()) {
    replayers_.push_back(std::make_unique<Replayer>(network_, edge->life->sent()));
  }
  if (auto back = strike(Fault::kRestore)) {
    if (!edge->backup) {
      edge->backup = std::make_unique<ModelOutbox>(*edge->outbox);
    } else if (edge->loses_power_at_ms < 0) {
      restore(*edge, back->random, back->random.below(12));
    }
  }
  if (edge->loses_power_at_ms >= 0 && now() >= edge->loses_power_at_ms) {
    edge->loses_power_at_ms = -1;
    tell(edge->outbox->source() + " loses power, and its last transactions");
    restore(*edge, edge->random, 0);
  }
  if (auto power = strike(Fault::kEdgePowerLoss); power && edge->loses_power_at_ms < 0) {
    // What is on its disk now is what will be there.
    edge->backup = std::make_unique<ModelOutbox>(*edge->outbox);
    edge->loses_power_at_ms = now() + power->ms_below(400);
  }
  if (auto copied = strike(Fault::kCopy)) copy(index, *copied);
}

// The application's database as it was a while ago, and something else written into it since.
void World::restore(Edge& edge, base::Random& random, std::uint64_t new_transactions) {
  tell(edge.outbox->source() + " goes back from LSN " + std::to_string(edge.outbox->head().value) +
       " to " + std::to_string(edge.backup->head().value));
  edge.life.reset();
  edge.twin.reset();
  told_.push_back(
      {edge.outbox->source(), edge.outbox->epoch(), edge.outbox->epoch_base(), edge.told_durable});
  edge.former.push_back(std::move(edge.outbox));
  edge.outbox = std::move(edge.backup);
  edge.outbox->diverge(random.next());
  edge.told_durable = Lsn();
  edge.forked = true;
  for (; new_transactions > 0; --new_transactions) edge.outbox->transact(wall_now());
  start_edge(edge);
}

void World::copy(std::size_t index, Strike& strike) {
  std::uint64_t with_that_name = 0;
  for (const Edge& edge : edges_) {
    with_that_name += edge.outbox->source() == edges_[index].outbox->source() ? 1 : 0;
  }
  if (with_that_name > copies_max || edges_.size() >= databases_max) return;
  tell(edges_[index].outbox->source() + " is copied; both go on");
  Edge edge;
  edge.outbox = std::make_unique<ModelOutbox>(*edges_[index].outbox);
  edge.outbox->diverge(strike.random.next());
  edge.random = SeededRandom(strike.random.next());
  edge.wait = edges_[index].wait;
  if (course_.knows_copies) {
    edge.on_copy = edges_[index].on_copy =
        strike.chance(60) ? edge::CopyRule::kRename : edge::CopyRule::kWait;
    if (edges_[index].life->is_connected()) {
      // An earlier copy may still be about: a start since then lets that one be known first.
      if (!edges_[index].copied) {
        edges_[index].copied = Edge::Copied{false, edges_[index].starts, counts_.restarts};
      }
      edge.copied = Edge::Copied{true, 1, counts_.restarts};
    } else {
      edge.copied = edges_[index].copied = Edge::Copied{true, 0, 0};  // nobody can tell
    }
  }
  edge.forked = edges_[index].forked = true;
  edges_.push_back(std::move(edge));
  start_edge(edges_.back());
}

void World::strike_network() {
  const auto some_edge = [&](Strike& s) {
    return edges_[s.random.below(edges_.size())].outbox->source();
  };
  if (auto cut = strike(Fault::kCut)) network_.cut("parent", some_edge(*cut));
  for (const auto& child : v1_children_) {
    if (strike(Fault::kCut)) network_.cut("parent", child->source());
  }
  if (auto partition = strike(Fault::kPartition)) {
    const std::string edge = some_edge(*partition);
    const bool up = partition->chance(50);
    network_.partition(up ? edge : "parent", up ? "parent" : edge);
    network_heals_at_ms_ = now() + partition->ms_below(4'000);
  }
  if (auto slow = strike(Fault::kSlowReader)) {
    network_.partition("parent", some_edge(*slow));
    network_heals_at_ms_ = now() + slow->ms_below(2'500);
  }
  if (network_heals_at_ms_ >= 0 && now() >= network_heals_at_ms_) {
    network_.heal_all();
    network_heals_at_ms_ = -1;
  }
}

void World::strike_store() {
  auto outage = strike(Fault::kStoreOutage);
  if (outage && store_returns_at_ms_ < 0) {
    store_.set_away(true);
    store_returns_at_ms_ = now() + outage->ms_below(outage->chance(30) ? 12'000 : 5'000);
  }
  // A store that stays away until all is healed: the journal fills, and credit must come back by
  // itself, without a restart or a reconnect that hands it out anew.
  if (course_.fills_journal && store_returns_at_ms_ < 0 && course_.faults_ms - now() < 8'000) {
    tell("the store is away until healing");
    store_.set_away(true);
    store_returns_at_ms_ = course_.faults_ms;
  }
  if (store_returns_at_ms_ >= 0 && now() >= store_returns_at_ms_) {
    tell("the store is back");
    store_.set_away(false);
    store_returns_at_ms_ = -1;
  }
  if (auto lag = strike(Fault::kListLag)) {
    store_.set_list_lag_ms(1 + lag->ms_below(10'000));
    listing_complete_at_ms_ = now() + lag->ms_below(8'000);
  }
  if (listing_complete_at_ms_ >= 0 && now() >= listing_complete_at_ms_) {
    store_.set_list_lag_ms(0);
    listing_complete_at_ms_ = -1;
  }
  if (auto foreign = strike(Fault::kForeignCommit)) foreign_commit(*foreign);
  if (auto foreign = strike(Fault::kForeignColumns)) foreign_columns(*foreign);
  if (auto foreign = strike(Fault::kForeignTable)) foreign_table(*foreign);
  if (system_names_return_at_ms_ >= 0 && now() >= system_names_return_at_ms_) return_system_names();
}

}  // namespace evodb::sim
