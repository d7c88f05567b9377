#include "capture/sqlite_outbox.h"

#include <algorithm>
#include <optional>

#include "base/assert.h"
#include "base/bytes.h"
#include "capture/capture_plan.h"
#include "capture/refresh.h"

namespace evodb::capture {
namespace {

constexpr std::size_t slice_changes_max = 2'000;
constexpr std::size_t slice_bytes_max = 4u << 20;
constexpr int sweep_rows_max = 1'000;
// Within one trim(): beyond that the application gets its turn, and changed() does the rest.
constexpr int sweeps_per_trim_max = 8;
constexpr int sweeps_at_close_max = 1'000;
// Labels that are remembered; the oldest are those of changes that nobody asks for again.
constexpr std::size_t group_ends_max = 100'000;

constexpr std::uint64_t change_bytes_guess = 200;

}  // namespace

Result<std::unique_ptr<SqliteOutbox>> SqliteOutbox::open(const std::string& path,
                                                         const SqliteOutboxOptions& options) {
  Database db = EVODB_TRY(Database::open(path, {options.busy_timeout_ms, options.vfs}));
  EVODB_CHECK(db.check_writable());
  std::unique_ptr<SqliteOutbox> outbox(new SqliteOutbox(std::move(db), options));
  const CaptureState state = EVODB_TRY(require_state(outbox->db_));
  outbox->trimmed_ = state.trimmed;
  EVODB_CHECK(outbox->prepare());
  EVODB_CHECK(outbox->heal());
  outbox->unswept_ = true;
  return outbox;
}

SqliteOutbox::~SqliteOutbox() {
  // Best effort: what is left is swept at the next open.
  for (int i = 0; unswept_ && i < sweeps_at_close_max; ++i) {
    if (!sweep()) break;
  }
}

Result<void> SqliteOutbox::prepare() {
  data_version_ = EVODB_TRY(db_.prepare("PRAGMA main.data_version"));
  schema_version_ = EVODB_TRY(db_.prepare("PRAGMA main.schema_version"));
  rows_ = EVODB_TRY(
      db_.prepare("SELECT * FROM main.evodb_outbox WHERE id > ?1 AND id <= ?2 ORDER BY id"));
  head_ =
      EVODB_TRY(db_.prepare("SELECT (SELECT max(id) FROM main.evodb_outbox), "
                            "(SELECT value FROM main.evodb_state WHERE key = 'trimmed')"));
  // The newest row stays: ids go on from there.
  sweep_ = EVODB_TRY(db_.prepare(
      "DELETE FROM main.evodb_outbox WHERE id IN (SELECT id FROM main.evodb_outbox "
      "WHERE id <= min(?1, (SELECT max(id) FROM main.evodb_outbox) - 1) ORDER BY id LIMIT ?2)"));
  return {};
}

// Somebody emptied evodb_outbox: ids would begin again below the mark, where nobody reads them.
Result<void> SqliteOutbox::heal() {
  const Lsn head = EVODB_TRY(outbox_head(db_));
  if (head >= trimmed_) return {};
  const Epoch epoch = EVODB_TRY(begin_epoch(Epoch()));
  static_cast<void>(epoch);
  return {};
}

Result<OutboxState> SqliteOutbox::state() {
  Transaction transaction = EVODB_TRY(Transaction::begin(db_, Transaction::Kind::kRead));
  const CaptureState stored = EVODB_TRY(require_state(db_));
  const Lsn newest = EVODB_TRY(outbox_head(db_));
  EVODB_CHECK(transaction.commit());
  trimmed_ = stored.trimmed;
  OutboxState state;
  state.source = stored.source;
  state.epoch = stored.epoch;
  state.trimmed = stored.trimmed;
  state.trimmed_chain = stored.trimmed_chain;
  state.head = std::max(newest, stored.trimmed);
  const std::uint64_t each =
      measured_rows_ == 0 ? change_bytes_guess : measured_bytes_ / measured_rows_;
  state.held_bytes = (state.head.value - state.trimmed.value) * each;
  return state;
}

Result<const KnownTable*> SqliteOutbox::table(std::int64_t id) {
  std::unique_ptr<KnownTable>& known = tables_[id];
  if (known == nullptr) {
    CapturedTable loaded = EVODB_TRY(load_captured(db_, id));
    // A definition that no parent takes would be sent, and refused, for ever.
    std::string encoded;
    wire::encode_table_def(encoded, loaded.def);
    base::ByteReader in(encoded);
    if (const auto again = wire::decode_table_def(in); !again) {
      return fail(ErrorKind::kCorrupt, "'" + db_.path() +
                                           "': evodb_tables and evodb_columns say of " + "table " +
                                           std::to_string(id) + ": " + again.error().text +
                                           "; remove capture and install it again");
    }
    known = std::make_unique<KnownTable>();
    known->table = std::move(loaded);
    known->fingerprint = known->table.def.fingerprint();
  }
  return known.get();
}

Result<void> SqliteOutbox::read(Lsn after, ChangeSink& sink) {
  Lsn snapshot_head;
  for (;;) {
    const bool more = EVODB_TRY(read_slice(&after, &snapshot_head, sink));
    if (!more) return {};
  }
}

Result<bool> SqliteOutbox::read_slice(Lsn* after, Lsn* snapshot_head, ChangeSink& sink) {
  Transaction transaction = EVODB_TRY(Transaction::begin(db_, Transaction::Kind::kRead));
  struct ResetAtEnd {
    Statement& statement;
    ~ResetAtEnd() { statement.reset(); }
  } const reset_rows{rows_};

  if (snapshot_head->value == 0) {
    // Later slices go no further than the first one saw: rows up to there never change.
    const bool found = EVODB_TRY(head_.step());
    EVODB_ASSERT(found, "a SELECT of two scalars gives a row");
    snapshot_head->value = static_cast<std::uint64_t>(head_.integer(0));
    trimmed_.value = static_cast<std::uint64_t>(head_.integer(1));
    head_.reset();
    *after = std::max(*after, trimmed_);
  }
  if (*after >= *snapshot_head) return false;
  rows_.reset();
  rows_.bind(1, static_cast<std::int64_t>(after->value));
  rows_.bind(2, static_cast<std::int64_t>(snapshot_head->value));
  row_ = OutboxRow();
  std::size_t changes = 0;
  std::size_t bytes = 0;
  auto last_id = static_cast<std::int64_t>(after->value);
  while (EVODB_TRY(rows_.step())) {
    // ORDER BY walks the table as it lies: a damaged page may hold any id.
    if (rows_.integer(0) <= last_id) {
      return fail(ErrorKind::kCorrupt, "'" + db_.path() + "': evodb_outbox is damaged, id " +
                                           std::to_string(rows_.integer(0)) + " follows " +
                                           std::to_string(last_id) +
                                           "; see PRAGMA integrity_check, restore a backup");
    }
    last_id = rows_.integer(0);
    const KnownTable* const known = EVODB_TRY(table(rows_.integer(1)));
    const bool complete = EVODB_TRY(row_.add(rows_, *known));
    if (!complete) continue;
    OutboxChange& change = row_.change();
    change.txn = label_of(change.lsn, *snapshot_head);
    if (!sink.take(change)) return false;
    read_up_to_ = std::max(read_up_to_, change.lsn);
    remember_label(change.txn);
    *after = change.lsn;
    bytes += row_.bytes();
    measured_bytes_ += row_.bytes();
    ++measured_rows_;
    if (++changes >= slice_changes_max || bytes >= slice_bytes_max) return true;
  }
  return false;
}

TxnId SqliteOutbox::label_of(Lsn lsn, Lsn snapshot_head) const {
  const auto end = std::lower_bound(group_ends_.begin(), group_ends_.end(), lsn);
  return TxnId(end != group_ends_.end() ? end->value : snapshot_head.value);
}

void SqliteOutbox::remember_label(TxnId label) {
  const Lsn end(label.value);
  if (!group_ends_.empty() && group_ends_.back() >= end) return;
  group_ends_.push_back(end);
  if (group_ends_.size() > group_ends_max) group_ends_.pop_front();
}

void SqliteOutbox::resume_group(TxnId label) {
  group_ends_.clear();
  if (label.value != 0) group_ends_.push_back(Lsn(label.value));
}

Result<void> SqliteOutbox::set_trimmed(Epoch epoch, Lsn through, ChainHash chain) {
  Transaction transaction = EVODB_TRY(Transaction::begin(db_, Transaction::Kind::kWrite));
  CaptureState state = EVODB_TRY(require_state(db_));
  if (state.epoch != epoch) {
    return fail(ErrorKind::kFenced, "epoch " + std::to_string(state.epoch.value) +
                                        " has begun in this database; what was acknowledged under "
                                        "epoch " +
                                        std::to_string(epoch.value) + " is kept");
  }
  const Lsn head = EVODB_TRY(outbox_head(db_));
  if (through > head) {
    return fail(ErrorKind::kInvalid, "trim up to LSN " + std::to_string(through.value) +
                                         ", but the newest is " + std::to_string(head.value));
  }
  if (through > state.trimmed) {
    state.trimmed = through;
    state.trimmed_chain = chain;
    EVODB_CHECK(save_state(db_, state));
    EVODB_CHECK(transaction.commit());
  }
  trimmed_ = state.trimmed;
  return {};
}

Result<void> SqliteOutbox::trim(Epoch epoch, Lsn through, ChainHash chain_at_through) {
  if (through > trimmed_) EVODB_CHECK(set_trimmed(epoch, through, chain_at_through));
  while (!group_ends_.empty() && group_ends_.front() <= trimmed_) group_ends_.pop_front();
  // The mark stands: from here on a lock is no failure, only work for later.
  unswept_ = true;
  for (int i = 0; unswept_ && i < sweeps_per_trim_max; ++i) {
    const auto more = sweep();
    if (!more && more.error().kind == ErrorKind::kRetry) return {};
    if (!more) return fail(more.error());
  }
  return {};
}

Result<bool> SqliteOutbox::sweep() {
  Transaction transaction = EVODB_TRY(Transaction::begin(db_, Transaction::Kind::kWrite));
  // No statement of the application is running now: notes of victims are leftovers. (The condition
  // makes a DELETE of nothing write nothing.)
  EVODB_CHECK(db_.run("DELETE FROM main.evodb_victims WHERE n >= 0"));
  sweep_.reset();
  sweep_.bind(1, static_cast<std::int64_t>(trimmed_.value));
  sweep_.bind(2, sweep_rows_max);
  EVODB_CHECK(sweep_.run());
  unswept_ = db_.changed_rows() == sweep_rows_max;
  EVODB_CHECK(transaction.commit());
  return unswept_;
}

Result<Epoch> SqliteOutbox::begin_epoch(Epoch at_least) {
  Transaction transaction = EVODB_TRY(Transaction::begin(db_, Transaction::Kind::kWrite));
  CaptureState state = EVODB_TRY(require_state(db_));
  const std::vector<SelectedName> selection = EVODB_TRY(load_selection(db_));
  const Lsn head = EVODB_TRY(outbox_head(db_));
  state.epoch.value = std::max(at_least.value, state.epoch.value + 1);
  state.trimmed_chain = ChainHash();
  if (head < state.trimmed) {
    // heal(): what was written below the mark is in the snapshot that follows.
    const CapturedTable any = EVODB_TRY(load_captured(db_)).at(0);
    EVODB_CHECK(db_.run("DELETE FROM main.evodb_outbox"));
    EVODB_CHECK(db_.run("INSERT INTO main.evodb_outbox(id, tbl, op) VALUES(" +
                        std::to_string(state.trimmed.value) + "," + std::to_string(any.id) +
                        ",0)"));
  }
  EVODB_CHECK(upgrade_outbox_tables(db_, state));
  if (!state.paused) {
    const CapturePlan plan = EVODB_TRY(make_plan(db_, state, selection, NewTables::kWait));
    EVODB_CHECK(apply_plan(db_, plan, SnapshotRule::kAll));
  }
  EVODB_CHECK(save_state(db_, state));
  EVODB_CHECK(transaction.commit());
  trimmed_ = state.trimmed;
  group_ends_.clear();
  read_up_to_ = trimmed_;
  resending_ = true;
  return state.epoch;
}

Result<bool> SqliteOutbox::changed() {
  if (unswept_) {
    const auto more = sweep();
    if (!more && more.error().kind != ErrorKind::kRetry) return fail(more.error());
  }
  const bool found = EVODB_TRY(data_version_.step());
  EVODB_ASSERT(found, "PRAGMA data_version gives a row");
  const std::int64_t version = data_version_.integer(0);
  data_version_.reset();
  bool differs = version != seen_data_version_;
  seen_data_version_ = version;
  if (resending_) {
    const OutboxState now = EVODB_TRY(state());
    const Lsn read = std::max(read_up_to_, now.trimmed);
    const std::uint64_t each =
        measured_rows_ == 0 ? change_bytes_guess : measured_bytes_ / measured_rows_;
    if (now.head > read && (now.head.value - read.value) * each >= resend_ahead_bytes) {
      return differs;
    }
    const auto more = resend_step();
    if (!more && more.error().kind != ErrorKind::kRetry) return fail(more.error());
    differs = true;
  }
  return differs;
}

Result<bool> SqliteOutbox::resend_step() {
  const ResendStep step = EVODB_TRY(resender_.step(db_, clock_, resend_chunk_));
  resending_ = step.pending;
  if (step.stale) {
    seen_schema_version_ = -1;
    return fail(ErrorKind::kRetry, "'" + db_.path() + "': its schema changed, look at it first");
  }
  return step.pending;
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
