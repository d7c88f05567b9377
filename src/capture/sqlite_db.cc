#include "capture/sqlite_db.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/sqlite_log.h"

namespace evodb::capture {
namespace {

std::unexpected<Error> sqlite_error(int code, sqlite3* db, const std::string& path) {
  const std::string file = "'" + path + "'";
  const std::string said = db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(code);
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return fail(ErrorKind::kRetry,
                  file + " is locked by another process or connection; try again when it is done");
    case SQLITE_NOTADB:
      return fail(ErrorKind::kInvalid,
                  file + " is not a SQLite database (or it is encrypted); name another file");
    case SQLITE_CORRUPT:
      return fail(ErrorKind::kCorrupt, file + " is corrupt (" + said +
                                           "); see PRAGMA integrity_check, restore a backup");
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return fail(ErrorKind::kInvalid, file +
                                           " is read-only for this user; allow writing to the "
                                           "file and to its directory");
    case SQLITE_CANTOPEN:
      return fail(ErrorKind::kInvalid,
                  file + " cannot be opened (" + said + "); check its and its directory's rights");
    case SQLITE_FULL:
      return fail(ErrorKind::kNoSpace, "the disk of " + file + " is full; free some space");
    case SQLITE_TOOBIG:
      return fail(ErrorKind::kOverLimit, file + ": " + said + " (SQLite's own limit)");
    case SQLITE_IOERR: return fail(ErrorKind::kRetry, "the disk of " + file + " failed: " + said);
    default: return fail(ErrorKind::kInternal, file + ": " + said);
  }
}

// What a look that does not hold has led to is no error of the database.
std::unexpected<Error> sqlite_error(int code, sqlite3* db, const std::string& path,
                                    PoliteVfs* polite) {
  auto error = sqlite_error(code, db, path);
  if (polite == nullptr || !polite->looking() || polite->holds()) return error;
  return sqlite_error(SQLITE_BUSY, nullptr, path);
}

std::string quoted(std::string_view text, char quote) {
  std::string out(1, quote);
  for (const char c : text) {
    if (c == quote) out += quote;
    out += c;
  }
  out += quote;
  return out;
}

// What stat can say better than SQLite's "unable to open database file".
Result<void> check_file(const std::string& path, const OpenOptions& options) {
  if (path.empty()) return fail(ErrorKind::kInvalid, "no database file was named");
  if (!options.vfs.empty()) return {};  // stat knows nothing of those
  struct stat found{};
  if (stat(path.c_str(), &found) != 0) {
    if (errno == ENOENT && options.create) return {};
    if (errno == ENOENT || errno == ENOTDIR) {
      return fail(ErrorKind::kInvalid, "there is no file '" + path + "'");
    }
    return fail(ErrorKind::kInvalid, "cannot open '" + path + "': " + std::strerror(errno));
  }
  if (S_ISDIR(found.st_mode)) {
    return fail(ErrorKind::kInvalid, "'" + path + "' is a directory, not a SQLite database");
  }
  return {};
}

}  // namespace

void Statement::bind(int index, std::int64_t value) {
  sqlite3_bind_int64(handle_.get(), index, value);
}

void Statement::bind(int index, std::string_view text) {
  sqlite3_bind_text(handle_.get(), index, text.data(), static_cast<int>(text.size()),
                    SQLITE_STATIC);
}

void Statement::bind(int index, ValueView value) {
  sqlite3_stmt* const s = handle_.get();
  const int size = static_cast<int>(value.bytes.size());
  switch (value.storage_class) {
    case StorageClass::kInteger: sqlite3_bind_int64(s, index, value.integer); break;
    case StorageClass::kReal: sqlite3_bind_double(s, index, value.real); break;
    case StorageClass::kText:
      sqlite3_bind_text(s, index, value.bytes.data(), size, SQLITE_STATIC);
      break;
    case StorageClass::kBlob:
      // A null pointer would be NULL.
      sqlite3_bind_blob(s, index, size == 0 ? "" : value.bytes.data(), size, SQLITE_STATIC);
      break;
    default: sqlite3_bind_null(s, index);
  }
}

void Statement::bind(int index, const Statement& row, int column) {
  sqlite3_bind_value(handle_.get(), index, sqlite3_column_value(row.handle_.get(), column));
}

Result<bool> Statement::step() {
  const int code = sqlite3_step(handle_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    sqlite3_reset(handle_.get());
    return false;
  }
  auto error = sqlite_error(code, sqlite3_db_handle(handle_.get()), *path_, polite_);
  sqlite3_reset(handle_.get());
  return error;
}

Result<void> Statement::run() {
  while (EVODB_TRY(step())) {
  }
  return {};
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(handle_.get(), column);
}

std::string_view Statement::text(int column) const {
  const auto* bytes = sqlite3_column_text(handle_.get(), column);
  if (bytes == nullptr) return {};
  return {reinterpret_cast<const char*>(bytes),
          static_cast<std::size_t>(sqlite3_column_bytes(handle_.get(), column))};
}

