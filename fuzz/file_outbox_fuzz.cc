// The client library's own outbox file, with rows that it did not write: refused with a reason, or
// an outbox that works: what it holds comes in order and can be sent, what is appended comes back.
//
// Input: steps, see step(): rows, values by fuzz/hostile_sqlite.h. Rows whose presence bits say
// that they have no checksum are taken as those of an older file: so the fuzzer gets behind it.
#include "edge/file_outbox.h"

#include <cstdint>
#include <string>
#include <vector>

#include "base/assert.h"
#include "base/bytes.h"
#include "fuzz/hostile_sqlite.h"
#include "fuzz/sent_batch.h"

namespace {

using namespace evodb;  // NOLINT(google-build-using-namespace)

const wire::TableDef& table() {
  static const wire::TableDef def{.name = "t", .columns = {{.name = "v"}}};
  return def;
}

Result<Lsn> append(edge::FileOutbox& outbox) {
  std::string row;
  wire::put_value(row, ValueView::of_text("appended"));
  const edge::NewChange change{.table = &table(),
                               .table_fingerprint = table().fingerprint(),
                               .after = {true, 1, row},
                               .committed_at = UnixMillis(1)};
  return outbox.append({&change, 1});
}

Result<std::unique_ptr<edge::FileOutbox>> open(const std::string& path) {
  return edge::FileOutbox::open(path, "s", Epoch(7), {.bytes_max = 1u << 20, .sync = false});
}

void make(const std::string& path) {
  auto outbox = *open(path);
  for (int i = 0; i < 4; ++i) EVODB_ASSERT(append(*outbox).has_value(), "appended");
  EVODB_ASSERT(outbox->trim(Epoch(7), Lsn(1), ChainHash(3)).has_value(), "trimmed");
}

bool step(fuzz::HostileSql& sql, base::ByteReader& in) {
  std::uint8_t op = 0;
  if (!in.u8(&op)) return false;
  switch (op % 8) {
    case 0: return sql.run("INSERT OR REPLACE INTO changes VALUES(?1,?2,?3,?4,?5,?6)", in, 6);
    case 1:  // of the table that is there
      return sql.run("INSERT OR REPLACE INTO changes SELECT ?1, ?2, 0, ?3, id, ?4 FROM tables", in,
                     4);
    case 2: return sql.run("UPDATE changes SET rows = ?2 WHERE lsn = ?1", in, 2);
    case 3: return sql.run("INSERT OR REPLACE INTO tables VALUES(?1, ?2)", in, 2);
    case 4: return sql.run("UPDATE tables SET def = ?1", in, 1);
    case 5:
    case 6:
      // Mostly as in a file of before checksums, which would end every such run at once.
      if (op < 240) sql.run("DELETE FROM state WHERE key = 'sum'", in, 0);
      return op % 8 == 5 ? sql.run("UPDATE state SET value = ?1 WHERE key = 'trimmed'", in, 1)
                         : sql.run("UPDATE state SET value = ?1 WHERE key = 'epoch'", in, 1);
    default: return sql.run("DELETE FROM changes WHERE lsn = ?1", in, 1);
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
  auto opened = open(file.path());
  if (!opened) {
    EVODB_ASSERT(!opened.error().text.empty(), "a refusal without a reason");
    return 0;
  }
  edge::FileOutbox& outbox = **opened;
  const auto before = *outbox.state();
  EVODB_ASSERT(before.head >= before.trimmed, "the newest is not older than the mark");
  fuzz::SentBatch all(before.trimmed);
  const auto read = outbox.read(before.trimmed, all);
  all.check();
  const auto appended = append(outbox);
  if (!appended) return 0;
  EVODB_ASSERT(*appended > before.head, "a change behind all others");
  fuzz::SentBatch newest(before.head);
  EVODB_ASSERT(outbox.read(before.head, newest) && newest.last_after.ends_with("appended") &&
                   newest.last == *appended,
               "what was appended does not come back");
  if (!read) return 0;
  EVODB_ASSERT(outbox.trim(before.epoch, *appended, ChainHash(5)).has_value(),
               "what was read is trimmed");
  const auto epoch = outbox.begin_epoch(Epoch());
  EVODB_ASSERT(epoch && *epoch > before.epoch, "an epoch that is no later one");
  EVODB_ASSERT(outbox.state()->held_bytes == 0, "nothing is left, and bytes are counted");
  return 0;
}
