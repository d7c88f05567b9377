// Reading a checkpoint of marks. The checksum is made right first, so that the fuzzer gets behind
// it.
#include "ingest/checkpoint_format.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string bytes("EVCK\x01\0\0\0\0\0\0\0", 12);
  bytes.append(reinterpret_cast<const char*>(data), size);
  evodb::base::store_fixed(bytes.data() + 8,
                           evodb::base::crc32c(std::string_view(bytes).substr(12)));
  const auto contents = evodb::ingest::read_checkpoint(bytes);
  if (!contents) return 0;
  evodb::DeduplicationTracker tracker;
  for (const auto& source : contents->unordered) {
    if (!tracker.restore(source.source, source.runs)) return 0;
  }
  evodb::ingest::CheckpointWriter writer(contents->journal, contents->position,
                                         contents->marks.size());
  for (const auto& mark : contents->marks) writer.add_mark(mark);
  writer.add_unordered(tracker);
  const std::string again = writer.finish();
  EVODB_ASSERT(evodb::ingest::read_checkpoint(again).has_value(), "its own writing is refused");
  return 0;
}
