#include "table/inflate.h"

#include <array>
#include <cstdint>

namespace evodb::table {
namespace {

constexpr int code_bits_max = 15;

// Bits from the low end of each byte. Reading past the end gives zeros and `overrun`.
class Bits {
 public:
  explicit Bits(std::string_view bytes) : bytes_(bytes) {}
  std::uint32_t take(int n) {
    while (held_ < n) {
      std::uint32_t byte = 0;
      if (at_ < bytes_.size()) {
        byte = static_cast<unsigned char>(bytes_[at_++]);
      } else {
        overrun_ = true;
      }
      buffer_ |= byte << held_;
      held_ += 8;
    }
    const std::uint32_t v = buffer_ & ((1u << n) - 1);
    buffer_ >>= n;
    held_ -= n;
    return v;
  }
  void to_byte() { take(held_ % 8); }
  // After to_byte(): whole bytes still held belong to what comes.
  bool copy(std::size_t n, std::string& out) {
    for (; n > 0 && held_ > 0; --n) out.push_back(static_cast<char>(take(8)));
    if (bytes_.size() - at_ < n) return false;
    out.append(bytes_.substr(at_, n));
    at_ += n;
    return true;
  }
  bool overrun() const { return overrun_; }

 private:
  std::string_view bytes_;
  std::size_t at_ = 0;
  std::uint32_t buffer_ = 0;
  int held_ = 0;
  bool overrun_ = false;
};

// A canonical Huffman code: how many codes of each length, and the symbols in order.
struct Huffman {
  std::array<std::uint16_t, code_bits_max + 1> counts{};
  std::array<std::uint16_t, 288> symbols{};

  // False: more codes than the lengths allow, or fewer (`incomplete`, allowed for one code only).
  bool build(const std::uint8_t* lengths, int n) {
    counts.fill(0);
    for (int i = 0; i < n; ++i) ++counts[lengths[i]];
    int left = 1;
    for (int bits = 1; bits <= code_bits_max; ++bits) {
      left = (left << 1) - counts[bits];
      if (left < 0) return false;
    }
    std::array<std::uint16_t, code_bits_max + 2> offsets{};
    for (int bits = 1; bits <= code_bits_max; ++bits) {
      offsets[bits + 1] = static_cast<std::uint16_t>(offsets[bits] + counts[bits]);
    }
    for (int i = 0; i < n; ++i) {
      if (lengths[i] != 0) symbols[offsets[lengths[i]]++] = static_cast<std::uint16_t>(i);
    }
    return left == 0 || n - counts[0] <= 1;
  }

