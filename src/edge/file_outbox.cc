#include "edge/file_outbox.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/limits.h"

namespace evodb::edge {
namespace {

constexpr std::uint64_t log_bytes_max = 4u << 20;
constexpr std::uint64_t sweep_lsns_max = 10'000;
constexpr std::uint8_t has_key = 1, has_before = 2, has_after = 4;
constexpr std::uint8_t has_checksum = 8;  // four bytes at the end; not in files of before 0.2

std::int64_t as_stored(std::uint64_t v) { return static_cast<std::int64_t>(v); }

// SQLite checks nothing of what it stores: everything of a change but its rows goes in as well.
struct Envelope {
  std::int64_t lsn, txn, time, op, table;
};
std::uint32_t checksum(const Envelope& envelope, std::string_view rows) {
  std::string head;
  for (const std::int64_t field :
       {envelope.lsn, envelope.txn, envelope.time, envelope.op, envelope.table}) {
    base::put_u64(head, as_read(field));
  }
  return base::crc32c(rows, base::crc32c(head));
}

void put_rows(std::string& out, const NewChange& c, const Envelope& envelope) {
  out.clear();
  base::put_u8(out, static_cast<std::uint8_t>(has_checksum | (c.key.present ? has_key : 0) |
                                              (c.before.present ? has_before : 0) |
                                              (c.after.present ? has_after : 0)));
  for (const wire::ValuesView* values : {&c.key, &c.before, &c.after}) {
    if (!values->present) continue;
    base::put_varint(out, values->count);
    base::put_string(out, values->bytes);
  }
  base::put_u32(out, checksum(envelope, out));
}

bool take_rows(std::string_view bytes, const Envelope& envelope, capture::OutboxChange* change) {
  if (bytes.empty()) return false;
  if ((static_cast<std::uint8_t>(bytes[0]) & has_checksum) != 0) {
    if (bytes.size() < 5) return false;
    const std::string_view sum = bytes.substr(bytes.size() - 4);
    bytes.remove_suffix(4);
    if (base::load_fixed<std::uint32_t>(sum.data()) != checksum(envelope, bytes)) return false;
  }
  base::ByteReader in(bytes);
  std::uint8_t present = 0;
  if (!in.u8(&present) || (present & ~(has_key | has_before | has_after | has_checksum)) != 0)
    return false;
  const auto take = [&](std::uint8_t bit, wire::ValuesView* values) {
    if ((present & bit) == 0) return true;
    std::uint64_t count = 0;
    values->present = true;
    if (!in.varint(&count) || !in.string(&values->bytes) || count > values->bytes.size()) {
      return false;
    }
    values->count = static_cast<std::uint32_t>(count);
    return wire::is_well_formed(*values);
  };
  return take(has_key, &change->key) && take(has_before, &change->before) &&
         take(has_after, &change->after) && in.at_end();
}

}  // namespace

// --- appending ----------------------------------------------------------------------------------

Result<Lsn> FileOutbox::append(std::span<const NewChange> changes) {
  EVODB_ASSERT(!changes.empty(), "an append has at least one change");
  const std::uint64_t bytes = cost(changes);
  const std::lock_guard lock(mutex_);
  EVODB_TRY(check_place());
  if (held_bytes_ + bytes > options_.bytes_max) {
    return fail(full(held_bytes_, options_.bytes_max));
  }
  held_bytes_ += EVODB_TRY(insert(changes));  // as sweep() counts them
  head_ = Lsn(head_.value + changes.size());
  committed();
  return head_;
}

Result<void> FileOutbox::check_place() const {
  if (!db_.has_moved()) return {};
  return fail(ErrorKind::kStale, "the outbox file '" + db_.path() +
                                     "' was moved, removed or replaced while it was in use; put "
                                     "it back, or close this client and open it anew");
}

Result<std::uint64_t> FileOutbox::insert(std::span<const NewChange> changes) {
  auto transaction =
      EVODB_TRY(capture::Transaction::begin(db_, capture::Transaction::Kind::kWrite));
  const std::uint64_t group = head_.value + changes.size();
  std::uint64_t lsn = head_.value;
  std::uint64_t bytes = 0;
  for (const NewChange& c : changes) {
    EVODB_ASSERT(c.table_fingerprint != 0, "callers say the table's fingerprint");
    const Envelope envelope{as_stored(++lsn), as_stored(group), c.committed_at.value,
                            static_cast<std::int64_t>(c.op), EVODB_TRY(table_id(c))};
    put_rows(encoded_, c, envelope);
    bytes += encoded_.size() + row_overhead_bytes;
    insert_.reset();
    insert_.bind(1, envelope.lsn);
    insert_.bind(2, envelope.txn);
    insert_.bind(3, envelope.time);
    insert_.bind(4, envelope.op);
    insert_.bind(5, envelope.table);
    insert_.bind(6, std::string_view(encoded_));
    EVODB_TRY(insert_.run());
  }
  if (auto committed = transaction.commit(); !committed) {
    // The frames may have reached the log before its sync failed. This process writes over them; if
    // it ends before it does, the next one finds them and takes them for committed.
    const bool unknown = (db_.error_code() & 0xff) == SQLITE_IOERR;
    return fail(unknown ? ErrorKind::kOutcomeUnknown : committed.error().kind,
                std::move(committed.error().text));
  }
  for (const NewChange& c : changes) {
    ids_.try_emplace(c.table_fingerprint, as_stored(c.table_fingerprint));
  }
  return bytes;
}

Result<std::int64_t> FileOutbox::table_id(const NewChange& change) {
  if (const auto found = ids_.find(change.table_fingerprint); found != ids_.end()) {
    return found->second;
  }
  std::string def;
  wire::encode_table_def(def, *change.table);
  const std::int64_t id = as_stored(change.table_fingerprint);
  auto insert =
      EVODB_TRY(db_.prepare("INSERT OR IGNORE INTO tables(id, def) VALUES(?1, CAST(?2 AS BLOB))"));
  insert.bind(1, id);
  insert.bind(2, std::string_view(def));
  EVODB_TRY(insert.run());
  // Known without a look only once this transaction was committed: insert() sees to that.
  tables_[id] = {shelf_.keep(*change.table, change.table_fingerprint), change.table_fingerprint};
  return id;
}

// --- reading, trimming --------------------------------------------------------------------------

Result<capture::OutboxState> FileOutbox::state() {
  const std::lock_guard lock(mutex_);
  return capture::OutboxState{.source = source_,
                              .epoch = epoch_,
                              .trimmed = trimmed_,
                              .trimmed_chain = trimmed_chain_,
                              .head = head_,
                              .life = life_,
                              .held_bytes = held_bytes_};
}

Result<void> FileOutbox::read(Lsn after, capture::ChangeSink& sink) {
  const std::lock_guard lock(mutex_);
  rows_.reset();
  rows_.bind(1, as_stored(std::max(after, trimmed_).value));
  struct ResetAtEnd {
    capture::Statement& statement;
    ~ResetAtEnd() { statement.reset(); }
  } const reset{rows_};
  // LSNs are dense: what is not there was damaged away.
  std::uint64_t next = std::max(after, trimmed_).value;
  const auto damaged = [&](const std::string& how) {
    return fail(ErrorKind::kCorrupt, "'" + db_.path() + "': the change of LSN " +
                                         std::to_string(next) + how + "; restore a copy of it");
  };
  while (EVODB_TRY(rows_.step())) {
    const Envelope envelope{rows_.integer(0), rows_.integer(1), rows_.integer(2), rows_.integer(3),
                            rows_.integer(4)};
    capture::OutboxChange change;
    change.lsn = Lsn(as_read(envelope.lsn));
    if (change.lsn.value != ++next) return damaged(" is missing");
    const auto table = tables_.find(envelope.table);
    const std::int64_t op = envelope.op;
    // A row that only a parent would refuse would be sent for ever.
    if (table == tables_.end() || op < 0 || op > static_cast<std::int64_t>(Op::kSnapshot) ||
        !take_rows(rows_.value(5).bytes, envelope, &change)) {
      return damaged(" is damaged");
    }
    change.op = static_cast<Op>(op);
    change.table = table->second.def;
    change.table_fingerprint = table->second.fingerprint;
    change.txn = TxnId(as_read(rows_.integer(1)));
    change.committed_at = UnixMillis(rows_.integer(2));
    if (!sink.take(change)) return {};
  }
  if (next < head_.value) {
    ++next;
    return damaged(" is missing");
  }
  return {};
}

Result<void> FileOutbox::set(std::string_view key, std::uint64_t value) {
  set_.reset();
  set_.bind(1, key);
  set_.bind(2, as_stored(value));
  return set_.run();
}

std::int64_t FileOutbox::state_sum(Epoch epoch, Lsn trimmed, ChainHash chain) const {
  std::string bytes;
  base::put_u64(bytes, epoch.value);
  base::put_u64(bytes, trimmed.value);
  base::put_u64(bytes, chain.value);
  return base::crc32c(source_, base::crc32c(bytes));
}

// Nothing here undoes a commit, so nothing here makes one fail: a log that stays long and a witness
// that lags are tried again with the next one.
void FileOutbox::committed() {
  const auto bytes = db_.log_bytes();
  if (!bytes) return;
  witness(*bytes);
  if (*bytes >= log_bytes_max) static_cast<void>(begin_log());
}

void FileOutbox::witness(std::uint64_t log_bytes) {
  if (!options_.sync || log_ == 0) return;
  witness_->write(
      {.log = log_, .epoch = epoch_, .trimmed = trimmed_, .head = head_, .log_bytes = log_bytes});
}

// The database's file takes over all that is in the log, which begins anew under another name. Its
// witness speaks before the file is touched: from there on either of both may have what is newest.
Result<void> FileOutbox::begin_log() {
  const auto drawn = as_read(EVODB_TRY(db_.integer("SELECT random()")));
  const std::uint64_t next = std::max<std::uint64_t>(drawn, 1);
  EVODB_TRY(set("log", next));
  log_ = next;
  witness(0);
  return db_.run("PRAGMA wal_checkpoint(TRUNCATE)");
}

Result<void> FileOutbox::set_marks(Epoch epoch, Lsn trimmed, ChainHash chain) {
  auto transaction =
      EVODB_TRY(capture::Transaction::begin(db_, capture::Transaction::Kind::kWrite));
  EVODB_TRY(set("epoch", epoch.value));
  EVODB_TRY(set("trimmed", trimmed.value));
  EVODB_TRY(set("trimmed_chain", chain.value));
  EVODB_TRY(set("sum", as_read(state_sum(epoch, trimmed, chain))));
  EVODB_TRY(transaction.commit());
  epoch_ = epoch;
  trimmed_ = trimmed;
  trimmed_chain_ = chain;
  committed();
  return {};
}

Result<void> FileOutbox::trim(Epoch epoch, Lsn through, ChainHash chain_at_through) {
  const std::lock_guard lock(mutex_);
  EVODB_TRY(check_place());
  if (epoch != epoch_) return fail(ErrorKind::kStale, "another epoch has begun");
  EVODB_ASSERT(through <= head_, "only what is held can be trimmed");
  if (through > trimmed_) EVODB_TRY(set_marks(epoch_, through, chain_at_through));
  for (;;) {
    const auto more = sweep();
    // The mark stands: what is left below it is deleted the next time.
    if (!more && !capture::may_pass(more.error().kind)) return fail(more.error());
    if (!more || !*more) return {};
  }
}

Result<bool> FileOutbox::sweep() {
  const std::int64_t first = EVODB_TRY(db_.integer("SELECT min(lsn) FROM changes", -1));
  if (first < 0 || as_read(first) > trimmed_.value) return false;
  const std::uint64_t through = std::min(trimmed_.value, as_read(first) + sweep_lsns_max);
  const std::string where = " FROM changes WHERE lsn <= " + std::to_string(through);
  const std::int64_t bytes = EVODB_TRY(
      db_.integer("SELECT sum(length(rows) + " + std::to_string(row_overhead_bytes) + ")" + where));
  EVODB_TRY(db_.run("DELETE" + where));
  held_bytes_ -= std::min(held_bytes_, as_read(bytes));
  return through < trimmed_.value;
}

Result<Epoch> FileOutbox::begin_epoch(Epoch at_least) {
  const std::lock_guard lock(mutex_);
  const Epoch next = std::max(Epoch(epoch_.value + 1), at_least);
  EVODB_TRY(set_marks(next, trimmed_, ChainHash()));
  return epoch_;
}

}  // namespace evodb::edge
