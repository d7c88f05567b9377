#include "edge/file_outbox.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/bytes.h"

namespace evodb::edge {
namespace {

constexpr std::int64_t file_mark = 0x45764f62;  // "EvOb": PRAGMA application_id
constexpr std::uint64_t sweep_lsns_max = 10'000;
constexpr std::uint8_t has_key = 1, has_before = 2, has_after = 4;

std::int64_t as_stored(std::uint64_t v) { return static_cast<std::int64_t>(v); }
std::uint64_t as_read(std::int64_t v) { return static_cast<std::uint64_t>(v); }

void put_rows(std::string& out, const NewChange& c) {
  out.clear();
  base::put_u8(out, static_cast<std::uint8_t>((c.key.present ? has_key : 0) |
                                              (c.before.present ? has_before : 0) |
                                              (c.after.present ? has_after : 0)));
  for (const wire::ValuesView* values : {&c.key, &c.before, &c.after}) {
    if (!values->present) continue;
    base::put_varint(out, values->count);
    base::put_string(out, values->bytes);
  }
}

bool take_rows(std::string_view bytes, capture::OutboxChange* change) {
  base::ByteReader in(bytes);
  std::uint8_t present = 0;
  if (!in.u8(&present)) return false;
  const auto take = [&](std::uint8_t bit, wire::ValuesView* values) {
    if ((present & bit) == 0) return true;
    std::uint64_t count = 0;
    values->present = true;
    if (!in.varint(&count) || !in.string(&values->bytes)) return false;
    values->count = static_cast<std::uint32_t>(count);
    return true;
  };
  return take(has_key, &change->key) && take(has_before, &change->before) &&
         take(has_after, &change->after) && in.at_end();
}

}  // namespace

Result<std::unique_ptr<FileOutbox>> FileOutbox::open(const std::string& path,
                                                     const std::string& source, Epoch first_epoch,
                                                     const FileOutboxOptions& options) {
  auto db = EVODB_TRY(capture::Database::open(
      path, {.busy_timeout_ms = 1'000, .vfs = options.vfs, .create = true}));
  std::unique_ptr<FileOutbox> outbox(new FileOutbox(std::move(db), options));
  EVODB_CHECK(outbox->load(source, first_epoch));
  return outbox;
}

// --- opening ------------------------------------------------------------------------------------

Result<void> FileOutbox::load(const std::string& source, Epoch first_epoch) {
  const std::int64_t mark = EVODB_TRY(db_.integer("PRAGMA application_id"));
  const std::int64_t objects = EVODB_TRY(db_.integer("SELECT count(*) FROM sqlite_schema"));
  if (mark != file_mark && objects != 0) {
    return fail(ErrorKind::kInvalid, "'" + db_.path() +
                                         "' is a database of something else, not an outbox of "
                                         "this library; name another file");
  }
  // One process at a time; the lock comes with the first write and stays.
  EVODB_CHECK(db_.run("PRAGMA locking_mode=EXCLUSIVE"));
  EVODB_CHECK(db_.run("PRAGMA journal_mode=WAL"));
  EVODB_CHECK(db_.run(options_.sync ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL"));
  EVODB_CHECK(create(source, first_epoch));
  EVODB_CHECK(prepare());
  auto state = EVODB_TRY(db_.prepare("SELECT key, value FROM state"));
  while (EVODB_TRY(state.step())) {
    const std::string_view key = state.text(0);
    if (key == "source") source_ = state.text(1);
    if (key == "epoch") epoch_ = Epoch(as_read(state.integer(1)));
    if (key == "trimmed") trimmed_ = Lsn(as_read(state.integer(1)));
    if (key == "trimmed_chain") trimmed_chain_ = ChainHash(as_read(state.integer(1)));
  }
  if (source_ != source) {
    return fail(ErrorKind::kInvalid, "the outbox file '" + db_.path() + "' is of source '" +
                                         source_ + "', not of '" + source +
                                         "'; name another file, or take that name");
  }
  EVODB_CHECK(load_tables());
  while (EVODB_TRY(sweep())) {
  }
  head_ = Lsn(as_read(EVODB_TRY(db_.integer("SELECT max(lsn) FROM changes"))));
  head_ = std::max(head_, trimmed_);
  const std::string held = "SELECT coalesce(sum(length(rows) + " +
                           std::to_string(change_overhead_bytes) + "), 0) FROM changes";
  held_bytes_ = as_read(EVODB_TRY(db_.integer(held)));
  return {};
}

Result<void> FileOutbox::create(const std::string& source, Epoch first_epoch) {
  auto transaction =
      EVODB_TRY(capture::Transaction::begin(db_, capture::Transaction::Kind::kWrite));
  const std::int64_t objects = EVODB_TRY(db_.integer("SELECT count(*) FROM sqlite_schema"));
  if (objects == 0) {
    EVODB_CHECK(db_.run(
        "PRAGMA application_id=" + std::to_string(file_mark) +
        "; CREATE TABLE state(key TEXT PRIMARY KEY, value) WITHOUT ROWID"
        "; CREATE TABLE tables(id INTEGER PRIMARY KEY, def BLOB NOT NULL)"
        "; CREATE TABLE changes(lsn INTEGER PRIMARY KEY, txn INTEGER NOT NULL, time INTEGER NOT "
        "NULL, op INTEGER NOT NULL, tbl INTEGER NOT NULL, rows BLOB NOT NULL)"
        "; INSERT INTO state VALUES('source', " +
        capture::quote_text(source) + "), ('epoch', " + std::to_string(first_epoch.value) +
        "), ('trimmed', 0), ('trimmed_chain', 0)"));
  }
  return transaction.commit();
}

Result<void> FileOutbox::prepare() {
  // The wrapper binds texts: the casts make them BLOBs, byte for byte.
  insert_ =
      EVODB_TRY(db_.prepare("INSERT INTO changes(lsn, txn, time, op, tbl, rows) "
                            "VALUES(?1,?2,?3,?4,?5,CAST(?6 AS BLOB))"));
  rows_ = EVODB_TRY(
      db_.prepare("SELECT lsn, txn, time, op, tbl, rows FROM changes WHERE lsn > ?1 ORDER BY lsn"));
  set_ = EVODB_TRY(db_.prepare("UPDATE state SET value = ?2 WHERE key = ?1"));
  return {};
}

Result<void> FileOutbox::load_tables() {
  auto rows = EVODB_TRY(db_.prepare("SELECT id, def FROM tables"));
  while (EVODB_TRY(rows.step())) {
    base::ByteReader in(rows.value(1).bytes);
    auto def = wire::decode_table_def(in);
    if (!def) {
      return fail(ErrorKind::kCorrupt, "'" + db_.path() + "': " + def.error().text);
    }
    const std::uint64_t fingerprint = def->fingerprint();
    tables_[rows.integer(0)] = {shelf_.keep(*def, fingerprint), fingerprint};
    ids_[fingerprint] = rows.integer(0);
  }
  return {};
}

// --- appending ----------------------------------------------------------------------------------

Result<Lsn> FileOutbox::append(std::span<const NewChange> changes) {
  EVODB_ASSERT(!changes.empty(), "an append has at least one change");
  const std::uint64_t bytes = cost(changes);
  const std::lock_guard lock(mutex_);
  if (held_bytes_ + bytes > options_.bytes_max) {
    return fail(full(held_bytes_, options_.bytes_max));
  }
  held_bytes_ += EVODB_TRY(insert(changes));  // as sweep() counts them
  head_ = Lsn(head_.value + changes.size());
  return head_;
}

Result<std::uint64_t> FileOutbox::insert(std::span<const NewChange> changes) {
  auto transaction =
      EVODB_TRY(capture::Transaction::begin(db_, capture::Transaction::Kind::kWrite));
  const std::uint64_t group = head_.value + changes.size();
  std::uint64_t lsn = head_.value;
  std::uint64_t bytes = 0;
  for (const NewChange& c : changes) {
    EVODB_ASSERT(c.table_fingerprint != 0, "callers say the table's fingerprint");
    const std::int64_t table = EVODB_TRY(table_id(c));
    put_rows(encoded_, c);
    bytes += encoded_.size() + change_overhead_bytes;
    insert_.reset();
    insert_.bind(1, as_stored(++lsn));
    insert_.bind(2, as_stored(group));
    insert_.bind(3, c.committed_at.value);
    insert_.bind(4, static_cast<std::int64_t>(c.op));
    insert_.bind(5, table);
    insert_.bind(6, std::string_view(encoded_));
    EVODB_CHECK(insert_.run());
  }
  EVODB_CHECK(transaction.commit());
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
  EVODB_CHECK(insert.run());
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
  while (EVODB_TRY(rows_.step())) {
    capture::OutboxChange change;
    change.lsn = Lsn(as_read(rows_.integer(0)));
    const auto table = tables_.find(rows_.integer(4));
    if (table == tables_.end() || !take_rows(rows_.value(5).bytes, &change)) {
      return fail(ErrorKind::kCorrupt, "'" + db_.path() + "': the change of LSN " +
                                           std::to_string(change.lsn.value) + " is damaged");
    }
    change.op = static_cast<Op>(rows_.integer(3));
    change.table = table->second.def;
    change.table_fingerprint = table->second.fingerprint;
    change.txn = TxnId(as_read(rows_.integer(1)));
    change.committed_at = UnixMillis(rows_.integer(2));
    if (!sink.take(change)) return {};
  }
  return {};
}

Result<void> FileOutbox::set(std::string_view key, std::uint64_t value) {
  set_.reset();
  set_.bind(1, key);
  set_.bind(2, as_stored(value));
  return set_.run();
}

Result<void> FileOutbox::trim(Lsn through, ChainHash chain_at_through) {
  const std::lock_guard lock(mutex_);
  EVODB_ASSERT(through <= head_, "only what is held can be trimmed");
  if (through > trimmed_) {
    auto transaction =
        EVODB_TRY(capture::Transaction::begin(db_, capture::Transaction::Kind::kWrite));
    EVODB_CHECK(set("trimmed", through.value));
    EVODB_CHECK(set("trimmed_chain", chain_at_through.value));
    EVODB_CHECK(transaction.commit());
    trimmed_ = through;
    trimmed_chain_ = chain_at_through;
  }
  for (;;) {
    const auto more = sweep();
    // The mark stands: what is left below it is deleted the next time.
    if (!more && more.error().kind != ErrorKind::kRetry) return fail(more.error());
    if (!more || !*more) return {};
  }
}

Result<bool> FileOutbox::sweep() {
  const std::int64_t first = EVODB_TRY(db_.integer("SELECT min(lsn) FROM changes", -1));
  if (first < 0 || as_read(first) > trimmed_.value) return false;
  const std::uint64_t through = std::min(trimmed_.value, as_read(first) + sweep_lsns_max);
  const std::string where = " FROM changes WHERE lsn <= " + std::to_string(through);
  const std::int64_t bytes = EVODB_TRY(db_.integer(
      "SELECT sum(length(rows) + " + std::to_string(change_overhead_bytes) + ")" + where));
  EVODB_CHECK(db_.run("DELETE" + where));
  held_bytes_ -= std::min(held_bytes_, as_read(bytes));
  return through < trimmed_.value;
}

Result<Epoch> FileOutbox::begin_epoch(Epoch at_least) {
  const std::lock_guard lock(mutex_);
  const Epoch next = std::max(Epoch(epoch_.value + 1), at_least);
  auto transaction =
      EVODB_TRY(capture::Transaction::begin(db_, capture::Transaction::Kind::kWrite));
  EVODB_CHECK(set("epoch", next.value));
  EVODB_CHECK(set("trimmed_chain", 0));
  EVODB_CHECK(transaction.commit());
  epoch_ = next;
  trimmed_chain_ = ChainHash();
  return epoch_;
}

}  // namespace evodb::edge
