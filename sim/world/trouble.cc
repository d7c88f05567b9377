// What goes wrong in a history. All of it is drawn from the seed, step by step.
#include <utility>

#include "sim/world/world.h"

namespace evodb::sim {

void World::make_trouble() {
  trouble_parent();
  trouble_disk();
  trouble_edges();
  trouble_network();
  trouble_store();
}

void World::trouble_parent() {
  if (parent_ && stopped_ && *stopped_) {
    parent_->die(FakeLoop::Crash::kReset);
    parent_.reset();
    crash_parent();  // of the machine only, if at all
    ++counts_.stops;
  }
  const bool useless = parent_ && (parent_->failure() || parent_->parent().journal().poisoned());
  const bool killed = random_.below(parent_lives_steps_) == 0;
  if (parent_ && (disk_.crashed() || killed || (useless && chance(20)))) {
    if (parent_->failure() && !disk_.crashed() && !disk_may_fail_ &&
        parent_->failure()->kind != ErrorKind::kRetry) {
      violate("the parent gives up: " + parent_->failure()->text);
    }
    crash_parent();
  }
  if (kinds_.stops && parent_ && !stopped_ && random_.below(200) == 0) stop_parent();
  if (kinds_.lost_journal && counts_.journals_lost < 2 && random_.below(400) == 0) lose_journal();
  if (!parent_ && parent_starts_at_ms_ >= 0 && now() >= parent_starts_at_ms_) start_parent();
  if (kinds_.clock_jumps && parent_ && random_.below(200) == 0) {
    parent_->loop().set_wall_offset_ms(some_ms(7'200'000) - 3'600'000);
    ++counts_.clock_jumps;
  }
}

void World::stop_parent() {
  stopped_ = std::make_shared<bool>(false);
  parent_->stop([stopped = stopped_] { *stopped = true; });
}

void World::lose_journal() {
  if (parent_) crash_parent();
  for (const auto& path : disk_.paths()) disk_.remove(path);
  for (auto& edge : edges_) edge.told_durable = Lsn();
  ++counts_.journals_lost;
}

// A sync or a write that fails, or a disk that is full for a while.
void World::trouble_disk() {
  if (disk_has_room_at_ms_ >= 0 && now() >= disk_has_room_at_ms_) {
    disk_.fail_all_mutations(std::nullopt);
    disk_has_room_at_ms_ = -1;
  }
  if (!kinds_.disk_faults || !parent_ || disk_.crashed() || random_.below(150) != 0) return;
  ++counts_.disk_faults;
  disk_may_fail_ = true;
  if (chance(50)) {
    disk_.fail_mutation(disk_.mutations() + 1 + random_.below(20),
                        {ErrorKind::kInternal, "input/output error"});
  } else {
    disk_.fail_all_mutations(Error{ErrorKind::kOverLimit, "no space left on device"});
    disk_has_room_at_ms_ = now() + some_ms(3'000);
  }
}

void World::trouble_edges() {
  for (auto& edge : edges_) {
    if (kinds_.edge_crashes && random_.below(150) == 0) {
      start_edge(edge);
      ++counts_.edge_crashes;
    }
    if (kinds_.restores && random_.below(300) == 0) {
      if (edge.backup) {
        restore(edge);
      } else {
        edge.backup = std::make_unique<ModelOutbox>(*edge.outbox);
      }
    }
    if (edge.life->failure()) {
      violate(edge.outbox->source() + " gives up: " + *edge.life->failure());
      start_edge(edge);
    }
  }
}

// The application's database as it was a while ago, and something else written into it since.
void World::restore(Edge& edge) {
  edge.life.reset();
  edge.former.push_back(std::move(edge.outbox));
  edge.outbox = std::move(edge.backup);
  edge.told_durable = Lsn();
  for (std::uint64_t n = random_.below(12); n > 0; --n) {
    edge.outbox->transact(UnixMillis(network_.options().wall_start_ms + now()));
  }
  start_edge(edge);
  ++counts_.restores;
}

void World::trouble_network() {
  if (kinds_.cuts && random_.below(60) == 0) {
    const std::string& edge = edges_[random_.below(edges_.size())].outbox->source();
    if (chance(60)) {
      network_.cut("parent", edge);
      ++counts_.cuts;
    } else {
      network_.partition(chance(50) ? "parent" : edge, chance(50) ? edge : "parent");
      network_heals_at_ms_ = now() + some_ms(4'000);
      ++counts_.partitions;
    }
  }
  if (network_heals_at_ms_ >= 0 && now() >= network_heals_at_ms_) {
    network_.heal_all();
    network_heals_at_ms_ = -1;
  }
}

void World::trouble_store() {
  if (kinds_.store_faults && store_returns_at_ms_ < 0 && random_.below(300) == 0) {
    store_.set_away(true);
    store_returns_at_ms_ = now() + some_ms(chance(kinds_.busy ? 60 : 10) ? 12'000 : 5'000);
    ++counts_.store_outages;
  }
  // A store that stays away until all is healed: the journal fills, and credit must come back by
  // itself, without a restart or a reconnect that hands it out anew.
  const std::int64_t left_ms = options_.trouble_ms - now();
  if (kinds_.full_journal && store_returns_at_ms_ < 0 && left_ms < 8'000) {
    store_.set_away(true);
    store_returns_at_ms_ = options_.trouble_ms;
    ++counts_.store_outages;
  }
  if (store_returns_at_ms_ >= 0 && now() >= store_returns_at_ms_) {
    store_.set_away(false);
    store_returns_at_ms_ = -1;
  }
}

}  // namespace evodb::sim