  int decode(Bits& bits) const {
    int code = 0, first = 0, index = 0;
    for (int length = 1; length <= code_bits_max; ++length) {
      code |= static_cast<int>(bits.take(1));
      const int count = counts[length];
      if (code - count < first) return symbols[index + (code - first)];
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    return -1;
  }
};

constexpr std::array<std::uint16_t, 29> length_base = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                                       15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                                       67, 83, 99, 115, 131, 163, 195, 227, 258};
constexpr std::array<std::uint8_t, 29> length_extra = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                                       2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
constexpr std::array<std::uint16_t, 30> distance_base = {
    1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
    193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
constexpr std::array<std::uint8_t, 30> distance_extra = {0, 0, 0,  0,  1,  1,  2,  2,  3,  3,
                                                         4, 4, 5,  5,  6,  6,  7,  7,  8,  8,
                                                         9, 9, 10, 10, 11, 11, 12, 12, 13, 13};

std::unexpected<Error> corrupt(const char* why) {
  return fail(ErrorKind::kCorrupt, std::string("deflated bytes are damaged: ") + why);
}

Result<void> read_codes(Bits& bits, Huffman& lengths, Huffman& distances) {
  static constexpr std::array<std::uint8_t, 19> order = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                         11, 4,  12, 3, 13, 2, 14, 1, 15};
  const int length_codes = static_cast<int>(bits.take(5)) + 257;
  const int distance_codes = static_cast<int>(bits.take(5)) + 1;
  const int code_codes = static_cast<int>(bits.take(4)) + 4;
  if (length_codes > 286 || distance_codes > 30) return corrupt("too many codes");
  std::array<std::uint8_t, 320> sizes{};
  for (int i = 0; i < code_codes; ++i) sizes[order[i]] = static_cast<std::uint8_t>(bits.take(3));
  Huffman codes;
  if (!codes.build(sizes.data(), 19)) return corrupt("a code of codes that is none");
  sizes.fill(0);
  for (int i = 0; i < length_codes + distance_codes;) {
    const int symbol = codes.decode(bits);
    if (symbol < 0 || bits.overrun()) return corrupt("cut off in a block's codes");
    if (symbol < 16) {
      sizes[i++] = static_cast<std::uint8_t>(symbol);
      continue;
    }
    if (symbol == 16 && i == 0) return corrupt("a repeat of nothing");
    const std::uint8_t repeated = symbol == 16 ? sizes[i - 1] : 0;
    int times = symbol == 16   ? 3 + static_cast<int>(bits.take(2))
                : symbol == 17 ? 3 + static_cast<int>(bits.take(3))
                               : 11 + static_cast<int>(bits.take(7));
    if (i + times > length_codes + distance_codes) return corrupt("too many code lengths");
    while (times-- > 0) sizes[i++] = repeated;
  }
  if (sizes[256] == 0) return corrupt("a block that cannot end");
  if (!lengths.build(sizes.data(), length_codes) ||
      !distances.build(sizes.data() + length_codes, distance_codes)) {
    return corrupt("a code that is none");
  }
  return {};
}

void fixed_codes(Huffman& lengths, Huffman& distances) {
  std::array<std::uint8_t, 288> sizes;
  for (int i = 0; i < 288; ++i) {
    sizes[i] = static_cast<std::uint8_t>(i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8);
  }
  lengths.build(sizes.data(), 288);
  sizes.fill(5);
  distances.build(sizes.data(), 30);
}

}  // namespace

Result<void> inflate(std::string_view compressed, std::size_t bytes_max, std::string& out) {
  Bits bits(compressed);
  const std::size_t start = out.size();
  const auto too_large = [&](std::size_t more) {
    return out.size() > bytes_max || bytes_max - out.size() < more;
  };
  const auto over = [&] {
    return fail(ErrorKind::kOverLimit,
                "deflated bytes inflate to more than " + std::to_string(bytes_max));
  };
  bool last = false;
  while (!last) {
    last = bits.take(1) != 0;
    const std::uint32_t kind = bits.take(2);
    if (bits.overrun()) return corrupt("cut off");
    if (kind == 0) {
      bits.to_byte();
      const std::uint32_t size = bits.take(16), complement = bits.take(16);
      if (bits.overrun() || size != (~complement & 0xffff)) return corrupt("a stored block's size");
      if (too_large(size)) return over();
      if (!bits.copy(size, out)) return corrupt("cut off in a stored block");
      continue;
    }
    Huffman lengths, distances;
    if (kind == 1) {
      fixed_codes(lengths, distances);
    } else if (kind == 2) {
      EVODB_TRY(read_codes(bits, lengths, distances));
    } else {
      return corrupt("an unknown kind of block");
    }
    while (true) {
      const int symbol = lengths.decode(bits);
      if (symbol < 0 || bits.overrun()) return corrupt("cut off in a block");
      if (symbol == 256) break;
      if (symbol < 256) {
        if (too_large(1)) return over();
        out.push_back(static_cast<char>(symbol));
        continue;
      }
      if (symbol > 285) return corrupt("an unknown length");
      const std::size_t length = length_base[symbol - 257] + bits.take(length_extra[symbol - 257]);
      const int code = distances.decode(bits);
      if (code < 0 || code > 29) return corrupt("an unknown distance");
      const std::size_t distance = distance_base[code] + bits.take(distance_extra[code]);
      if (bits.overrun()) return corrupt("cut off in a block");
      if (distance > out.size() - start) return corrupt("a distance before the beginning");
      if (too_large(length)) return over();
      for (std::size_t i = 0; i < length; ++i) out.push_back(out[out.size() - distance]);
    }
  }
  return {};
}

}  // namespace evodb::table
