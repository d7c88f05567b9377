// Decoding a journal's batch record: never reads outside, and what decodes encodes to the same.
#include "ingest/batch_record.h"

#include "base/assert.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto record = evodb::ingest::decode_batch_record(bytes);
  if (!record) return 0;
  std::string again;
  evodb::ingest::encode_batch_record_prefix(again, *record);
  again += record->body;
  EVODB_ASSERT(again == bytes, "one record has two encodings");
  return 0;
}
