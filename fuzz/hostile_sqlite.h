// For fuzz targets of SQLite files: a good file that every run begins with, and SQL that writes
// what the fuzzer wants into it.
//
//   static const HostileFile file([](const std::string& path) { ... make it ... });
//   file.reset();
//   HostileSql sql(file.path());
//   sql.run("INSERT INTO t VALUES(?1, ?2)", in, 2);     // values out of the input
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>

#include <sqlite3.h>

#include "base/assert.h"
#include "base/bytes.h"

namespace evodb::fuzz {

class HostileFile {
 public:
  explicit HostileFile(const std::function<void(const std::string&)>& make)
      : path_("/dev/shm/evodb-fuzz-" + std::to_string(::getpid()) + ".db") {
    remove();
    make(path_);
    std::ifstream in(path_, std::ios::binary);
    good_.assign(std::istreambuf_iterator<char>(in), {});
    EVODB_ASSERT(good_.size() > 4096, "a database");
  }
  ~HostileFile() { remove(); }
  void reset() const {
    remove();
    std::ofstream(path_, std::ios::binary) << good_;
  }
  const std::string& path() const { return path_; }

 private:
  void remove() const {
    for (const char* suffix : {"", "-wal", "-shm", "-journal", "-head"}) {
      std::error_code ignored;
      std::filesystem::remove(path_ + suffix, ignored);
    }
  }
  const std::string path_;
  std::string good_;
};

class HostileSql {
 public:
  explicit HostileSql(const std::string& path) {
    EVODB_ASSERT(sqlite3_open(path.c_str(), &db_) == SQLITE_OK, "the good file opens");
    sqlite3_exec(db_, "PRAGMA synchronous=OFF; BEGIN", nullptr, nullptr, nullptr);
  }
  ~HostileSql() {
    sqlite3_exec(db_, "COMMIT", nullptr, nullptr, nullptr);
    sqlite3_close(db_);
  }
  HostileSql(const HostileSql&) = delete;
  HostileSql& operator=(const HostileSql&) = delete;

  // Binds `parameters` values of the input; constraints may refuse the row. False: no more input.
  bool run(const char* statement, base::ByteReader& in, int parameters) {
    sqlite3_stmt* s = nullptr;
    EVODB_ASSERT(sqlite3_prepare_v2(db_, statement, -1, &s, nullptr) == SQLITE_OK, statement);
    bool complete = true;
    for (int i = 1; i <= parameters && complete; ++i) complete = bind(s, i, in);
    if (complete) sqlite3_step(s);
    sqlite3_finalize(s);
    return complete;
  }

 private:
  // A byte says what and how much: mostly small integers.
  static bool bind(sqlite3_stmt* s, int i, base::ByteReader& in) {
    std::uint8_t what = 0;
    if (!in.u8(&what)) return false;
    std::string_view bytes;
    std::uint64_t n = 0;
    switch (what & 7) {
      case 0:
      case 1:
      case 2: return sqlite3_bind_int64(s, i, what >> 3) == SQLITE_OK;
      case 3: return in.u64(&n) && sqlite3_bind_int64(s, i, static_cast<std::int64_t>(n)) == 0;
      case 4: {
        double d = 0;
        if (!in.u64(&n)) return false;
        std::memcpy(&d, &n, sizeof d);
        return sqlite3_bind_double(s, i, d) == SQLITE_OK;
      }
      case 5:
      case 6:
        if (!in.bytes(std::min<std::size_t>(what >> 3, in.remaining()), &bytes)) return false;
        return ((what & 7) == 5
                    ? sqlite3_bind_text(s, i, bytes.data(), static_cast<int>(bytes.size()),
                                        SQLITE_STATIC)
                    : sqlite3_bind_blob(s, i, bytes.data(), static_cast<int>(bytes.size()),
                                        SQLITE_STATIC)) == SQLITE_OK;
      default: return sqlite3_bind_null(s, i) == SQLITE_OK;
    }
  }
  sqlite3* db_ = nullptr;
};

}  // namespace evodb::fuzz
