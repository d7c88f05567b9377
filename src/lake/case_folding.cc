#include "lake/case_folding.h"

#include <algorithm>
#include <cstdint>

#include "lake/case_folding_table.h"

namespace evodb::lake {
namespace {

constexpr std::uint32_t dot_above = 0x307;

// The bytes of the character at `i`; 0: there is none.
std::size_t read_character(std::string_view utf8, std::size_t i, std::uint32_t* c) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(utf8[at]); };
  const unsigned char first = byte(i);
  if (first < 0x80) {
    *c = first;
    return 1;
  }
  const std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || utf8.size() - i < size) return 0;
  *c = first & (0xffu >> (size + 1));
  for (std::size_t k = 1; k < size; ++k) {
    if ((byte(i + k) & 0xc0) != 0x80) return 0;
    *c = *c << 6 | (byte(i + k) & 0x3fu);
  }
  return size;
}

void put_character(std::string& out, std::uint32_t c) {
  const auto put = [&](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) return put(c);
  if (c < 0x800) {
    put(0xc0 | c >> 6);
  } else {
    if (c < 0x10000) {
      put(0xe0 | c >> 12);
    } else {
      put(0xf0 | c >> 18);
      put(0x80 | (c >> 12 & 0x3f));
    }
    put(0x80 | (c >> 6 & 0x3f));
  }
  put(0x80 | (c & 0x3f));
}

// False: the character stays.
bool put_folded(std::string& out, std::uint32_t c, bool upper_only) {
  const auto range = std::ranges::lower_bound(case_ranges, c, {}, &CaseRange::last);
  if (range != case_ranges.end() && c >= range->first && (c - range->first) % range->step == 0) {
    if (upper_only && !range->upper) return false;
    put_character(out, static_cast<std::uint32_t>(static_cast<std::int32_t>(c) + range->delta));
    return true;
  }
  const auto expansion = std::ranges::lower_bound(case_expansions, c, {}, &CaseExpansion::from);
  if (expansion == case_expansions.end() || expansion->from != c) return false;
  if (upper_only && !expansion->upper) return false;
  for (const std::uint32_t to : expansion->to) {
    if (to != 0) put_character(out, to);
  }
  return true;
}

std::string fold(std::string_view utf8, bool upper_only) {
  std::string out;
  out.reserve(utf8.size());
  for (std::size_t i = 0; i < utf8.size();) {
    std::uint32_t c = 0;
    const std::size_t size = read_character(utf8, i, &c);
    if (size == 0) {
      out.push_back(utf8[i++]);
      continue;
    }
    // Some write the lower case of I with a dot as an i and another dot.
    const bool second_dot = !upper_only && c == dot_above && out.ends_with('i');
    if (!second_dot && !put_folded(out, c, upper_only)) out.append(utf8.substr(i, size));
    i += size;
  }
  return out;
}

}  // namespace

std::string fold_case(std::string_view utf8) { return fold(utf8, false); }
std::string lower_case(std::string_view utf8) { return fold(utf8, true); }

}  // namespace evodb::lake
