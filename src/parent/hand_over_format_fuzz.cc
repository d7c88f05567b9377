// What one parent gives to the next, from bytes that nobody checked. The checksum is made right
// first, so that the fuzzer gets behind it.
#include "parent/hand_over_format.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace evodb;
  std::string bytes("EVODBHOV\x01\0\0\0\0\0\0\0", 16);
  bytes.append(reinterpret_cast<const char*>(data), size);
  base::store_fixed(bytes.data() + 12, base::crc32c(std::string_view(bytes).substr(16)));
  const auto contents = parent::decode_hand_over(bytes);
  if (!contents) return 0;
  const auto read = parent::decode_hand_over(parent::encode_hand_over(*contents));
  EVODB_ASSERT(read && *read == *contents, "its own writing reads differently");
  return 0;
}
