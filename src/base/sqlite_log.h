// For rooms that keep a SQLite database in WAL mode: the log's bytes once more, as they are, and a
// sync.
//
//   run("BEGIN IMMEDIATE");
//   const int code = write_sqlite_log_again(db);
//   run("COMMIT");
//
// Why: an earlier process's sync may have failed. The kernel then takes those pages for clean,
// SQLite's recovery reads them as committed, and everything that is built on them would go with
// them when the power does. Same bytes, under the write lock: readers do not notice.
//
// Inline, so that base itself does without SQLite.
#pragma once

#include <algorithm>
#include <string>

#include <sqlite3.h>

namespace evodb::base {

// SQLite's code; SQLITE_OK also where there is no log yet. REQUIRES: a write transaction.
inline int write_sqlite_log_again(sqlite3* db) {
  sqlite3_file* log = nullptr;
  sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
  if (log == nullptr || log->pMethods == nullptr) return SQLITE_OK;
  sqlite3_int64 size = 0;
  int code = log->pMethods->xFileSize(log, &size);
  std::string chunk(64u << 10, '\0');
  for (sqlite3_int64 at = 0; code == SQLITE_OK && at < size;) {
    const int n = static_cast<int>(
        std::min<sqlite3_int64>(size - at, static_cast<sqlite3_int64>(chunk.size())));
    code = log->pMethods->xRead(log, chunk.data(), n, at);
    if (code == SQLITE_OK) code = log->pMethods->xWrite(log, chunk.data(), n, at);
    at += n;
  }
  if (code == SQLITE_OK && size > 0) code = log->pMethods->xSync(log, SQLITE_SYNC_FULL);
  return code;
}

}  // namespace evodb::base
