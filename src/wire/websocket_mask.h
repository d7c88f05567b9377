// RFC 6455 section 5.3: byte i of a payload is XORed with byte i mod 4 of the key. Eight bytes at a
// time, in place.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace evodb::wire {

// `key` holds the mask's four bytes in the order of the wire; `offset` is where in the frame's
// payload `bytes` begin.
inline void apply_ws_mask(char* bytes, std::size_t n, std::uint32_t key, std::uint64_t offset) {
  static_assert(std::endian::native == std::endian::little);
  key = std::rotr(key, static_cast<int>(offset % 4) * 8);
  const std::uint64_t wide = static_cast<std::uint64_t>(key) << 32 | key;
  for (; n >= 8; n -= 8, bytes += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes, 8);
    word ^= wide;
    std::memcpy(bytes, &word, 8);
  }
  for (; n != 0; --n, ++bytes) {
    *bytes = static_cast<char>(static_cast<std::uint8_t>(*bytes) ^ static_cast<std::uint8_t>(key));
    key = std::rotr(key, 8);
  }
}

}  // namespace evodb::wire
