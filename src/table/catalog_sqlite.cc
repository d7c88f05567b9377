// The JDBC layout of an Iceberg catalog, version 1, in a SQLite file.
//
// WAL mode: a reader that keeps a transaction open (a notebook, a sqlite3 shell) must never block a
// commit, and a commit is one sync. Other engines open such a file as it is; the price is that a
// copy of the file alone may lack the last commits, which a checkpoint after each one keeps small.
// synchronous=FULL: a commit that was reported survives a power loss.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <mutex>

#include <sqlite3.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/sqlite_log.h"
#include "table/catalog.h"

namespace evodb::table {
namespace {

constexpr int busy_timeout_ms = 5'000;
constexpr char writer_epoch_key[] = "evodb.writer-epoch";
constexpr char claimant_key[] = "evodb.claimant";  // epoch and claimant_ of who claimed last

// As Iceberg's JdbcCatalog and PyIceberg's SqlCatalog create them.
constexpr char create_tables[] =
    "CREATE TABLE IF NOT EXISTS iceberg_tables ("
    "catalog_name VARCHAR(255) NOT NULL, table_namespace VARCHAR(255) NOT NULL, "
    "table_name VARCHAR(255) NOT NULL, metadata_location VARCHAR(1000), "
    "previous_metadata_location VARCHAR(1000), iceberg_type VARCHAR(5), "
    "PRIMARY KEY (catalog_name, table_namespace, table_name));"
    "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties ("
    "catalog_name VARCHAR(255) NOT NULL, namespace VARCHAR(255) NOT NULL, "
    "property_key VARCHAR(255) NOT NULL, property_value VARCHAR(1000) NOT NULL, "
    "PRIMARY KEY (catalog_name, namespace, property_key));";

std::uint64_t any_number() {
  std::uint64_t number = 0;
  sqlite3_randomness(sizeof number, &number);
  return number;
}

class Statement {
 public:
  Statement(sqlite3* db, const char* sql) {
    code_ = sqlite3_prepare_v2(db, sql, -1, &statement_, nullptr);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(const std::string& text) {
    if (code_ == SQLITE_OK) {
      code_ = sqlite3_bind_text(statement_, ++bound_, text.data(), static_cast<int>(text.size()),
                                SQLITE_TRANSIENT);
    }
    return *this;
  }
  int step() { return code_ == SQLITE_OK ? sqlite3_step(statement_) : code_; }
  std::optional<std::string> text(int column) const {
    if (sqlite3_column_type(statement_, column) == SQLITE_NULL) return std::nullopt;
    const void* bytes = sqlite3_column_blob(statement_, column);
    const int size = sqlite3_column_bytes(statement_, column);
    if (bytes == nullptr) return "";
    return std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(size));
  }

 private:
  sqlite3_stmt* statement_ = nullptr;
  int code_ = SQLITE_OK;
  int bound_ = 0;
};

class SqliteCatalog final : public Catalog {
 public:
  SqliteCatalog(std::string path, std::string catalog, std::string name_space, std::string vfs)
      : path_(std::move(path)),
        catalog_(std::move(catalog)),
        space_(std::move(name_space)),
        vfs_(std::move(vfs)) {}
  ~SqliteCatalog() override { sqlite3_close(db_); }

  Result<void> open() {
    const int code =
        sqlite3_open_v2(path_.c_str(), &db_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                        vfs_.empty() ? nullptr : vfs_.c_str());
    if (code != SQLITE_OK) {
      return fail(ErrorKind::kInvalid, "cannot open the catalog " + path_ + ": " + message() +
                                           ": its directory must exist and be writable");
    }
    sqlite3_extended_result_codes(db_, 0);
    sqlite3_busy_timeout(db_, busy_timeout_ms);
    EVODB_TRY(run("PRAGMA journal_mode=WAL"));
    EVODB_TRY(run("PRAGMA synchronous=FULL"));
    EVODB_TRY(run("PRAGMA wal_autocheckpoint=16"));
    EVODB_TRY(run(create_tables));
    EVODB_TRY(write_log_again());
    EVODB_TRY(check_whole());
    // A catalog that an older engine made (layout version 0) has no such column.
    Statement probe(db_, "SELECT iceberg_type FROM iceberg_tables LIMIT 0");
    if (probe.step() == SQLITE_ERROR) {
      EVODB_TRY(run("ALTER TABLE iceberg_tables ADD COLUMN iceberg_type VARCHAR(5)"));
    }
    return {};
  }

