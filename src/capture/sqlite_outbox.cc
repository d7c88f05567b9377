// The file and what this process knows of it; rows are in sqlite_outbox_rows.cc.
#include "capture/sqlite_outbox.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "capture/capture_plan.h"
#include "capture/refresh.h"
#include "capture/reinstall.h"

namespace evodb::capture {
namespace {

constexpr int sweeps_at_close_max = 1'000;
// Between two looks at the file others may write again; so often it is looked at in one call.
constexpr int looks_at_file_max = 4;

constexpr std::uint64_t change_bytes_guess = 200;

}  // namespace

SqliteOutbox::SqliteOutbox(Database db, const SqliteOutboxOptions& options)
    : db_(std::move(db)),
      busy_timeout_ms_(options.busy_timeout_ms),
      clock_(options.clock),
      resend_chunk_(options.resend_chunk),
      limit_(options.space),
      on_event_(options.on_event) {
  if (!options.polite) return;
  EVODB_ASSERT(clock_ != nullptr, "a polite outbox has a clock");
  writer_ = std::make_unique<PoliteWriter>(db_, *clock_, *options.polite);
  db_.set_gate(writer_.get());
  const bool is_file = options.vfs.empty();
  space_ = std::make_unique<SpaceReserve>(db_.resolved_path(),
                                          is_file ? options.polite->reserve_bytes : 0);
}

Result<std::unique_ptr<SqliteOutbox>> SqliteOutbox::open(const std::string& path,
                                                         const SqliteOutboxOptions& options) {
  constexpr int look_again_us = 5'000;
  Database db = EVODB_TRY(Database::open(path, {.busy_timeout_ms = options.busy_timeout_ms,
                                                .vfs = options.vfs,
                                                .polite = options.polite.has_value()}));
  EVODB_TRY(db.check_writable());
  std::unique_ptr<SqliteOutbox> outbox(new SqliteOutbox(std::move(db), options));
  PoliteVfs* const vfs = outbox->db_.polite();
  const int looks = vfs == nullptr ? 1 : 1 + options.busy_timeout_ms * 1'000 / look_again_us;
  Result<void> done;
  for (int i = 0; i < looks; ++i) {
    done = consistently(outbox->db_, [&] { return outbox->first_look(path, options); });
    if (done || done.error().kind != ErrorKind::kRetry) break;
    if (vfs != nullptr) vfs->sleep_us(look_again_us);
  }
  if (!done) return fail(std::move(done.error()));
  return outbox;
}

Result<void> SqliteOutbox::first_look(const std::string& path, const SqliteOutboxOptions& options) {
  unsound_.reset();
  if (options.rested) {
    memory_ = options.rested->memory;
    group_ends_ = options.rested->group_ends;
    read_up_to_ = options.rested->read_up_to;
    seen_schema_version_ = options.rested->schema_version;
    claimed_ = true;
    unswept_ = resending_ = false;
    return {};
  }
  if (options.memory) {
    memory_ = *options.memory;
    if (options.replaced) unsound_ = LogVerdict{LogChange::kOther, *options.replaced};
    return {};
  }
  const Installed installed = EVODB_TRY(what_is_installed(db_));
  if (installed == Installed::kPartly) {
    return fail(ErrorKind::kNotFound,
                "'" + path + "': tables of capture are missing or empty; run: evodb capture " +
                    "install --db " + path);
  }
  const CaptureState state = EVODB_TRY(require_state(db_));
  const LogVerdict itself = EVODB_TRY(check_itself(db_, state));
  if (itself.change != LogChange::kSame) unsound_ = itself;
  memory_ = EVODB_TRY(remember(db_, state));
  return {};
}

// Once the tables are there.
Result<void> SqliteOutbox::prepare() {
  if (prepared_) return {};
  rows_ = EVODB_TRY(
      db_.prepare("SELECT * FROM main.evodb_outbox WHERE id > ?1 AND id <= ?2 ORDER BY id"));
  // The newest row stays: ids go on from there. The one at the mark is the anchor.
  sweep_ = EVODB_TRY(db_.prepare(
      "DELETE FROM main.evodb_outbox WHERE id IN (SELECT id FROM main.evodb_outbox "
      "WHERE id < min(?1, (SELECT max(id) FROM main.evodb_outbox)) ORDER BY id LIMIT ?2)"));
  prepared_ = true;
  return {};
}

SqliteOutbox::~SqliteOutbox() { close(); }

// Best effort: what is left is swept at the next open, and a log that stays open begins a new life.
void SqliteOutbox::close() {
  for (int i = 0; unswept_ && !abandoned_ && i < sweeps_at_close_max; ++i) {
    if (!sweep()) break;
  }
  if (claimed_ && !stale_ && !abandoned_) mark_closed();
  // Whoever copies the database without its log misses nothing.
  if (writer_ && !abandoned_) empty_log();
}

void SqliteOutbox::abandon() {
  abandoned_ = true;
  db_.keep_log_at_close();
}

std::optional<RestedOutbox> SqliteOutbox::rest() {
  if (!claimed_ || stale_ || unsound_ || resending_ || unswept_ || abandoned_ ||
      stopped_for_space_ || refresh_at_ms_ || !schema_is_seen()) {
    return std::nullopt;
  }
  claimed_ = false;  // closing it does not say that nobody works on it
  return RestedOutbox{memory_, group_ends_, read_up_to_, *seen_schema_version_};
}

void SqliteOutbox::mark_closed() {
  constexpr int tries = 10;
  constexpr int try_again_us = 10'000;
  const auto begin = [&] {
    for (int i = 1;; ++i) {
      auto begun = Transaction::begin(db_, Transaction::Kind::kWrite);
      if (begun || !writer_ || i == tries) return begun;
      db_.polite()->sleep_us(try_again_us);
    }
  };
  auto transaction = begin();
  if (!transaction) return;
  auto state = known_state();
  if (!state || !state->open || state->life != memory_.life) return;
  state->open = false;
  if (save_state(db_, *state)) static_cast<void>(transaction->commit());
}

void SqliteOutbox::tell(const std::string& what) const {
  if (on_event_) on_event_(what);
}

// --- the file and the memory --------------------------------------------------------------------

std::unexpected<Error> SqliteOutbox::stale(std::string why) {
  stale_ = std::move(why);
  return fail(ErrorKind::kStale, "'" + db_.path() + "': " + *stale_);
}

std::unexpected<Error> SqliteOutbox::reject(LogChange change, std::string why) {
  unsound_ = {change, why};
  return stale(std::move(why));
}

Result<SqliteOutbox::Look> SqliteOutbox::look() {
  auto found = look_unvetted();
  EVODB_TRY(db_.vet());
  return found;
}

Result<SqliteOutbox::Look> SqliteOutbox::look_unvetted() {
  Look found;
  const Installed installed = EVODB_TRY(what_is_installed(db_));
  if (installed != Installed::kYes) {
    found.verdict = {LogChange::kBroken, installed == Installed::kNo
                                             ? "capture is not in this database any more"
                                             : "tables of capture were dropped or emptied"};
    if (unsound_) found.verdict.why = unsound_->why;
    return found;
  }
  found.state = EVODB_TRY(require_state(db_));
  found.verdict = EVODB_TRY(compare(db_, *found.state, memory_));
  if (unsound_ && found.verdict.change != LogChange::kBroken) found.verdict = *unsound_;
  return found;
}

Result<void> SqliteOutbox::check_log() {
  const Look found = EVODB_TRY(look());
  if (found.may_go_on()) return {};
  return fail(ErrorKind::kRetry, "'" + db_.path() + "': " + found.verdict.why);
}

Result<CaptureState> SqliteOutbox::known_state() {
  if (stale_) return stale(*stale_);
  Look found = EVODB_TRY(look());
  if (found.verdict.change != LogChange::kSame) return stale(std::move(found.verdict.why));
  EVODB_TRY(prepare());
  memory_.trimmed = found.state->trimmed;  // perhaps further than by us
  memory_.trimmed_chain = found.state->trimmed_chain;
  return std::move(*found.state);
}

void SqliteOutbox::adopt(LogMemory now) {
  memory_ = std::move(now);
  unsound_.reset();
  // Under the same numbers other definitions may stand there.
  tables_.clear();
  held_ = {};
  group_ends_.clear();
  seen_schema_version_.reset();
  refresh_at_ms_.reset();
  resender_.emplace();
  resending_ = true;
  read_up_to_ = memory_.trimmed;
}

// Another process works on this log: what it made of it is what there is.
void SqliteOutbox::follow(const std::string& why, LogMemory now) {
  adopt(std::move(now));
  stale_ = why;
  tell(why + "; going on with what is there");
}

std::uint64_t SqliteOutbox::bytes_each() const {
  if (held_.changes() > 0) return held_.total() / held_.changes();
  return measured_rows_ == 0 ? change_bytes_guess : measured_bytes_ / measured_rows_;
}

Result<OutboxState> SqliteOutbox::state() {
  bool unclaimed_will_do = false;
  for (int looks = 0; looks < looks_at_file_max; ++looks) {
    {
      Transaction transaction = EVODB_TRY(Transaction::begin(db_, Transaction::Kind::kRead));
      const auto [found, verdict] = EVODB_TRY(look());
      if (found && (claimed_ || (unclaimed_will_do && found->life != 0)) &&
          (verdict.change == LogChange::kSame || verdict.change == LogChange::kMovedOn)) {
        const CaptureState& stored = *found;
        auto remembered = remember(db_, stored);
        EVODB_TRY(transaction.commit());
        LogMemory now = EVODB_TRY(std::move(remembered));
        if (verdict.change == LogChange::kMovedOn) {
          follow(verdict.why, std::move(now));
        } else {
          memory_ = std::move(now);
        }
        stale_.reset();
        OutboxState state;
        state.source = stored.source;
        state.epoch = stored.epoch;
        state.life = stored.life;
        state.trimmed = stored.trimmed;
        state.trimmed_chain = stored.trimmed_chain;
        state.head = std::max(memory_.seen, stored.trimmed);
        state.held_bytes = (state.head.value - state.trimmed.value) * bytes_each();
        return state;
      }
    }
    auto settled = settle();
    // Claiming the log can wait for a polite moment, streaming it does not: changed() claims it.
    if (!settled && (!writer_ || unclaimed_will_do || !may_pass(settled.error().kind))) {
      return fail(std::move(settled.error()));
    }
    unclaimed_will_do = !settled;
  }
  return fail(ErrorKind::kRetry, "'" + db_.path() + "' is changed faster than it can be looked at");
}

Result<Lsn> SqliteOutbox::head() {
  return consistently(db_, [&]() -> Result<Lsn> {
    const Installed installed = EVODB_TRY(what_is_installed(db_));
    if (installed != Installed::kYes) {
      return fail(ErrorKind::kRetry, "'" + db_.path() + "': capture is not whole");
    }
    const CaptureState stored = EVODB_TRY(require_state(db_));
    const Lsn newest = EVODB_TRY(outbox_head(db_));
    return std::max(newest, stored.trimmed);
  });
}

Result<void> SqliteOutbox::settle() {
  Transaction transaction = EVODB_TRY(Transaction::begin(db_, Transaction::Kind::kWrite));
  auto [found, verdict] = EVODB_TRY(look());
  const bool broken = verdict.change == LogChange::kBroken;
  const bool begin = broken || verdict.change == LogChange::kOther;
  Epoch next(memory_.epoch.value + 1);
  if (found) next = std::max(next, Epoch(found->epoch.value + 1));
  if (broken) found = EVODB_TRY(reinstall(db_, memory_, next, verdict.why));
  CaptureState& stored = *found;
  if (verdict.change == LogChange::kOther) {
    EVODB_TRY(or_reinstall(renew(stored, next, verdict.why)));
  } else if (!claimed_ && !broken) {
    if (stored.life == 0) stored.dense_after = EVODB_TRY(outbox_head(db_));
    if (stored.open || stored.life == 0) EVODB_TRY(begin_life(db_, stored));
  }
  if (begin || !claimed_) {
    EVODB_TRY(upgrade_outbox_tables(db_, stored));
    stored.open = true;
    EVODB_TRY(save_state(db_, stored));
  }
  LogMemory now = EVODB_TRY(remember(db_, stored));
  if (begin || !claimed_) EVODB_TRY(transaction.commit());
  claimed_ = true;
  if (verdict.change == LogChange::kMovedOn) {
    follow(verdict.why, std::move(now));
  } else if (begin) {
    adopt(std::move(now));
    stale_ = verdict.why;
    tell(*stale_ + "; " + (broken ? "capture is installed anew, " : "") + "epoch " +
         std::to_string(stored.epoch.value) + " begins and every table is sent again");
  } else {
    memory_ = std::move(now);
  }
  return {};
}

// What is held above the mark stays held; what lies at or below it is nobody's.
Result<void> SqliteOutbox::renew(CaptureState& state, Epoch at_least, const std::string& why) {
  EVODB_TRY(upgrade_outbox_tables(db_, state));
  const std::vector<SelectedName> selection = EVODB_TRY(load_selection(db_));
  const std::string mark = std::to_string(state.trimmed.value);
  state.epoch = std::max(at_least, Epoch(state.epoch.value + 1));
  state.trimmed_chain = ChainHash();
  const bool anchored = state.anchor != 0 && EVODB_TRY(has_row(db_, state.trimmed, state.anchor));
  if (!anchored) {
    EVODB_TRY(db_.run("DELETE FROM main.evodb_outbox WHERE id <= " + mark +
                      "; INSERT INTO main.evodb_outbox(id, tbl, op) VALUES(" + mark + ", 0, 0)"));
  }
  state.dense_after = EVODB_TRY(outbox_head(db_));
  if (!state.paused) {
    const CapturePlan plan = EVODB_TRY(make_plan(db_, state, selection, NewTables::kWait));
    EVODB_TRY(apply_plan(db_, plan, SnapshotRule::kAll, why));
  }
  return begin_life(db_, state);
}

Result<Epoch> SqliteOutbox::begin_epoch(Epoch at_least) {
  return begin_as(memory_.source, at_least);
}

Result<Epoch> SqliteOutbox::begin_as(const std::string& source, Epoch at_least) {
  Transaction transaction = EVODB_TRY(Transaction::begin(db_, Transaction::Kind::kWrite));
  CaptureState state = EVODB_TRY(known_state());
  state.source = source;
  EVODB_TRY(or_reinstall(renew(state, at_least, "a new epoch begins")));
  state.open = state.open || claimed_;
  EVODB_TRY(save_state(db_, state));
  LogMemory now = EVODB_TRY(remember(db_, state));
  EVODB_TRY(transaction.commit());
  adopt(std::move(now));
  return state.epoch;
}

// --- others -------------------------------------------------------------------------------------

Result<bool> SqliteOutbox::changed() {
  const std::int64_t version = EVODB_TRY(db_.version());
  if (writer_) {
    writer_->observe(others_version_ && version != others_version_ &&
                     version != writer_->own_version());
  }
  others_version_ = version;
  EVODB_TRY(look_after_space());
  if (version == seen_data_version_ && !unsound_) {
    if (!claimed_ && writer_ && !stale_) {
      const auto claimed = settle();
      if (!claimed && !may_pass(claimed.error().kind)) return fail(claimed.error());
    }
    if (unswept_) {
      const auto more = sweep();
      if (!more && !may_pass(more.error().kind)) return fail(more.error());
    }
    const bool due = EVODB_TRY(refresh_is_due());
    const bool appended = EVODB_TRY(send_again());
    return due || appended;
  }
  bool settled = false;
  {
    Transaction transaction = EVODB_TRY(Transaction::begin(db_, Transaction::Kind::kRead));
    const Look found = EVODB_TRY(look());
    settled = found.may_go_on() && claimed_;
    std::optional<Result<LogMemory>> now;
    if (settled) now = remember(db_, *found.state);
    EVODB_TRY(transaction.commit());
    if (now) {
      LogMemory remembered = EVODB_TRY(std::move(*now));
      if (found.verdict.change == LogChange::kSame) {
        memory_ = std::move(remembered);
      } else {
        follow(found.verdict.why, std::move(remembered));
      }
    }
    settled = settled || found.verdict.change == LogChange::kSame;
  }
  if (!settled) EVODB_TRY(settle());
  seen_data_version_ = version;
  // That others wrote is said once: nothing that passes may hide it.
  if (const auto sent = send_again(); !sent && !may_pass(sent.error().kind)) {
    return fail(sent.error());
  }
  return true;
}

// True: rows were appended, or may have been.
Result<bool> SqliteOutbox::send_again() {
  if (!resending_) return false;
  const Lsn read = std::max(read_up_to_, memory_.trimmed);
  const Lsn newest = EVODB_TRY(consistently(db_, [&] { return outbox_head(db_); }));
  if (newest > read && (newest.value - read.value) * bytes_each() >= resend_ahead_bytes) {
    return false;
  }
  const auto more = resend_step();
  if (!more && !may_pass(more.error().kind)) return fail(more.error());
  return true;
}

Result<bool> SqliteOutbox::resend_step() {
  if (!resender_) resender_.emplace();
  const ResendStep step = EVODB_TRY(or_reinstall(resender_->step(db_, clock_, resend_chunk_)));
  resending_ = step.pending;
  if (step.stale) {
    seen_schema_version_.reset();
    return fail(ErrorKind::kRetry, "'" + db_.path() + "': its schema changed, look at it first");
  }
  return step.pending;
}

Result<void> SqliteOutbox::distrust_cache() {
  seen_data_version_ = -1;
  return db_.run("PRAGMA shrink_memory");
}

void SqliteOutbox::empty_log() {
  // Without waiting: somebody who came meanwhile is not held up. Who comes later waits for it.
  if (writer_ && !db_.polite()->shut_readers_out()) return;
  static_cast<void>(db_.run("PRAGMA busy_timeout = 0; PRAGMA main.wal_checkpoint(TRUNCATE)"));
  static_cast<void>(db_.run("PRAGMA busy_timeout = " + std::to_string(busy_timeout_ms_)));
  if (writer_) db_.polite()->let_readers_in();
}

Result<bool> SqliteOutbox::refresh_is_due() const {
  if (!refresh_at_ms_) return false;
  const std::int64_t now_ms = EVODB_TRY(wall_clock_ms(db_));
  // Further away than any wait lasts: the clock went back.
  return now_ms >= *refresh_at_ms_ || *refresh_at_ms_ - now_ms > waiting_ms;
}

Result<bool> SqliteOutbox::refresh_if_schema_changed() {
  // Until it is compared nothing is known, whichever call fails on the way.
  const auto seen = std::exchange(seen_schema_version_, std::nullopt);
  const std::int64_t version =
      EVODB_TRY(consistently(db_, [&] { return db_.integer("PRAGMA main.schema_version"); }));
  const bool due = version != seen || EVODB_TRY(refresh_is_due());
  if (!due) {
    seen_schema_version_ = seen;
    return false;
  }
  // What a refresh adds to a log that lost some would hide that.
  const RefreshReport done = EVODB_TRY(or_reinstall(refresh(db_, [this] { return check_log(); })));
  refresh_at_ms_ = done.again_at_ms;
  resending_ = true;
  // A refresh that wrote changed the schema itself; the next call looks once more.
  if (!done.changed) seen_schema_version_ = version;
  return done.changed;
}

}  // namespace evodb::capture
