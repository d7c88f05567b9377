#include "table/bounds.h"

#include <vector>

#include "base/assert.h"
#include "base/bytes.h"

namespace evodb::table {
namespace {

template <class T>
std::string fixed(T v) {
  std::string out;
  base::put_fixed(out, v);
  return out;
}

// Decodes one character; false where the bytes are not well-formed UTF-8 (Unicode 15, table 3-7).
bool next_character(std::string_view& rest, std::uint32_t* character) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(rest[i]); };
  const unsigned char first = byte(0);
  std::size_t length = 1;
  std::uint32_t c = first;
  if (first >= 0x80) {
    if (first >= 0xc2 && first <= 0xdf) {
      length = 2;
      c = first & 0x1f;
    } else if (first >= 0xe0 && first <= 0xef) {
      length = 3;
      c = first & 0x0f;
    } else if (first >= 0xf0 && first <= 0xf4) {
      length = 4;
      c = first & 0x07;
    } else {
      return false;
    }
    if (rest.size() < length) return false;
    for (std::size_t i = 1; i < length; ++i) {
      if ((byte(i) & 0xc0) != 0x80) return false;
      c = c << 6 | (byte(i) & 0x3f);
    }
    if ((length == 3 && c < 0x800) || (length == 4 && (c < 0x10000 || c > 0x10ffff)) ||
        (c >= 0xd800 && c < 0xe000)) {
      return false;
    }
  }
  rest.remove_prefix(length);
  *character = c;
  return true;
}

void append_character(std::string& out, std::uint32_t c) {
  if (c < 0x80) {
    out.push_back(static_cast<char>(c));
    return;
  }
  const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  static constexpr unsigned char leads[] = {0, 0xc0, 0xe0, 0xf0};
  out.push_back(static_cast<char>(leads[more] | c >> (6 * more)));
  for (int i = more - 1; i >= 0; --i) out.push_back(static_cast<char>(0x80 | (c >> 6 * i & 0x3f)));
}

// The first characters of `v`, or nothing where they are not UTF-8. `cut`: there are more.
std::optional<std::vector<std::uint32_t>> first_characters(std::string_view v, std::size_t max,
                                                           bool* cut) {
  std::vector<std::uint32_t> characters;
  while (!v.empty() && characters.size() < max) {
    std::uint32_t c;
    if (!next_character(v, &c)) return std::nullopt;
    characters.push_back(c);
  }
  *cut = !v.empty();
  return characters;
}

}  // namespace

std::string bound_of_boolean(bool v) { return std::string(1, v ? '\1' : '\0'); }
std::string bound_of_int(std::int32_t v) { return fixed(v); }
std::string bound_of_long(std::int64_t v) { return fixed(v); }

std::string lower_bound_of_double(double v) {
  EVODB_ASSERT(v == v, "NaN has no place among bounds");
  return fixed(v == 0 ? -0.0 : v);
}

std::string upper_bound_of_double(double v) {
  EVODB_ASSERT(v == v, "NaN has no place among bounds");
  return fixed(v == 0 ? 0.0 : v);
}

std::optional<std::string> lower_bound_of_text(std::string_view v, std::size_t characters_max) {
  bool cut = false;
  const auto characters = first_characters(v, characters_max, &cut);
  if (!characters) return std::nullopt;
  std::string out;
  for (const std::uint32_t c : *characters) append_character(out, c);
  return out;
}

std::optional<std::string> upper_bound_of_text(std::string_view v, std::size_t characters_max) {
  bool cut = false;
  auto characters = first_characters(v, characters_max, &cut);
  if (!characters) return std::nullopt;
  while (cut) {
    if (characters->empty()) return std::nullopt;
    std::uint32_t& last = characters->back();
    if (last == 0x10ffff) {
      characters->pop_back();
      continue;
    }
    last = last == 0xd7ff ? 0xe000 : last + 1;  // over the surrogates, which are no characters
    break;
  }
  std::string out;
  for (const std::uint32_t c : *characters) append_character(out, c);
  return out;
}

std::string lower_bound_of_bytes(std::string_view v, std::size_t bytes_max) {
  return std::string(v.substr(0, bytes_max));
}

std::optional<std::string> upper_bound_of_bytes(std::string_view v, std::size_t bytes_max) {
  if (v.size() <= bytes_max) return std::string(v);
  std::string out(v.substr(0, bytes_max));
  while (!out.empty()) {
    const auto last = static_cast<unsigned char>(out.back());
    if (last != 0xff) {
      out.back() = static_cast<char>(last + 1);
      return out;
    }
    out.pop_back();
  }
  return std::nullopt;
}

}  // namespace evodb::table
