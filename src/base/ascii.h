// Letters of ASCII without regard to their case: names in HTTP, settings. Bytes beyond ASCII are
// themselves, whatever the locale.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace evodb::base {

constexpr char ascii_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
inline std::string ascii_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = ascii_lower(c);
  return out;
}
// equal_ignoring_case("Keep-Alive", "keep-alive")
constexpr bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return ascii_lower(x) == ascii_lower(y); });
}

}  // namespace evodb::base
