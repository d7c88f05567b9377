// What must hold in a history, but for what the oracle sees at commits.
#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "sim/world/world.h"

namespace evodb::sim {

namespace {
constexpr std::size_t journal_header_bytes = 4'096;  // of a segment; docs/formats/journal.md
// What is allowed a virtual second when nothing is to be done: keepalives and one wheel's ticks.
constexpr std::uint64_t quiet_events_a_second = 12;
constexpr std::int64_t quiet_ms = 20'000;
}  // namespace

void World::on_told_durable(const ModelOutbox& outbox, Lsn lsn) {
  Edge& edge = edge_of(outbox);
  const bool looks =
      parent_ && !disk_->crashed() && !parent_->lost() && !parent_->parent().journal().poisoned();
  Lsn durable;
  if (looks) {
    parent_->parent().ingest().for_each_source([&](const ingest::SourceMark& mark) {
      if (mark.source == outbox.source() && mark.epoch == outbox.epoch()) durable = mark.durable;
    });
  }
  // A word may have been under way when the journal that it stood for was lost.
  if (journals_lost_ > 0 && lsn > durable) return;
  edge.told_durable = std::max(edge.told_durable, lsn);
  // Who was replaced, or speaks for an epoch that is over, hears of another parent's syncs.
  const bool one_history = zombies_.empty() && !rotten_ && !edge.twin && !edge.forked;
  if (looks && one_history && lsn > durable) {
    violate(Invariant::kDurableAfterSync,
            outbox.source() + " is told durable up to " + std::to_string(lsn.value) +
                ", the parent has synced up to " + std::to_string(durable.value));
  }
}

void World::on_told_persisted(const ModelOutbox& outbox, Lsn lsn) {
  oracle_.check_landed(outbox, lsn, Invariant::kPersistedAfterCommit, "was told persisted");
}

void World::on_trimmed(const ModelOutbox& outbox, Lsn lsn) {
  Edge& edge = edge_of(outbox);
  if (edge.wait == WaitLevel::kPersisted) {
    return oracle_.check_landed(outbox, lsn, Invariant::kTrimAfterAck, "trimmed");
  }
  if (lsn > edge.told_durable) {
    violate(Invariant::kTrimAfterAck, outbox.source() + " trimmed what nobody had made durable");
  }
}

void World::on_new_epoch(const ModelOutbox& outbox, std::string_view why) {
  Edge& edge = edge_of(outbox);
  tell(outbox.source() + " begins epoch " + std::to_string(outbox.epoch().value) + ": " +
       std::string(why));
  // What was told under the old epoch is judged at the end by its changes, under any epoch.
  edge.told_durable = Lsn();
}

void World::on_renamed(const ModelOutbox& outbox, std::string_view why) {
  Edge& edge = edge_of(outbox);
  tell("a copy is called " + outbox.source() + " now: " + std::string(why));
  counts_.coverage.insert("a copy takes another name");
  edge.told_durable = Lsn();
  if (!edge.copied || edge.copied->is_copy || edge.copied->starts != edge.starts ||
      edge.copied->restarts != counts_.restarts) {
    return;  // whoever comes first behind a restart counts as the original
  }
  violate(Invariant::kView, outbox.source() + " was there before its copy, and had to give way");
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
    if (journals_lost_ > 0 && oracle_.landed_through(*edge.outbox) >= edge.told_durable) continue;
    violate(Invariant::kDurableSurvives, edge.outbox->source() + " was told durable up to " +
                                             std::to_string(edge.told_durable.value) +
                                             ", the parent recovers " + std::to_string(held.value));
  }
}

// Between two events everything that the journal calls durable is on the platter.
void World::check_synced() {
  if (!parent_ || disk_->crashed()) return;
  std::map<std::uint64_t, std::string> segments;  // by the position at which they begin
  for (const std::string& path : disk_->paths()) {
    if (!path.ends_with(".seg")) continue;
    const std::string name = path.substr(path.rfind('/') + 1, 16);
    segments[std::strtoull(name.c_str(), nullptr, 16)] = path;
  }
  const std::uint64_t durable = parent_->parent().journal().durable_end().value;
  for (auto segment = segments.begin(); segment != segments.end(); ++segment) {
    const auto next = std::next(segment);
    const std::uint64_t end = next == segments.end() ? durable : std::min(durable, next->first);
    if (end <= segment->first) continue;
    if (disk_->on_platter(segment->second, journal_header_bytes + (end - segment->first))) continue;
    violate(Invariant::kDurableAfterSync,
            "the journal calls durable what " + segment->second + " would lose");
  }
}

