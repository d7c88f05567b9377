#include "sim/world/sqlite_database.h"

#include <cstdio>
#include <utility>

#include "base/bytes.h"
#include "capture/install.h"

namespace evodb::sim {
namespace {

constexpr char path[] = "edge/app.db";

std::string literal(const ValueView& value) {
  switch (value.storage_class) {
    case StorageClass::kInteger: return std::to_string(value.integer);
    case StorageClass::kReal: {
      char text[40];
      std::snprintf(text, sizeof text, "%.17g", value.real);
      return text;  // the model's have a fraction, and no exponent
    }
    case StorageClass::kText: return "'" + std::string(value.bytes) + "'";  // letters only
    case StorageClass::kBlob: return "x'" + base::to_hex(value.bytes) + "'";
    default: return "NULL";
  }
}

std::vector<std::string> literals(const std::string& encoded, std::size_t columns) {
  std::vector<std::string> texts;
  wire::ValuesReader values({true, static_cast<std::uint32_t>(columns), encoded});
  for (ValueView value; values.next(&value);) texts.push_back(literal(value));
  return texts;
}

std::string statement_of(const ModelOutbox::Change& change, const wire::TableDef& table) {
  const auto after = literals(change.after, table.columns.size());
  const auto before = literals(change.before, table.columns.size());
  if (change.op == Op::kDelete) return "DELETE FROM " + table.name + " WHERE id=" + before[0];
  std::string sql = change.op == Op::kInsert ? "INSERT INTO " + table.name + " VALUES("
                                             : "UPDATE " + table.name + " SET ";
  for (std::size_t i = change.op == Op::kInsert ? 0 : 1; i < after.size(); ++i) {
    if (!sql.ends_with('(') && !sql.ends_with("SET ")) sql += ",";
    if (change.op == Op::kUpdate) sql += table.columns[i].name + "=";
    sql += after[i];
  }
  return sql + (change.op == Op::kInsert ? ")" : " WHERE id=" + before[0]);
}

// What capture gave a change, for the model to remember.
struct Noting final : capture::ChangeSink {
  Noting(capture::ChangeSink& to_, ModelOutbox& model_) : to(to_), model(model_) {}
  bool take(const capture::OutboxChange& change) override {
    model.note_captured(change);
    return to.take(change);
  }
  capture::ChangeSink& to;
  ModelOutbox& model;
};

}  // namespace

SqliteDatabase::SqliteDatabase(ModelOutbox& model, base::Clock& clock, std::uint64_t seed)
    : model_(model),
      clock_(clock),
      random_(seed),
      sqlite_(disk_, clock_, random_),
      applied_(model.head()) {
  (void)disk_.make_directories("edge");
}

SqliteDatabase::~SqliteDatabase() {
  disk_.crash();
  outbox_.reset();
  app_.reset();
}

Result<void> SqliteDatabase::create() {
  std::string sql = "PRAGMA journal_mode=WAL;";
  for (const wire::TableDef& table : model_.tables()) {
    sql += "CREATE TABLE " + table.name + "(";
    for (const wire::ColumnDef& column : table.columns) {
      if (!sql.ends_with('(')) sql += ",";
      sql += column.name + " " + column.declared_type;
      if (column.key_ordinal > 0) sql += " PRIMARY KEY";
    }
    sql += ");";
  }
  app_ = std::make_unique<SqliteApp>(path, sqlite_.name());
  if (app_->run(sql) != SQLITE_OK) return fail(ErrorKind::kInternal, app_->message());
  EVODB_TRY(capture::install({.db = path, .source = model_.source(), .vfs = sqlite_.name()}, clock_,
                             random_));
  EVODB_TRY(open());
  model_.begin_at(EVODB_TRY(outbox_->state()).epoch);
  return {};
}

Result<void> SqliteDatabase::open() {
  app_ = std::make_unique<SqliteApp>(path, sqlite_.name());
  if (app_->run("PRAGMA synchronous=FULL;PRAGMA busy_timeout=1000") != SQLITE_OK) {
    return fail(ErrorKind::kInternal, app_->message());
  }
  outbox_ = EVODB_TRY(capture::SqliteOutbox::open(path, {.vfs = sqlite_.name()}));
  return {};
}

Result<void> SqliteDatabase::apply() {
  std::string sql = "BEGIN IMMEDIATE;";
  for (Lsn lsn(applied_.value + 1); lsn <= model_.head(); lsn = Lsn(lsn.value + 1)) {
    const ModelOutbox::Change& change = model_.change(lsn);
    sql += statement_of(change, model_.tables()[change.table]) + ";";
  }
  if (app_->run(sql + "COMMIT") != SQLITE_OK) {
    return fail(ErrorKind::kInternal, "the application cannot write: " + app_->message());
  }
  applied_ = model_.head();
  (void)outbox_->changed();
  return {};
}

Result<void> SqliteDatabase::restart(CrashModel model) {
  disk_.crash();
  outbox_.reset();
  app_.reset();
  sqlite_.forget();
  disk_.restart(model, random_);
  EVODB_TRY(open());
  const Lsn head = EVODB_TRY(outbox_->state()).head;
  if (head == model_.head()) return {};
  return fail(ErrorKind::kCorrupt, "committed up to LSN " + std::to_string(model_.head().value) +
                                       ", after the restart the log ends at " +
                                       std::to_string(head.value));
}

Result<void> SqliteDatabase::read(Lsn after, capture::ChangeSink& sink) {
  Noting noting(sink, model_);
  return outbox_->read(after, noting);
}

Result<void> SqliteDatabase::trim(Epoch epoch, Lsn through, ChainHash chain_at_through) {
  EVODB_TRY(outbox_->trim(epoch, through, chain_at_through));
  return model_.trim(epoch, through, chain_at_through);
}

Result<Epoch> SqliteDatabase::begin_epoch(Epoch at_least) {
  // Every table begins anew, and a snapshot of its rows follows; the model learns of it as of
  // everything that is captured.
  const Epoch epoch = EVODB_TRY(outbox_->begin_epoch(at_least));
  while (outbox_->resending()) {
    EVODB_TRY(outbox_->refresh_if_schema_changed());
    EVODB_TRY(outbox_->resend_step());
  }
  model_.begin_with_snapshot(epoch);
  applied_ = model_.head();
  return epoch;
}

}  // namespace evodb::sim
