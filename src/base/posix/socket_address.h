// "host:port" to socket addresses and back, for the real loops.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "evodb/result.h"

namespace evodb::base {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

struct HostPort {
  std::string host;
  std::uint16_t port = 0;
};

// "127.0.0.1:80", "localhost:80", "[::1]:80". Errors: kInvalid, saying what to write.
Result<HostPort> parse_host_port(const std::string& address);

// Blocks while a name is looked up; a number is never looked up. `passive`: to listen on.
Result<SocketAddress> resolve(const std::string& host, std::uint16_t port, bool passive);

// "127.0.0.1:80" or "[::1]:80".
std::string format(const SocketAddress& address);

}  // namespace evodb::base
