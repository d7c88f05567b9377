// Database, Statement, Transaction: SQLite's C API with owners and Results.
//
//   Database db = EVODB_TRY(Database::open("app.db", {.busy_timeout_ms = 5'000}));
//   Transaction transaction = EVODB_TRY(Transaction::begin(db, Transaction::Kind::kWrite));
//   Statement statement = EVODB_TRY(db.prepare("SELECT name FROM t WHERE id = ?1"));
//   statement.bind(1, 7);
//   while (EVODB_TRY(statement.step())) use(statement.text(0));
//   EVODB_TRY(transaction.commit());
//
// Errors carry one line that names the file and says what to do; kRetry means locked, kNoSpace
// that the disk is full.
// Threads: one at a time. A Statement does not outlive its Database. Internal to capture.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <sqlite3.h>

#include "capture/polite_vfs.h"
#include "evodb/result.h"
#include "evodb/value.h"

namespace evodb::capture {

class Statement {
 public:
  // 1, 2, ... as in SQL. Views must live until the next step().
  void bind(int index, std::int64_t value);
  void bind(int index, std::string_view text);
  void bind(int index, ValueView value);  // exact storage class and bytes
  // A copy of a column of another statement's current row.
  void bind(int index, const Statement& row, int column);

  // True: a row is there. After false or an error it is reset and can be stepped again.
  Result<bool> step();
  // Steps to the end; for statements that give no rows.
  Result<void> run();
  void reset() { sqlite3_reset(handle_.get()); }

  // Columns of the current row, 0, 1, ... Views are valid until the next step() or reset().
  std::int64_t integer(int column) const;
  std::string_view text(int column) const;  // "" for NULL
  ValueView value(int column) const;        // exact storage class and bytes
  // Bytes of a TEXT or BLOB, 0 for others, without giving it.
  std::size_t payload_bytes(int column) const;
  int column_count() const { return sqlite3_column_count(handle_.get()); }

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
  };
  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
  const std::string* path_ = nullptr;
  PoliteVfs* polite_ = nullptr;
};

struct OpenOptions {
  int busy_timeout_ms = 5'000;
  // Name of a registered sqlite3_vfs; "" is the machine's files.
  std::string vfs;
  bool create = false;  // an absent file is no error
  // Closing leaves SQLite's log as it is, until settle_log_at_close(): for who must look first.
  bool keep_log_at_close = false;
  // A guest in an application's database, see polite_vfs.h: reads take no lock that an
  // application's write could meet, and nobody's log is checkpointed by our commits. Read inside
  // of a kRead transaction only; write through PoliteWriter.
  bool polite = false;
};

class Database;

// Why somebody writes to an application's database, see polite_writer.h.
enum class WriteReason : std::uint8_t { kSchema, kTrim, kResend };

// Decides when a write transaction of a database may begin; see PoliteWriter.
class WriteGate {
 public:
  virtual ~WriteGate() = default;
  // Begins one (BEGIN IMMEDIATE), or kRetry: not now.
  virtual Result<void> begin(WriteReason reason) = 0;
  // kRetry: roll it back instead, somebody would be in its way.
  virtual Result<void> may_commit() = 0;
  // It is over: committed or rolled back.
  virtual void ended(bool committed) = 0;
};

class Database {
 public:
  // The file must exist unless `create`. Errors: kInvalid (missing, a directory, no permission, not
  // a SQLite database), kRetry (locked), kCorrupt.
  static Result<Database> open(const std::string& path, const OpenOptions& options);

  Result<Statement> prepare(std::string_view sql) const;
  // For what is asked again and again: prepared once, kept with the connection, reset when the
  // owner of what is returned ends. REQUIRES: not used while another one of the same text is.
  struct Reset {
    void operator()(Statement* s) const { s->reset(); }
  };
  using Kept = std::unique_ptr<Statement, Reset>;
  Result<Kept> kept(const std::string& sql) const;
  Result<void> run(const std::string& sql) const;  // one or more statements, rows ignored
  // First column of the first row; `otherwise` where there is none or NULL.
  Result<std::int64_t> integer(std::string_view sql, std::int64_t otherwise = 0) const;