  Result<WriterEpoch> claim(WriterEpoch at_least) override {
    const std::lock_guard lock(mutex_);
    std::uint64_t epoch = 0;
    EVODB_TRY(transaction([&] { return write_claim(at_least, epoch); }));
    return WriterEpoch(epoch);
  }

  Result<WriterEpoch> claim_above(WriterEpoch held, WriterEpoch at_least) override {
    const std::lock_guard lock(mutex_);
    std::uint64_t epoch = 0;
    EVODB_TRY(transaction([&]() -> Result<void> {
      if (auto ours = check_writer(held); !ours) {
        if (ours.error().kind != ErrorKind::kFenced) return ours;
        const auto last = EVODB_TRY(read_property(claimant_key));
        if (last != claimant_at(EVODB_TRY(stored_epoch()))) return ours;  // its answer was not lost
      }
      return write_claim(at_least, epoch);
    }));
    return WriterEpoch(epoch);
  }

  Result<void> reopen() override {
    const std::lock_guard lock(mutex_);
    went_back_ = false;
    if (db_ != nullptr && is_in_place()) return {};
    close_moved();
    return open();
  }

  Result<std::vector<TableEntry>> list() override {
    const std::lock_guard lock(mutex_);
    EVODB_TRY(in_place());
    Statement rows(db_,
                   "SELECT table_name, metadata_location FROM iceberg_tables WHERE "
                   "catalog_name = ? AND table_namespace = ? AND (iceberg_type = 'TABLE' OR "
                   "iceberg_type IS NULL) ORDER BY table_name");
    rows.bind(catalog_).bind(space_);
    std::vector<TableEntry> entries;
    int code;
    while ((code = rows.step()) == SQLITE_ROW) {
      entries.push_back({rows.text(0).value_or(""), rows.text(1).value_or("")});
    }
    if (code != SQLITE_DONE) return fail(error(code, "list the tables of"));
    return entries;
  }

  Result<std::optional<std::string>> load(const std::string& table) override {
    const std::lock_guard lock(mutex_);
    EVODB_TRY(in_place());
    return current_location(table);
  }

  Result<void> swap(WriterEpoch writer, const std::string& table,
                    const std::optional<std::string>& expected,
                    const std::string& metadata_location) override {
    const std::lock_guard lock(mutex_);
    return transaction([&]() -> Result<void> {
      EVODB_TRY(check_writer(writer));
      const auto now = EVODB_TRY(current_location(table));
      if (now != expected) {
        return fail(ErrorKind::kStale, "somebody else's commit to " + table + " came first");
      }
      if (!expected) {
        Statement insert(db_,
                         "INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, "
                         "metadata_location, iceberg_type) VALUES (?, ?, ?, ?, 'TABLE')");
        const int code =
            insert.bind(catalog_).bind(space_).bind(table).bind(metadata_location).step();
        if (code == SQLITE_CONSTRAINT) {
          return fail(ErrorKind::kInvalid, "the catalog has something else named " + table);
        }
        return code == SQLITE_DONE ? Result<void>() : fail(error(code, "create " + table + " in"));
      }
      Statement update(db_,
                       "UPDATE iceberg_tables SET metadata_location = ?, "
                       "previous_metadata_location = ? WHERE catalog_name = ? AND "
                       "table_namespace = ? AND table_name = ?");
      const int code = update.bind(metadata_location)
                           .bind(*expected)
                           .bind(catalog_)
                           .bind(space_)
                           .bind(table)
                           .step();
      return code == SQLITE_DONE ? Result<void>() : fail(error(code, "commit " + table + " in"));
    });
  }

  Result<std::optional<std::string>> property(const std::string& key) override {
    const std::lock_guard lock(mutex_);
    EVODB_TRY(in_place());
    return read_property(key);
  }

  Result<void> set_property(WriterEpoch writer, const std::string& key,
                            const std::string& value) override {
    const std::lock_guard lock(mutex_);
    return transaction([&]() -> Result<void> {
      EVODB_TRY(check_writer(writer));
      return write_property(key, value);
    });
  }

 private:
  std::string message() const { return db_ == nullptr ? "out of memory" : sqlite3_errmsg(db_); }

