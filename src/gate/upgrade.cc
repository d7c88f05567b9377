#include "gate/upgrade.h"

#include <algorithm>

#include "base/ascii.h"
#include "wire/websocket.h"

namespace evodb::gate {
namespace {

// 16 bytes in base64: 22 digits, of which the last stands for two bits, and "==".
bool is_websocket_key(std::string_view key) {
  if (key.size() != 24 || !key.ends_with("==")) return false;
  const auto is_digit = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '+' ||
           c == '/';
  };
  return std::ranges::all_of(key.substr(0, 22), is_digit);
}

bool is_same_host(std::string_view origin, std::string_view host) {
  const std::size_t scheme = origin.find("://");
  if (scheme == std::string_view::npos || host.empty()) return false;  // also "null"
  return base::equal_ignoring_case(origin.substr(scheme + 3), host);
}

}  // namespace

bool is_upgrade(const ParsedRequest& request) {
  return request.upgrade_websocket || !request.websocket_key.empty();
}

HttpError check_upgrade(const ParsedRequest& request) {
  if (request.method != "GET") return {405, "a WebSocket begins with GET"};
  if (request.http_1_0) return {400, "a WebSocket needs HTTP/1.1"};
  if (!request.upgrade_websocket || !request.connection_upgrade) {
    return {400, "a WebSocket needs the headers Connection: Upgrade and Upgrade: websocket"};
  }
  if (request.websocket_version != "13") {
    return {426, "this WebSocket version is not spoken here; use Sec-WebSocket-Version: 13"};
  }
  if (!is_websocket_key(request.websocket_key)) {
    return {400, "Sec-WebSocket-Key must be 16 bytes in base64"};
  }
  if (!request.body.empty()) return {400, "a WebSocket request has no body"};
  if (request.has_origin && !is_same_host(request.origin, request.host)) {
    return {403, "pages of another origin may not connect; serve the page from this host"};
  }
  return {0, ""};
}

void append_upgrade_response(std::string& out, const ParsedRequest& request) {
  out.append("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
  out.append("Sec-WebSocket-Accept: ").append(wire::websocket_accept(request.websocket_key));
  out.append("\r\n\r\n");
}

std::string_view upgrade_refusal_headers(int status) {
  switch (status) {
    case 405: return "Allow: GET\r\n";
    case 426: return "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    default: return {};
  }
}

}  // namespace evodb::gate
