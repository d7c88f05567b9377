// SqliteApp: an application's connection, which knows nothing of capture: SQL in, result codes and
// rows out. Rows are encoded as a change carries them, so that they compare with ParentModel's.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <sqlite3.h>

#include "sim/points/parent_model.h"

namespace evodb::sim {

class SqliteApp {
 public:
  // `vfs` "": the machine's files (":memory:" is enough for a mirror).
  SqliteApp(const std::string& path, const std::string& vfs);

  // SQLite's code; all statements or up to the first that fails.
  int run(const std::string& sql);
  sqlite3* handle() const { return db_.get(); }
  std::string message() const { return sqlite3_errmsg(db_.get()); }
  // First column of the first row; "" on any error.
  std::string text(const std::string& sql);
  // The rows of a table; its key is the first column. False: an error.
  bool rows(const std::string& table, ParentModel::Rows* rows);

 private:
  struct Close {
    void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
  };
  std::unique_ptr<sqlite3, Close> db_;
  int opened_ = SQLITE_OK;
};

}  // namespace evodb::sim
