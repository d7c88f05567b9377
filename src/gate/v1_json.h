// JSON of wire v1 through simdjson: a row's members as typed values, checked to the last byte.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "evodb/result.h"
#include "evodb/value.h"

namespace evodb::gate {

inline constexpr int v1_json_depth_max = 64;

class V1JsonParser {
 public:
  V1JsonParser();
  ~V1JsonParser();

  // Calls `member` for each member of an object, or once, named "value", for anything else. Names
  // stay valid until the next row(); a value only during the call.
  // Errors: kInvalid ("is not JSON: ..."); some members may have been given before.
  using Member = std::function<void(std::string_view name, ValueView value)>;
  Result<void> row(std::string_view json, const Member& member);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Appends the string between the quotes of `raw` with its escapes resolved; a lone surrogate gives
// three bytes of its own (generalized UTF-8). False: a malformed escape.
bool append_json_unescaped(std::string& out, std::string_view raw);

}  // namespace evodb::gate
