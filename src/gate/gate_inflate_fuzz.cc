// A zstd body from anybody: refused, or inflated within the bound; and what was compressed honestly
// comes back, also right after garbage.
//
// Byte 0: bit 0: the rest is compressed here first, then bytes are changed: offset u16, value u8,
// as often as bits 1 to 3 say. So mutations begin behind valid magic numbers and block headers.
#include <cstdint>
#include <string>

#include <zstd.h>

#include "base/assert.h"
#include "gate/inflate.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace evodb;
  static gate::Inflater inflater;
  constexpr std::size_t bytes_max = 64u << 10;
  if (size == 0) return 0;
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::string body(rest);
  if (data[0] & 1) {
    const std::size_t changes = std::min<std::size_t>(data[0] >> 1 & 7, rest.size() / 3);
    const std::string_view changed = rest.substr(0, changes * 3);
    rest.remove_prefix(changed.size());
    std::string content;
    for (int i = 0; i <= data[0] >> 4; ++i) content += rest;
    body.resize(ZSTD_compressBound(content.size()));
    body.resize(ZSTD_compress(body.data(), body.size(), content.data(), content.size(), 1));
    for (std::size_t i = 0; i < changed.size(); i += 3) {
      const std::size_t offset =
          static_cast<unsigned char>(changed[i]) |
          static_cast<std::size_t>(static_cast<unsigned char>(changed[i + 1])) << 8;
      body[offset % body.size()] = changed[i + 2];
    }
    if (changes == 0 && content.size() <= bytes_max) {
      const auto honest = inflater.inflate(body, bytes_max);
      EVODB_ASSERT(honest && *honest == content, "what was compressed does not come back");
      EVODB_ASSERT(content.empty() || !inflater.inflate(body, content.size() - 1),
                   "more than the bound");
      EVODB_ASSERT(!inflater.inflate(body.substr(0, body.size() - 1), bytes_max), "cut and taken");
      return 0;
    }
  }
  const auto inflated = inflater.inflate(body, bytes_max);
  if (inflated) EVODB_ASSERT(inflated->size() <= bytes_max, "more than the bound");
  inflater.shrink();
  return 0;
}