ValueView Statement::value(int column) const {
  sqlite3_stmt* const s = handle_.get();
  switch (sqlite3_column_type(s, column)) {
    case SQLITE_INTEGER: return ValueView::of_integer(sqlite3_column_int64(s, column));
    case SQLITE_FLOAT: return ValueView::of_real(sqlite3_column_double(s, column));
    case SQLITE_TEXT: return ValueView::of_text(text(column));
    case SQLITE_BLOB: {
      const auto* bytes = static_cast<const char*>(sqlite3_column_blob(s, column));
      const auto size = static_cast<std::size_t>(sqlite3_column_bytes(s, column));
      return ValueView::of_blob(bytes != nullptr ? std::string_view(bytes, size)
                                                 : std::string_view());
    }
    default: return ValueView::null();
  }
}

std::size_t Statement::payload_bytes(int column) const {
  const int type = sqlite3_column_type(handle_.get(), column);
  if (type != SQLITE_TEXT && type != SQLITE_BLOB) return 0;
  return static_cast<std::size_t>(sqlite3_column_bytes(handle_.get(), column));
}

Result<Database> Database::open(const std::string& path, const OpenOptions& options) {
  EVODB_TRY(check_file(path, options));
  Database db;
  db.path_ = std::make_unique<std::string>(path);
  if (options.polite) db.polite_ = EVODB_TRY(PoliteVfs::create(options.vfs));
  const std::string& vfs = db.polite_ ? db.polite_->name() : options.vfs;
  // Builds of SQLite may read names that begin so as URIs; a file is a file here.
  const std::string name = path.starts_with("file:") || path.starts_with(":") ? "./" + path : path;
  sqlite3* handle = nullptr;
  const int flags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (options.create ? SQLITE_OPEN_CREATE : 0);
  const int code =
      sqlite3_open_v2(name.c_str(), &handle, flags, vfs.empty() ? nullptr : vfs.c_str());
  db.handle_.reset(handle);
  if (code != SQLITE_OK) return sqlite_error(code, handle, path);
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, options.busy_timeout_ms);
  if (options.keep_log_at_close) {
    sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  }
  if (db.polite_) {
    // A checkpoint within our commit would hold readers out for as long as the disk takes; one at
    // the end would lock everybody out.
    sqlite3_wal_autocheckpoint(handle, 0);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  }
  EVODB_TRY(db.first_read(options));
  return db;
}

