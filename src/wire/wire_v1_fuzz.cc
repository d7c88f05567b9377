// Wire v1: binary messages and JSON text.
#include <string>
#include <vector>

#include "base/assert.h"
#include "wire/v1.h"
#include "wire/v1_text.h"

namespace {

using namespace evodb;
using namespace evodb::wire;

void read_batch(std::string_view message) {
  V1BatchReader reader(message);
  std::vector<V1Entry> entries;
  V1Entry entry;
  while (reader.next(&entry)) entries.push_back(entry);
  reader.checksum_matches();
  if (!reader.status()) return;
  EVODB_ASSERT(entries.size() == reader.header().entry_count, "entries are missing");
  std::string again;
  encode_v1_batch(again, reader.header(), entries);
  V1BatchReader second(again);
  EVODB_ASSERT(second.checksum_matches(), "our own checksum does not match");
  for (const V1Entry& e : entries) {
    EVODB_ASSERT(second.next(&entry) && entry.sequence == e.sequence && entry.after == e.after,
                 "an entry does not come back as it was");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Result<V1Type> type = v1_type(bytes);
  if (type && *type == V1Type::kBatch) read_batch(bytes);
  if (type && *type == V1Type::kAck) (void)decode_v1_ack(bytes);
  if (type && *type == V1Type::kNack) (void)decode_v1_nack(bytes);

  const Result<V1TextMessage> text = decode_v1_text(bytes);
  if (text) {
    const std::string again = encode_v1_text(*text);
    const Result<V1TextMessage> second = decode_v1_text(again);
    EVODB_ASSERT(second && second->index() == text->index(), "text does not come back");
  }
  return 0;
}
