// The two checksums of EvoDB: CRC32C guards bytes against the world, XXH64 names content.
//
// CRC32C (Castagnoli, polynomial 0x1EDC6F41, reflected; RFC 3720 appendix B.4) by SSE4.2 or ARMv8
// instructions where the machine has them. XXH64 is the xxHash specification's 64-bit variant.
#pragma once

#include <cstdint>
#include <string_view>

namespace evodb::base {

// `seed` is the crc32c of what came before, so crc32c(ab) == crc32c(b, crc32c(a)).
std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed = 0);

// The same on machines without such instructions. For tests: crc32c() chooses by itself.
std::uint32_t crc32c_portable(std::string_view bytes, std::uint32_t seed = 0);

std::uint64_t xxh64(std::string_view bytes, std::uint64_t seed = 0);

}  // namespace evodb::base
