// The bits of a change's presence byte, for reader and writer (docs/formats/wire-v2.md, "Changes").
#pragma once

#include <cstdint>

namespace evodb::wire {

inline constexpr std::uint8_t presence_key = 1;
inline constexpr std::uint8_t presence_before = 2;
inline constexpr std::uint8_t presence_after = 4;
inline constexpr std::uint8_t presence_reason = 8;
inline constexpr std::uint8_t presence_known = 15;

}  // namespace evodb::wire