void World::check_bounds() {
  if (!parent_ || disk_->crashed()) return;
  const auto options = ParentLife::options(course_);
  const auto& journal = parent_->parent().journal();
  if (journal.trimmed()) counts_.trims = 1;
  const auto above = [&](const char* what, std::uint64_t is, std::uint64_t may_be) {
    if (is > may_be) {
      violate(Invariant::kBounds, std::string(what) + ": " + std::to_string(is) + ", at most " +
                                      std::to_string(may_be) + " are allowed");
    }
  };
  above("journal", journal.held_bytes(), options.journal.max_bytes);
  // Checkpoints, the filter of a lost journal, and own.epochs, while it is replaced, lie beside it.
  above("disk", disk_->total_bytes(),
        options.journal.max_bytes + (68u << 10) + 200 * (edges_.size() + 1));
  above("in flight", parent_->parent().ingest().stats().inflight_bytes,
        options.ingest.inflight_bytes_max + options.gate.frame_bytes_max);
  for (const Edge& edge : edges_) {
    if (edge.life && edge.life->starved()) ++counts_.starved_steps;
  }
  parent_->parent().status([this](const parent::ParentStatus& status) { check_status(status); });
}

void World::check_status(const parent::ParentStatus& status) {
  const auto options = ParentLife::options(course_);
  // It asks for room, then takes one record of any size.
  if (status.lake.buffers.bytes >
      options.lake.buffer_bytes_max + 2 * options.gate.frame_bytes_max) {
    violate(Invariant::kBounds,
            "lake: " + std::to_string(status.lake.buffers.bytes) + " bytes buffered");
  }
  if (status.lake.buffers.entries > options.lake.buffer_entries_max + EdgeLife::batch_entries) {
    violate(Invariant::kBounds,
            "lake: " + std::to_string(status.lake.buffers.entries) + " entries buffered");
  }
  if (status.gate.held_bytes > options.gate.partial_bytes_max) {
    violate(Invariant::kBounds, "gate: " + std::to_string(status.gate.held_bytes) + " bytes held");
  }
  const gate::GateStats& gate = status.gate;
  if (gate.hibernated > gate.children || gate.children > gate.websockets ||
      gate.websockets > gate.connections) {
    violate(Invariant::kBounds, "the gate's counts of connections contradict each other: " +
                                    std::to_string(gate.hibernated) + " hibernated of " +
                                    std::to_string(gate.children) + " children of " +
                                    std::to_string(gate.connections));
  }
  counts_.rejects = std::max(counts_.rejects, status.lake.entries_rejected);
  const bool halted = status.landing_halted.has_value();
  if (halted && !halted_ && !disk_may_fail_ && !rotten_ && !disk_->crashed()) {
    violate(Invariant::kStarts, status.landing_halted->text);
  }
  halted_ = halted_ || halted;
  // A parent that served children before it could look at the tables says so in its status.
  refuses_later_ = refuses_later_ || std::ranges::any_of(status.degraded, [](const Error& why) {
                     return why.kind == ErrorKind::kCorrupt;
                   });
}

// Both sides have folded the same changes, each on its own.
void World::check_chains() {
  if (!parent_ || !violations_.empty()) return;
  parent_->parent().ingest().for_each_source([this](const ingest::SourceMark& mark) {
    if (!mark.ordered || !mark.chain_known) return;
    std::size_t with_that_name = 0;
    const ModelOutbox* outbox = nullptr;
    for (const Edge& edge : edges_) {
      if (edge.outbox->source() != mark.source) continue;
      ++with_that_name;
      if (edge.outbox->epoch() == mark.epoch) outbox = edge.outbox.get();
    }
    // Two copies of a database may have shared this epoch for a while.
    if (with_that_name != 1 || outbox == nullptr || mark.received != outbox->head()) return;
    if (mark.received_chain != outbox->chain()) {
      violate(Invariant::kChain, mark.source + ": parent and child hold other chains at LSN " +
                                     std::to_string(mark.received.value));
    }
  });
}

