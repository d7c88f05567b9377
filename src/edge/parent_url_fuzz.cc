// A parent's url from anybody: refused with a reason, or parts that give the same url again and
// cannot break out of a request's head.
#include <cstdint>
#include <string>

#include "base/assert.h"
#include "edge/parent_link.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace evodb::edge;
  const std::string url(reinterpret_cast<const char*>(data), size);
  const auto parsed = parse_parent_url(url);
  if (!parsed) {
    EVODB_ASSERT(!parsed.error().text.empty(), "a refusal without a reason");
    return 0;
  }
  EVODB_ASSERT(!parsed->host.empty() && parsed->path.starts_with('/'), "host and path");
  for (const char c : parsed->host + parsed->path) {
    EVODB_ASSERT(c > 0x20 && c < 0x7f, "a character that would split a request");
  }
  const bool v6 = parsed->host.find(':') != std::string::npos;
  const auto again = parse_parent_url("ws://" + (v6 ? "[" + parsed->host + "]" : parsed->host) +
                                      ":" + std::to_string(parsed->port) + parsed->path);
  EVODB_ASSERT(again && again->host == parsed->host && again->port == parsed->port &&
                   again->path == parsed->path,
               "its own parts are refused or read otherwise");
  return 0;
}
