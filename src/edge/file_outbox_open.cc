// Opening a FileOutbox: whose file it is, that nothing of it is damaged, and where it stands.
#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/limits.h"
#include "edge/file_outbox.h"

namespace evodb::edge {
namespace {

constexpr std::int64_t file_mark = 0x45764f62;  // "EvOb": PRAGMA application_id
constexpr const char* schema[] = {
    "CREATE TABLE state(key TEXT PRIMARY KEY, value) WITHOUT ROWID",
    "CREATE TABLE tables(id INTEGER PRIMARY KEY, def BLOB NOT NULL)",
    "CREATE TABLE changes(lsn INTEGER PRIMARY KEY, txn INTEGER NOT NULL, time INTEGER NOT NULL, op "
    "INTEGER NOT NULL, tbl INTEGER NOT NULL, rows BLOB NOT NULL)",
};

}  // namespace

Result<std::unique_ptr<FileOutbox>> FileOutbox::open(const std::string& path,
                                                     const std::string& source, Epoch first_epoch,
                                                     const FileOutboxOptions& options) {
  // Closing a file that was refused must not make its damaged log the truth.
  auto db = EVODB_TRY(capture::Database::open(
      path,
      {.busy_timeout_ms = 1'000, .vfs = options.vfs, .create = true, .keep_log_at_close = true}));
  std::unique_ptr<FileOutbox> outbox(new FileOutbox(std::move(db), options));
  EVODB_TRY(outbox->load(source, first_epoch));
  return outbox;
}

Result<void> FileOutbox::load(const std::string& source, Epoch first_epoch) {
  const std::int64_t mark = EVODB_TRY(db_.integer("PRAGMA application_id"));
  const std::int64_t objects = EVODB_TRY(db_.integer("SELECT count(*) FROM sqlite_schema"));
  if (mark != file_mark && objects != 0) {
    return fail(ErrorKind::kInvalid, "'" + db_.path() +
                                         "' is a database of something else, not an outbox of "
                                         "this library; name another file");
  }
  // One process at a time; the lock comes with the first write and stays.
  EVODB_TRY(db_.run("PRAGMA locking_mode=EXCLUSIVE"));
  EVODB_TRY(db_.run("PRAGMA journal_mode=WAL"));
  EVODB_TRY(db_.run(options_.sync ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL"));
  // The log is begun anew by ours to say: see begin_log().
  EVODB_TRY(db_.run("PRAGMA wal_autocheckpoint=0"));
  witness_ = EVODB_TRY(OutboxWitness::open(options_.vfs, db_.resolved_path()));
  EVODB_TRY(take_over(source, first_epoch));
  EVODB_TRY(check_structure());
  EVODB_TRY(prepare());
  if (stored_sum_ == no_sum) EVODB_TRY(set_marks(epoch_, trimmed_, trimmed_chain_));
  EVODB_TRY(load_tables());
  while (EVODB_TRY(sweep())) {
  }
  const std::string held = "SELECT coalesce(sum(length(rows) + " +
                           std::to_string(row_overhead_bytes) + "), 0) FROM changes";
  held_bytes_ = as_read(EVODB_TRY(db_.integer(held)));
  db_.settle_log_at_close();
  life_ = as_read(EVODB_TRY(db_.integer("SELECT random()")));
  return begin_log();
}

// With the first write the file is ours; nothing is written before it is known to be whole.
Result<void> FileOutbox::take_over(const std::string& source, Epoch first_epoch) {
  auto transaction =
      EVODB_TRY(capture::Transaction::begin(db_, capture::Transaction::Kind::kWrite));
  const std::int64_t objects = EVODB_TRY(db_.integer("SELECT count(*) FROM sqlite_schema"));
  if (objects == 0) {
    EVODB_TRY(db_.run("PRAGMA application_id=" + std::to_string(file_mark) + "; " +
                      std::string(schema[0]) + "; " + schema[1] + "; " + schema[2] +
                      "; INSERT INTO state VALUES('source', " + capture::quote_text(source) +
                      "), ('epoch', " + std::to_string(first_epoch.value) +
                      "), ('trimmed', 0), ('trimmed_chain', 0)"));
  }
  EVODB_TRY(load_state(source));
  EVODB_TRY(compare_with_witness());
  EVODB_TRY(db_.write_log_again());
  return transaction.commit();
}

Result<void> FileOutbox::load_state(const std::string& source) {
  stored_sum_ = no_sum;
  auto state = EVODB_TRY(db_.prepare("SELECT key, value FROM state"));
  while (EVODB_TRY(state.step())) {
    const std::string_view key = state.text(0);
    if (key == "sum") stored_sum_ = state.integer(1);
    if (key == "source") source_ = state.text(1);
    if (key == "epoch") epoch_ = Epoch(as_read(state.integer(1)));
    if (key == "trimmed") trimmed_ = Lsn(as_read(state.integer(1)));
    if (key == "trimmed_chain") trimmed_chain_ = ChainHash(as_read(state.integer(1)));
    if (key == "log") log_ = as_read(state.integer(1));
  }
  if (stored_sum_ != no_sum && stored_sum_ != state_sum(epoch_, trimmed_, trimmed_chain_)) {
    return fail(ErrorKind::kCorrupt, "'" + db_.path() +
                                         "': the checksum of its marks does not hold; restore a "
                                         "copy of it, or move it away to begin a new one");
  }
  if (source_ != source) {
    return fail(ErrorKind::kInvalid, "the outbox file '" + db_.path() + "' is of source '" +
                                         source_ + "', not of '" + source +
                                         "'; name another file, or take that name");
  }
  head_ = Lsn(as_read(EVODB_TRY(db_.integer("SELECT max(lsn) FROM changes"))));
  head_ = std::max(head_, trimmed_);
  const std::int64_t first = EVODB_TRY(db_.integer("SELECT min(lsn) FROM changes", 1));
  if (head_.value > base::stored_number_max || epoch_.value > base::stored_number_max ||
      first < 1) {
    return fail(ErrorKind::kCorrupt, "'" + db_.path() +
                                         "' has an LSN or epoch that no outbox has; restore it "
                                         "from a backup, or name another file");
  }
  return {};
}

// A log that is as long as the witness saw it, and yet gives less, was damaged in between. A
// shorter one is an older copy that somebody restored: it begins where it ends, and the chain hash
// finds out.
Result<void> FileOutbox::compare_with_witness() {
  const auto seen = EVODB_TRY(witness_->find(log_));
  if (!seen || EVODB_TRY(db_.log_bytes()) < seen->log_bytes) return {};
  if (epoch_ >= seen->epoch && trimmed_ >= seen->trimmed && head_ >= seen->head) return {};
  return fail(ErrorKind::kCorrupt, "'" + db_.path() + "': its log is damaged: it ends at LSN " +
                                       std::to_string(head_.value) + ", and " +
                                       std::to_string(seen->head.value) +
                                       " was acknowledged; restore a copy of it, or delete '" +
                                       witness_->path() + "' to go on without what is lost");
}

// Rows have checksums; that none of them fell out of the tree only its pages can tell, and that a
// column still is what it was only the schema's text.
Result<void> FileOutbox::check_structure() {
  std::string why;
  {
    auto check = EVODB_TRY(db_.prepare("PRAGMA quick_check(1)"));
    const bool said = EVODB_TRY(check.step());
    if (!said || check.text(0) != "ok") why = said ? check.text(0) : "no answer";
  }
  for (const char* sql : schema) {
    const std::int64_t found = EVODB_TRY(
        db_.integer("SELECT count(*) FROM sqlite_schema WHERE sql = " + capture::quote_text(sql)));
    if (found != 1) why = std::string("its schema lacks ") + sql;
  }
  if (why.empty()) return {};
  return fail(ErrorKind::kCorrupt,
              "'" + db_.path() + "' is damaged (" + why + "); restore a copy of it");
}

Result<void> FileOutbox::prepare() {
  // The wrapper binds texts: the casts make them BLOBs, byte for byte.
  insert_ =
      EVODB_TRY(db_.prepare("INSERT INTO changes(lsn, txn, time, op, tbl, rows) "
                            "VALUES(?1,?2,?3,?4,?5,CAST(?6 AS BLOB))"));
  rows_ = EVODB_TRY(
      db_.prepare("SELECT lsn, txn, time, op, tbl, rows FROM changes WHERE lsn > ?1 ORDER BY lsn"));
  set_ =
      EVODB_TRY(db_.prepare("INSERT INTO state(key, value) VALUES(?1, ?2) "
                            "ON CONFLICT(key) DO UPDATE SET value = excluded.value"));
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
    if (fingerprint != as_read(rows.integer(0))) {
      return fail(ErrorKind::kCorrupt, "'" + db_.path() + "': the definition of table '" +
                                           def->name + "' is damaged; restore a copy of it");
    }
    tables_[rows.integer(0)] = {shelf_.keep(*def, fingerprint), fingerprint};
    ids_[fingerprint] = rows.integer(0);
  }
  return {};
}

}  // namespace evodb::edge