// When nothing is to be done, next to nothing happens: no timer breeds timers.
void World::check_quiet() {
  if (!parent_ || !violations_.empty()) return;
  network_.run_for(2'000);
  const std::uint64_t before = network_.events_run();
  network_.run_for(quiet_ms);
  const std::uint64_t events = network_.events_run() - before;
  // Whoever has a real database looks at it now and then.
  std::uint64_t connections = v1_children_.size() + (people_ ? 2 : 0);
  for (const Edge& edge : edges_) connections += edge.life ? 1 : 0;
  const std::uint64_t allowed = quiet_events_a_second * (quiet_ms / 1'000) * (connections + 1);
  if (events > allowed) {
    violate(Invariant::kTimers, std::to_string(events) + " events in " +
                                    std::to_string(quiet_ms / 1'000) + " idle seconds, at most " +
                                    std::to_string(allowed) + " are allowed");
  }
}

// Copies were told apart.
void World::check_names() {
  if (!course_.knows_copies) return;
  std::set<std::string> names;
  for (const Edge& edge : edges_) {
    if (names.insert(edge.outbox->source()).second) continue;
    violate(Invariant::kView, "two databases stream as " + edge.outbox->source() + " in the end");
  }
}

// Who folds the changes of a source has its rows.
void World::check_view(const Edge& edge) {
  const std::string& source = edge.outbox->source();
  if (std::ranges::count(edges_, source, [](const Edge& e) { return e.outbox->source(); }) != 1) {
    return;  // copies that nobody told apart
  }
  auto there = oracle_.view(source), written = edge.outbox->view();
  std::erase_if(written, [](const auto& table) { return table.second.empty(); });
  for (const auto& [table, rows] : written) {
    for (const auto& [id, row] : rows) {
      const auto found = there[table].find(id);
      if (found == there[table].end() || found->second != row) {
        return violate(Invariant::kView, "at the end: " + source + " has a row " + id + " in " +
                                             table + " that whoever folds the changes has not");
      }
    }
  }
  for (const auto& [table, rows] : there) {
    for (const auto& [id, row] : rows) {
      if (written[table].contains(id)) continue;
      return violate(Invariant::kView, "at the end: " + source + " has no row " + id + " in " +
                                           table + ", whoever folds the changes has");
    }
  }
}

void World::judge_at_the_end() {
  oracle_.settle([this](const std::string& table) { return catalog().foreign_load(table); });
  check_names();
  for (const auto& edge : edges_) {
    oracle_.judge(*edge.outbox, "at the end");
    check_view(edge);
    counts_.changes += edge.outbox->changes();
    const bool another = edge.outbox->epoch() != edge.outbox->first_epoch();
    if (another && !edge.database) counts_.new_epochs += edge.outbox->epoch().value - 1;
    if (!edge.forked && another) {
      violate(Invariant::kEpochs,
              edge.outbox->source() + " began a new epoch, and nothing was restored");
    }
    if (edge.life && edge.life->failure()) {
      violate(Invariant::kStarts, edge.outbox->source() + ": " + *edge.life->failure());
    }
  }
  if (people_ && !people_->failure().empty()) {
    violate(Invariant::kStarts, "people: " + people_->failure());
  }
  if (people_ && people_->failure().empty()) {
    const std::string differs = people_->check(oracle_.view(People::source));
    if (!differs.empty()) violate(Invariant::kView, "at the end: people: " + differs);
  }
  if (parent_ && course_.has_lives() && !course_.knows_copies) {
    if (const auto found = parent_->parent().ingest().stats().copies_found; found != 0) {
      violate(Invariant::kEpochs,
              std::to_string(found) + " databases were called copies, and nothing was copied");
    }
  }
  for (const auto& child : v1_children_) {
    counts_.changes += child->changes();
    if (child->refusals_without_id() != 0) {
      violate(Invariant::kLiveness, child->source() + " was refused without its correlation id " +
                                        std::to_string(child->refusals_without_id()) + " times");
    }
    if (child->refusals_of_another() != 0) {
      violate(Invariant::kLiveness, child->source() +
                                        " was refused under another batch's sequence " +
                                        std::to_string(child->refusals_of_another()) + " times");
    }
    for (std::uint64_t lsn = 1; lsn <= child->changes(); ++lsn) {
      if (child->has_lsn(lsn) ? oracle_.has_landed(child->source(), Epoch(0), Lsn(lsn))
                              : child->is_rejected(lsn)) {
        continue;
      }
      violate(Invariant::kNothingLost,
              "at the end: " + child->source() + ": LSN " + std::to_string(lsn) + " is missing");
      break;
    }
  }
  // A database that is gone was told that these are safe, and so they are.
  for (const Told& told : told_) {
    for (Lsn lsn(told.from.value + 1); journals_lost_ == 0 && lsn <= told.through;
         lsn = Lsn(lsn.value + 1)) {
      if (oracle_.has_landed(told.source, told.epoch, lsn)) continue;
      violate(Invariant::kNothingLost,
              "at the end: " + told.source + " epoch " + std::to_string(told.epoch.value) +
                  ": LSN " + std::to_string(lsn.value) + " was called durable before the restore");
      break;
    }
  }
  oracle_.judge_files("at the end");
}

}  // namespace evodb::sim
