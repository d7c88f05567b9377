// Lives and deaths of parents, and what their operators do.
#include <utility>

#include "base/assert.h"
#include "sim/world/world.h"

namespace evodb::sim {

void World::start_parent() {
  EVODB_ASSERT(!parent_, "one parent at a time");
  parent_starts_at_ms_ = -1;
  halted_ = refuses_later_ = false;
  // Sometimes the process or the machine stops in the middle of what follows.
  if (auto amid = strike(Fault::kCrashAmidWrite)) {
    disk_->crash_at(disk_->mutations() + 1 + amid->random.below(400));
  }
  tell("a parent starts");
  ++counts_.restarts;
  parent_ = std::make_unique<ParentLife>(
      ParentLife::Surroundings{network_,
                               random_,
                               *disk_,
                               {ground_, lakehouse_store(), plant_.catalog(catalog()), course_,
                                plan_, [this](const Strike& s) { note(s); }},
                               encoder_,
                               course_,
                               plant_,
                               [this](const std::string& line) { tell("its log: " + line); }});
  const auto started = parent_->start();
  if (!started) return on_failed_start(started.error());
  check_synced();
  // Rot in the newest group may look like a torn tail: that much is said in
  // docs/formats/journal.md, and every child of such a history waits for persisted.
  if (!rotten_) check_recovered_marks();
}

void World::on_failed_start(const Error& error) {
  ++counts_.failed_starts;
  tell("it does not start: " + error.text);
  // A flipped bit may also make a file look like one of a later version.
  const bool refused = error.kind == ErrorKind::kCorrupt || error.kind == ErrorKind::kInvalid;
  if (rotten_ && refused && !disk_->crashed()) return move_journal_aside();
  if (!disk_->crashed() && !disk_may_fail_) {
    violate(Invariant::kStarts, "the parent does not start: " + error.text);
  }
  crash_parent(false, random_);
}

bool World::find_rot() {
  if (!rotten_ || !parent_) return false;
  const bool refuses = parent_->failure() && parent_->failure()->kind == ErrorKind::kCorrupt;
  if (!refuses && !refuses_later_) return false;
  tell("it refuses its journal");
  move_journal_aside();
  return true;
}

void World::move_journal_aside() {
  ++counts_.rot_found;
  lose_journal();
  parent_starts_at_ms_ = now();
}

void World::crash_parent(bool power_loss, base::Random& random) {
  if (parent_) {
    tell(power_loss ? "the parent's machine loses power" : "the parent is killed");
    disk_->crash();
    parent_->die(power_loss && random.below(2) == 0 ? FakeLoop::Crash::kSilent
                                                    : FakeLoop::Crash::kReset);
    parent_.reset();
  }
  const CrashModel power[] = {CrashModel::kLost, CrashModel::kTorn, CrashModel::kReordered};
  disk_->restart(power_loss ? power[random.below(3)] : CrashModel::kKilled, random);
  parent_starts_at_ms_ =
      now() + static_cast<std::int64_t>(random.below(random.below(3) == 0 ? 50 : 2'000));
  disk_may_fail_ = false;
  disk_has_space_at_ms_ = -1;
  stopped_.reset();
}

void World::restart_parent() {
  tell("its operator restarts the parent");
  crash_parent(false, random_);
}

void World::stop_parent() {
  tell("the parent is asked to stop");
  stopped_ = std::make_shared<bool>(false);
  parent_->stop([stopped = stopped_] { *stopped = true; });
}

void World::hand_over_parent() {
  tell("the parent hands over");
  parent_->hand_over([this](const Result<void>& done) {
    tell(done ? "another one has taken over" : "it goes on: " + done.error().text);
  });
}

void World::lose_journal() {
  if (parent_) crash_parent(false, random_);
  tell("the journal is gone");
  for (const auto& path : disk_->paths()) disk_->remove(path);
  for (auto& edge : edges_) edge.told_durable = Lsn();
  rotten_ = false;
  ++journals_lost_;
}

// The parent's machine hangs, its volume is moved to another one, a new parent starts there; then
// the old process goes on as if nothing had happened. Its disk answers it no more, its network and
// the store do.
void World::replace_parent(Strike& strike) {
  tell("the parent is replaced, and goes on writing");
  const CrashModel models[] = {CrashModel::kLost, CrashModel::kTorn, CrashModel::kReordered};
  auto volume = disk_->platter(models[strike.random.below(3)], strike.random);
  disk_->fail_all_mutations(Error{ErrorKind::kInternal, "the volume was detached"});
  start_another_parent(std::move(volume), strike);
}

void World::start_another_parent(std::unique_ptr<FakeDisk> volume, Strike& strike) {
  parent_->loop().stop_listening();
  if (strike.chance(50)) {
    for (const Edge& edge : edges_) network_.cut("parent", edge.outbox->source());
  }
  zombies_.push_back({std::move(disk_), std::move(parent_), now() + strike.ms_below(5'000)});
  disk_ = std::move(volume);
  disk_may_fail_ = false;
  disk_has_space_at_ms_ = -1;
  stopped_.reset();
  parent_starts_at_ms_ = now() + strike.ms_below(1'500);
}

void World::end_superseded(bool all) {
  std::erase_if(zombies_, [&](Zombie& zombie) {
    if (!all && now() < zombie.dies_at_ms) return false;
    tell("the replaced parent ends");
    zombie.disk->crash();
    zombie.life.reset();  // before its disk, which what is left of it refers to
    return true;
  });
}

}  // namespace evodb::sim
