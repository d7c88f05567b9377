#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "parent/parent_impl.h"

namespace evodb::parent {

namespace {
constexpr std::size_t copies_shown_max = 100;
}  // namespace

// --- stop ---------------------------------------------------------------------------------------

void Parent::Impl::stop(std::int64_t deadline_ms, std::function<void()> done) {
  EVODB_ASSERT(!stopping, "a parent stops once");
  stopping = true;
  if (health) health->stop();
  stopped = std::move(done);
  if (!gate) return finish_stop();
  gate->drain("the parent is shutting down");
  if (!commit_running) {
    if (journal->has_pending()) {
      on_appended();
    }
  }
  // Landing waits for the tables, too, if it has something to land.
  stop_waits_for_tables = open && !tables_loaded && !reloading && !landing_is_hopeless() &&
                          journal->first() < journal->durable_end();
  if (!tables_loaded && !stop_waits_for_tables) return stop_without_tables();
  seams.landing.post([self = shared_from_this(), deadline_ms] {
    // What landing keeps holds nothing of us: we own it, and a process may end before it is
    // called.
    self->landing->flush(deadline_ms, [impl = self.get()](bool) {
      impl->seams.landing.post([self = impl->shared_from_this()] { self->stop_landing(); });
    });
  });
}

void Parent::Impl::stop_landing() {
  if (std::exchange(landing_stops, true)) return;
  landing->stop([this] {
    seams.loop.post([self = shared_from_this()] {
      self->landing_stopped = true;
      self->stop_waits_for_tables = false;
      self->maybe_finish_stop();
    });
  });
}

void Parent::Impl::maybe_finish_stop() {
  if (!stopping || !landing_stopped || commit_running || finishing) return;
  // On a full disk what is queued was never acknowledged, and its children hold it.
  if (!journal->poisoned() && !journal_failure && journal->has_pending()) return on_appended();
  finish_stop();
}

void Parent::Impl::finish_stop() {
  finishing = true;
  if (!journal) return stopped();
  // A checkpoint makes the next start short; without it the journal is simply replayed.
  seams.journal_io.run_blocking([self = shared_from_this(), bytes = ingest->checkpoint()] {
    if (!self->journal->poisoned()) {
      (void)ingest::write_checkpoint(self->seams.disk, self->options.journal_directory,
                                     self->journal->id(), bytes);
    }
    return [self] {
      self->iceberg->give_up("the parent is shutting down");
      self->gate.reset();
      self->stopped();
    };
  });
}

// --- HTTP ---------------------------------------------------------------------------------------

void Parent::Impl::flush(std::function<void(bool)> done) {
  if (stopping) return done(false);
  seams.landing.post([self = shared_from_this(), done = std::move(done)] {
    if (!self->landing) return self->seams.loop.post([done] { done(false); });  // handed over
    self->landing->flush(self->options.flush_timeout_ms, [impl = self.get(), done](bool landed) {
      impl->seams.loop.post([done, landed] { done(landed); });
    });
  });
}

void Parent::Impl::status(std::function<void(const ParentStatus&)> with) {
  seams.landing.post([self = shared_from_this(), with = std::move(with)] {
    auto landing =
        std::make_shared<LandingStats>(self->landing ? self->landing->stats() : LandingStats());
    self->seams.loop.post([self, landing, with] {
      with(self->journal ? self->make_status(*landing) : ParentStatus{.phase = "stopping"});
    });
  });
}

ParentStatus Parent::Impl::make_status(const LandingStats& landing_stats) {
  ParentStatus s;
  s.version = options.version;
  s.address = address;
  s.uptime_ms = seams.clock.monotonic().value - started_at.value;
  s.parent_id = identity.parent_id;
  s.writer_epoch = identity.writer.value;
  s.journal_id = journal->id().value;
  s.journal_first = journal->first();
  s.journal_durable = journal->durable_end();
  s.journal_landed = std::max(landed_through, landing_stats.lake.landed_through);
  s.journal_bytes = journal->held_bytes();
  s.journal_bytes_max = options.journal.max_bytes;
  s.journal_commits = commits;
  if (gate) s.gate = gate->stats();
  s.ingest = ingest->stats();
  ingest->for_each_copied([&s](const ingest::Lives::Copied& c) {
    if (s.copies.size() == copies_shown_max) return;
    s.copies.push_back(
        {std::string(c.source), std::string(c.agent), c.since.value, c.copies.size()});
  });
  s.lake = landing_stats.lake;
  s.landing_halted = landing_stats.halted;
  s.store_error = landing_stats.store_error;
  s.orphans_removed = orphans_removed;

  const auto add = [&](const std::string& what, const std::optional<Error>& why) {
    if (why) s.degraded.push_back(what.empty() ? *why : because(what, *why));
  };
  add("", not_recovered);
  add("", journal_failure);
  add("", trim_failure);
  add("landing has stopped", s.landing_halted);
  if (health) {
    for (Error& reason : health->reasons(landing_stats)) s.degraded.push_back(std::move(reason));
    s.probe_error = health->probe_error();
    s.probed = health->passed();
  }
  add("the store", s.store_error);
  for (const auto& table : s.lake.tables) add("table " + table.name, table.last_error);
  s.set_aside_bytes = landing_stats.set_aside_bytes;
  for (const auto& table : s.lake.tables) {
    if (table.waits) s.sick.push_back("table " + table.name + " waits: " + table.waits->text);
  }
  if (landing_stats.set_aside_error) {
    s.sick.push_back(
        "the changes of tables that wait are held by the journal, which will be full "
        "in the end: " +
        landing_stats.set_aside_error->text);
  }
  for (const auto& [table, why] : incomplete) s.sick.push_back("table " + table + ": " + why);
  s.phase = stopping             ? "stopping"
            : !open              ? "starting"
            : !tables_loaded     ? "recovering"
            : s.degraded.empty() ? "ready"
                                 : "degraded";
  return s;
}
}  // namespace evodb::parent
