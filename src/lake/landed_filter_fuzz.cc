// Any bytes: refused, or a filter that encodes to what it was decoded from.
#include "lake/landed_filter.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view payload(reinterpret_cast<const char*>(data), size);
  // The checksum would keep the fuzzer out.
  std::string file = "EVLF";
  evodb::base::put_u32(file, 2);
  evodb::base::put_u32(file, evodb::base::crc32c(payload));
  file += payload;
  (void)evodb::lake::LandedFilter::decode(payload);
  const auto filter = evodb::lake::LandedFilter::decode(file);
  if (!filter) return 0;
  const auto again = evodb::lake::LandedFilter::decode((*filter)->encode());
  EVODB_ASSERT(again && (*again)->encode() == (*filter)->encode(), "what it wrote it can read");
  for (const auto& highest : (*filter)->highest()) {
    EVODB_ASSERT(highest.source.size() <= size, "names come from the input");
  }
  return 0;
}
