// Reading and trimming the rows of evodb_outbox.
#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "capture/sqlite_outbox.h"
#include "wire/change.h"

namespace evodb::capture {
namespace {

constexpr std::size_t slice_changes_max = 2'000;
constexpr std::size_t slice_bytes_max = 4u << 20;
constexpr std::size_t look_changes_min = 16;
constexpr int looks_in_a_row_max = 6;
constexpr int sweep_rows_max = 1'000;
// One write transaction of a trim: a few milliseconds of reading, hashing and deleting.
constexpr std::size_t chunk_changes_max = 500;
constexpr std::size_t chunk_bytes_max = 512u << 10;
// Labels that are remembered; the oldest are those of changes that nobody asks for again.
constexpr std::size_t group_ends_max = 100'000;

std::string lsn_text(Lsn lsn) { return std::to_string(lsn.value); }

std::string other_changes(Lsn through) {
  return "evodb_outbox holds other changes up to LSN " + lsn_text(through) +
         " than those that were sent and acknowledged";
}

}  // namespace

// Folds changes into the chain hash, as the parent does.
struct SqliteOutbox::Fold {
  Fold(Lsn after, ChainHash chain) { writer.reset(after, chain); }
  void add(const OutboxChange& c, std::size_t row_bytes) {
    // Only the hash is wanted: what the writer keeps beside it is thrown away now and then.
    if (writer.bytes() >= chunk_bytes_max) writer.reset(writer.last_lsn(), writer.chain());
    writer.add_change(c.op, 0, c.table_fingerprint, c.lsn, TxnId(), c.committed_at, c.key, c.before,
                      c.after, c.reason);
    ++changes;
    bytes += row_bytes;
  }
  wire::BatchWriter writer;
  std::size_t changes = 0, bytes = 0;  // since they were last set to 0
};

Result<const KnownTable*> SqliteOutbox::table(std::int64_t id) {
  std::unique_ptr<KnownTable>& known = tables_[id];
  if (known == nullptr) {
    auto found = load_captured(db_, id);
    EVODB_TRY(db_.vet());
    if (!found && found.error().kind == ErrorKind::kNotFound) {
      return reject(LogChange::kBroken, std::move(found.error().text));
    }
    CapturedTable loaded = EVODB_TRY(std::move(found));
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

template <class Take>
Result<void> SqliteOutbox::each_change(Lsn after, Lsn through, Lsn dense_after, Take take) {
  auto done = each_change_unvetted(after, through, dense_after, std::move(take));
  if (!done && done.error().kind != ErrorKind::kStale) EVODB_TRY(db_.vet());
  return done;
}

template <class Take>
Result<void> SqliteOutbox::each_change_unvetted(Lsn after, Lsn through, Lsn dense_after,
                                                Take take) {
  struct ResetAtEnd {
    Statement& statement;
    ~ResetAtEnd() { statement.reset(); }
  } const reset_rows{rows_};
  rows_.reset();
  rows_.bind(1, static_cast<std::int64_t>(after.value));
  rows_.bind(2, static_cast<std::int64_t>(through.value));
  row_ = OutboxRow();
  auto last_id = static_cast<std::int64_t>(after.value);
  const auto hole_behind = [&](std::int64_t id) -> Result<void> {
    EVODB_TRY(db_.vet());
    return reject(LogChange::kOther,
                  "rows of evodb_outbox were removed: those behind LSN " + std::to_string(id));
  };
  while (EVODB_TRY(rows_.step())) {
    const std::int64_t id = rows_.integer(0);
    // ORDER BY walks the table as it lies: a damaged page may hold any id.
    if (id <= last_id) {
      return fail(ErrorKind::kCorrupt, "'" + db_.path() + "': evodb_outbox is damaged, id " +
                                           std::to_string(id) + " follows " +
                                           std::to_string(last_id) +
                                           "; see PRAGMA integrity_check, restore a backup");
    }
    if (id != last_id + 1 && static_cast<std::uint64_t>(id) > dense_after.value + 1) {
      return hole_behind(last_id);
    }
    last_id = id;
    const KnownTable* const known = EVODB_TRY(table(rows_.integer(1)));
    const bool complete = EVODB_TRY(row_.add(rows_, *known));
    if (complete && !take(row_.change())) return {};
  }
  if (static_cast<std::uint64_t>(last_id) < through.value) return hole_behind(last_id);
  return {};
}

// --- reading ------------------------------------------------------------------------------------

Result<void> SqliteOutbox::read(Lsn after, ChangeSink& sink) {
  Lsn snapshot_head;
  for (int looks = 1;;) {
    const Lsn from = after, head = snapshot_head;
    const auto more = read_slice(&after, &snapshot_head, sink);
    // A writer that hardly pauses leaves a moment now and then: one in twenty milliseconds is not
    // enough to find it. The next look is shorter, and nothing of this one was believed.
    const bool in_vain = !more && more.error().kind == ErrorKind::kRetry && look_failed_;
    if (in_vain && looks++ < looks_in_a_row_max) {
      after = from;
      snapshot_head = head;
      continue;
    }
    if (!more) return fail(more.error());
    if (!*more) return {};
    looks = 1;
  }
}

Result<bool> SqliteOutbox::read_slice(Lsn* after, Lsn* snapshot_head, ChangeSink& sink) {
  const bool looks = db_.polite() != nullptr && !db_.polite()->in_wal_mode();
  look_failed_ = looks;  // until it is sealed
  Transaction transaction = EVODB_TRY(Transaction::begin(db_, Transaction::Kind::kRead));
  const CaptureState state = EVODB_TRY(known_state());
  if (snapshot_head->value == 0) {
    // Later slices go no further than the first one saw: rows up to there never change.
    *snapshot_head = EVODB_TRY(outbox_head(db_));
    *after = std::max(*after, state.trimmed);
    if (*snapshot_head > memory_.seen || memory_.seen_hash == 0) {
      const std::uint64_t hash = EVODB_TRY(hash_of_row(db_, *snapshot_head));
      EVODB_TRY(db_.vet());
      memory_.seen = *snapshot_head;
      memory_.seen_hash = hash;
    }
  }
  if (*after >= *snapshot_head) return false;
  std::size_t changes = 0;
  std::size_t bytes = 0;
  bool more = false;
  std::size_t changes_max = slice_changes_max;
  if (looks) {
    // Read without a lock (polite_vfs.h): nothing is handed out before all of it was proved. Who
    // reads the same rows again then finds what was proved, or fails. The shorter it takes the
    // likelier nobody writes meanwhile.
    changes_max = look_changes_max_;
    look_changes_max_ = std::max(look_changes_max_ / 2, look_changes_min);
    EVODB_TRY(each_change(*after, *snapshot_head, state.dense_after, [&](OutboxChange&) {
      bytes += row_.bytes();
      return ++changes < changes_max && bytes < slice_bytes_max;
    }));
    if (!db_.polite()->seal()) return fail(ErrorKind::kRetry, "'" + db_.path() + "' is written to");
    look_failed_ = false;
    look_changes_max_ = std::min(2 * changes_max, slice_changes_max);
    changes = bytes = 0;
  }
  EVODB_TRY(each_change(*after, *snapshot_head, state.dense_after, [&](OutboxChange& change) {
    change.txn = label_of(change.lsn, *snapshot_head);
    if (!sink.take(change)) return false;
    remember_label(change.txn);
    *after = change.lsn;
    read_up_to_ = std::max(read_up_to_, change.lsn);
    bytes += row_.bytes();
    measured_bytes_ += row_.bytes();
    ++measured_rows_;
    more = ++changes >= changes_max || bytes >= slice_bytes_max;
    return !more;
  }));
  return more;
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

// --- trimming -----------------------------------------------------------------------------------

bool SqliteOutbox::wants_trim(Lsn acknowledged) {
  if (!writer_) return true;
  acknowledged_ = acknowledged;
  writer_->observe(/*others_wrote=*/false);
  const Lsn mark = memory_.trimmed;
  writer_->set_trimmable(acknowledged > mark ? (acknowledged.value - mark.value) * bytes_each()
                                             : 0);
  return writer_->trim_is_due(space_->disk_is_full());
}

Result<void> SqliteOutbox::trim(Epoch epoch, Lsn through, ChainHash chain_at_through) {
  if (through <= memory_.trimmed && !stale_) return {};
  std::vector<ChunkEnd> chunks{{through, chain_at_through}};
  if (through.value - memory_.trimmed.value > chunk_changes_max) {
    chunks = EVODB_TRY(prove(through, chain_at_through));
  }
  for (const ChunkEnd& end : chunks) {
    auto done = trim_chunk(epoch, end);
    if (!done && done.error().kind == ErrorKind::kNoSpace) {
      done = trim_on_full_disk(epoch, end, done.error());
    }
    EVODB_TRY(done);
  }
  while (!group_ends_.empty() && group_ends_.front() <= memory_.trimmed) group_ends_.pop_front();
  // Once begun, all is trimmed that is acknowledged; then it is rare again.
  if (writer_ && memory_.trimmed >= acknowledged_) writer_->drained();
  return {};
}

// Where a long trim can be cut, with the chain at each cut, if all of it is what was acknowledged:
// no mark is set that only a part of a wrong history would have proved.
Result<std::vector<SqliteOutbox::ChunkEnd>> SqliteOutbox::prove(Lsn through, ChainHash chain) {
  std::vector<ChunkEnd> ends;
  Fold fold(memory_.trimmed, memory_.trimmed_chain);
  while (fold.writer.last_lsn() < through) {
    Transaction transaction = EVODB_TRY(Transaction::begin(db_, Transaction::Kind::kRead));
    const CaptureState state = EVODB_TRY(known_state());
    const Lsn from = fold.writer.last_lsn();
    if (ends.empty()) fold.writer.reset(state.trimmed, state.trimmed_chain);
    if (state.trimmed > fold.writer.last_lsn()) {
      return fail(ErrorKind::kRetry, "another process trims '" + db_.path() + "'");
    }
    std::size_t changes = 0;
    EVODB_TRY(
        each_change(fold.writer.last_lsn(), through, state.dense_after, [&](OutboxChange& change) {
          fold.add(change, row_.bytes());
          if (fold.changes >= chunk_changes_max || fold.bytes >= chunk_bytes_max) {
            ends.push_back({fold.writer.last_lsn(), fold.writer.chain()});
            fold.changes = fold.bytes = 0;
          }
          return ++changes < slice_changes_max && fold.bytes < slice_bytes_max;
        }));
    EVODB_TRY(transaction.commit());
    if (fold.writer.last_lsn() == from && changes == 0) break;
  }
  if (fold.writer.last_lsn() != through || fold.writer.chain() != chain) {
    return reject(LogChange::kOther, other_changes(through));
  }
  if (ends.empty() || ends.back().lsn != through) ends.push_back({through, chain});
  return ends;
}

// Everything may be acknowledged, and then only trimming helps, which needs space to begin with.
Result<void> SqliteOutbox::trim_on_full_disk(Epoch epoch, ChunkEnd end, const Error& full) {
  if (!space_ || !space_->release()) return fail(full);
  tell("the disk is full; acknowledged changes are trimmed with the space that " + space_->path() +
       " held");
  EVODB_TRY(trim_chunk(epoch, end));
  // The log begins anew where it is in the database whole: the application's next writes need no
  // more space than there is.
  static_cast<void>(db_.checkpoint().has_value());
  return {};
}

// The proof, the mark and the deleting in one transaction.
Result<void> SqliteOutbox::trim_chunk(Epoch epoch, ChunkEnd end) {
  Transaction transaction =
      EVODB_TRY(Transaction::begin(db_, Transaction::Kind::kWrite, WriteReason::kTrim));
  CaptureState state = EVODB_TRY(known_state());
  if (state.epoch != epoch) {
    return stale("epoch " + std::to_string(state.epoch.value) +
                 " has begun in this database; what was acknowledged under epoch " +
                 std::to_string(epoch.value) + " is kept");
  }
  if (end.lsn <= state.trimmed) return {};
  const Lsn head = EVODB_TRY(outbox_head(db_));
  if (end.lsn > head) {
    return fail(ErrorKind::kInvalid,
                "trim up to LSN " + lsn_text(end.lsn) + ", but the newest is " + lsn_text(head));
  }
  Fold fold(state.trimmed, state.trimmed_chain);
  EVODB_TRY(each_change(state.trimmed, end.lsn, state.dense_after, [&](OutboxChange& change) {
    fold.add(change, row_.bytes());
    return true;
  }));
  if (fold.writer.last_lsn() != end.lsn || fold.writer.chain() != end.chain) {
    return reject(LogChange::kOther, other_changes(end.lsn));
  }
  // No statement of the application is running now: notes of victims are leftovers. (The condition
  // makes a DELETE of nothing write nothing.)
  EVODB_TRY(db_.run("DELETE FROM main.evodb_victims WHERE n >= 0"));
  EVODB_TRY(db_.run("DELETE FROM main.evodb_outbox WHERE id >= " + lsn_text(state.trimmed) +
                    " AND id < " + lsn_text(end.lsn)));
  EVODB_TRY(upgrade_outbox_tables(db_, state));
  if (state.life == 0) EVODB_TRY(begin_life(db_, state));
  state.trimmed = end.lsn;
  state.trimmed_chain = end.chain;
  state.anchor = EVODB_TRY(hash_of_row(db_, end.lsn));
  EVODB_TRY(save_state(db_, state));
  EVODB_TRY(transaction.commit());
  memory_.life = state.life;
  memory_.trimmed = state.trimmed;
  memory_.trimmed_chain = state.trimmed_chain;
  return {};
}

Result<bool> SqliteOutbox::sweep() {
  Transaction transaction =
      EVODB_TRY(Transaction::begin(db_, Transaction::Kind::kWrite, WriteReason::kTrim));
  const auto state = known_state();
  if (!state) {  // then there is nothing that may be deleted
    unswept_ = state.error().kind != ErrorKind::kStale;
    if (!unswept_) return false;
    return fail(state.error());
  }
  EVODB_TRY(db_.run("DELETE FROM main.evodb_victims WHERE n >= 0"));
  sweep_.reset();
  sweep_.bind(1, static_cast<std::int64_t>(memory_.trimmed.value));
  sweep_.bind(2, sweep_rows_max);
  EVODB_TRY(sweep_.run());
  unswept_ = db_.changed_rows() == sweep_rows_max;
  EVODB_TRY(transaction.commit());
  return unswept_;
}

}  // namespace evodb::capture