  Error error(int code, const std::string& what) const {
    const std::string text = "cannot " + what + " the catalog " + path_ + ": " + message();
    switch (code & 0xff) {
      case SQLITE_BUSY:
      case SQLITE_LOCKED: return {ErrorKind::kRetry, text + " (another program holds it)"};
      case SQLITE_FULL:
        return {ErrorKind::kRetry, text + ": free some space; landing goes on by itself"};
      case SQLITE_IOERR:
      case SQLITE_NOMEM: return {ErrorKind::kRetry, text};
      case SQLITE_NOTADB:
        return {ErrorKind::kInvalid, text + ": it is no SQLite file; move it away"};
      case SQLITE_CORRUPT:
        return {ErrorKind::kCorrupt, text +
                                         ": move it away with the files beside it (-wal, -shm); "
                                         "the next start registers the tables anew"};
      case SQLITE_READONLY:
      case SQLITE_PERM:
      case SQLITE_AUTH:
      case SQLITE_CANTOPEN:
        return {ErrorKind::kInvalid, text + ": let the user that runs evodb write there"};
      default: return {ErrorKind::kInternal, text};
    }
  }

  // --- is it still the file under its path?

  static bool has_moved(sqlite3_file* file) {
    int moved = 0;
    return file != nullptr && file->pMethods != nullptr &&
           file->pMethods->xFileControl(file, SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
           moved != 0;
  }
  bool is_in_place() const {
    int moved = 0;  // a VFS that cannot tell leaves it
    return sqlite3_file_control(db_, "main", SQLITE_FCNTL_HAS_MOVED, &moved) != SQLITE_OK ||
           moved == 0;
  }
  Result<void> in_place() const {
    if (db_ == nullptr) return fail(ErrorKind::kStale, "the catalog " + path_ + " is not open");
    if (went_back_) return fail(ErrorKind::kStale, "the catalog " + path_ + " went back");
    if (is_in_place()) return {};
    return fail(ErrorKind::kStale, "the catalog " + path_ +
                                       " was removed, moved or replaced while it was open: nothing "
                                       "more is committed to what it was");
  }

  // The log beside it belongs to the file that we have open, unless it was replaced, too. SQLite
  // would apply it to whatever file lies under the path.
  void close_moved() {
    if (db_ == nullptr) return;
    sqlite3_file* log = nullptr;
    const bool known =
        sqlite3_file_control(db_, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK;
    const bool log_is_ours = known && log != nullptr && log->pMethods != nullptr && !has_moved(log);
    int keep = 1;  // closing would remove by name what is not ours
    if (!log_is_ours) sqlite3_file_control(db_, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
    sqlite3_close(db_);
    db_ = nullptr;
    if (!log_is_ours || !vfs_.empty()) return;
    for (const char* suffix : {"-wal", "-shm"}) std::remove((path_ + suffix).c_str());
  }

  // A file that was put back beside the log of another one may be a mixture of both.
  Result<void> check_whole() {
    Statement check(db_, "PRAGMA quick_check(1)");
    const int code = check.step();
    if (code == SQLITE_ROW && check.text(0) == "ok") return {};
    if (code != SQLITE_ROW && (code & 0xff) != SQLITE_CORRUPT) return fail(error(code, "check"));
    return fail(ErrorKind::kCorrupt,
                "the catalog " + path_ + " is damaged (" +
                    (code == SQLITE_ROW ? check.text(0).value_or("") : message()) +
                    "): move it away with the files beside it (-wal, -shm); the "
                    "next start registers the tables anew from the store");
  }

  Result<void> run(const char* sql) {
    const int code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
    return code == SQLITE_OK ? Result<void>() : fail(error(code, "use"));
  }

  // Before anybody believes a commit that is found in the log, it must be on the disk.
  Result<void> write_log_again() {
    EVODB_TRY(run("BEGIN IMMEDIATE"));
    const int code = base::write_sqlite_log_again(db_);
    sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) return fail(error(code, "recover"));
    return {};
  }

  template <class Work>
  Result<void> transaction(Work work) {
    EVODB_TRY(in_place());
    EVODB_TRY(run("BEGIN IMMEDIATE"));
    Result<void> done = work();
    if (!done) {
      sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
      return done;
    }
    const int code = sqlite3_exec(db_, "COMMIT", nullptr, nullptr, nullptr);
    if (code == SQLITE_OK) return {};
    const Error why = error(code, "commit to");
    const bool rolled_back = (code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_FULL;
    if (sqlite3_get_autocommit(db_) == 0) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
    if (rolled_back) return fail(why);
    // The frames may have reached the log before its sync failed: a later opening may find them.
    return fail(ErrorKind::kOutcomeUnknown, why.text);
  }

  Result<std::optional<std::string>> current_location(const std::string& table) {
    Statement row(db_,
                  "SELECT metadata_location FROM iceberg_tables WHERE catalog_name = ? AND "
                  "table_namespace = ? AND table_name = ? AND (iceberg_type = 'TABLE' OR "
                  "iceberg_type IS NULL)");
    const int code = row.bind(catalog_).bind(space_).bind(table).step();
    if (code == SQLITE_ROW) return row.text(0);
    if (code != SQLITE_DONE) return fail(error(code, "read " + table + " from"));
    return std::nullopt;
  }

  Result<std::optional<std::string>> read_property(const std::string& key) {
    Statement row(db_,
                  "SELECT property_value FROM iceberg_namespace_properties WHERE "
                  "catalog_name = ? AND namespace = ? AND property_key = ?");
    const int code = row.bind(catalog_).bind(space_).bind(key).step();
    if (code == SQLITE_ROW) return row.text(0);
    if (code != SQLITE_DONE) return fail(error(code, "read a property from"));
    return std::nullopt;
  }

  Result<void> write_property(const std::string& key, const std::string& value) {
    Statement row(db_,
                  "INSERT INTO iceberg_namespace_properties (catalog_name, namespace, "
                  "property_key, property_value) VALUES (?, ?, ?, ?) ON CONFLICT "
                  "(catalog_name, namespace, property_key) DO UPDATE SET "
                  "property_value = excluded.property_value");
    const int code = row.bind(catalog_).bind(space_).bind(key).bind(value).step();
    return code == SQLITE_DONE ? Result<void>() : fail(error(code, "write a property to"));
  }

  Result<std::uint64_t> stored_epoch() {
    const auto text = EVODB_TRY(read_property(writer_epoch_key));
    if (!text) return 0;
    std::uint64_t epoch = 0;
    const auto [end, failed] = std::from_chars(text->data(), text->data() + text->size(), epoch);
    if (failed != std::errc() || end != text->data() + text->size() || epoch == UINT64_MAX) {
      return fail(ErrorKind::kCorrupt, "the catalog's " + std::string(writer_epoch_key) + " is '" +
                                           *text + "', which is no number");
    }
    return epoch;
  }

  std::string claimant_at(std::uint64_t epoch) const {
    return std::to_string(epoch) + " " + base::hex16(claimant_);
  }

  Result<void> write_claim(WriterEpoch at_least, std::uint64_t& epoch) {
    epoch = std::max(EVODB_TRY(stored_epoch()) + 1, at_least.value);
    EVODB_TRY(write_property("exists", "true"));
    EVODB_TRY(write_property(claimant_key, claimant_at(epoch)));
    return write_property(writer_epoch_key, std::to_string(epoch));
  }

  Result<void> check_writer(WriterEpoch writer) {
    const std::uint64_t stored = EVODB_TRY(stored_epoch());
    if (stored == writer.value) return {};
    if (stored < writer.value) {
      went_back_ = true;
      return fail(ErrorKind::kStale, "the catalog " + path_ +
                                         " has gone back to an older state (writer epoch " +
                                         std::to_string(stored) + ", ours is " +
                                         std::to_string(writer.value) + "): a copy was restored");
    }
    return fail(ErrorKind::kFenced, "the writer epoch of " + space_ + " in the catalog is " +
                                        std::to_string(stored) + ", ours is " +
                                        std::to_string(writer.value) +
                                        ": another parent has taken over");
  }

  const std::string path_, catalog_, space_, vfs_;
  const std::uint64_t claimant_ = any_number();  // tells this object from all that ever claimed
  std::mutex mutex_;
  sqlite3* db_ = nullptr;
  bool went_back_ = false;  // to a state before our claim
};

}  // namespace

Result<std::unique_ptr<Catalog>> open_sqlite_catalog(const std::string& path,
                                                     const std::string& catalog_name,
                                                     const std::string& name_space,
                                                     const std::string& vfs) {
  auto catalog = std::make_unique<SqliteCatalog>(path, catalog_name, name_space, vfs);
  EVODB_TRY(catalog->open());
  return std::unique_ptr<Catalog>(std::move(catalog));
}

}  // namespace evodb::table
