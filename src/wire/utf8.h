// UTF-8 (RFC 3629): no surrogates, no overlong forms, nothing above U+10FFFF. Whole strings, and
// text that arrives in pieces that may be cut inside a character.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace evodb::wire {

// No byte is above 0x7f. Inline: the lake asks it of every TEXT, and most are short.
inline bool is_ascii(std::string_view bytes) {
  constexpr std::uint64_t high_bits = 0x8080808080808080u;
  const char* p = bytes.data();
  const char* const end = p + bytes.size();
  std::uint64_t seen = 0, word = 0;
  for (; end - p >= 8; p += 8) {
    std::memcpy(&word, p, 8);
    seen |= word;
  }
  std::uint8_t rest = 0;
  for (; p != end; ++p) rest |= static_cast<std::uint8_t>(*p);
  return (seen & high_bits) == 0 && rest < 0x80;
}

bool is_valid_utf8(std::string_view bytes);

// The longest prefix of `bytes` that has at most `bytes_max` bytes and cuts no character.
std::string_view utf8_prefix(std::string_view bytes, std::size_t bytes_max);

class Utf8Validator {
 public:
  // False at the first byte that no valid text can hold; stays false.
  bool add(std::string_view bytes);
  // Nothing wrong, and not in the middle of a character.
  bool complete() const { return missing_ == 0 && !failed_; }

 private:
  std::uint8_t missing_ = 0;  // continuation bytes still to come
  std::uint8_t low_ = 0x80;   // bounds of the next one
  std::uint8_t high_ = 0xbf;
  bool failed_ = false;
};

}  // namespace evodb::wire
