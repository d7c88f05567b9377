#include "gate/v1_json.h"

#include <charconv>
#include <cmath>
#include <deque>

#include <simdjson.h>

#include "base/bytes.h"

namespace evodb::gate {
namespace {

namespace od = simdjson::ondemand;

std::string_view without_space(std::string_view s) {
  while (!s.empty() &&
         (s.back() == ' ' || s.back() == '\t' || s.back() == '\n' || s.back() == '\r')) {
    s.remove_suffix(1);
  }
  return s;
}

// The grammar of RFC 8259 section 6.
bool is_json_number(std::string_view s, bool* integer) {
  std::size_t i = 0;
  const auto digits = [&] {
    const std::size_t from = i;
    while (i < s.size() && s[i] >= '0' && s[i] <= '9') ++i;
    return i > from;
  };
  if (i < s.size() && s[i] == '-') ++i;
  const bool zero = i < s.size() && s[i] == '0';
  const std::size_t first = i;
  if (!digits() || (zero && i - first > 1)) return false;
  *integer = true;
  if (i < s.size() && s[i] == '.') {
    *integer = false;
    ++i;
    if (!digits()) return false;
  }
  if (i < s.size() && (s[i] == 'e' || s[i] == 'E')) {
    *integer = false;
    ++i;
    if (i < s.size() && (s[i] == '+' || s[i] == '-')) ++i;
    if (!digits()) return false;
  }
  return i == s.size();
}

bool hex4(std::string_view s, std::uint32_t* v) {
  if (s.size() < 4) return false;
  *v = 0;
  for (const char c : s.substr(0, 4)) {
    std::uint32_t digit;
    if (c >= '0' && c <= '9') {
      digit = static_cast<std::uint32_t>(c - '0');
    } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
      digit = static_cast<std::uint32_t>((c | 0x20) - 'a') + 10;
    } else {
      return false;
    }
    *v = *v << 4 | digit;
  }
  return true;
}

// What stands between the quotes of a token that begins with one. False: it does not end.
bool between_quotes(std::string_view token, std::string_view* inner) {
  for (std::size_t i = 1; i < token.size(); ++i) {
    if (token[i] == '\\') {
      ++i;
    } else if (token[i] == '"') {
      *inner = token.substr(1, i - 1);
      return true;
    } else if (static_cast<unsigned char>(token[i]) < 0x20) {
      return false;
    }
  }
  return false;
}

}  // namespace

bool append_json_unescaped(std::string& out, std::string_view raw) {
  while (!raw.empty()) {
    const std::size_t slash = raw.find('\\');
    out.append(raw.substr(0, slash));
    if (slash == std::string_view::npos) return true;
    if (slash + 1 >= raw.size()) return false;
    const char c = raw[slash + 1];
    raw.remove_prefix(slash + 2);
    switch (c) {
      case '"':
      case '\\':
      case '/': out.push_back(c); break;
      case 'b': out.push_back('\b'); break;
      case 'f': out.push_back('\f'); break;
      case 'n': out.push_back('\n'); break;
      case 'r': out.push_back('\r'); break;
      case 't': out.push_back('\t'); break;
      case 'u': {
        std::uint32_t unit, low;
        if (!hex4(raw, &unit)) return false;
        raw.remove_prefix(4);
        if (unit >= 0xd800 && unit < 0xdc00 && raw.size() >= 6 && raw[0] == '\\' && raw[1] == 'u' &&
            hex4(raw.substr(2), &low) && low >= 0xdc00 && low < 0xe000) {
          unit = 0x10000 + ((unit - 0xd800) << 10 | (low - 0xdc00));
          raw.remove_prefix(6);
        }
        base::put_utf8(out, unit);
        break;
      }
      default: return false;
    }
  }
  return true;
}

struct V1JsonParser::State {
  od::parser parser, nested_parser;
  std::string padded;
  std::string text;               // of a string with a lone surrogate
  std::deque<std::string> names;  // the same for a name: stable while the row is used

