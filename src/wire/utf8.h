// UTF-8 (RFC 3629): no surrogates, no overlong forms, nothing above U+10FFFF. Whole strings, and
// text that arrives in pieces that may be cut inside a character.
#pragma once

#include <cstdint>
#include <string_view>

namespace evodb::wire {

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
