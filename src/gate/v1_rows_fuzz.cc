// Arbitrary bytes as the rows of wire v1: what is translated must be a batch that reads back.
#include "gate/v1_rows.h"

#include <cstdint>
#include <cstdlib>

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
  const auto batch = translator.translate(entries, tables);
  if (!batch) {
    if (batch.error().text.empty()) std::abort();
    return 0;
  }
  wire::BatchReader reader(batch->body);
  std::uint32_t ref;
  wire::TableDef def;
  std::vector<std::size_t> columns;
  while (reader.next_table(&ref, &def)) columns.push_back(def.columns.size());
  wire::ChangeView change;
  std::uint32_t count = 0;
  while (reader.next(&change)) {
    ++count;
    if (change.table_ref >= columns.size()) std::abort();
    if (change.after.present && change.after.count != columns[change.table_ref]) std::abort();
    if (change.before.present && change.before.count != columns[change.table_ref]) std::abort();
  }
  if (!reader.status() || count != batch->entries) std::abort();
  return 0;
}