// The file is first read here: whatever is wrong with it shows now.
Result<void> Database::first_read(const OpenOptions& options) const {
  constexpr int look_again_ms = 5;
  const auto read = [&] { return integer("SELECT count(*) FROM sqlite_schema"); };
  if (!polite_) {
    EVODB_TRY(read());
    return {};
  }
  Result<std::int64_t> found;
  for (int waited_ms = 0; waited_ms <= options.busy_timeout_ms; waited_ms += look_again_ms) {
    found = consistently(*this, read);
    if (found) return {};
    if (found.error().kind != ErrorKind::kRetry) return fail(found.error());
    if (polite_->hot_journal()) break;
    polite_->sleep_us(look_again_ms * 1'000);
  }
  if (!polite_->hot_journal()) return fail(found.error());
  EVODB_TRY(read());  // under locks: it repairs what an application left that died while it wrote
  return {};
}

Result<Statement> Database::prepare(std::string_view sql) const {
  Statement statement;
  sqlite3_stmt* handle = nullptr;
  const int code =
      sqlite3_prepare_v2(handle_.get(), sql.data(), static_cast<int>(sql.size()), &handle, nullptr);
  statement.handle_.reset(handle);
  statement.path_ = path_.get();
  statement.polite_ = polite_.get();
  if (code != SQLITE_OK) return sqlite_error(code, handle_.get(), *path_, polite_.get());
  return statement;
}

Result<Database::Kept> Database::kept(const std::string& sql) const {
  std::unique_ptr<Statement>& statement = kept_[sql];
  if (statement == nullptr) {
    auto prepared = prepare(sql);
    if (!prepared) {
      kept_.erase(sql);
      return fail(std::move(prepared).error());
    }
    statement = std::make_unique<Statement>(std::move(*prepared));
  }
  return Kept(statement.get());
}

Result<void> Database::run(const std::string& sql) const {
  const int code = sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return sqlite_error(code, handle_.get(), *path_, polite_.get());
  return {};
}

Result<std::int64_t> Database::integer(std::string_view sql, std::int64_t otherwise) const {
  Statement statement = EVODB_TRY(prepare(sql));
  const bool found = EVODB_TRY(statement.step());
  if (!found || statement.value(0).is_null()) return otherwise;
  return statement.integer(0);
}

Result<void> Database::check_writable() const {
  if (sqlite3_db_readonly(handle_.get(), "main") != 0) {
    return sqlite_error(SQLITE_READONLY, nullptr, *path_);
  }
  return {};
}

Result<void> Database::write_log_again() const {
  const int code = base::write_sqlite_log_again(handle_.get());
  if (code != SQLITE_OK) return sqlite_error(code, nullptr, *path_);
  return {};
}

void Database::keep_log_at_close() const {
  sqlite3_db_config(handle_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
}

void Database::settle_log_at_close() const {
  sqlite3_db_config(handle_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
}

Result<std::uint64_t> Database::log_bytes() const {
  sqlite3_file* log = nullptr;
  sqlite3_file_control(handle_.get(), "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
  if (log == nullptr || log->pMethods == nullptr) return 0;
  sqlite3_int64 size = 0;
  const int code = log->pMethods->xFileSize(log, &size);
  if (code != SQLITE_OK) return sqlite_error(code, nullptr, *path_);
  return static_cast<std::uint64_t>(size);
}

bool Database::has_moved() const {
  int moved = 0;
  const int code = sqlite3_file_control(handle_.get(), "main", SQLITE_FCNTL_HAS_MOVED, &moved);
  return code == SQLITE_OK && moved != 0;
}

void Database::sleep_ms(std::int64_t ms) const {
  constexpr int us_a_ms = 1'000;
  sqlite3_vfs* vfs = nullptr;
  sqlite3_file_control(handle_.get(), "main", SQLITE_FCNTL_VFS_POINTER, &vfs);
  if (vfs != nullptr) vfs->xSleep(vfs, static_cast<int>(ms) * us_a_ms);
}

std::string Database::resolved_path() const {
  const char* const name = sqlite3_db_filename(handle_.get(), "main");
  return name != nullptr ? name : *path_;
}

Result<void> Database::checkpoint() const {
  const int code =
      sqlite3_wal_checkpoint_v2(handle_.get(), "main", SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  if (code != SQLITE_OK) return sqlite_error(code, handle_.get(), *path_);
  return {};
}

Result<void> Database::vet() const {
  if (!polite_ || !polite_->looking() || polite_->holds()) return {};
  return sqlite_error(SQLITE_BUSY, nullptr, *path_);
}

Result<std::int64_t> Database::version() const {
  // Each look makes SQLite forget its pages, which it counts as a change.
  if (polite_ && !polite_->in_wal_mode()) return polite_->change_counter();
  return integer("PRAGMA main.data_version");
}

Result<void> Database::sync_less() const {
  polite_->begin_look();  // SQLite reads the schema for it
  auto done = run("PRAGMA main.synchronous = NORMAL");
  if (!end_look()) return sqlite_error(SQLITE_BUSY, nullptr, *path_);
  return done;
}

bool Database::end_look() const {
  // A statement that is at a row keeps its transaction, whatever COMMIT says.
  for (sqlite3_stmt* s = sqlite3_next_stmt(handle_.get(), nullptr); s != nullptr;
       s = sqlite3_next_stmt(handle_.get(), s)) {
    if (sqlite3_stmt_busy(s) != 0) sqlite3_reset(s);
  }
  if (polite_->end_look()) return true;
  // The schema in memory may have been read from the same pages. This reads and writes nothing.
  sqlite3_exec(handle_.get(), "PRAGMA writable_schema = RESET", nullptr, nullptr, nullptr);
  return false;
}

Result<Transaction> Transaction::begin(const Database& db, Kind kind, WriteReason reason) {
  if (kind == Kind::kWrite && db.gate_ != nullptr) {
    EVODB_TRY(db.gate_->begin(reason));
    return Transaction(&db, /*looks=*/false, db.gate_);
  }
  const bool looks = kind == Kind::kRead && db.polite_ != nullptr;
  if (looks) db.polite_->begin_look();
  auto begun = db.run(kind == Kind::kWrite ? "BEGIN IMMEDIATE" : "BEGIN");
  if (!begun) {
    if (looks) db.end_look();
    return fail(std::move(begun.error()));
  }
  return Transaction(&db, looks, nullptr);
}

Result<void> Transaction::commit() {
  if (gate_ != nullptr) EVODB_TRY(gate_->may_commit());
  EVODB_TRY(db_->run("COMMIT"));  // a failed one is rolled back by the destructor
  const Database& db = *std::exchange(db_, nullptr);
  if (gate_ != nullptr) gate_->ended(/*committed=*/true);
  if (looks_ && !db.end_look()) return sqlite_error(SQLITE_BUSY, nullptr, db.path());
  return {};
}

Transaction::~Transaction() {
  if (db_ == nullptr) return;
  // What can fail here is a transaction that SQLite has rolled back itself: the same outcome.
  sqlite3_exec(db_->handle_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  if (gate_ != nullptr) gate_->ended(/*committed=*/false);
  if (looks_) db_->end_look();
}

std::string quote_name(std::string_view name) { return quoted(name, '"'); }
std::string quote_text(std::string_view text) { return quoted(text, '\''); }

}  // namespace evodb::capture
