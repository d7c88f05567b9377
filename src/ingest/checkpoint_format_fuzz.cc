// Reading a checkpoint of marks. The checksum is made right first, so that the fuzzer gets behind
// it.
#include "ingest/checkpoint_format.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string bytes("EVCK\x01\0\0\0\0\0\0\0", 12);
  bytes[4] = static_cast<char>(1 + data[size - 1] % 2);  // both versions
  bytes.append(reinterpret_cast<const char*>(data), size - 1);
  evodb::base::store_fixed(bytes.data() + 8,
                           evodb::base::crc32c(std::string_view(bytes).substr(12)));
  const auto contents = evodb::ingest::read_checkpoint(bytes);
  if (!contents) return 0;
  evodb::ingest::UnorderedTable table({});
  for (const auto& source : contents->unordered) {
    table.merge(table.find_or_add_always(source.source), source.runs);
  }
  evodb::ingest::CheckpointWriter writer(contents->journal, contents->position,
                                         contents->marks.size());
  for (const auto& mark : contents->marks) writer.add_mark(mark);
  writer.add_unordered(table);
  evodb::ingest::Lives lives({});
  for (const auto& copied : contents->copied) lives.restore(copied);
  writer.add_copied(lives);
  const std::string again = writer.finish();
  EVODB_ASSERT(evodb::ingest::read_checkpoint(again).has_value(), "its own writing is refused");
  return 0;
}
