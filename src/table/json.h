// Checked access to JSON: nothing here throws, and no document nests deep enough to hurt.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "evodb/result.h"

namespace evodb::table {

using Json = nlohmann::json;

inline constexpr int json_depth_max = 100;
inline constexpr std::size_t json_bytes_max = 256u << 20;

// kCorrupt: not JSON, or deeper than json_depth_max (writing it again would recurse as deep).
Result<Json> parse_json(std::string_view text);
// Invalid UTF-8, which a SQLite name may hold, becomes U+FFFD.
std::string dump_json(const Json& json);

// The member of an object, or null where it is absent, null, or `json` is no object.
const Json* json_member(const Json& json, std::string_view name);
// The member if it is an array, else an empty one.
const Json& json_array(const Json& json, std::string_view name);
std::optional<std::int64_t> json_long(const Json& json, std::string_view name);
std::optional<std::string> json_string(const Json& json, std::string_view name);

}  // namespace evodb::table
