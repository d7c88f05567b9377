// The outbox inside an application's database, where that application, or anybody with the file,
// has written what it wanted into evodb_* tables: refused with a reason, or changes that a parent
// can decode, in order. Then trimmed, and a new epoch begun.
//
// Input: steps, see step(): rows for the outbox's tables, values by fuzz/hostile_sqlite.h.
#include <cstdint>
#include <string>

#include "base/assert.h"
#include "base/bytes.h"
#include "capture/install.h"
#include "capture/sqlite_outbox.h"
#include "fuzz/hostile_sqlite.h"
#include "fuzz/sent_batch.h"
#include "sim/seams/fake_clock.h"
#include "sim/seams/seeded_random.h"

namespace {

using namespace evodb;  // NOLINT(google-build-using-namespace)

void make(const std::string& path) {
  sqlite3* db = nullptr;
  EVODB_ASSERT(sqlite3_open(path.c_str(), &db) == SQLITE_OK, "a new file");
  const auto run = [&](const char* sql) {
    EVODB_ASSERT(sqlite3_exec(db, sql, nullptr, nullptr, nullptr) == SQLITE_OK, sql);
  };
  run("CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b)");
  sim::FakeClock clock;
  sim::SeededRandom random(1);
  EVODB_ASSERT(capture::install({.db = path, .source = "s"}, clock, random).has_value(),
               "captured");
  run("INSERT INTO t VALUES(1, 'x', 2.5), (2, NULL, x'00ff'); UPDATE t SET a = 'y' WHERE id = 1;"
      "DELETE FROM t WHERE id = 2");
  sqlite3_close(db);
}

bool step(fuzz::HostileSql& sql, base::ByteReader& in) {
  std::uint8_t op = 0;
  if (!in.u8(&op)) return false;
  switch (op % 8) {
    case 0:
    case 1:
      return sql.run(
          "INSERT OR REPLACE INTO evodb_outbox(id, tbl, op, at, v0, v1, v2, v3, v4, v5) "
          "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
          in, 10);
    case 2: return sql.run("UPDATE evodb_outbox SET op = ?2, tbl = ?3 WHERE id = ?1", in, 3);
    case 3: return sql.run("UPDATE evodb_outbox SET v1 = ?2, v4 = ?3 WHERE id = ?1", in, 3);
    case 4:
      return sql.run("INSERT OR REPLACE INTO evodb_tables VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)", in,
                     7);
    case 5:
      return sql.run("INSERT OR REPLACE INTO evodb_columns VALUES(?1, ?2, ?3, ?4, ?5)", in, 5);
    case 6:
      switch (op / 8 % 4) {
        case 0: return sql.run("UPDATE evodb_state SET value = ?1 WHERE key = 'trimmed'", in, 1);
        case 1: return sql.run("UPDATE evodb_state SET value = ?1 WHERE key = 'epoch'", in, 1);
        case 2: return sql.run("UPDATE evodb_state SET value = ?1 WHERE key = 'source'", in, 1);
        default: return sql.run("UPDATE evodb_tables SET split = ?1", in, 1);
      }
    default: return sql.run("DELETE FROM evodb_outbox WHERE id = ?1", in, 1);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::HostileFile file(make);
  file.reset();
  {
    fuzz::HostileSql sql(file.path());
    base::ByteReader in({reinterpret_cast<const char*>(data), size});
    while (step(sql, in)) {
    }
  }
  auto opened = capture::SqliteOutbox::open(file.path(), {});
  if (!opened) return 0;
  capture::SqliteOutbox& outbox = **opened;
  const auto before = outbox.state();
  if (!before) return 0;
  EVODB_ASSERT(before->head >= before->trimmed, "the newest is not older than the mark");
  fuzz::SentBatch sink(before->trimmed);
  sink.groups_end_behind = true;
  const auto read = outbox.read(before->trimmed, sink);
  sink.check();
  if (!read) {
    EVODB_ASSERT(!read.error().text.empty(), "a refusal without a reason");
    return 0;
  }
  if (sink.last > before->trimmed) {
    const auto wrong = outbox.trim(before->epoch, sink.last, ChainHash(5));
    EVODB_ASSERT(!wrong, "a trim that does not look at what it forgets");
    return 0;
  }
  const auto after = outbox.state();
  EVODB_ASSERT(after && after->trimmed >= sink.last, "a mark that holds");
  if (const auto epoch = outbox.begin_epoch(Epoch())) {
    EVODB_ASSERT(*epoch > before->epoch, "an epoch that is no later one");
  }
  return 0;
}
