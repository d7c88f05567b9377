#include "parent/landing.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/assert.h"

namespace evodb::parent {

namespace {
// How much one pump reads before it lets other work of the executor run.
constexpr std::uint64_t pump_bytes_max = 4u << 20;
constexpr std::int64_t look_again_ms = 2;

// What no retry of the same flush repairs, and what is not the store's: what we know of the catalog
// or the table is no longer so, or it cannot be read.
bool is_of_the_table(ErrorKind kind) {
  return kind == ErrorKind::kStale || kind == ErrorKind::kNotFound || kind == ErrorKind::kExists ||
         kind == ErrorKind::kCorrupt;
}
}  // namespace

// Shared with timers and flushing threads that may outlive the Landing. `landing` is cleared on the
// landing executor, where every use of it happens too.
struct LandingLife {
  Landing* landing = nullptr;
  std::atomic<bool> wake_posted = false;

  void pump_posted() {
    wake_posted = false;
    if (landing != nullptr) landing->pump();
  }
};

Landing::Landing(const Seams& seams, journal::Journal& journal, std::unique_ptr<SetAside> aside,
                 const lake::FlushOptions& flush_options, Events& events)
    : seams_(seams),
      journal_(journal),
      flush_options_(flush_options),
      commits_(std::make_shared<table::CommitCache>(flush_options.metadata_cache_bytes_max)),
      events_(events),
      aside_(std::move(aside)),
      life_(std::make_shared<LandingLife>()) {
  life_->landing = this;
}

Landing::~Landing() { life_->landing = nullptr; }

void Landing::wake() {
  if (life_->wake_posted.exchange(true)) return;
  seams_.executor.post([life = life_] { life->pump_posted(); });
}

void Landing::look_again() {
  if (life_->wake_posted.exchange(true)) return;
  seams_.executor.post_after(look_again_ms, [life = life_] { life->pump_posted(); });
}

void Landing::start(std::unique_ptr<lake::Lake> lake) {
  EVODB_ASSERT(!lake_ || running_.empty(), "a lake is replaced when nothing of it runs any more");
  stopping_ = false;
  stopped_ = nullptr;
  lake_ = std::move(lake);
  any_waits_ = lake_->any_waits();
  aside_error_.reset();
  failing_.clear();
  // The journal may be full, and wait for this lake's word, not for one beyond the earlier lake's.
  reported_landed_ = read_end_ = Position();
  const Position first = journal_.first();
  cursor_ = aside_->cursor_before(first, journal_.read_from(first));
  pump();
}

void Landing::pump() {
  if (!lake_) return settle_pending_flushes();
  const Read read = read_some();
  settle_aside();
  start_flushes();
  give_up_refused();
  report();
  settle_pending_flushes();
  if (read == Read::kHasMore) return wake();
  if (read == Read::kAll) look_again();
  schedule_wake();
}

// kHasMore: and there is room for it right now.
Landing::Read Landing::read_some() {
  if (halted_ || stopping_) return Read::kNothing;
  std::uint64_t bytes = 0;
  while (lake_->has_room()) {
    journal::Record record;
    auto got = cursor_->next(&record);
    if (got && !*got) return bytes > 0 ? Read::kAll : Read::kNothing;
    if (got) {
      const auto taken = lake_->on_record(record, seams_.clock.wall(), seams_.clock.monotonic());
      bytes += record.payload.size();
      read_end_ = record.end;
      if (!taken) halted_ = taken.error();
      if (taken && lake_->last_is_aside()) set_aside(record);
    } else if (got.error().kind == ErrorKind::kRetry) {
      wake_at(base::MonotonicMillis(seams_.clock.monotonic().value + 100));
      return Read::kNothing;
    } else {
      halted_ = got.error();
    }
    if (halted_) return Read::kNothing;
    if (bytes >= pump_bytes_max) return Read::kHasMore;
  }
  return Read::kNothing;  // a finished flush makes room and pumps again
}

// Where that does not go, the journal keeps the record, and all behind it, as it did before.
void Landing::set_aside(const journal::Record& record) {
  if (aside_error_) return;
  const auto kept = aside_->append(record, lake_->last_definitions());
  if (!kept) {
    aside_error_ = kept.error();
  } else if (!*kept) {
    aside_error_ =
        Error{ErrorKind::kOverLimit, "what is set aside for tables that wait has reached " +
                                         std::to_string(aside_->bytes()) +
                                         " bytes (fallback.set_aside_max_bytes)"};
  }
}

void Landing::settle_aside() {
  if (aside_error_) return;
  if (any_waits_) {
    if (auto synced = aside_->sync(); !synced) {
      aside_error_ = synced.error();
      return;
    }
    return lake_->release_aside();
  }
  if (aside_->empty() || lake_->landed_through() < aside_->last_end()) return;
  if (auto cleared = aside_->clear(); !cleared) aside_error_ = cleared.error();
}

void Landing::start_flushes() {
  if (stopping_) return;
  while (auto job = lake_->next_flush(seams_.clock.monotonic())) {
    auto machine =
        std::make_shared<lake::FlushMachine>(std::move(job), seams_.encoder, seams_.store.naming(),
                                             seams_.clock, seams_.random, flush_options_, commits_);
    const std::uint64_t id = machine->id().value;
    running_.emplace(id, machine);
    seams_.store.flush(machine, [life = life_, &executor = seams_.executor, id] {
      executor.post([life, id] {
        Landing* self = life->landing;
        if (self == nullptr) return;
        const auto machine = self->running_.extract(id).mapped();
        self->lake_->on_flush_done(machine->id(), machine->outcome(),
                                   self->seams_.clock.monotonic());
        if (const auto outcome = machine->outcome(); outcome) {
          self->on_committed(machine->table());
        } else {
          self->on_failed(machine->table(), outcome.error());
        }
        if (self->stopping_ && self->running_.empty() && self->stopped_) {
          self->report();
          std::exchange(self->stopped_, nullptr)();
          return;
        }
        self->pump();
      });
    });
  }
}

void Landing::on_committed(const std::string& table) {
  // The store answers: the other flushes need not sit out their wait.
  for (auto& [id, waiting] : running_) {
    if (waiting->last_error()) failing_.try_emplace(waiting->table());
    waiting->hurry();
  }
  failing_.erase(table);
  for (auto& [other, failing] : failing_) {
    if (!failing.alone_since) failing.alone_since = seams_.clock.monotonic();
  }
  if (stale_.erase(table) > 0) events_.on_well(table);
}

void Landing::on_failed(const std::string& table, const Error& why) {
  if (is_of_the_table(why.kind)) {
    stale_.insert(table);
    return events_.on_stale(table, why);
  }
  if (stopping_ || why.kind == ErrorKind::kFenced) return;
  failing_.try_emplace(table);
  if (!is_refused(table)) return;
  failing_.erase(table);
  stale_.insert(table);
  events_.on_refused(table, why);
}

bool Landing::is_refused(const std::string& table) const {
  const auto it = failing_.find(table);
  return it != failing_.end() && it->second.alone_since &&
         seams_.clock.monotonic().value - it->second.alone_since->value >= refused_after_ms;
}

// A flush that is tried again and again ends here, and on_failed() says so.
void Landing::give_up_refused() {
  for (auto& [id, machine] : running_) {
    if (is_refused(machine->table())) machine->give_up();
  }
}

void Landing::report() {
  std::vector<lake::PersistedMark> marks;
  lake_->take_persisted(&marks);
  if (!marks.empty()) events_.on_persisted(std::move(marks));
  Position landed = lake_->landed_through();
  // A journal that holds no record (any more) has landed as far as it goes.
  if (landed >= read_end_) landed = std::max(landed, cursor_->position());
  if (landed > reported_landed_) {
    reported_landed_ = landed;
    events_.on_landed(landed, !any_waits_);
  }
}

void Landing::settle_pending_flushes() {
  if (pending_flushes_.empty()) return;
  Position landed;
  if (lake_) {
    for (auto& pending : pending_flushes_) {
      if (pending.requested) continue;
      // While there is no room to read on, flushing what was read makes some.
      pending.requested = cursor_->position() >= pending.target;
      lake_->request_flush();
    }
    start_flushes();
    landed = lake_->landed_through();
  }
  const auto now = seams_.clock.monotonic();
  std::vector<PendingFlush> waiting;
  for (auto& pending : std::exchange(pending_flushes_, {})) {
    if (landed >= pending.target) {
      pending.done(true);
    } else if (now >= pending.deadline || halted_) {
      pending.done(false);  // it goes on landing all the same; only this caller stops waiting
    } else {
      waiting.push_back(std::move(pending));
    }
  }
  for (auto& pending : waiting) pending_flushes_.push_back(std::move(pending));
}

void Landing::schedule_wake() {
  auto when = lake_->next_deadline();
  for (const auto& pending : pending_flushes_) {
    if (!when || pending.deadline < *when) when = pending.deadline;
  }
  for (const auto& [table, failing] : failing_) {
    if (!failing.alone_since) continue;
    const base::MonotonicMillis at(failing.alone_since->value + refused_after_ms);
    if (at > seams_.clock.monotonic() && (!when || at < *when)) when = at;
  }
  if (when && !stopping_) wake_at(*when);
}

void Landing::wake_at(base::MonotonicMillis when) {
  const auto now = seams_.clock.monotonic();
  if (wake_scheduled_ && *wake_scheduled_ > now && *wake_scheduled_ <= when) return;
  const std::int64_t delay = std::max<std::int64_t>(when.value - now.value, 1);
  wake_scheduled_ = base::MonotonicMillis(now.value + delay);
  seams_.executor.post_after(delay, [life = life_] {
    if (life->landing != nullptr) life->landing->pump();
  });
}

void Landing::flush(std::int64_t timeout_ms, std::function<void(bool)> done) {
  if (stopping_ || halted_) return done(false);
  const auto deadline =
      base::MonotonicMillis(seams_.clock.monotonic().value + std::max<std::int64_t>(timeout_ms, 1));
  pending_flushes_.push_back(
      {.target = journal_.durable_end(), .deadline = deadline, .done = std::move(done)});
  for (auto& [id, machine] : running_) machine->hurry();
  if (lake_) {
    pump();
  } else {
    wake_at(deadline);  // recovery is still waiting for the store
  }
}

void Landing::stop(std::function<void()> done) {
  stopping_ = true;
  for (auto& pending : std::exchange(pending_flushes_, {})) pending.done(false);
  for (auto& [id, machine] : running_) machine->give_up();
  if (running_.empty()) return done();
  stopped_ = std::move(done);
}

void Landing::resume() {
  stopping_ = false;
  stopped_ = nullptr;
  if (lake_) pump();
}

LandingStats Landing::stats() const {
  LandingStats stats;
  stats.started = lake_ != nullptr;
  stats.halted = halted_;
  stats.flushes_running = running_.size();
  stats.set_aside_bytes = aside_->bytes();
  stats.set_aside_error = aside_error_;
  if (lake_) stats.lake = lake_->stats(seams_.clock.monotonic());
  for (const auto& [id, machine] : running_) {
    if (auto call = machine->call_under_way();
        call && (!stats.oldest_call || call->since < stats.oldest_call->since)) {
      stats.oldest_call = std::move(call);
    }
    auto error = machine->last_error();
    if (!error) continue;
    // The lake hears of a flush only when it ends; the error of one that still tries counts now.
    for (auto& table : stats.lake.tables) {
      if (table.name == machine->table()) table.last_error = error;
    }
    stats.store_error = std::move(error);
  }
  return stats;
}

}  // namespace evodb::parent