  Result<void> value(od::value v, const Member& member, std::string_view name);
  Result<void> nested(std::string_view json);
  template <class Container>
  Result<void> walk(Container container, int depth);
  template <class Any>
  Result<void> walk_value(Any& v, int depth);
  Result<void> scalar(std::string_view token, const Member& member, std::string_view name);
};

namespace {

std::unexpected<Error> no_json(std::string_view why) {
  return fail(ErrorKind::kInvalid, "is not JSON: " + std::string(why));
}

std::unexpected<Error> no_json(simdjson::error_code code) {
  return no_json(simdjson::error_message(code));
}

}  // namespace

namespace {

// simdjson 3.0 has no at_end(): behind its last token a document has no location.
bool at_end(od::document& document) {
  return document.current_location().error() == simdjson::OUT_OF_BOUNDS;
}

}  // namespace

V1JsonParser::V1JsonParser() : state_(std::make_unique<State>()) {}
V1JsonParser::~V1JsonParser() = default;

// A string, a number or a literal, as it stands in the text (with whatever space follows).
Result<void> V1JsonParser::State::scalar(std::string_view token, const Member& member,
                                         std::string_view name) {
  if (token.starts_with('"')) {
    std::string_view inner;
    if (!between_quotes(token, &inner)) return no_json("a string does not end");
    if (inner.find('\\') == std::string_view::npos) {
      member(name, ValueView::of_text(inner));
      return {};
    }
    text.clear();
    if (!append_json_unescaped(text, inner)) return no_json("a string has a malformed escape");
    member(name, ValueView::of_text(text));
    return {};
  }
  token = without_space(token);
  if (token == "null") {
    member(name, ValueView::null());
  } else if (token == "true" || token == "false") {
    member(name, ValueView::of_boolean(token == "true"));
  } else {
    bool integer = false;
    if (!is_json_number(token, &integer)) {
      return no_json("\"" + std::string(token.substr(0, 20)) + "\" is no value");
    }
    if (integer) {
      std::int64_t n = 0;
      const auto [p, error] = std::from_chars(token.data(), token.data() + token.size(), n);
      member(name, error == std::errc() ? ValueView::of_integer(n) : ValueView::of_text(token));
    } else {
      double d = 0;
      const auto [p, error] = std::from_chars(token.data(), token.data() + token.size(), d);
      const bool fits = error == std::errc() && std::isfinite(d);
      member(name, fits ? ValueView::of_real(d) : ValueView::of_text(token));
    }
  }
  return {};
}

Result<void> V1JsonParser::State::value(od::value v, const Member& member, std::string_view name) {
  od::json_type type;
  if (auto error = v.type().get(type)) return no_json(error);
  if (type != od::json_type::object && type != od::json_type::array) {
    // Our own reading of scalars: simdjson refuses integers past 64 bits and lone surrogates.
    const std::string_view token = v.raw_json_token();
    if (type == od::json_type::string) {
      od::raw_json_string consumed;
      if (auto error = v.get_raw_json_string().get(consumed)) return no_json(error);
    }
    return scalar(token, member, name);
  }
  std::string_view json;
  if (auto error = simdjson::to_json_string(v).get(json)) return no_json(error);
  json = without_space(json);
  EVODB_TRY(nested(json));
  member(name, ValueView::of_text(json));
  return {};
}

// Walks a nested value to its end: what is kept as text must be JSON too.
Result<void> V1JsonParser::State::nested(std::string_view json) {
  od::document document;
  // The slice lies in `padded`, so that what follows it may be read.
  const std::size_t allocated =
      static_cast<std::size_t>(padded.data() + padded.size() - json.data());
  if (auto error = nested_parser.iterate(json.data(), json.size(), allocated).get(document)) {
    return no_json(error);
  }
  return walk_value(document, 1);
}

