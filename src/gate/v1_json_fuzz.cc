// JSON of wire v1's rows, simdjson's way, against nlohmann's parser as a second opinion: the same
// texts are taken, with the same members and values.
//
// Known differences, by intent: simdjson-based reading takes lone surrogates and integers of any
// length (nlohmann reads both differently), and a member given twice comes twice.
#include "gate/v1_json.h"

#include <cmath>
#include <cstdint>
#include <map>
#include <string>

#include <nlohmann/json.hpp>

#include "base/assert.h"
#include "evodb/value.h"
#include "wire/utf8.h"

namespace {

using evodb::StorageClass;
using evodb::ValueView;
using Json = nlohmann::json;

void compare(const Json& theirs, const evodb::Value& kept) {
  const ValueView ours = kept.view();
  switch (ours.storage_class) {
    case StorageClass::kNull: EVODB_ASSERT(theirs.is_null(), "null"); return;
    case StorageClass::kBoolean:
      EVODB_ASSERT(theirs.is_boolean() && theirs.get<bool>() == ours.boolean, "boolean");
      return;
    case StorageClass::kInteger:
      EVODB_ASSERT(theirs.is_number_integer() && theirs.get<std::int64_t>() == ours.integer,
                   "integer");
      return;
    case StorageClass::kReal:
      EVODB_ASSERT(theirs.is_number_float() && theirs.get<double>() == ours.real, "real");
      return;
    case StorageClass::kText:
      // A number too large for either type is TEXT of its digits.
      if (theirs.is_number()) return;
      if (theirs.is_structured()) {
        EVODB_ASSERT(Json::parse(ours.bytes, nullptr, false) == theirs, "nested");
        return;
      }
      EVODB_ASSERT(theirs.is_string() && theirs.get<std::string>() == ours.bytes, "text");
      return;
    default: EVODB_ASSERT(false, "JSON has no blobs");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static evodb::gate::V1JsonParser parser;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::map<std::string, evodb::Value, std::less<>> members;
  const auto ours = parser.row(text, [&](std::string_view name, ValueView value) {
    members.insert_or_assign(std::string(name), evodb::Value(value));
  });
  if (!ours) EVODB_ASSERT(!ours.error().text.empty(), "a refusal without a reason");

  std::size_t depth = 0, deepest = 0;
  for (const char c : text) {
    if (c == '{' || c == '[') deepest = std::max(deepest, ++depth);
    if ((c == '}' || c == ']') && depth > 0) --depth;
  }
  if (text.find('\0') != std::string_view::npos) return 0;  // nlohmann's end
  if (deepest > 32) return 0;  // ours refuses from 64 on, and strings count here, too
  const Json theirs = Json::parse(text, nullptr, false);
  if (theirs.is_discarded()) {
    // What it refuses and we take: lone surrogates, numbers beyond a double.
    if (ours && text.find("\\u") == std::string_view::npos &&
        text.find_first_of("eE0123456789") == std::string_view::npos) {
      EVODB_ASSERT(false, "taken, and no JSON");
    }
    return 0;
  }
  EVODB_ASSERT(ours.has_value(), "JSON, and refused");
  if (!theirs.is_object()) {
    EVODB_ASSERT(members.size() == 1 && members.contains("value"), "one value");
    compare(theirs, members.begin()->second);
    return 0;
  }
  EVODB_ASSERT(theirs.size() == members.size(), "other members");
  for (const auto& [name, value] : theirs.items()) {
    const auto found = members.find(name);
    EVODB_ASSERT(found != members.end(), "a member is missing");
    compare(value, found->second);
  }
  return 0;
}
