// Arbitrary bytes as HTTP requests, whole and in pieces: both ways must give the same requests.
#include "gate/http.h"

#include <cstdint>
#include <cstdlib>
#include <string>

#include "gate/upgrade.h"

namespace {

std::string parse(std::string_view bytes, std::size_t piece) {
  evodb::gate::HttpParser parser({.head_bytes_max = 4096, .body_bytes_max = 1024});
  std::string seen;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    parser.feed(bytes.substr(at, piece));
    while (true) {
      evodb::gate::ParsedRequest request;
      evodb::gate::HttpError error;
      const auto step = parser.next(&request, &error);
      if (step == evodb::gate::HttpParser::Step::kNeedMore) break;
      if (step == evodb::gate::HttpParser::Step::kContinue) continue;
      if (step == evodb::gate::HttpParser::Step::kError) {
        if (error.status < 400 || error.text[0] == 0) std::abort();
        return seen + "!";
      }
      seen.append(request.method).append(" ").append(request.path).append("?");
      seen.append(request.query).append("[").append(request.body).append("]");
      if (evodb::gate::is_upgrade(request)) (void)evodb::gate::check_upgrade(request);
    }
    if (parser.held_bytes() > 64u << 10 && piece < 1024) std::abort();
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 16384) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string whole = parse(bytes, size == 0 ? 1 : size);
  if (parse(bytes, 1) != whole || parse(bytes, 7) != whole) std::abort();
  return 0;
}
