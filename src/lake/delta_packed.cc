#include "lake/delta_packed.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>

#include "base/bytes.h"

namespace evodb::lake {
namespace {

constexpr std::size_t miniblock_values = 64;
constexpr std::size_t miniblocks = 4;  // of a block
constexpr std::size_t block_values = miniblock_values * miniblocks;

// `width` bits of each value, the first in the lowest bits. Returns the end of what it wrote.
char* pack(const std::uint64_t* values, unsigned width, char* out) {
  std::uint64_t word = 0;
  unsigned filled = 0;
  for (std::size_t i = 0; i < miniblock_values; ++i) {
    word |= values[i] << filled;
    filled += width;
    if (filled < 64) continue;
    std::memcpy(out, &word, sizeof word);
    out += sizeof word;
    filled -= 64;
    word = filled == 0 ? 0 : values[i] >> (width - filled);
  }
  return out;
}

// There is a value before the first. Differences wrap around, as those of Parquet's readers do.
void append_block(std::string& out, const std::int64_t* values, std::size_t n) {
  std::array<std::uint64_t, block_values> deltas;
  auto smallest = std::numeric_limits<std::int64_t>::max();
  const std::int64_t* const before = values - 1;
  for (std::size_t i = 0; i < n; ++i) {
    deltas[i] = static_cast<std::uint64_t>(values[i]) - static_cast<std::uint64_t>(before[i]);
    smallest = std::min(smallest, static_cast<std::int64_t>(deltas[i]));
  }
  for (std::size_t i = 0; i < n; ++i) deltas[i] -= static_cast<std::uint64_t>(smallest);
  std::fill(deltas.begin() + static_cast<std::ptrdiff_t>(n), deltas.end(), 0);

  std::array<char, block_values * sizeof(std::uint64_t)> packed;
  std::array<char, miniblocks> widths{};
  char* end = packed.data();
  for (std::size_t m = 0; m * miniblock_values < n; ++m) {
    const std::uint64_t* const of = deltas.data() + m * miniblock_values;
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < miniblock_values; ++i) bits |= of[i];
    const auto width = static_cast<unsigned>(std::bit_width(bits));
    widths[m] = static_cast<char>(width);
    if (width != 0) end = pack(of, width, end);
  }
  base::put_zigzag(out, smallest);
  out.append(widths.data(), widths.size());
  out.append(packed.data(), static_cast<std::size_t>(end - packed.data()));
}

}  // namespace

void append_delta_packed(std::string& out, const std::int64_t* values, std::size_t n) {
  base::put_varint(out, block_values);
  base::put_varint(out, miniblocks);
  base::put_varint(out, n);
  base::put_zigzag(out, n == 0 ? 0 : values[0]);
  for (std::size_t from = 1; from < n; from += block_values) {
    append_block(out, values + from, std::min(block_values, n - from));
  }
}

}  // namespace evodb::lake
