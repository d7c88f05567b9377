#include "sim/points/sqlite_app.h"

#include "wire/change.h"

namespace evodb::sim {

SqliteApp::SqliteApp(const std::string& path, const std::string& vfs) {
  sqlite3* db = nullptr;
  opened_ = sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                            vfs.empty() ? nullptr : vfs.c_str());
  db_.reset(db);
}

int SqliteApp::run(const std::string& sql) {
  if (opened_ != SQLITE_OK) return opened_;
  return sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr);
}

std::string SqliteApp::text(const std::string& sql) {
  std::string out;
  const auto take = [](void* into, int, char** values, char**) {
    if (values[0] != nullptr) *static_cast<std::string*>(into) = values[0];
    return 1;  // the first row is enough
  };
  if (opened_ != SQLITE_OK) return out;
  const int code = sqlite3_exec(db_.get(), sql.c_str(), take, &out, nullptr);
  return code == SQLITE_OK || code == SQLITE_ABORT ? out : "";
}

bool SqliteApp::rows(const std::string& table, ParentModel::Rows* rows) {
  rows->clear();
  if (opened_ != SQLITE_OK) return false;
  sqlite3_stmt* s = nullptr;
  const std::string sql = "SELECT * FROM " + table;
  if (sqlite3_prepare_v2(db_.get(), sql.c_str(), -1, &s, nullptr) != SQLITE_OK) return false;
  int code;
  while ((code = sqlite3_step(s)) == SQLITE_ROW) {
    std::string row, key;
    for (int i = 0; i < sqlite3_column_count(s); ++i) {
      const auto bytes = [&](const void* p) {
        return std::string_view(static_cast<const char*>(p),
                                static_cast<std::size_t>(sqlite3_column_bytes(s, i)));
      };
      ValueView value = ValueView::null();
      switch (sqlite3_column_type(s, i)) {
        case SQLITE_INTEGER: value = ValueView::of_integer(sqlite3_column_int64(s, i)); break;
        case SQLITE_FLOAT: value = ValueView::of_real(sqlite3_column_double(s, i)); break;
        case SQLITE_TEXT: value = ValueView::of_text(bytes(sqlite3_column_text(s, i))); break;
        case SQLITE_BLOB: value = ValueView::of_blob(bytes(sqlite3_column_blob(s, i))); break;
        default: break;
      }
      wire::put_value(row, value);
      if (i == 0) wire::put_value(key, value);
    }
    (*rows)[key] = std::move(row);
  }
  sqlite3_finalize(s);
  return code == SQLITE_DONE;
}

}  // namespace evodb::sim
