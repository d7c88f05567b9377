#include "parent/parent.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/backoff.h"
#include "ingest/checkpoint_store.h"
#include "parent/hand_over.h"
#include "parent/hand_over_format.h"
#include "parent/landing.h"
#include "parent/pages.h"
#include "parent/recovery.h"
#include "parent/refusals.h"
#include "parent/tidy.h"

namespace evodb::parent {

namespace {
constexpr std::size_t copies_shown_max = 100;
constexpr std::int64_t disk_full_retry_ms = 500;
constexpr std::int64_t reload_ms_min = 1'000, reload_ms_max = 60'000;

Error because(const std::string& what, const Error& why) {
  return {why.kind, what + ": " + why.text};
}
}  // namespace

// Lives on the loop. Work posted to other executors holds it alive by shared_ptr (that is why it is
// one) and touches only what its comment below allows there.
struct Parent::Impl : gate::GateHandlers,
                      Landing::Events,
                      std::enable_shared_from_this<Parent::Impl> {
  Impl(const ParentSeams& s, const ParentOptions& o)
      : seams(s), options(o), wraps(s.wraps != nullptr ? *s.wraps : as_they_are) {}

  ParentSeams seams;
  ParentOptions options;
  RoomWraps as_they_are;
  RoomWraps& wraps;

  std::unique_ptr<journal::Journal> journal;  // append here; commit and trim on journal_io
  std::unique_ptr<ingest::Ingest> ingest;
  std::unique_ptr<gate::Gate> gate;
  std::unique_ptr<Landing> landing;  // on the landing executor
  std::shared_ptr<StoreHealth> health;
  std::unique_ptr<lake::LandedFilter> landed_filter;

  std::function<void(Result<std::string>)> on_open;
  std::string address;
  base::Backoff recovery{100, 10'000};  // of what is read at a start and anew
  // Why it is not ready, by who says so; landing and the tables keep their own (make_status).
  std::optional<Error> not_recovered = Error{ErrorKind::kRetry, "starting"};
  std::optional<Error> journal_failure;  // a full disk, or poisoned
  std::optional<Error> trim_failure;
  bool open = false;
  bool tables_loaded = false;
  bool reloading = false;  // what is known of catalog and tables is read anew
  std::int64_t reload_ms = 0;
  base::MonotonicMillis reloaded_at;
  bool stopping = false;
  RecoveredCatalog identity;
  std::shared_ptr<table::Claim> claim;
  Position recovered_end;  // of the journal, when the tables were last to be compared with it
  base::MonotonicMillis started_at;
  std::uint64_t orphans_removed = 0;
  std::map<std::string, std::string> incomplete;  // tables whose data files are gone, and which
  std::uint64_t commits = 0;

  bool commit_running = false;
  std::uint64_t checkpoint_bytes = 0;  // of the newest one
  bool trim_running = false;
  Position landed_through;
  ingest::Effects effects;
  std::function<void()> stopped;

  std::uint64_t copies_found = 0;
  bool handing_over = false;
  std::optional<HandOverContents> adopted;  // until it was put into the rooms
  std::vector<base::StreamId> adopted_streams;

  // --- start ------------------------------------------------------------------------------------

  Result<void> start(std::function<void(Result<std::string>)> opened) {
    on_open = std::move(opened);
    started_at = seams.clock.monotonic();
    auto recovered =
        EVODB_TRY(recover_journal(seams.disk, options.journal_directory, options.journal,
                                  options.ingest, seams.random, &wraps));
    if (adopted) EVODB_TRY(check_adopted(*recovered.journal));
    journal = std::move(recovered.journal);
    recovered_end = journal->durable_end();
    ingest = std::move(recovered.ingest);
    landed_filter = std::move(recovered.landed);
    gate = gate::Gate::create(seams.loop, *ingest, *this, options.gate);
    auto aside = EVODB_TRY(SetAside::open(seams.disk, options.journal_directory, journal->id(),
                                          options.set_aside_bytes_max));
    landing = std::make_unique<Landing>(
        Landing::Seams{seams.landing, seams.store, seams.clock, seams.random, seams.encoder},
        *journal, std::move(aside), options.flush, *this);
    health = std::make_shared<StoreHealth>(
        StoreHealth::Seams{seams.loop, seams.store, seams.clock, seams.random},
        options.store_health, options.say);
    if (!adopted) health->probe();
    find_catalog();
    return {};
  }

  // The catalog says whether our journal is the one that the tables know; only then may a child be
  // told what is here.
  void find_catalog() {
    seams.store.run(
        [self = shared_from_this()](store::ObjectStore& store, table::Catalog& catalog) {
          auto found = std::make_shared<Result<RecoveredCatalog>>(recover_catalog(
              self->seams.disk, self->options.journal_directory,
              {self->journal->id(), self->recovered_end}, store, catalog, self->seams.random,
              self->adopted ? LoadTables::kLater : LoadTables::kNow));
          self->seams.loop.post([self, found] { self->on_catalog(*found); });
        });
  }

  void on_catalog(Result<RecoveredCatalog>& found) {
    if (stopping) return;
    if (!found) {
      not_recovered = because("cannot read the catalog or the tables", found.error());
      if (found.error().kind != ErrorKind::kRetry &&
          found.error().kind != ErrorKind::kOutcomeUnknown) {
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

  void take_identity(RecoveredCatalog& found) {
    recovery.reset();
    identity = std::move(found);
    for (const std::string& note : identity.notes) say(note);
    if (identity.landed) landed_filter = std::move(identity.landed);
  }

  void find_tables() {
    seams.store.run([self = shared_from_this(), writer = identity.writer](store::ObjectStore& store,
                                                                          table::Catalog& catalog) {
      table::WriterEpoch claimed = writer;
      auto states = std::make_shared<Result<LoadedTables>>(load_checked_tables(
          self->seams.disk, self->options.journal_directory,
          {self->journal->id(), self->recovered_end}, store, catalog, claimed, self->seams.random));
      self->seams.loop.post([self, states, claimed] {
        self->identity.writer = claimed;
        self->on_tables(*states);
      });
    });
  }

  void on_tables(Result<LoadedTables>& states) {
    if (stopping && !stop_waits_for_tables) return;
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
    auto shared = std::make_shared<std::unique_ptr<lake::Lake>>(std::move(lake));
    seams.landing.post([self = shared_from_this(), shared] {
      if (!self->landing_stops) self->landing->start(std::move(*shared));
    });
    if (stopping) return;
    look_at_sick_later();
    tidy(std::move(names));
    tend_later();
  }

  void say(const std::string& line) const {
    if (options.say) options.say(line);
  }

  // --- what others do to the catalog ------------------------------------------------------------

  void tend_later() {
    seams.loop.after(options.tend_ms, [self = shared_from_this(), of = claim] {
      if (self->claim == of) self->tend();
    });
  }

  void tend() {
    if (stopping || reloading) return;
    if (handing_over) return tend_later();
    seams.store.run([self = shared_from_this(), of = claim](store::ObjectStore& store,
                                                            table::Catalog& catalog) {
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

  void on_stale(std::string table, Error why) override {
    seams.loop.post([self = shared_from_this(), table = std::move(table), why = std::move(why)] {
      self->refusals.note(table, why, self->options.refused_retry_ms, self->seams.clock);
      self->reload(why.text);
    });
  }

  void on_refused(std::string table, Error why) override {
    seams.loop.post([self = shared_from_this(), table = std::move(table), why = std::move(why)] {
      const std::string text = "table " + table + " cannot be written: " + why.text;
      self->refusals.wait(table, {why.kind, text}, self->options.refused_retry_ms,
                          self->seams.clock);
      self->reload(text);
    });
  }

  void on_well(std::string table) override {
    seams.loop.post([self = shared_from_this(), table = std::move(table)] {
      self->refusals.forget(table);
      self->reload_ms = 0;
    });
  }

  // --- tables that wait -------------------------------------------------------------------------

  Refusals refusals;
  std::vector<table::FoundTable> sick_tables;

  void look_at_sick_later() {
    if (sick_tables.empty()) return;
    seams.loop.after(options.sick_retry_ms, [self = shared_from_this(), of = claim] {
      if (self->claim == of) self->look_at_sick();
    });
  }

  void look_at_sick() {
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

  // Landing ends what runs, all is read as at a start, landing begins anew. Children are served.
  void reload(const std::string& why) {
    if (stopping || reloading || handing_over || !tables_loaded) return;
    reloading = true;
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
          self->seams.loop.after(wait_ms, [self] { self->reopen(); });
        });
      });
    });
  }

  void reopen() {
    if (stopping) return;
    const auto again = [self = shared_from_this()] { self->reopen(); };
    if (trim_running) return void(seams.loop.after(10, again));
    seams.store.run(
        [self = shared_from_this()](store::ObjectStore& store, table::Catalog& catalog) {
          auto found = std::make_shared<Result<RecoveredCatalog>>(self->read_anew(store, catalog));
          self->seams.loop.post([self, found] { self->on_reopened(*found); });
        });
  }

  // On a store thread, where nothing lands.
  Result<RecoveredCatalog> read_anew(store::ObjectStore& store, table::Catalog& catalog) {
    auto found =
        EVODB_TRY(recover_catalog(seams.disk, options.journal_directory,
                                  {journal->id(), recovered_end}, store, catalog, seams.random));
    if (!found.landed) {
      found.landed = EVODB_TRY(load_landed_filter(seams.disk, options.journal_directory));
    }
    return found;
  }

  void on_reopened(Result<RecoveredCatalog>& found) {
    if (stopping) return;
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

  void tidy(std::vector<TableToTidy> tables) {
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

  // --- changing hands ---------------------------------------------------------------------------

  std::optional<std::string> not_now() const {
    if (stopping) return "the parent is stopping";
    if (handing_over) return "it is being upgraded already";
    if (reloading) return "the catalog and the tables are being read anew";
    if (!open || !tables_loaded) {
      return "the parent is still recovering" + (not_recovered ? ": " + not_recovered->text : "");
    }
    if (journal->poisoned()) return "the journal has failed: only a restart repairs it";
    if (journal_failure) return "what was received cannot be synced: " + journal_failure->text;
    return std::nullopt;
  }

  void hand_over(const HandOverLimits& limits, std::function<void(Result<HandedOver>)> done) {
    if (auto why = not_now()) return done(fail(ErrorKind::kRetry, *std::move(why)));
    handing_over = true;
    HandOver::Rooms rooms{shared_from_this(),
                          seams.loop,
                          seams.landing,
                          seams.journal_io,
                          seams.clock,
                          seams.disk,
                          options.journal_directory,
                          *journal,
                          *ingest,
                          *gate,
                          landing,
                          [this] { return busy(); }};
    std::make_shared<HandOver>(
        std::move(rooms), limits,
        [self = shared_from_this(), done = std::move(done)](Result<HandedOver> handed) {
          self->handing_over = false;
          if (handed) {
            self->detach();
          } else {
            self->maybe_trim();  // what was due meanwhile
          }
          done(std::move(handed));
        })
        ->begin();
  }

  std::optional<std::string> busy() const {
    if (journal_failure) return journal_failure->text;
    if (commit_running || journal->has_pending()) return "the journal has been syncing";
    if (trim_running) return "the journal is being trimmed";
    return std::nullopt;
  }

  // Whatever still runs elsewhere finds a parent that has stopped. The journal's files are closed.
  void detach() {
    stopping = true;
    health->stop();
    gate.reset();
    ingest.reset();
    journal.reset();
  }

  Result<void> adopt(HandedOver handed, std::function<void(Result<std::string>)> opened) {
    adopted = EVODB_TRY(decode_hand_over(handed.bytes));
    if (adopted->streams.size() != handed.streams.size()) {
      return fail(ErrorKind::kInvalid, std::to_string(adopted->streams.size()) +
                                           " connections were handed over, but " +
                                           std::to_string(handed.streams.size()) + " sockets");
    }
    adopted_streams = std::move(handed.streams);
    return start(std::move(opened));
  }

  Result<void> check_adopted(const journal::Journal& recovered) const {
    if (recovered.id().value == adopted->journal_id &&
        recovered.durable_end() == adopted->journal_end) {
      return {};
    }
    return fail(ErrorKind::kCorrupt, "the journal that was handed over ends at position " +
                                         std::to_string(adopted->journal_end.value) +
                                         ", the one that was found at " +
                                         std::to_string(recovered.durable_end().value));
  }

  Result<std::string> take_adopted() {
    const HandOverContents contents = *std::exchange(adopted, std::nullopt);
    const std::vector<base::StreamId> streams = std::move(adopted_streams);
    const auto new_id = [&](ingest::SessionId old) -> std::optional<ingest::SessionId> {
      const auto at = std::ranges::lower_bound(contents.streams, old.value);
      if (at == contents.streams.end() || *at != old.value) return std::nullopt;
      return ingest::SessionId(
          streams[static_cast<std::size_t>(at - contents.streams.begin())].value);
    };
    EVODB_TRY(ingest->restore_sessions(contents.sessions, new_id));
    return gate->adopt(contents.connections, streams);
  }

  void resume() {
    open = true;
    not_recovered = Error{ErrorKind::kRetry, "reading the tables' state"};
    gate->resume();
    (void)seams.loop.rest_sockets(false);
    effects.clear();
    ingest->on_space(effects);  // whom only free space could wake: nobody else will
    gate->deliver(effects);
    health->probe();
    find_tables();
  }

  // --- journal commits --------------------------------------------------------------------------

  void on_appended() override {
    // Nothing queued: a retry whose time came after another commit had done its work, maybe while
    // the journal changes hands.
    if (commit_running || !journal->has_pending()) return;
    commit_running = true;
    seams.journal_io.run_blocking([self = shared_from_this()] {
      return [self, end = self->journal->commit()] { self->on_committed(end); };
    });
  }

  void on_committed(const Result<Position>& end) {
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

  // --- landing's word (landing executor) --------------------------------------------------------

  void on_persisted(std::vector<lake::PersistedMark> marks) override {
    seams.loop.post([self = shared_from_this(), marks = std::move(marks)] {
      self->effects.clear();
      for (const auto& mark : marks) {
        self->ingest->on_persisted(mark.source, mark.epoch, mark.lsn, self->effects);
      }
      self->gate->deliver(self->effects);
    });
  }

  void on_landed(Position landed) override {
    seams.loop.post([self = shared_from_this(), landed] {
      self->landed_through = landed;
      self->maybe_trim();
    });
  }

  // --- trim -------------------------------------------------------------------------------------

  // At least a segment; and with millions of sources enough that their checkpoint, which costs the
  // loop and the disk its bytes, stays a small part of what goes through the journal meanwhile.
  std::uint64_t trim_step_bytes() const {
    constexpr std::uint64_t journal_over_checkpoint = 8;
    return std::max(
        options.journal.segment_bytes,
        std::min(checkpoint_bytes * journal_over_checkpoint, options.journal.max_bytes / 4));
  }

  // Only whole segments go, and only after a checkpoint holds every mark that they gave.
  void maybe_trim() {
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

  // --- stop -------------------------------------------------------------------------------------

  void stop(std::int64_t deadline_ms, std::function<void()> done) {
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

  // The tables' state was read, and forbids to land anything.
  bool landing_is_hopeless() const {
    return not_recovered && not_recovered->kind != ErrorKind::kRetry;
  }

  bool stop_waits_for_tables = false;
  bool landing_stops = false;  // landing executor

  void stop_without_tables() {
    stop_waits_for_tables = false;
    seams.landing.post([self = shared_from_this()] { self->stop_landing(); });
  }

  void stop_landing() {  // landing executor
    if (std::exchange(landing_stops, true)) return;
    landing->stop([this] {
      seams.loop.post([self = shared_from_this()] {
        self->landing_stopped = true;
        self->stop_waits_for_tables = false;
        self->maybe_finish_stop();
      });
    });
  }

  bool landing_stopped = false;

  void maybe_finish_stop() {
    if (!stopping || !landing_stopped || commit_running || finishing) return;
    // On a full disk what is queued was never acknowledged, and its children hold it.
    if (!journal->poisoned() && !journal_failure && journal->has_pending()) return on_appended();
    finish_stop();
  }

  bool finishing = false;

  void finish_stop() {
    finishing = true;
    if (!journal) return stopped();
    // A checkpoint makes the next start short; without it the journal is simply replayed.
    seams.journal_io.run_blocking([self = shared_from_this(), bytes = ingest->checkpoint()] {
      if (!self->journal->poisoned()) {
        (void)ingest::write_checkpoint(self->seams.disk, self->options.journal_directory,
                                       self->journal->id(), bytes);
      }
      return [self] {
        self->gate.reset();
        self->stopped();
      };
    });
  }

  // --- HTTP -------------------------------------------------------------------------------------

  void on_http(const gate::HttpRequest& request,
               std::function<void(gate::HttpResponse)> respond) override {
    answer_http(
        request, std::move(respond),
        HttpSources{
            .status = [self = shared_from_this()](auto with) { self->status(std::move(with)); },
            .flush = [self = shared_from_this()](auto done) { self->flush(std::move(done)); },
        });
  }

  void on_flush_requested() override {
    flush([](bool) {});
  }

  void on_session(gate::ConnectionId, std::string_view source) override {
    const std::uint64_t found = ingest->stats().copies_found;
    if (found == copies_found) return;
    copies_found = found;
    say("two databases stream as '" + std::string(source) +
        "': the one that was known first goes on under a new epoch, the copy is told to "
        "take a name of its own (/status, copies)");
  }

  BufferStatus buffer_status() override {
    const auto s = ingest->stats();
    const std::uint64_t held = journal->held_bytes();
    return {.batches = s.batches,
            .entries = s.entries,
            .bytes = held,
            .utilization = static_cast<double>(held) / static_cast<double>(std::max<std::uint64_t>(
                                                           options.journal.max_bytes, 1))};
  }

  void flush(std::function<void(bool)> done) {
    if (stopping) return done(false);
    seams.landing.post([self = shared_from_this(), done = std::move(done)] {
      if (!self->landing) return self->seams.loop.post([done] { done(false); });  // handed over
      self->landing->flush(self->options.flush_timeout_ms, [impl = self.get(), done](bool landed) {
        impl->seams.loop.post([done, landed] { done(landed); });
      });
    });
  }

  void status(std::function<void(const ParentStatus&)> with) {
    seams.landing.post([self = shared_from_this(), with = std::move(with)] {
      auto landing =
          std::make_shared<LandingStats>(self->landing ? self->landing->stats() : LandingStats());
      self->seams.loop.post([self, landing, with] {
        with(self->journal ? self->make_status(*landing) : ParentStatus{.phase = "stopping"});
      });
    });
  }

  ParentStatus make_status(const LandingStats& landing_stats) {
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
};

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