template <class Any>
Result<void> V1JsonParser::State::walk_value(Any& v, int depth) {
  if (depth > v1_json_depth_max) return no_json("it is nested too deeply");
  od::json_type type;
  if (auto error = v.type().get(type)) return no_json(error);
  if (type == od::json_type::object) {
    od::object object;
    if (auto error = v.get_object().get(object)) return no_json(error);
    for (auto field : object) {
      od::raw_json_string raw;
      if (auto error = field.key().get(raw)) return no_json(error);
      // simdjson looks at escapes only when it is asked to resolve them.
      const char* const quote = raw.raw() - 1;
      std::string_view name;
      text.clear();
      if (!between_quotes({quote, static_cast<std::size_t>(padded.data() + padded.size() - quote)},
                          &name) ||
          !append_json_unescaped(text, name)) {
        return no_json("a name does not end, or has a malformed escape");
      }
      od::value inner;
      if (auto error = field.value().get(inner)) return no_json(error);
      EVODB_TRY(walk_value(inner, depth + 1));
    }
    return {};
  }
  if (type == od::json_type::array) {
    od::array array;
    if (auto error = v.get_array().get(array)) return no_json(error);
    for (auto element : array) {
      od::value inner;
      if (auto error = element.get(inner)) return no_json(error);
      EVODB_TRY(walk_value(inner, depth + 1));
    }
    return {};
  }
  std::string_view token;
  if constexpr (requires { v.raw_json_token().get(token); }) {
    if (auto error = v.raw_json_token().get(token)) return no_json(error);
  } else {
    token = v.raw_json_token();
  }
  if (type == od::json_type::string) {
    od::raw_json_string consumed;
    if (auto error = v.get_raw_json_string().get(consumed)) return no_json(error);
  }
  return scalar(token, [](std::string_view, ValueView) {}, {});
}

Result<void> V1JsonParser::row(std::string_view json, const Member& member) {
  State& s = *state_;
  s.names.clear();
  s.padded.assign(json);
  s.padded.append(simdjson::SIMDJSON_PADDING, ' ');
  od::document document;
  if (auto error = s.parser.iterate(s.padded.data(), json.size(), s.padded.size()).get(document)) {
    return no_json(error);
  }
  od::json_type type;
  if (auto error = document.type().get(type)) return no_json(error);
  if (type == od::json_type::object) {
    od::object object;
    if (auto error = document.get_object().get(object)) return no_json(error);
    for (auto field : object) {
      od::raw_json_string raw;
      if (auto error = field.key().get(raw)) return no_json(error);
      std::string_view name;
      // The key's end: the parser has checked that a quote closes it.
      const char* begin = raw.raw();
      const std::string_view rest(
          begin - 1, static_cast<std::size_t>(s.padded.data() + json.size() - begin + 1));
      if (!between_quotes(rest, &name)) return no_json("a name does not end");
      if (name.find('\\') != std::string_view::npos) {
        s.names.emplace_back();
        if (!append_json_unescaped(s.names.back(), name)) {
          return no_json("a name has a malformed escape");
        }
        name = s.names.back();
      }
      od::value v;
      if (auto error = field.value().get(v)) return no_json(error);
      EVODB_TRY(s.value(v, member, name));
    }
    if (!at_end(document)) return no_json("something follows its end");
    return {};
  }
  if (type == od::json_type::array) {
    const std::string_view text = without_space(json);
    od::array array;
    if (auto error = document.get_array().get(array)) return no_json(error);
    for (auto element : array) {
      od::value v;
      if (auto error = element.get(v)) return no_json(error);
      EVODB_TRY(s.walk_value(v, 2));
    }
    if (!at_end(document)) return no_json("something follows its end");
    member("value", ValueView::of_text(text));
    return {};
  }
  std::string_view text = without_space(std::string_view(s.padded).substr(0, json.size()));
  while (!text.empty() &&
         std::string_view(" \t\r\n").find(text.front()) != std::string_view::npos) {
    text.remove_prefix(1);
  }
  std::string_view inner;
  if (text.starts_with('"') && (!between_quotes(text, &inner) || inner.size() + 2 != text.size())) {
    return no_json("something follows its end");
  }
  return s.scalar(text, member, "value");
}

}  // namespace evodb::gate
