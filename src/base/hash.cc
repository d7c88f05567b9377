#include "base/hash.h"

#include <array>
#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

namespace evodb::base {
namespace {

constexpr std::array<std::uint32_t, 256> byte_steps = [] {
  std::array<std::uint32_t, 256> t{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c & 1) ? (c >> 1) ^ 0x82f63b78u : c >> 1;
    t[i] = c;
  }
  return t;
}();

std::uint32_t crc32c_table(std::uint32_t crc, const char* p, std::size_t n) {
  for (; n != 0; --n) {
    crc = byte_steps[(crc ^ static_cast<std::uint8_t>(*p++)) & 0xff] ^ (crc >> 8);
  }
  return crc;
}

#if defined(__x86_64__)
// The instruction takes three cycles and one can begin every cycle, so three lanes of the input are
// folded side by side and joined: two and a half times as fast on anything over a kilobyte. A lane
// is joined by moving its sum behind `lane_bytes` zeros, which is linear: one look-up a byte.
constexpr std::size_t lane_bytes = 256;
constexpr std::array<std::array<std::uint32_t, 256>, 4> lane_steps = [] {
  std::array<std::array<std::uint32_t, 256>, 4> t{};
  for (std::size_t byte = 0; byte < 4; ++byte) {
    for (std::size_t bit = 0; bit < 8; ++bit) {
      std::uint32_t c = 1u << (8 * byte + bit);
      for (std::size_t i = 0; i < lane_bytes; ++i) c = byte_steps[c & 0xff] ^ (c >> 8);
      for (std::size_t low = 0; low < std::size_t{1} << bit; ++low) {
        t[byte][low | std::size_t{1} << bit] = t[byte][low] ^ c;
      }
    }
  }
  return t;
}();

std::uint64_t behind_lane(std::uint64_t crc) {
  return lane_steps[0][crc & 0xff] ^ lane_steps[1][crc >> 8 & 0xff] ^
         lane_steps[2][crc >> 16 & 0xff] ^ lane_steps[3][crc >> 24 & 0xff];
}

__attribute__((target("sse4.2"))) std::uint32_t crc32c_sse42(std::uint32_t crc, const char* p,
                                                             std::size_t n) {
  const auto word = [](const char* at) {
    std::uint64_t w;
    std::memcpy(&w, at, 8);
    return w;
  };
  std::uint64_t wide = crc;
  for (; n >= 3 * lane_bytes; n -= 3 * lane_bytes, p += 3 * lane_bytes) {
    std::uint64_t second = 0, third = 0;
    for (std::size_t i = 0; i < lane_bytes; i += 8) {
      wide = _mm_crc32_u64(wide, word(p + i));
      second = _mm_crc32_u64(second, word(p + lane_bytes + i));
      third = _mm_crc32_u64(third, word(p + 2 * lane_bytes + i));
    }
    wide = behind_lane(behind_lane(wide) ^ second) ^ third;
  }
  for (; n >= 8; n -= 8, p += 8) wide = _mm_crc32_u64(wide, word(p));
  crc = static_cast<std::uint32_t>(wide);
  for (; n != 0; --n) crc = _mm_crc32_u8(crc, static_cast<std::uint8_t>(*p++));
  return crc;
}
#endif

}  // namespace

std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed) {
  const std::uint32_t crc = ~seed;
#if defined(__x86_64__)
  static const bool fast = __builtin_cpu_supports("sse4.2");
  if (fast) return ~crc32c_sse42(crc, bytes.data(), bytes.size());
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
  std::uint32_t c = crc;
  const char* p = bytes.data();
  std::size_t n = bytes.size();
  for (; n >= 8; n -= 8, p += 8) {
    std::uint64_t word;
    std::memcpy(&word, p, 8);
    c = __crc32cd(c, word);
  }
  for (; n != 0; --n) c = __crc32cb(c, static_cast<std::uint8_t>(*p++));
  return ~c;
#endif
  return ~crc32c_table(crc, bytes.data(), bytes.size());
}

std::uint32_t crc32c_portable(std::string_view bytes, std::uint32_t seed) {
  return ~crc32c_table(~seed, bytes.data(), bytes.size());
}

std::uint64_t xxh64(std::string_view bytes, std::uint64_t seed) {
  return XXH64(bytes.data(), bytes.size(), seed);
}

}  // namespace evodb::base
