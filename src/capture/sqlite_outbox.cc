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
constexpr int looks_max = 4;

constexpr std::uint64_t change_bytes_guess = 200;

}  // namespace

Result<std::unique_ptr<SqliteOutbox>> SqliteOutbox::open(const std::string& path,
                                                         const SqliteOutboxOptions& options) {
  Database db = EVODB_TRY(Database::open(path, {options.busy_timeout_ms, options.vfs}));
  EVODB_CHECK(db.check_writable());
  std::unique_ptr<SqliteOutbox> outbox(new SqliteOutbox(std::move(db), options));
  Transaction transaction =
      EVODB_TRY(Transaction::begin(outbox->db_, Transaction::Kind::kRead));
  if (options.memory) {
    outbox->memory_ = *options.memory;
    if (!options.replaced.empty()) outbox->unsound_ = options.replaced;
  } else {
    const Installed installed = EVODB_TRY(what_is_installed(outbox->db_));
    if (installed == Installed::kPartly) {
      return fail(ErrorKind::kNotFound,
                  "'" + path + "': tables of capture are missing or empty; run: evodb capture " +
                      "install --db " + path);
    }
    const CaptureState state = EVODB_TRY(require_state(outbox->db_));
    const LogVerdict itself = EVODB_TRY(check_itself(outbox->db_, state));
    if (itself.change != LogChange::kSame) outbox->unsound_ = itself.why;
    outbox->memory_ = EVODB_TRY(remember(outbox->db_, state));
  }
  outbox->data_version_ = EVODB_TRY(outbox->db_.prepare("PRAGMA main.data_version"));
  outbox->schema_version_ = EVODB_TRY(outbox->db_.prepare("PRAGMA main.schema_version"));
  EVODB_CHECK(transaction.commit());
  return outbox;
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
  if (!claimed_ || stale_ || abandoned_) return;
  auto transaction = Transaction::begin(db_, Transaction::Kind::kWrite);
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

Result<SqliteOutbox::Look> SqliteOutbox::look() {
  Look found;
  const Installed installed = EVODB_TRY(what_is_installed(db_));
  if (installed != Installed::kYes) {
    found.verdict = {LogChange::kBroken, installed == Installed::kNo
                                             ? "capture is not in this database any more"
                                             : "tables of capture were dropped or emptied"};
    if (unsound_) found.verdict.why = *unsound_;
    return found;
  }
  found.state = EVODB_TRY(require_state(db_));
  found.verdict = EVODB_TRY(compare(db_, *found.state, memory_));
  if (found.may_go_on() && unsound_) found.verdict = {LogChange::kOther, *unsound_};
  return found;
}

Result<CaptureState> SqliteOutbox::known_state() {
  if (stale_) return stale(*stale_);
  Look found = EVODB_TRY(look());
  if (found.verdict.change != LogChange::kSame) return stale(std::move(found.verdict.why));
  EVODB_CHECK(prepare());
  memory_.trimmed = found.state->trimmed;  // perhaps further than by us
  memory_.trimmed_chain = found.state->trimmed_chain;
  return std::move(*found.state);
}

void SqliteOutbox::adopt(LogMemory now) {
  memory_ = std::move(now);
  unsound_.reset();
  // Under the same numbers other definitions may stand there.
  tables_.clear();
  group_ends_.clear();
  seen_schema_version_ = -1;
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

Result<OutboxState> SqliteOutbox::state() {
  for (int looks = 0; looks < looks_max; ++looks) {
    {
      Transaction transaction = EVODB_TRY(Transaction::begin(db_, Transaction::Kind::kRead));
      const auto [found, verdict] = EVODB_TRY(look());
      if (found && claimed_ &&
          (verdict.change == LogChange::kSame || verdict.change == LogChange::kMovedOn)) {
        const CaptureState& stored = *found;
        LogMemory now = EVODB_TRY(remember(db_, stored));
        EVODB_CHECK(transaction.commit());
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
        const std::uint64_t each =
            measured_rows_ == 0 ? change_bytes_guess : measured_bytes_ / measured_rows_;
        state.held_bytes = (state.head.value - state.trimmed.value) * each;
        return state;
      }
    }
    EVODB_CHECK(settle());
  }
  return fail(ErrorKind::kRetry, "'" + db_.path() + "' is changed faster than it can be looked at");
}

Result<Lsn> SqliteOutbox::head() {
  Transaction transaction = EVODB_TRY(Transaction::begin(db_, Transaction::Kind::kRead));
  const Installed installed = EVODB_TRY(what_is_installed(db_));
  if (installed != Installed::kYes) {
    return fail(ErrorKind::kRetry, "'" + db_.path() + "': capture is not whole");
  }
  const CaptureState stored = EVODB_TRY(require_state(db_));
  const Lsn newest = EVODB_TRY(outbox_head(db_));
  EVODB_CHECK(transaction.commit());
  return std::max(newest, stored.trimmed);
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
    EVODB_CHECK(renew(stored, next, verdict.why));
  } else if (!claimed_ && !broken) {
    if (stored.life == 0) stored.dense_after = EVODB_TRY(outbox_head(db_));
    if (stored.open || stored.life == 0) EVODB_CHECK(begin_life(db_, stored));
  }
  if (begin || !claimed_) {
    EVODB_CHECK(upgrade_outbox_tables(db_, stored));
    stored.open = true;
    EVODB_CHECK(save_state(db_, stored));
  }
  LogMemory now = EVODB_TRY(remember(db_, stored));
  if (begin || !claimed_) EVODB_CHECK(transaction.commit());
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
  EVODB_CHECK(upgrade_outbox_tables(db_, state));
  const std::vector<SelectedName> selection = EVODB_TRY(load_selection(db_));
  const std::string mark = std::to_string(state.trimmed.value);
  state.epoch = std::max(at_least, Epoch(state.epoch.value + 1));
  state.trimmed_chain = ChainHash();
  const bool anchored =
      state.anchor != 0 && EVODB_TRY(has_row(db_, state.trimmed, state.anchor));
  if (!anchored) {
    EVODB_CHECK(db_.run("DELETE FROM main.evodb_outbox WHERE id <= " + mark +
                        "; INSERT INTO main.evodb_outbox(id, tbl, op) VALUES(" + mark + ", 0, 0)"));
  }
  state.dense_after = EVODB_TRY(outbox_head(db_));
  if (!state.paused) {
    const CapturePlan plan = EVODB_TRY(make_plan(db_, state, selection, NewTables::kWait));
    EVODB_CHECK(apply_plan(db_, plan, SnapshotRule::kAll, why));
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
  EVODB_CHECK(renew(state, at_least, "a new epoch begins"));
  state.open = state.open || claimed_;
  EVODB_CHECK(save_state(db_, state));
  LogMemory now = EVODB_TRY(remember(db_, state));
  EVODB_CHECK(transaction.commit());
  adopt(std::move(now));
  return state.epoch;
}

// --- others -------------------------------------------------------------------------------------

Result<bool> SqliteOutbox::changed() {
  const bool found = EVODB_TRY(data_version_.step());
  EVODB_ASSERT(found, "PRAGMA data_version gives a row");
  const std::int64_t version = data_version_.integer(0);
  data_version_.reset();
  if (version == seen_data_version_ && !unsound_) {
    if (unswept_) {
      const auto more = sweep();
      if (!more && more.error().kind != ErrorKind::kRetry) return fail(more.error());
    }
    return send_again();
  }
  bool settled = false;
  {
    Transaction transaction = EVODB_TRY(Transaction::begin(db_, Transaction::Kind::kRead));
    const Look found = EVODB_TRY(look());
    settled = found.may_go_on() && claimed_;
    if (settled) {
      LogMemory now = EVODB_TRY(remember(db_, *found.state));
      if (found.verdict.change == LogChange::kSame) {
        memory_ = std::move(now);
      } else {
        follow(found.verdict.why, std::move(now));
      }
    }
    settled = settled || found.verdict.change == LogChange::kSame;
    EVODB_CHECK(transaction.commit());
  }
  if (!settled) EVODB_CHECK(settle());
  seen_data_version_ = version;
  EVODB_TRY(send_again());
  return true;
}

// True: rows were appended, or may have been.
Result<bool> SqliteOutbox::send_again() {
  if (!resending_) return false;
  const Lsn read = std::max(read_up_to_, memory_.trimmed);
  const std::uint64_t each =
      measured_rows_ == 0 ? change_bytes_guess : measured_bytes_ / measured_rows_;
  const Lsn newest = EVODB_TRY(outbox_head(db_));
  if (newest > read && (newest.value - read.value) * each >= resend_ahead_bytes) return false;
  const auto more = resend_step();
  if (!more && more.error().kind != ErrorKind::kRetry) return fail(more.error());
  return true;
}

Result<bool> SqliteOutbox::resend_step() {
  if (!resender_) resender_.emplace();
  const ResendStep step = EVODB_TRY(resender_->step(db_, clock_, resend_chunk_));
  resending_ = step.pending;
  if (step.stale) {
    seen_schema_version_ = -1;
    return fail(ErrorKind::kRetry, "'" + db_.path() + "': its schema changed, look at it first");
  }
  return step.pending;
}

Result<void> SqliteOutbox::distrust_cache() {
  seen_data_version_ = -1;
  return db_.run("PRAGMA shrink_memory");
}

void SqliteOutbox::empty_log() {
  // Without waiting: somebody who came meanwhile is not held up.
  static_cast<void>(db_.run("PRAGMA busy_timeout = 0; PRAGMA main.wal_checkpoint(TRUNCATE)"));
  static_cast<void>(db_.run("PRAGMA busy_timeout = " + std::to_string(busy_timeout_ms_)));
}

Result<bool> SqliteOutbox::refresh_if_schema_changed() {
  const bool found = EVODB_TRY(schema_version_.step());
  EVODB_ASSERT(found, "PRAGMA schema_version gives a row");
  const std::int64_t version = schema_version_.integer(0);
  schema_version_.reset();
  bool due = version != seen_schema_version_;
  if (!due && refresh_at_ms_) {
    const std::int64_t now_ms = EVODB_TRY(wall_clock_ms(db_));
    due = now_ms >= *refresh_at_ms_;
  }
  if (!due) return false;
  const RefreshReport done = EVODB_TRY(refresh(db_));
  refresh_at_ms_ = done.again_at_ms;
  resending_ = true;
  // A refresh that wrote changed the schema itself; the next call looks once more.
  seen_schema_version_ = done.changed ? -1 : version;
  return done.changed;
}

}  // namespace evodb::capture