  // See base/sqlite_log.h. REQUIRES: a write transaction.
  Result<void> write_log_again() const;
  // From now on the last connection that closes writes the log into the database and removes it.
  void settle_log_at_close() const;
  // From now on closing leaves the log as it is, whoever is the last.
  void keep_log_at_close() const;
  // Size of SQLite's log file; 0 where there is none.
  Result<std::uint64_t> log_bytes() const;
  // Another file lies at its path now, or none. False where the VFS cannot tell.
  bool has_moved() const;
  // The file as SQLite resolved it: its log lies beside that.
  std::string resolved_path() const;
  // REQUIRES: in a kRead transaction, or a write transaction. kRetry: what was read so far is no
  // committed state; draw no conclusion from it.
  Result<void> vet() const;
  // A number that changes when others commit: PRAGMA data_version; under a rollback journal of a
  // polite database also when we do.
  Result<std::int64_t> version() const;
  // SQLite's own code of the latest call that failed.
  int error_code() const { return sqlite3_extended_errcode(handle_.get()); }
  std::int64_t changed_rows() const { return sqlite3_changes64(handle_.get()); }
  // Errors: kInvalid, the file or its permissions allow no writing.
  Result<void> check_writable() const;
  const std::string& path() const { return *path_; }
  // As the VFS of this database sleeps.
  void sleep_ms(std::int64_t ms) const;
  void set_busy_timeout(int ms) const { sqlite3_busy_timeout(handle_.get(), ms); }
  // Null unless opened as `polite`.
  PoliteVfs* polite() const { return polite_.get(); }
  // From now on write transactions go through it; null: they begin at once.
  void set_gate(WriteGate* gate) { gate_ = gate; }
  // Writes SQLite's log, or what of it nobody reads, into the database; waits for nobody.
  // Errors: kRetry (somebody else is doing it), the disk's.
  Result<void> checkpoint() const;
  // Called after each commit of this connection to a log, with the log's length. See
  // sqlite3_wal_hook.
  void on_log_pages(int (*hook)(void*, sqlite3*, const char*, int), void* argument) const {
    sqlite3_wal_hook(handle_.get(), hook, argument);
  }
  // From now on a commit to a log is not synced (PRAGMA synchronous = NORMAL). REQUIRES: `polite`,
  // no transaction. Errors: kRetry.
  Result<void> sync_less() const;

 private:
  friend class Transaction;
  struct Close {
    void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
  };
  Result<void> first_read(const OpenOptions& options) const;
  bool end_look() const;
  std::unique_ptr<PoliteVfs> polite_;  // outlives the connection
  WriteGate* gate_ = nullptr;
  std::unique_ptr<std::string> path_;  // at a lasting address: statements name it in their errors
  std::unique_ptr<sqlite3, Close> handle_;
  mutable std::unordered_map<std::string, std::unique_ptr<Statement>> kept_;
};

// Rolls back unless committed. Of a database that is opened as `polite` a kRead transaction's
// commit() may give kRetry: what was read is no committed state, forget it. So nothing that was
// read is acted upon before commit(), nor an error that was concluded from it: see consistently().
class Transaction {
 public:
  enum class Kind : std::uint8_t { kRead, kWrite };
  // kWrite takes the write lock at once, so that nothing fails halfway for a lock. `reason` is for
  // the database's WriteGate, if it has one.
  static Result<Transaction> begin(const Database& db, Kind kind,
                                   WriteReason reason = WriteReason::kSchema);
  Result<void> commit();
  ~Transaction();
  Transaction(Transaction&& other) noexcept
      : db_(std::exchange(other.db_, nullptr)), looks_(other.looks_), gate_(other.gate_) {}
  Transaction& operator=(Transaction&&) = delete;

 private:
  Transaction(const Database* db, bool looks, WriteGate* gate)
      : db_(db), looks_(looks), gate_(gate) {}
  const Database* db_;
  bool looks_;
  WriteGate* gate_;
};

// What `read`, which returns a Result, says of one committed state of the database: its errors,
// too. kRetry: there was no such state to be had, somebody is writing.
template <class Read>
auto consistently(const Database& db, Read&& read) -> decltype(read()) {
  Transaction transaction = EVODB_TRY(Transaction::begin(db, Transaction::Kind::kRead));
  auto result = read();
  if (auto held = transaction.commit(); !held) {
    if (result || held.error().kind == ErrorKind::kRetry) return fail(std::move(held.error()));
  }
  return result;
}

// "name" with its quotes doubled; 'text' likewise.
std::string quote_name(std::string_view name);
std::string quote_text(std::string_view text);

}  // namespace evodb::capture
