#include <algorithm>
#include <charconv>

#include "edge/parent_link.h"

namespace evodb::edge {

Result<ParentUrl> parse_parent_url(const std::string& url) {
  const auto wrong = [&](const std::string& what) {
    return fail(ErrorKind::kInvalid, "\"" + url + "\" is no parent's url: " + what +
                                         "; write ws://HOST:PORT, for example "
                                         "ws://127.0.0.1:8787");
  };
  std::string_view rest = url;
  if (rest.starts_with("wss://")) return wrong("TLS is not spoken yet");
  if (!rest.starts_with("ws://")) return wrong("it does not begin with ws://");
  rest.remove_prefix(5);
  const bool clean = std::ranges::all_of(rest, [](char c) { return c > 0x20 && c < 0x7f; });
  if (!clean) return wrong("it holds a space or another character that belongs encoded");
  ParentUrl parsed;
  const std::size_t slash = rest.find_first_of("/?#");
  if (slash != std::string_view::npos) {
    if (rest[slash] != '/' || rest.find('#') != std::string_view::npos) {
      return wrong("behind the port only a path may follow");
    }
    parsed.path = rest.substr(slash);
    rest = rest.substr(0, slash);
  }
  if (rest.find('@') != std::string_view::npos) return wrong("user names have no meaning here");
  std::string_view port;
  if (rest.starts_with('[')) {
    const std::size_t end = rest.find(']');
    if (end == std::string_view::npos) return wrong("the bracket is not closed");
    parsed.host = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
    if (!rest.empty() && rest.front() != ':') return wrong("a port comes behind a colon");
    port = rest;
  } else {
    const std::size_t colon = rest.find(':');
    parsed.host = rest.substr(0, colon);
    if (colon != std::string_view::npos) port = rest.substr(colon);
  }
  if (parsed.host.empty()) return wrong("it names no host");
  if (parsed.host.find_first_of("[]") != std::string::npos) return wrong("a bracket is too much");
  if (port.empty()) return parsed;
  port.remove_prefix(1);
  const auto [p, error] = std::from_chars(port.data(), port.data() + port.size(), parsed.port);
  if (port.empty() || error != std::errc() || p != port.data() + port.size() || parsed.port == 0) {
    return wrong("its port is no number from 1 to 65535");
  }
  return parsed;
}

}  // namespace evodb::edge
