#include "bench/loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

namespace evodb::bench {

Result<int> connect_loopback(std::uint16_t port, std::uint32_t number) {
  constexpr std::uint32_t first_address = 0x7f010001u, addresses = 64;  // 127.1.0.1 ...
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto fails = [&](const char* what) {
    const std::string why = std::string(what) + ": " + strerror(errno);
    if (fd >= 0) ::close(fd);
    return fail(ErrorKind::kRetry, why);
  };
  if (fd < 0) return fails("no socket");
  const int one = 1;
  (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  sockaddr_in from{};
  from.sin_family = AF_INET;
  from.sin_addr.s_addr = htonl(first_address + number % addresses);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(port);
  if (bind(fd, reinterpret_cast<sockaddr*>(&from), sizeof from) != 0) return fails("bind");
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return fails("connect");
  return fd;
}

}  // namespace evodb::bench
