#include "base/posix/socket_address.h"

#include <netdb.h>
#include <netinet/in.h>

#include <charconv>
#include <cstring>

namespace evodb::base {

Result<HostPort> parse_host_port(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  const auto wrong = [&] {
    return fail(ErrorKind::kInvalid, "\"" + address +
                                         "\" is no address: write HOST:PORT, for example "
                                         "127.0.0.1:8787 or [::1]:8787");
  };
  if (colon == std::string::npos || colon == 0) return wrong();
  HostPort result;
  const char* begin = address.data() + colon + 1;
  const char* end = address.data() + address.size();
  const auto [p, error] = std::from_chars(begin, end, result.port);
  if (begin == end || error != std::errc() || p != end) return wrong();
  result.host = address.substr(0, colon);
  if (result.host.front() == '[') {
    if (result.host.size() < 3 || result.host.back() != ']') return wrong();
    result.host = result.host.substr(1, result.host.size() - 2);
  } else if (result.host.find(':') != std::string::npos) {
    return wrong();  // IPv6 without brackets: where does the port begin?
  }
  return result;
}

Result<SocketAddress> resolve(const std::string& host, std::uint16_t port, bool passive) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0);
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0 || found == nullptr) {
    return fail(error == EAI_AGAIN ? ErrorKind::kRetry : ErrorKind::kInvalid,
                "cannot find host \"" + host + "\": " + gai_strerror(error));
  }
  SocketAddress address;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.size = found->ai_addrlen;
  freeaddrinfo(found);
  return address;
}

std::string format(const SocketAddress& address) {
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (getnameinfo(reinterpret_cast<const sockaddr*>(&address.storage), address.size, host,
                  sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "unknown";
  }
  std::string text = host;
  if (address.storage.ss_family == AF_INET6) text = "[" + text + "]";
  return text + ":" + port;
}

}  // namespace evodb::base
