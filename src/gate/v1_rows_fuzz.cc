// Arbitrary bytes as the rows of wire v1: what is translated must be a batch that reads back.
#include "gate/v1_rows.h"

#include <cstdint>
#include <cstdlib>
#include <map>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace evodb;
  static gate::V1RowTranslator translator;
  if (size == 0 || size > 65536) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t half = bytes.size() * data[0] / 255;
  std::vector<gate::V1RowEntry> entries(2);
  entries[0].sequence = 1;
  entries[0].table = "t";
  entries[0].row_id = "r";
  entries[0].after = bytes;
  entries[0].number = 1;
  entries[1] = entries[0];
  entries[1].sequence = 2;
  entries[1].before = bytes.substr(0, half);
  entries[1].after = bytes.substr(half);
  gate::V1Tables tables;
  entries.push_back(entries[0]);
  entries[2].sequence = data[0] % 3;
  entries[2].row_id = bytes.substr(0, half);
  if (data[0] % 5 == 0) entries[2].table = bytes.substr(half);
  const gate::V1BodyLimits limits{.entries_max = 2, .bytes_max = 4'096};
  const gate::V1Batch batch = translator.translate(entries, tables, limits);
  std::map<std::uint32_t, std::size_t> columns;
  std::uint32_t count = 0, rejected = 0;
  for (const std::string& body : batch.bodies) {
    if (body.size() > limits.bytes_max) std::abort();
    wire::BatchReader reader(body);
    std::uint32_t ref;
    wire::TableDef def;
    while (reader.next_table(&ref, &def)) columns[ref] = def.columns.size();
    wire::ChangeView change;
    while (reader.next(&change)) {
      ++count;
      rejected += change.op == Op::kOversize;
      if (!columns.contains(change.table_ref)) std::abort();
      const std::size_t n = columns.at(change.table_ref);
      if (change.after.present && change.after.count != n) std::abort();
      if (change.before.present && change.before.count != n) std::abort();
    }
    if (!reader.status()) std::abort();
  }
  if (count != batch.entries || rejected != batch.rejected) std::abort();
  if (count + batch.repeated != 3) std::abort();
  return 0;
}
