// Fields of wire v1's JSON messages, read leniently where deployed clients differ. For text*.cc
// only: the JSON library and its exceptions stay behind them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "evodb/types.h"
#include "wire/utf8.h"

namespace evodb::wire::v1 {

using Json = nlohmann::json;

inline constexpr std::string_view status_names[] = {"ok", "buffered", "persisted", "duplicate",
                                                    "fallback"};
inline constexpr std::string_view reason_names[] = {"buffer_full",      "rate_limited",
                                                    "invalid_sequence", "invalid_format",
                                                    "internal_error",   "shutting_down"};
inline constexpr std::string_view op_names[] = {"INSERT", "UPDATE", "DELETE"};

// Brackets open at once, outside of strings. Before parsing: printing a document again recurses.
inline std::size_t depth_of(std::string_view text) {
  std::size_t depth = 0, deepest = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if ((c == '}' || c == ']') && depth != 0) {
      --depth;
    }
  }
  return deepest;
}

inline std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// An exact integer of [0, 2^64) or of [-2^63, 2^63); nullopt for anything else.
template <class Int>
std::optional<Int> to_integer(const Json& json, bool drop_fraction = false) {
  if (json.is_number_unsigned()) {
    const auto v = json.get<std::uint64_t>();
    if (!std::in_range<Int>(v)) return std::nullopt;
    return static_cast<Int>(v);
  }
  if (json.is_number_integer()) {
    const auto v = json.get<std::int64_t>();
    if (!std::in_range<Int>(v)) return std::nullopt;
    return static_cast<Int>(v);
  }
  if (!json.is_number_float()) return std::nullopt;
  double v = json.get<double>();
  if (drop_fraction) v = std::floor(v);
  // Beyond 2^53 a double is a guess at what was meant.
  if (v != std::floor(v) || std::abs(v) > 9007199254740992.0) return std::nullopt;
  const auto whole = static_cast<std::int64_t>(v);
  if (!std::in_range<Int>(whole)) return std::nullopt;
  return static_cast<Int>(whole);
}

// Reads one object's members; remembers the first that is wrong.
class Members {
 public:
  Members(const Json& object, std::string what) : object_(object), what_(std::move(what)) {}

  // Null counts as absent: the old client's JSON.stringify drops undefined, and some write null.
  const Json* find(const char* name) const {
    const auto it = object_.find(name);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }
  template <class Int>
  Int integer(const char* name, bool required) {
    const Json* member = find(name);
    if (member == nullptr) {
      if (required) wrong(name, "is missing");
      return 0;
    }
    const std::optional<Int> v = to_integer<Int>(*member);
    if (!v) wrong(name, "is not an integer in range");
    return v.value_or(0);
  }
  std::optional<UnixMillis> optional_time(const char* name) {
    const Json* member = find(name);
    if (member == nullptr) return std::nullopt;
    const auto v = to_integer<std::int64_t>(*member, true);
    if (!v) wrong(name, "is not a time in milliseconds");
    return UnixMillis(v.value_or(0));
  }
  UnixMillis time(const char* name) { return optional_time(name).value_or(UnixMillis(0)); }
  std::string string(const char* name, bool required) {
    const Json* member = find(name);
    if (member == nullptr) {
      if (required) wrong(name, "is missing");
      return {};
    }
    if (!member->is_string()) {
      wrong(name, "is not a string");
      return {};
    }
    return member->get<std::string>();
  }
  std::optional<std::string> optional_string(const char* name) {
    if (find(name) == nullptr) return std::nullopt;
    return string(name, true);
  }
  bool boolean(const char* name) {
    const Json* member = find(name);
    if (member == nullptr) return false;
    if (!member->is_boolean()) wrong(name, "is not true or false");
    return member->is_boolean() && member->get<bool>();
  }
  double number(const char* name) {
    const Json* member = find(name);
    if (member == nullptr) return 0;
    if (!member->is_number()) wrong(name, "is not a number");
    return member->is_number() ? member->get<double>() : 0;
  }
  // The member's place in a list of names.
  template <std::size_t n>
  std::size_t choice(const char* name, const std::string_view (&names)[n]) {
    const std::string text = string(name, true);
    for (std::size_t i = 0; i < n; ++i) {
      if (names[i] == text) return i;
    }
    wrong(name, "is '" + std::string(utf8_prefix(text, 40)) + "', which does not exist");
    return 0;
  }
  // JSON text of whatever it is, "" for none.
  std::string raw(const char* name) const {
    const Json* member = find(name);
    return member == nullptr ? std::string() : text_of(*member);
  }
  void wrong(const char* name, const std::string& what) {
    if (!fault_) fault_ = what_ + ": '" + name + "' " + what;
  }
  const std::optional<std::string>& fault() const { return fault_; }

 private:
  const Json& object_;
  std::string what_;
  std::optional<std::string> fault_;
};

}  // namespace evodb::wire::v1
