// Sessions that are handed over, from bytes that nobody checked: refused, or the same again.
#include "ingest/session_records.h"

#include "base/assert.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace evodb::ingest;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto records = decode_session_records(bytes);
  if (!records) return 0;
  const std::string again = encode_session_records(*records);
  const auto read = decode_session_records(again);
  EVODB_ASSERT(read && *read == *records, "its own writing reads differently");
  return 0;
}
