// hashes: cases are u64 seed and bytes; gives CRC32C (seeded with the low half) and XXH64, of the
// bytes at eight alignments and in two pieces: all must agree.
#include <cstring>

#include "base/hash.h"
#include "differential.h"

namespace evodb::differential {

int hashes() {
  for (std::string input; next_case(&input);) {
    std::uint64_t seed = 0;
    std::memcpy(&seed, input.data(), sizeof seed);
    const std::string_view bytes = std::string_view(input).substr(sizeof seed);
    const auto half = static_cast<std::uint32_t>(seed);
    const std::uint32_t crc = base::crc32c(bytes, half);
    const std::uint64_t xxh = base::xxh64(bytes, seed);
    bool agree = true;
    for (std::size_t offset = 1; offset < 8; ++offset) {
      std::string moved(offset, '\0');
      moved += bytes;
      const std::string_view here = std::string_view(moved).substr(offset);
      agree &= base::crc32c(here, half) == crc && base::xxh64(here, seed) == xxh;
    }
    const std::size_t cut = bytes.empty() ? 0 : seed % bytes.size();
    agree &= base::crc32c(bytes.substr(cut), base::crc32c(bytes.substr(0, cut), half)) == crc;
    std::printf("{\"crc32c\": %u, \"xxh64\": \"%llu\", \"agree\": %s}\n", crc,
                static_cast<unsigned long long>(xxh), agree ? "true" : "false");
  }
  return 0;
}

}  // namespace evodb::differential
