#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "parent/parent_impl.h"

namespace evodb::parent {

namespace {
constexpr std::int64_t disk_full_retry_ms = 500;
constexpr std::int64_t reload_ms_min = 1'000, reload_ms_max = 60'000;
}  // namespace

// --- start --------------------------------------------------------------------------------------

Result<void> Parent::Impl::start(std::function<void(Result<std::string>)> opened) {
  on_open = std::move(opened);
  started_at = seams.clock.monotonic();
  auto recovered = EVODB_TRY(recover_journal(seams.disk, options.journal_directory, options.journal,
                                             options.ingest, seams.random, &wraps));
  if (adopted) EVODB_TRY(check_adopted(*recovered.journal));
  journal = std::move(recovered.journal);
  recovered_end = journal->durable_end();
  ingest = std::move(recovered.ingest);
  landed_filter = std::move(recovered.landed);
  gate = gate::Gate::create(seams.loop, *ingest, *this, options.gate);
  iceberg =
      std::make_shared<IcebergRest>(IcebergRest::Seams{seams.loop, seams.store}, options.iceberg);
  auto aside = EVODB_TRY(SetAside::open(seams.disk, options.journal_directory, journal->id(),
                                        options.set_aside_bytes_max));
  landing = std::make_unique<Landing>(
      Landing::Seams{seams.landing, seams.store, seams.clock, seams.random, seams.encoder},
      *journal, std::move(aside), options.flush, *this);
  health = std::make_shared<StoreHealth>(
      StoreHealth::Seams{seams.loop, seams.store, seams.clock, seams.random}, options.store_health,
      options.say);
  if (!adopted) health->probe();
  find_catalog();
  return {};
}

void Parent::Impl::find_catalog() {
  seams.store.run([self = shared_from_this(), writer = held_writer](
                      store::ObjectStore& store, table::Catalog& catalog) mutable {
    auto found = std::make_shared<Result<RecoveredCatalog>>(
        recover_catalog(self->seams.disk, self->options.journal_directory,
                        {self->journal->id(), self->recovered_end}, store, catalog, writer,
                        self->seams.random, self->adopted ? LoadTables::kLater : LoadTables::kNow));
    self->seams.loop.post([self, found, writer] {
      self->held_writer = writer;
      self->on_catalog(*found);
    });
  });
}

void Parent::Impl::on_catalog(Result<RecoveredCatalog>& found) {
  if (stopping) return;
  if (!found) {
    not_recovered = because("cannot read the catalog or the tables", found.error());
    const ErrorKind kind = found.error().kind;
    if (kind != ErrorKind::kRetry && kind != ErrorKind::kOutcomeUnknown &&
        kind != ErrorKind::kStale) {
      return on_open(fail(found.error()));
    }
    seams.loop.after(recovery.next_ms(), [self = shared_from_this()] { self->find_catalog(); });
    return;
  }
  take_identity(*found);
  if (landed_filter) {
    std::vector<ingest::LandedMark> marks;
    for (auto& highest : landed_filter->highest()) {
      marks.push_back({std::move(highest.source), highest.epoch, highest.lsn, {}});
    }
    for (auto& [source, intervals] : landed_filter->unordered()) {
      auto& mark = marks.emplace_back(ingest::LandedMark{source, Epoch(0), Lsn(), {}});
      for (const auto& [first, last] : intervals) mark.runs.push_back({Lsn(first), Lsn(last)});
    }
    ingest->restore_landed(marks);
  }
  const bool adopting = adopted.has_value();
  auto listening = adopting ? take_adopted() : gate->listen(options.listen);
  if (!listening) return on_open(std::move(listening));
  address = *listening;
  if (adopting) return on_open(address);  // resume() goes on
  open = true;
  not_recovered = Error{ErrorKind::kRetry, "reading the tables' state"};
  on_open(address);
  if (!identity.tables) return find_tables();
  Result<LoadedTables> states = *std::exchange(identity.tables, std::nullopt);
  on_tables(states);
}

void Parent::Impl::take_identity(RecoveredCatalog& found) {
  recovery.reset();
  identity = std::move(found);
  for (const std::string& note : identity.notes) say(note);
  if (identity.landed) landed_filter = std::move(identity.landed);
  if (identity.tables && identity.tables->landed) {
    landed_filter = std::move(identity.tables->landed);
  }
}

void Parent::Impl::find_tables() {
  seams.store.run([self = shared_from_this(), writer = held_writer](
                      store::ObjectStore& store, table::Catalog& catalog) mutable {
    auto states = std::make_shared<Result<LoadedTables>>(load_checked_tables(
        self->seams.disk, self->options.journal_directory,
        {self->journal->id(), self->recovered_end}, store, catalog, writer, self->seams.random));
    self->seams.loop.post([self, states, writer] {
      self->held_writer = self->identity.writer = writer;
      self->on_tables(*states);
    });
  });
}

void Parent::Impl::on_tables(Result<LoadedTables>& states) {
  if (stopping && !stop_waits_for_tables) return;
  if (!states && states.error().kind == ErrorKind::kStale && !stopping) {
    not_recovered = because("cannot read the tables", {ErrorKind::kRetry, states.error().text});
    seams.loop.after(recovery.next_ms(), [self = shared_from_this()] { self->reopen(); });
    return;
  }
  if (!states && states.error().kind != ErrorKind::kRetry) {
    // Nothing lands any more, and nobody else is let in: its operator must choose.
    not_recovered = states.error();
    if (stopping) return stop_without_tables();
    return gate->drain(not_recovered->text);
  }
  if (!states) {
    // Children are served meanwhile: the journal holds what they send.
    not_recovered = because("cannot read the tables", states.error());
    seams.loop.after(recovery.next_ms(), [self = shared_from_this()] { self->find_tables(); });
    return;
  }
  not_recovered.reset();
  recovery.reset();
  tables_loaded = true;
  stop_waits_for_tables = false;
  reloading = false;
  for (const std::string& note : states->notes) say(note);
  claim = std::move(states->claim);
  identity.writer = claim->record().writer;
  if (states->landed) landed_filter = std::move(states->landed);
  identity.unscanned.merge(states->unscanned);
  auto lake = wraps.lake(lake::Lake::create(
      options.lake, {identity.parent_id, identity.writer, journal->id(), claim}));
  std::vector<TableToTidy> names;
  sick_tables.clear();
  for (auto& found : states->tables) {
    if (const Error* why = refusals.waits(found.state.name, seams.clock); why && !found.sick) {
      found.sick = *why;
    }
    if (const auto unscanned = identity.unscanned.find(found.state.location_key);
        unscanned != identity.unscanned.end() && !found.sick) {
      found.sick = unscanned->second.why;
    }
    if (found.sick) {
      say("table " + found.state.name + " waits: " + found.sick->text);
      lake->add_waiting_table(found.state.name, found.state.location_key, *found.sick);
      sick_tables.push_back(std::move(found));
      continue;
    }
    auto& state = found.state;
    if (state.watermark) {
      names.push_back({state.name, claim->may_sweep() && claim->may_remove(state.location_key)});
    }
    lake->add_table(std::move(state));
  }
  if (landed_filter) lake->set_landed_filter(std::move(landed_filter));
  ingest->on_landing_begins();
  auto shared = std::make_shared<std::unique_ptr<lake::Lake>>(std::move(lake));
  seams.landing.post([self = shared_from_this(), shared] {
    if (!self->landing_stops) self->landing->start(std::move(*shared));
  });
  if (stopping) return;
  look_at_sick_later();
  tidy(std::move(names));
  tend_later();
}

// --- what others do to the catalog --------------------------------------------------------------

void Parent::Impl::tend_later() {
  seams.loop.after(options.tend_ms, [self = shared_from_this(), of = claim] {
    if (self->claim == of) self->tend();
  });
}

void Parent::Impl::tend() {
  if (stopping || reloading) return;
  if (handing_over) return tend_later();
  seams.store.run(
      [self = shared_from_this(), of = claim](store::ObjectStore& store, table::Catalog& catalog) {
        const auto tended = table::tend_lakehouse(store, catalog, *of);
        self->seams.loop.post([self, of, tended] {
          if (self->claim != of) return;  // it was opened anew meanwhile
          if (!tended && tended.error().kind == ErrorKind::kStale) {
            return self->reload(tended.error().text);
          }
          if (!tended && tended.error().kind == ErrorKind::kFenced) {
            self->not_recovered = tended.error();  // for good: the next flush would say it, too
            return self->say(tended.error().text);
          }
          self->tend_later();
        });
      });
}

void Parent::Impl::on_stale(std::string table, Error why) {
  seams.loop.post([self = shared_from_this(), table = std::move(table), why = std::move(why)] {
    self->refusals.note(table, why, self->options.refused_retry_ms, self->seams.clock);
    self->reload(why.text);
  });
}

void Parent::Impl::on_refused(std::string table, Error why) {
  seams.loop.post([self = shared_from_this(), table = std::move(table), why = std::move(why)] {
    const std::string text = "table " + table + " cannot be written: " + why.text;
    self->refusals.wait(table, {why.kind, text}, self->options.refused_retry_ms, self->seams.clock);
    self->reload(text);
  });
}

void Parent::Impl::on_well(std::string table) {
  seams.loop.post([self = shared_from_this(), table = std::move(table)] {
    self->refusals.forget(table);
    self->reload_ms = 0;
  });
}

// --- tables that wait ---------------------------------------------------------------------------

void Parent::Impl::look_at_sick_later() {
  if (sick_tables.empty()) return;
  seams.loop.after(options.sick_retry_ms, [self = shared_from_this(), of = claim] {
    if (self->claim == of) self->look_at_sick();
  });
}

void Parent::Impl::look_at_sick() {
  if (stopping || reloading) return;
  if (handing_over) return look_at_sick_later();
  auto to_ask = sick_tables;
  std::erase_if(to_ask, [&](const auto& t) { return refusals.waits(t.state.name, seams.clock); });
  seams.store.run(
      [self = shared_from_this(), of = claim, to_ask = std::move(to_ask),
       unscanned = identity.unscanned](store::ObjectStore& store, table::Catalog& catalog) {
        std::string well;
        for (const auto& found : to_ask) {
          auto now = table::is_well(store, catalog, found);
          const auto must_scan = unscanned.find(found.state.location_key);
          if (now && *now && must_scan != unscanned.end()) {
            now = can_be_scanned(store, catalog, found.state.name, must_scan->second);
          }
          if (now && *now) well = found.state.name;
        }
        self->seams.loop.post([self, of, well] {
          if (self->claim != of) return;
          if (!well.empty()) return self->reload("table " + well + " can be read again");
          self->look_at_sick_later();
        });
      });
}

void Parent::Impl::reload(const std::string& why) {
  if (stopping || reloading || handing_over || !tables_loaded) return;
  reloading = true;
  claim_was_held = false;
  tables_loaded = false;
  recovery.reset();
  recovered_end = journal->durable_end();
  landed_through = Position();  // nothing is trimmed before landing has come there again
  not_recovered = Error{ErrorKind::kRetry, why};
  say(why + ": reading the catalog and the tables anew");
  const auto now = seams.clock.monotonic();
  // What comes again at once is not repaired by reading: then more slowly each time.
  const bool again = reload_ms != 0 && now.value - reloaded_at.value < 2 * reload_ms_max;
  reload_ms = again ? std::min(reload_ms * 2, reload_ms_max) : reload_ms_min;
  reloaded_at = now;
  const std::int64_t wait_ms = again ? reload_ms : 0;
  seams.landing.post([self = shared_from_this(), wait_ms] {
    if (!self->landing) return;
    self->landing->stop([impl = self.get(), wait_ms] {
      impl->seams.loop.post([self = impl->shared_from_this(), wait_ms] {
        self->recovered_end = self->journal->durable_end();  // what ended just now is within it
        self->seams.loop.after(wait_ms, [self] { self->reopen(); });
      });
    });
  });
}

void Parent::Impl::reopen() {
  if (stopping) return;
  const auto again = [self = shared_from_this()] { self->reopen(); };
  if (trim_running) return void(seams.loop.after(10, again));
  seams.store.run([self = shared_from_this(), writer = held_writer, of = claim](
                      store::ObjectStore& store, table::Catalog& catalog) mutable {
    auto found = std::make_shared<Result<RecoveredCatalog>>(
        self->read_anew(store, catalog, writer, of.get()));
    self->seams.loop.post([self, found, writer] {
      self->held_writer = writer;
      self->on_reopened(*found);
    });
  });
}

Result<RecoveredCatalog> Parent::Impl::read_anew(store::ObjectStore& store, table::Catalog& catalog,
                                                 table::WriterEpoch& writer,
                                                 const table::Claim* before) {
  // A parent that was replaced must not take the lakehouse back, only because it found it changed.
  // Once: what follows makes a claim of its own in place of that one, and may be tried again.
  if (!claim_was_held && before != nullptr) {
    EVODB_TRY(table::still_claimed(store, *before));
  }
  claim_was_held = true;
  auto found = EVODB_TRY(recover_catalog(seams.disk, options.journal_directory,
                                         {journal->id(), recovered_end}, store, catalog, writer,
                                         seams.random));
  if (!found.landed) {
    found.landed = EVODB_TRY(load_landed_filter(seams.disk, options.journal_directory));
  }
  return found;
}

void Parent::Impl::on_reopened(Result<RecoveredCatalog>& found) {
  if (stopping) return;
  if (!found && found.error().kind == ErrorKind::kFenced) {
    not_recovered = found.error();  // for good, as when it is tended
    return say(not_recovered->text);
  }
  if (!found) {
    not_recovered = because("cannot read the catalog or the tables", found.error());
    seams.loop.after(recovery.next_ms(), [self = shared_from_this()] { self->reopen(); });
    return;
  }
  take_identity(*found);
  if (!identity.tables) return find_tables();
  Result<LoadedTables> states = *std::exchange(identity.tables, std::nullopt);
  on_tables(states);
}

void Parent::Impl::tidy(std::vector<TableToTidy> tables) {
  incomplete.clear();
  if (tables.empty()) return;
  seams.store.run([self = shared_from_this(), of = claim, tables = std::move(tables)](
                      store::ObjectStore& store, table::Catalog& catalog) {
    auto tidied = tidy_tables(store, catalog, tables, self->options.orphan_age_ms_min,
                              self->seams.clock.wall());
    self->seams.loop.post([self, of, tidied = std::move(tidied)] {
      self->orphans_removed += tidied.removed;
      if (self->claim != of) return;
      for (const auto& [name, why] : tidied.incomplete) self->say("table " + name + ": " + why);
      self->incomplete = tidied.incomplete;
    });
  });
}

// --- journal commits ----------------------------------------------------------------------------

void Parent::Impl::on_appended() {
  // Nothing queued: a retry whose time came after another commit had done its work, maybe while
  // the journal changes hands.
  if (commit_running || !journal->has_pending()) return;
  commit_running = true;
  seams.journal_io.run_blocking([self = shared_from_this()] {
    return [self, end = self->journal->commit()] { self->on_committed(end); };
  });
}

void Parent::Impl::on_committed(const Result<Position>& end) {
  commit_running = false;
  ++commits;
  if (!end && !journal->poisoned()) {
    // A full disk. Everything stays queued; nothing is acknowledged, and children run out of
    // credit.
    journal_failure = end.error();
    if (stopping) return maybe_finish_stop();
    seams.loop.after(disk_full_retry_ms, [self = shared_from_this()] {
      if (!self->stopping) self->on_appended();
    });
    return;
  }
  if (!end) {
    // The journal is poisoned: it refuses every append, and nothing more is acknowledged.
    journal_failure = because("the journal failed", end.error());
    journal_failure->text += "; restart to recover what it holds";
    maybe_finish_stop();
    return;
  }
  journal_failure.reset();
  effects.clear();
  ingest->on_durable(*end, effects);
  gate->deliver(effects);
  landing->wake();
  if (journal->has_pending()) {
    on_appended();
  } else {
    maybe_finish_stop();
  }
}

// --- landing's word (landing executor) ----------------------------------------------------------

void Parent::Impl::on_persisted(std::vector<lake::PersistedMark> marks) {
  seams.loop.post([self = shared_from_this(), marks = std::move(marks)] {
    self->effects.clear();
    for (const auto& mark : marks) {
      self->ingest->on_persisted(mark.source, mark.epoch, mark.lsn, self->effects);
    }
    self->gate->deliver(self->effects);
  });
}

void Parent::Impl::on_landed(Position landed, bool all) {
  seams.loop.post([self = shared_from_this(), landed, all] {
    if (self->reloading) return;  // the last word of a lake that is begun anew
    if (all) {
      self->effects.clear();
      self->ingest->on_all_landed(landed, self->effects);
      self->gate->deliver(self->effects);
    }
    self->landed_through = landed;
    self->maybe_trim();
  });
}

// --- trim ---------------------------------------------------------------------------------------

std::uint64_t Parent::Impl::trim_step_bytes() const {
  constexpr std::uint64_t journal_over_checkpoint = 8;
  return std::max(
      options.journal.segment_bytes,
      std::min(checkpoint_bytes * journal_over_checkpoint, options.journal.max_bytes / 4));
}

void Parent::Impl::maybe_trim() {
  if (stopping || trim_running || handing_over || reloading || journal->poisoned()) return;
  if (landed_through.value < journal->first().value + trim_step_bytes()) return;
  trim_running = true;
  std::string checkpoint = ingest->checkpoint();
  checkpoint_bytes = checkpoint.size();
  seams.journal_io.run_blocking(
      [self = shared_from_this(), bytes = std::move(checkpoint), landed = landed_through] {
        auto done = ingest::write_checkpoint(self->seams.disk, self->options.journal_directory,
                                             self->journal->id(), bytes);
        if (done) done = self->journal->trim(landed);
        return [self, done, landed] {
          self->trim_running = false;
          if (!done) {
            self->trim_failure = because("cannot trim the journal", done.error());
            self->seams.loop.after(disk_full_retry_ms, [self] { self->maybe_trim(); });
            return;
          }
          self->trim_failure.reset();
          self->effects.clear();
          self->ingest->on_space(self->effects);
          self->gate->deliver(self->effects);
          // Nothing more may land before there is room.
          if (self->landed_through > landed) self->maybe_trim();
        };
      });
}

// --- HTTP ---------------------------------------------------------------------------------------

void Parent::Impl::on_http(const gate::HttpRequest& request,
                           std::function<void(gate::HttpResponse)> respond) {
  if (is_iceberg_path(request.path)) return iceberg->answer(request, std::move(respond));
  answer_http(
      request, std::move(respond),
      HttpSources{
          .status = [self = shared_from_this()](auto with) { self->status(std::move(with)); },
          .flush = [self = shared_from_this()](auto done) { self->flush(std::move(done)); },
      });
}

void Parent::Impl::on_session(gate::ConnectionId, std::string_view source) {
  const std::uint64_t found = ingest->stats().copies_found;
  if (found == copies_found) return;
  copies_found = found;
  say("two databases stream as '" + std::string(source) +
      "': the one that was known first goes on under a new epoch, the copy is told to "
      "take a name of its own (/status, copies)");
}

gate::GateHandlers::BufferStatus Parent::Impl::buffer_status() {
  const auto s = ingest->stats();
  const std::uint64_t held = journal->held_bytes();
  return {.batches = s.batches,
          .entries = s.entries,
          .bytes = held,
          .utilization = static_cast<double>(held) / static_cast<double>(std::max<std::uint64_t>(
                                                         options.journal.max_bytes, 1))};
}
Parent::Parent(const ParentSeams& seams, const ParentOptions& options)
    : impl_(std::make_shared<Impl>(seams, options)) {}

Parent::~Parent() = default;

void Parent::hand_over(const HandOverLimits& limits, std::function<void(Result<HandedOver>)> done) {
  impl_->hand_over(limits, std::move(done));
}
Result<void> Parent::adopt(HandedOver handed, std::function<void(Result<std::string>)> on_open) {
  return impl_->adopt(std::move(handed), std::move(on_open));
}
void Parent::resume() { impl_->resume(); }

Result<void> Parent::start(std::function<void(Result<std::string>)> on_open) {
  return impl_->start(std::move(on_open));
}
void Parent::stop(std::int64_t deadline_ms, std::function<void()> done) {
  impl_->stop(deadline_ms, std::move(done));
}
void Parent::status(std::function<void(const ParentStatus&)> with) {
  impl_->status(std::move(with));
}
void Parent::flush(std::function<void(bool)> done) { impl_->flush(std::move(done)); }
const ingest::Ingest& Parent::ingest() const { return *impl_->ingest; }
const journal::Journal& Parent::journal() const { return *impl_->journal; }
gate::Gate* Parent::gate() { return impl_->gate.get(); }

}  // namespace evodb::parent
