// Wire v1: binary messages and JSON text.
#include <string>
#include <vector>

#include "base/assert.h"
#include "wire/v1/codec.h"
#include "wire/v1/text.h"

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

  const V1TextHead head = peek_v1_text(bytes);
  const Result<V1TextRows> rows = read_v1_text_batch(bytes);
  if (rows) {
    EVODB_ASSERT(rows->batch.batch_sequence == head.batch_sequence, "two readings of one number");
    EVODB_ASSERT(rows->batch.correlation_id == head.correlation_id, "two readings of one id");
    for (const V1TextRow& row : rows->rows) {
      EVODB_ASSERT(!row.whole.empty() && row.whole.data() >= bytes.data() &&
                       row.whole.data() + row.whole.size() <= bytes.data() + bytes.size(),
                   "an entry lies in its message");
    }
  }
  const Result<V1TextMessage> text = decode_v1_text(bytes);
  // Whatever the strict reading takes, the other one takes too.
  if (text && std::holds_alternative<V1TextBatch>(*text)) {
    EVODB_ASSERT(rows.has_value(), "a batch that is no batch");
    const auto& batch = std::get<V1TextBatch>(*text);
    EVODB_ASSERT(batch.entries.size() == rows->rows.size(), "another number of entries");
    for (std::size_t i = 0; i < batch.entries.size(); ++i) {
      const V1TextRow& row = rows->rows[i];
      EVODB_ASSERT(!row.fault && row.entry.sequence == batch.entries[i].sequence &&
                       row.entry.table == batch.entries[i].table &&
                       row.before.empty() == batch.entries[i].before.empty() &&
                       row.after.empty() == batch.entries[i].after.empty(),
                   "another reading of an entry");
    }
  }
  if (text) {
    const std::string again = encode_v1_text(*text);
    const Result<V1TextMessage> second = decode_v1_text(again);
    EVODB_ASSERT(second && second->index() == text->index(), "text does not come back");
  }
  return 0;
}
