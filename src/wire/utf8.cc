#include "wire/utf8.h"

#include <cstring>

namespace evodb::wire {

bool Utf8Validator::add(std::string_view bytes) {
  if (failed_) return false;
  const char* p = bytes.data();
  const char* const end = p + bytes.size();
  while (p != end) {
    if (missing_ == 0) {
      // Eight ASCII bytes at a time: most text is nothing else.
      while (end - p >= 8) {
        std::uint64_t word;
        std::memcpy(&word, p, 8);
        if ((word & 0x8080808080808080u) != 0) break;
        p += 8;
      }
      if (p == end) break;
    }
    const auto byte = static_cast<std::uint8_t>(*p++);
    if (missing_ != 0) {
      if (byte < low_ || byte > high_) return !(failed_ = true);
      --missing_;
      low_ = 0x80;
      high_ = 0xbf;
    } else if (byte < 0x80) {
      continue;
    } else if (byte >= 0xc2 && byte <= 0xdf) {
      missing_ = 1;
    } else if (byte >= 0xe0 && byte <= 0xef) {
      missing_ = 2;
      if (byte == 0xe0) low_ = 0xa0;   // shorter forms exist
      if (byte == 0xed) high_ = 0x9f;  // surrogates
    } else if (byte >= 0xf0 && byte <= 0xf4) {
      missing_ = 3;
      if (byte == 0xf0) low_ = 0x90;   // shorter forms exist
      if (byte == 0xf4) high_ = 0x8f;  // above U+10FFFF
    } else {
      return !(failed_ = true);
    }
  }
  return true;
}

bool is_valid_utf8(std::string_view bytes) {
  Utf8Validator validator;
  return validator.add(bytes) && validator.complete();
}

std::string_view utf8_prefix(std::string_view bytes, std::size_t bytes_max) {
  if (bytes.size() <= bytes_max) return bytes;
  std::size_t n = bytes_max;
  while (n > 0 && (static_cast<std::uint8_t>(bytes[n]) & 0xc0) == 0x80) --n;
  return bytes.substr(0, n);
}

}  // namespace evodb::wire
