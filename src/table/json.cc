#include "table/json.h"

namespace evodb::table {

Result<Json> parse_json(std::string_view text) {
  if (text.size() > json_bytes_max) return fail(ErrorKind::kOverLimit, "JSON over 256 MiB");
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      if (++depth > json_depth_max) return fail(ErrorKind::kCorrupt, "JSON nests too deep");
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return fail(ErrorKind::kCorrupt, "it is no JSON");
  return json;
}

std::string dump_json(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

const Json* json_member(const Json& json, std::string_view name) {
  if (!json.is_object()) return nullptr;
  const auto it = json.find(name);
  return it == json.end() || it->is_null() ? nullptr : &*it;
}

const Json& json_array(const Json& json, std::string_view name) {
  static const Json empty = Json::array();
  const Json* member = json_member(json, name);
  return member != nullptr && member->is_array() ? *member : empty;
}

std::optional<std::int64_t> json_long(const Json& json, std::string_view name) {
  const Json* member = json_member(json, name);
  if (member == nullptr || !member->is_number_integer()) return std::nullopt;
  if (member->is_number_unsigned() && member->get<std::uint64_t>() > INT64_MAX) return std::nullopt;
  return member->get<std::int64_t>();
}

std::optional<std::string> json_string(const Json& json, std::string_view name) {
  const Json* member = json_member(json, name);
  if (member == nullptr || !member->is_string()) return std::nullopt;
  return member->get<std::string>();
}

}  // namespace evodb::table
