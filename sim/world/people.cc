#include "sim/world/people.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/bytes.h"
#include "capture/install.h"

namespace evodb::sim {
namespace {

constexpr char path[] = "edge/people.db";
constexpr char backup_path[] = "edge/backup.db";
constexpr std::int64_t look_ms = 150;
constexpr std::int64_t repaired_ms_max = 1'000;  // what is damaged is noticed within
constexpr std::size_t tables_max = 4, columns_max = 8;
constexpr std::array<const char*, 4> types = {"INTEGER", "TEXT", "REAL", "BLOB"};

std::string column_name(std::uint64_t number) { return "c" + std::to_string(number); }

}  // namespace

People::People(FakeNetwork& network, base::Random& random, std::uint64_t seed, Plant& plant,
               Tell tell)
    : network_(network),
      world_random_(random),
      random_(seed),
      plant_(plant),
      tell_(std::move(tell)),
      machine_(network, "people's machine"),
      sqlite_(disk_, machine_.clock(), random_) {
  (void)disk_.make_directories("edge");
}

People::~People() {
  uplink_.reset();
  close_outbox(true);
  app_.reset();
}

capture::SqliteOutboxOptions People::options() {
  capture::SqliteOutboxOptions options;
  options.vfs = sqlite_.name();
  options.clock = &machine_.clock();
  options.memory = memory_;
  options.on_event = tell_;
  return options;
}

Result<void> People::open_app() {
  app_ = std::make_unique<SqliteApp>(path, sqlite_.name());
  if (app_->run("PRAGMA synchronous=FULL;PRAGMA busy_timeout=1000") == SQLITE_OK) return {};
  return fail(ErrorKind::kInternal, app_->message());
}

std::string People::create_sql(const Table& table, const std::string& name) const {
  std::string sql = "CREATE TABLE " + name + "(id INTEGER PRIMARY KEY";
  for (const std::uint64_t number : table.columns) {
    sql += "," + column_name(number) + " " + types[number % types.size()];
  }
  return sql + ");";
}

Result<void> People::create() {
  app_ = std::make_unique<SqliteApp>(path, sqlite_.name());
  tables_ = {{"p0", {0, 1}}, {"p1", {2, 3, 5}}};
  table_next_ = 2;
  std::string sql = random_.below(3) == 0 ? "" : "PRAGMA journal_mode=WAL;";
  for (const Table& table : tables_) sql += create_sql(table, table.name);
  if (app_->run(sql) != SQLITE_OK) return fail(ErrorKind::kInternal, app_->message());
  EVODB_TRY(capture::install({.db = path, .source = source, .vfs = sqlite_.name()},
                             machine_.clock(), random_));
  EVODB_TRY(open_app());
  restart_edge();
  return {};
}

// --- the edge -----------------------------------------------------------------------------------

void People::close_outbox(bool abandon) {
  if (!outbox_) return;
  memory_ = outbox_->memory();
  if (abandon) outbox_->abandon();
  outbox_.reset();
}

void People::open_outbox() {
  auto with = options();
  with.replaced = replaced_;
  plant_.sqlite_options(with);
  auto opened = capture::SqliteOutbox::open(path, with);
  given_up_ = true;
  if (!opened) {
    last_error_ = opened.error().text;
    return;
  }
  outbox_ = *std::move(opened);
  replaced_.reset();
}

void People::restart_edge() {
  uplink_.reset();
  close_outbox(true);
  loop_.reset();
  loop_ = std::make_unique<FakeLoop>(network_, source);
  replaced_.reset();
  open_outbox();
  given_up_ = false;
  edge::UplinkOptions options;
  options.link.parent.host = "parent";
  options.batch_entries = 20;
  options.batch_bytes = 8u << 10;
  options.link.ping_idle_ms = options.link.dead_peer_ms = options.link.open_ms_max = 3'000;
  options.reconnect_ms_max = 2'000;
  plant_.edge_options(options);
  edge::UplinkObserver& observer = *this;
  uplink_ = std::make_unique<edge::Uplink>(*loop_, world_random_, plant_.outbox(*this), options,
                                           observer);
  uplink_->start();
  look_later();
}

void People::look_later() {
  loop_->after(look_ms, [this] {
    look();
    look_later();
  });
}

void People::look() {
  if (!outbox_) open_outbox();
  if (!outbox_) return;
  const auto changed = outbox_->changed();
  const auto refreshed =
      changed ? outbox_->refresh_if_schema_changed() : Result<bool>(fail(changed.error()));
  memory_ = outbox_->memory();
  if (refreshed) last_error_.clear();
  if (!refreshed) {
    if (last_error_ != refreshed.error().text) tell_(refreshed.error().text);
    last_error_ = refreshed.error().text;
    const ErrorKind kind = refreshed.error().kind;
    if (!capture::may_pass(kind) && kind != ErrorKind::kStale) {
      close_outbox(true);
      open_outbox();
    }
  }
  uplink_->notify();
}

Result<void> People::same() const {
  if (!outbox_) return fail(ErrorKind::kRetry, "the database cannot be opened: " + last_error_);
  if (given_up_) return fail(ErrorKind::kStale, "another file was opened");
  return {};
}

Result<capture::OutboxState> People::state() {
  if (!outbox_) open_outbox();
  if (!outbox_) return fail(ErrorKind::kRetry, "the database cannot be opened: " + last_error_);
  auto state = outbox_->state();
  if (state) {
    given_up_ = false;
    memory_ = outbox_->memory();
  } else if (!capture::may_pass(state.error().kind) && state.error().kind != ErrorKind::kStale) {
    return fail(ErrorKind::kRetry, state.error().text);  // as PathOutbox has patience with it
  }
  return state;
}
Result<void> People::read(Lsn after, capture::ChangeSink& sink) {
  EVODB_TRY(same());
  return outbox_->read(after, sink);
}
void People::resume_group(TxnId label) {
  if (outbox_) outbox_->resume_group(label);
}
Result<void> People::trim(Epoch epoch, Lsn through, ChainHash chain) {
  EVODB_TRY(same());
  return outbox_->trim(epoch, through, chain);
}
Result<Epoch> People::begin_epoch(Epoch at_least) {
  EVODB_TRY(same());
  return outbox_->begin_epoch(at_least);
}

bool People::is_persisted() const {
  if (!outbox_ || given_up_ || outbox_->resending() || !uplink_->stats().connected) return false;
  const auto state = outbox_->state();
  return state && state->trimmed == state->head;
}

std::string People::describe() const {
  const auto s = uplink_->stats();
  std::string text = std::string(s.connected ? "connected" : "not connected") + ", durable " +
                     std::to_string(s.last_ack_lsn.value) + ", persisted " +
                     std::to_string(s.last_persisted_lsn.value) + ", " +
                     (s.last_error ? s.last_error->text : "") + "; " + last_error_;
  if (!outbox_) return text + "; no outbox";
  const auto state = outbox_->state();
  if (!state) return text + "; " + state.error().text;
  return text + "; trimmed " + std::to_string(state->trimmed.value) + ", head " +
         std::to_string(state->head.value) + (outbox_->resending() ? ", resending" : "");
}

// --- the application ----------------------------------------------------------------------------

bool People::run(const std::string& sql) {
  if (app_->run(sql) == SQLITE_OK) return true;
  const std::string why = app_->message();
  (void)app_->run("ROLLBACK");
  tell_("cannot write: " + why);
  // A connection goes on failing until a statement of its own reads the schema: see
  // findings/sqlite-stale-schema-inside-a-trigger.sh.
  (void)app_->text("SELECT count(*) FROM sqlite_schema");
  if (app_->run(sql) == SQLITE_OK) return true;
  (void)app_->run("ROLLBACK");
  if (network_.now().value > damaged_until_ms_ && failure_.empty()) {
    failure_ = "the application cannot write: " + why + ": " + sql;
  }
  return false;
}

std::string People::values_of(const Table& table) {
  std::string sql;
  for (const std::uint64_t number : table.columns) {
    sql += ",";
    const std::string noise(random_.below(30), static_cast<char>('a' + random_.below(26)));
    const auto some = static_cast<std::int64_t>(random_.below(1'000));
    if (random_.below(6) == 0) {
      sql += "NULL";
    } else if (number % 4 == 0) {
      sql += std::to_string(some);
    } else if (number % 4 == 1) {
      sql += "'" + noise + "'";
    } else if (number % 4 == 2) {
      sql += std::to_string(some) + ".5";
    } else {
      sql += "x'" + base::to_hex(noise) + "'";
    }
  }
  return sql;
}

std::string People::statement() {
  const Table& table = tables_[random_.below(tables_.size())];
  const std::string some_row = " WHERE id=(SELECT id FROM " + table.name +
                               " ORDER BY id LIMIT 1 OFFSET " + std::to_string(random_.below(8)) +
                               ")";
  const std::uint64_t dice = random_.below(10);
  if (dice < 5 || table.columns.empty()) {
    return "INSERT INTO " + table.name + " VALUES(" + std::to_string(id_next_++) +
           values_of(table) + ");";
  }
  if (dice < 8) {
    const std::uint64_t number = table.columns[random_.below(table.columns.size())];
    return "UPDATE " + table.name + " SET " + column_name(number) + "=" +
           values_of({"", {number}}).substr(1) + some_row + ";";
  }
  return "DELETE FROM " + table.name + some_row + ";";
}

void People::write() {
  ++transactions_;
  std::string sql = "BEGIN IMMEDIATE;";
  for (std::uint64_t n = 1 + random_.below(4); n > 0; --n) sql += statement();
  (void)run(sql + "COMMIT");
}

// --- what people do -----------------------------------------------------------------------------

std::string People::act(Strike& strike) {
  std::string did;
  const std::uint64_t dice = strike.random.below(10);
  if (dice < 4) {
    did = put_back(strike);
  } else if (dice < 8) {
    did = migrate(strike);
  } else {
    did = damage(strike);
  }
  // The application goes on at once, when nobody can have noticed.
  for (std::uint64_t n = strike.random.below(6); n > 0; --n) write();
  return did;
}

std::string People::migrate(Strike& strike) {
  const std::size_t at = strike.random.below(tables_.size());
  Table& table = tables_[at];
  switch (strike.random.below(9)) {
    case 0: {
      if (table.columns.size() >= columns_max) return "does nothing";
      const std::uint64_t number = column_next_++;
      if (!run("ALTER TABLE " + table.name + " ADD COLUMN " + column_name(number) + " " +
               types[number % types.size()])) {
        return "does nothing";
      }
      table.columns.push_back(number);
      return "adds a column";
    }
    case 1: {
      if (table.columns.empty()) return "does nothing";
      std::uint64_t& number = table.columns[strike.random.below(table.columns.size())];
      column_next_ += types.size();
      const std::uint64_t other = column_next_ - column_next_ % 4 + number % 4;
      column_next_ += types.size();
      if (!run("ALTER TABLE " + table.name + " RENAME COLUMN " + column_name(number) + " TO " +
               column_name(other))) {
        return "does nothing";
      }
      number = other;
      return "renames a column";
    }
    case 2: {
      const std::string name = "p" + std::to_string(table_next_++);
      if (!run("ALTER TABLE " + table.name + " RENAME TO " + name)) return "does nothing";
      table.name = name;
      return "renames a table";
    }
    case 3: {  // SQLite's own advice for what ALTER TABLE cannot do
      Table rebuilt = table;
      if (!rebuilt.columns.empty() && strike.chance(50)) rebuilt.columns.pop_back();
      std::string columns = "id";
      for (const std::uint64_t number : rebuilt.columns) columns += "," + column_name(number);
      if (!run("BEGIN IMMEDIATE;" + create_sql(rebuilt, "new_" + table.name) + "INSERT INTO new_" +
               table.name + " SELECT " + columns + " FROM " + table.name + ";DROP TABLE " +
               table.name + ";ALTER TABLE new_" + table.name + " RENAME TO " + table.name +
               ";COMMIT")) {
        return "does nothing";
      }
      table = rebuilt;
      return "rebuilds a table";
    }
    case 4: {
      if (tables_.size() >= tables_max) return "does nothing";
      const std::uint64_t number = column_next_++;
      const Table added{"p" + std::to_string(table_next_++), {number, column_next_++}};
      if (!run(create_sql(added, added.name))) return "does nothing";
      tables_.push_back(added);
      return "creates a table";
    }
    case 5: {
      if (tables_.size() == 1) return "does nothing";
      if (!run("DROP TABLE " + table.name)) return "does nothing";
      tables_.erase(tables_.begin() + static_cast<std::ptrdiff_t>(at));
      return "drops a table";
    }
    case 6:
      (void)run("BEGIN IMMEDIATE;DROP TABLE " + table.name + ";" + create_sql(table, table.name) +
                "COMMIT");
      return "drops a table and creates it again";
    case 7: (void)run("DELETE FROM " + table.name); return "empties a table";
    default: (void)run("VACUUM"); return "vacuums";
  }
}

std::string People::damage(Strike& strike) {
  damaged_until_ms_ = network_.now().value + repaired_ms_max;
  switch (strike.random.below(5)) {
    case 0: (void)run("DELETE FROM evodb_outbox"); return "empties the outbox";
    case 1:
      (void)run("DELETE FROM evodb_outbox WHERE id % 3 = " +
                std::to_string(strike.random.below(3)));
      return "deletes part of the outbox";
    case 2: {
      const std::string trigger = app_->text(
          "SELECT name FROM sqlite_schema WHERE type='trigger' AND name LIKE 'evodb%' ORDER BY "
          "name "
          "LIMIT 1 OFFSET " +
          std::to_string(strike.random.below(6)));
      if (!trigger.empty()) (void)run("DROP TRIGGER \"" + trigger + "\"");
      return "drops a trigger";
    }
    case 3: (void)run("DELETE FROM evodb_columns"); return "empties our tables of columns";
    default:
      (void)run("DROP TABLE evodb_outbox;DROP TABLE evodb_tables;DROP TABLE evodb_columns");
      return "drops our tables";
  }
}

// As the shell's `.restore` does it, while an edge has the file open.
bool People::copy_in_place(const std::string& bytes) {
  disk_.put(backup_path, bytes);
  sqlite3* from = nullptr;
  bool done = sqlite3_open_v2(backup_path, &from, SQLITE_OPEN_READWRITE, sqlite_.name().c_str()) ==
              SQLITE_OK;
  if (done) {
    sqlite3_backup* backup = sqlite3_backup_init(app_->handle(), "main", from, "main");
    done = backup != nullptr && sqlite3_backup_step(backup, -1) == SQLITE_DONE;
    if (backup != nullptr) done = sqlite3_backup_finish(backup) == SQLITE_OK && done;
  }
  sqlite3_close(from);
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
    disk_.remove(std::string(backup_path) + suffix);
  }
  return done;
}

std::string People::put_back(Strike& strike) {
  if (!backup_ || strike.chance(20)) {
    if (app_->run("PRAGMA wal_checkpoint(TRUNCATE)") != SQLITE_OK) return "does nothing";
    backup_.emplace();
    backup_->files[path] = disk_.contents(path);
    const std::string log = std::string(path) + "-wal";
    if (const std::string bytes = disk_.contents(log); !bytes.empty()) backup_->files[log] = bytes;
    backup_->tables = tables_;
    return "takes a copy";
  }
  // Once in a while it is used again.
  const Backup backup = *backup_;
  if (strike.chance(70)) backup_.reset();
  std::string how;
  if (strike.chance(35) && backup.files.size() == 1) {
    if (!copy_in_place(backup.files.at(path))) {
      backup_ = backup;
      return "cannot put back a copy";
    }
    how = "puts back a copy in place";
  } else {
    const bool runs = strike.chance(60);
    if (!runs) {
      uplink_.reset();
      loop_.reset();
    }
    close_outbox(true);
    app_.reset();
    sqlite_.forget();
    for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
      disk_.remove(std::string(path) + suffix);
    }
    for (const auto& [file, bytes] : backup.files) disk_.put(file, bytes);
    if (const auto opened = open_app(); !opened) failure_ = opened.error().text;
    tables_ = backup.tables;
    for (std::uint64_t n = strike.random.below(8); n > 0; --n) write();
    if (runs) {
      replaced_ = "another file lies at the path now";
      open_outbox();
      look();
    } else {
      restart_edge();
    }
    return runs ? "puts another file in its place" : "puts another file in its place, with no edge";
  }
  tables_ = backup.tables;
  return how;
}

// --- the end ------------------------------------------------------------------------------------

std::string People::check(const Oracle::View& there) {
  Oracle::View here;
  for (const Table& table : tables_) {
    sqlite3_stmt* rows = nullptr;
    const std::string sql = "SELECT * FROM " + table.name;
    if (sqlite3_prepare_v2(app_->handle(), sql.c_str(), -1, &rows, nullptr) != SQLITE_OK) {
      return "table " + table.name + " cannot be read: " + app_->message();
    }
    while (sqlite3_step(rows) == SQLITE_ROW) {
      Columns& row = here[table.name + "_changes"][std::to_string(sqlite3_column_int64(rows, 0))];
      for (int i = 0; i < sqlite3_column_count(rows); ++i) {
        const std::string name = sqlite3_column_name(rows, i);
        switch (sqlite3_column_type(rows, i)) {
          case SQLITE_NULL: break;
          case SQLITE_INTEGER: row[name] = std::to_string(sqlite3_column_int64(rows, i)); break;
          case SQLITE_FLOAT: row[name] = show_real(sqlite3_column_double(rows, i)); break;
          default: {
            const void* bytes = sqlite3_column_blob(rows, i);
            row[name] = std::string(static_cast<const char*>(bytes != nullptr ? bytes : ""),
                                    static_cast<std::size_t>(sqlite3_column_bytes(rows, i)));
          }
        }
      }
    }
    sqlite3_finalize(rows);
  }
  for (const auto& [table, rows] : here) {
    const auto found = there.find(table);
    if (found == there.end()) return table + " has no rows for whoever folds the changes";
    for (const auto& [id, row] : rows) {
      const auto landed = found->second.find(id);
      if (landed == found->second.end()) return table + ": row " + id + " is missing";
      if (landed->second == row) continue;
      std::string text = table + ": row " + id + " is";
      for (const auto& [name, value] : row) text += " " + name + "=" + value;
      text += ", whoever folds the changes has";
      for (const auto& [name, value] : landed->second) text += " " + name + "=" + value;
      return text;
    }
  }
  for (const auto& [table, rows] : there) {
    for (const auto& [id, row] : rows) {
      if (!here[table].contains(id)) return table + ": row " + id + " is there no more";
    }
  }
  return "";
}

}  // namespace evodb::sim
