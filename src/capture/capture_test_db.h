// What capture's tests share: a database file of their own, an application's connection to it, and
// Replica, which rebuilds tables from changes and finds fault with every change that does not fit.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sqlite3.h>

#include "capture/install.h"
#include "capture/outbox.h"
#include "capture/sqlite_db.h"
#include "capture/sqlite_outbox.h"
#include "capture/table_shape.h"
#include "sim/seams/fake_clock.h"
#include "sim/seams/seeded_random.h"
#include "wire/change.h"

namespace evodb::capture {

class TempDir {
 public:
  TempDir() {
    std::string pattern = std::filesystem::temp_directory_path() / "evodb-capture-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string file(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// The application: a connection that knows nothing of capture.
class App {
 public:
  explicit App(const std::string& path) {
    EXPECT_EQ(sqlite3_open(path.c_str(), &db_), SQLITE_OK);
    sqlite3_busy_timeout(db_, 2'000);
  }
  ~App() { sqlite3_close_v2(db_); }
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  // SQLite's result code.
  int try_run(const std::string& sql) {
    return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  }
  void run(const std::string& sql) {
    ASSERT_EQ(try_run(sql), SQLITE_OK) << sqlite3_errmsg(db_) << "\n" << sql;
  }
  std::string message() const { return sqlite3_errmsg(db_); }
  std::string text(const std::string& sql) {
    sqlite3_stmt* s = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(db_, sql.c_str(), -1, &s, nullptr), SQLITE_OK) << message();
    std::string out;
    if (sqlite3_step(s) == SQLITE_ROW && sqlite3_column_text(s, 0) != nullptr) {
      out = reinterpret_cast<const char*>(sqlite3_column_text(s, 0));
    }
    sqlite3_finalize(s);
    return out;
  }
  std::int64_t number(const std::string& sql) {
    const std::string found = text(sql);
    return found.empty() ? 0 : std::stoll(found);
  }
  sqlite3* handle() { return db_; }

 private:
  sqlite3* db_ = nullptr;
};

// A row of a change, kept.
struct SeenChange {
  Op op;
  std::string table;
  std::uint32_t schema_version;
  Lsn lsn;
  TxnId txn;
  UnixMillis committed_at;
  std::vector<Value> key, before, after;
  bool has_key, has_before, has_after;
  std::string reason;
};

inline std::vector<Value> values_of(const wire::ValuesView& view) {
  std::vector<Value> values;
  wire::ValuesReader reader(view);
  ValueView value;
  while (reader.next(&value)) values.emplace_back(value);
  EXPECT_TRUE(reader.ok());
  return values;
}

class Collector : public ChangeSink {
 public:
  explicit Collector(std::size_t changes_max = SIZE_MAX) : changes_max_(changes_max) {}
  bool take(const OutboxChange& c) override {
    if (seen.size() >= changes_max_) return false;
    EXPECT_EQ(c.table_fingerprint, c.table->fingerprint());
    seen.push_back({c.op, c.table->name, c.table->schema_version, c.lsn, c.txn, c.committed_at,
                    values_of(c.key), values_of(c.before), values_of(c.after), c.key.present,
                    c.before.present, c.after.present, std::string(c.reason)});
    return true;
  }
  std::vector<SeenChange> seen;

 private:
  std::size_t changes_max_;
};

// The chain hash at `through`, as the parent that got all of it has it.
inline ChainHash chain_at(Outbox& outbox, Lsn through) {
  struct Folding final : ChangeSink {
    bool take(const OutboxChange& c) override {
      if (c.lsn > to) return false;
      writer.add_change(c.op, 0, c.table_fingerprint, c.lsn, c.txn, c.committed_at, c.key, c.before,
                        c.after, c.reason);
      return true;
    }
    wire::BatchWriter writer;
    Lsn to;
  } sink;
  const auto state = outbox.state();
  EXPECT_TRUE(state.has_value()) << (state ? "" : state.error().text);
  if (!state) return {};
  sink.writer.reset(state->trimmed, state->trimmed_chain);
  sink.to = through;
  const auto read = outbox.read(state->trimmed, sink);
  EXPECT_TRUE(read.has_value()) << (read ? "" : read.error().text);
  return sink.writer.chain();
}

// As an uplink does once a parent has acknowledged that much.
inline Result<void> trim_to(Outbox& outbox, Lsn through) {
  const ChainHash chain = chain_at(outbox, through);
  const auto state = outbox.state();
  if (!state) return fail(state.error());
  return outbox.trim(state->epoch, through, chain);
}

// Tables as a reader of the changes would rebuild them. Strict: an INSERT of a key that is there,
// an UPDATE or DELETE of a row that is not there just so, are failures. But for tables whose rows
// are being sent again: there such a change may be of a row that has not been sent yet. settle()
// says that all have been.
class Replica : public ChangeSink {
 public:
  bool take(const OutboxChange& c) override {
    EXPECT_GT(c.lsn, last);
    last = c.lsn;
    // The first rows that are seen of a table are its snapshot.
    if (!tables.contains(c.table->name)) unsettled.insert(c.table->name);
    Rows& rows = tables[c.table->name];
    if (carries_reason(c.op)) {
      EXPECT_NE(c.op, Op::kOversize);
      EXPECT_FALSE(c.key.present || c.before.present || c.after.present);
      EXPECT_NE(c.reason, "");
      if (c.op == Op::kDrop) {
        tables.erase(c.table->name);
        widths.erase(c.table->name);
        dropped[c.table->name] = c.reason;
      } else {
        rows.clear();
        widths[c.table->name] = c.table->columns.size();
        dropped.erase(c.table->name);
        unsettled.insert(c.table->name);
        ++resets[c.table->name];
      }
      return true;
    }
    widen(c.table->name, c.table->columns.size());
    if (c.op == Op::kSnapshot) unsettled.insert(c.table->name);
    if (c.op == Op::kSnapshot || c.op == Op::kInsert) {
      put(rows, c, c.after);
    } else if (c.op == Op::kUpdate) {
      bool has_null = false;
      if (key_of(c, c.before, &has_null) != key_of(c, c.after, &has_null) && !has_null) {
        fault(c, "an UPDATE that changes the key");
      }
      take_away(rows, c, c.before);
      put(rows, c, c.after);
    } else {
      EXPECT_EQ(c.op, Op::kDelete);
      take_away(rows, c, c.before);
    }
    return true;
  }

  // Encoded rows by encoded key; a key with a NULL is the whole row.
  using Rows = std::multimap<std::string, std::string>;
  std::map<std::string, Rows> tables;
  std::map<std::string, std::string> dropped;  // with the reason
  std::map<std::string, int> resets;
  std::map<std::string, std::size_t> widths;  // columns, by table
  std::set<std::string> unsettled;
  Lsn last;
  std::vector<std::string> faults;

  void settle() { unsettled.clear(); }

  // Rows of before a column joined hold NULL there, as every reader sees them.
  void widen(const std::string& table, std::size_t columns) {
    std::size_t& width = widths[table];
    if (width == 0) width = columns;
    std::string nulls;
    for (; width < columns; ++width) wire::put_value(nulls, ValueView::null());
    if (nulls.empty()) return;
    Rows wider;
    for (const auto& [key, row] : tables[table]) {
      wider.emplace(key.starts_with("row ") ? key + nulls : key, row + nulls);
    }
    tables[table] = std::move(wider);
  }

  std::vector<std::string> rows_of(const std::string& table) const {
    std::vector<std::string> rows;
    const auto found = tables.find(table);
    if (found == tables.end()) return rows;
    for (const auto& [key, row] : found->second) rows.push_back(row);
    std::sort(rows.begin(), rows.end());
    return rows;
  }

 private:
  static std::string key_of(const OutboxChange& c, const wire::ValuesView& row, bool* has_null) {
    const std::vector<Value> values = values_of(row);
    EXPECT_EQ(values.size(), c.table->columns.size());
    std::string key;
    *has_null = false;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (c.table->columns[i].key_ordinal == 0) continue;
      wire::put_value(key, values[i]);
      *has_null = *has_null || values[i].view().is_null();
    }
    return *has_null ? "row " + std::string(row.bytes) : "key " + key;
  }

  void put(Rows& rows, const OutboxChange& c, const wire::ValuesView& row) {
    bool has_null = false;
    const std::string key = key_of(c, row, &has_null);
    if (!has_null && rows.contains(key)) {
      if (c.op != Op::kSnapshot && !unsettled.contains(c.table->name)) {
        fault(c, "a row with this key is there already");
      }
      rows.erase(key);
    }
    rows.emplace(key, std::string(row.bytes));
  }

  void take_away(Rows& rows, const OutboxChange& c, const wire::ValuesView& row) {
    bool has_null = false;
    const auto found = rows.find(key_of(c, row, &has_null));
    if (found == rows.end()) {
      if (!unsettled.contains(c.table->name)) fault(c, "there is no row with this key");
      return;
    }
    if (found->second != row.bytes && !unsettled.contains(c.table->name)) {
      fault(c, "the row is not what `before` says");
    }
    rows.erase(found);
  }

  void fault(const OutboxChange& c, const std::string& what) {
    faults.push_back("LSN " + std::to_string(c.lsn.value) + " op " +
                     std::to_string(static_cast<int>(c.op)) + " of " + c.table->name + ": " + what);
  }
};

// A table's rows as they are, encoded like a replica's.
inline std::vector<std::string> rows_in(App& app, const TableShape& shape) {
  const std::string name = quote_name(shape.name);
  const std::string sql = "SELECT " + value_list(shape, name) + " FROM " + name;
  sqlite3_stmt* s = nullptr;
  EXPECT_EQ(sqlite3_prepare_v2(app.handle(), sql.c_str(), -1, &s, nullptr), SQLITE_OK)
      << app.message();
  std::vector<std::string> rows;
  while (sqlite3_step(s) == SQLITE_ROW) {
    std::string row;
    for (int i = 0; i < sqlite3_column_count(s); ++i) {
      const auto bytes = [&](const void* p) {
        return std::string_view(static_cast<const char*>(p),
                                static_cast<std::size_t>(sqlite3_column_bytes(s, i)));
      };
      switch (sqlite3_column_type(s, i)) {
        case SQLITE_INTEGER:
          wire::put_value(row, ValueView::of_integer(sqlite3_column_int64(s, i)));
          break;
        case SQLITE_FLOAT:
          wire::put_value(row, ValueView::of_real(sqlite3_column_double(s, i)));
          break;
        case SQLITE_TEXT:
          wire::put_value(row, ValueView::of_text(bytes(sqlite3_column_text(s, i))));
          break;
        case SQLITE_BLOB:
          wire::put_value(row, ValueView::of_blob(bytes(sqlite3_column_blob(s, i))));
          break;
        default: wire::put_value(row, ValueView::null());
      }
    }
    rows.push_back(std::move(row));
  }
  sqlite3_finalize(s);
  std::sort(rows.begin(), rows.end());
  return rows;
}

// Each call gives another source name.
inline Result<InstallReport> install_with(const InstallOptions& options) {
  static sim::FakeClock clock;
  static sim::SeededRandom random(7);
  clock.advance_ms(1);
  return install(options, clock, random);
}

// As a running edge does, without waiting for anything to be sent.
inline void resend_all(SqliteOutbox& outbox) {
  while (outbox.refresh_if_schema_changed().value_or(false)) {
  }
  for (int i = 0; i < 100'000; ++i) {
    const auto more = outbox.resend_step();
    if (!more) {
      EXPECT_EQ(more.error().kind, ErrorKind::kRetry) << more.error().text;
      const auto refreshed = outbox.refresh_if_schema_changed();
      EXPECT_TRUE(refreshed.has_value()) << (refreshed ? "" : refreshed.error().text);
      continue;
    }
    if (!*more) return;
  }
  ADD_FAILURE() << "resends do not end";
}

// EXPECTs that a Result is a value and gives it.
template <class T>
T must(Result<T> result) {
  EXPECT_TRUE(result.has_value()) << (result ? "" : result.error().text);
  return std::move(*result);
}
inline void must(Result<void> result) {
  EXPECT_TRUE(result.has_value()) << (result ? "" : result.error().text);
}

}  // namespace evodb::capture
