#include "bench/bare_pings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>

#include "bench/loopback.h"
#include "bench/process_cost.h"
#include "bench/seconds_since.h"

namespace evodb::bench {
namespace {

// A WebSocket ping of "idle", masked, and its pong.
constexpr std::size_t ping_bytes = 10, pong_bytes = 6;
constexpr double answer_s_max = 10;

Error errno_error(const char* what) {
  return {ErrorKind::kInternal, std::string("bare pings: ") + what + ": " + strerror(errno)};
}

[[noreturn]] void serve(int listener) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event added{.events = EPOLLIN, .data = {.fd = listener}};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &added) != 0) _exit(1);
  std::array<epoll_event, 256> events;
  char buffer[4096] = {};
  for (;;) {
    const int n = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < n; ++i) {
      const int fd = events[i].data.fd;
      if (fd == listener) {
        const int accepted = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        added.data.fd = accepted;
        if (accepted >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, accepted, &added) != 0) _exit(1);
      } else if (recv(fd, buffer, sizeof buffer, MSG_DONTWAIT) <= 0) {
        ::close(fd);
      } else {
        (void)!send(fd, buffer, pong_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
      }
    }
  }
}

// Waits for at most `seconds`; how many pongs came.
Result<std::uint64_t> take_pongs(int epoll, double seconds) {
  std::array<epoll_event, 64> events;
  timespec wait{.tv_sec = 0, .tv_nsec = static_cast<long>(std::clamp(seconds, 0.0, 0.1) * 1e9)};
  const int n = epoll_pwait2(epoll, events.data(), static_cast<int>(events.size()), &wait, nullptr);
  std::uint64_t bytes = 0;
  for (int i = 0; i < n; ++i) {
    char pong[64];
    const ssize_t got = recv(events[i].data.fd, pong, sizeof pong, MSG_DONTWAIT);
    if (got <= 0) return fail(errno_error("a connection ended"));
    bytes += static_cast<std::uint64_t>(got);
  }
  return bytes / pong_bytes;
}

}  // namespace

Result<std::unique_ptr<BarePings>> BarePings::start() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  const int one = 1;
  if (listener < 0 || setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0 ||
      bind(listener, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 ||
      listen(listener, 4096) != 0 ||
      getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size) != 0) {
    const Error why = errno_error("cannot listen");
    if (listener >= 0) ::close(listener);
    return fail(why);
  }
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    serve(listener);
  }
  const Error why = errno_error("cannot fork");
  ::close(listener);
  if (pid < 0) return fail(why);
  return std::unique_ptr<BarePings>(new BarePings(pid, ntohs(at.sin_port)));
}

BarePings::~BarePings() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

Result<void> BarePings::connect_all(std::uint32_t connections, int epoll,
                                    std::vector<int>& sockets) const {
  for (std::uint32_t i = 0; i < connections; ++i) {
    sockets.push_back(EVODB_TRY(connect_loopback(port_, i)));
    epoll_event added{.events = EPOLLIN, .data = {.fd = sockets.back()}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, sockets.back(), &added) != 0) {
      return fail(errno_error("cannot watch a connection"));
    }
  }
  return {};
}

Result<double> BarePings::cores(std::uint32_t connections, double seconds, double ping_every_s) {
  // All descriptors, whatever way this ends.
  struct Sockets {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    std::vector<int> fds;
    ~Sockets() {
      for (const int fd : fds) ::close(fd);
      ::close(epoll);
    }
  } sockets;
  EVODB_TRY(connect_all(connections, sockets.epoll, sockets.fds));
  const double gap_s = ping_every_s / connections;
  const double before = EVODB_TRY(cpu_seconds(pid_));
  const auto begun = std::chrono::steady_clock::now();
  std::uint64_t sent = 0, answered = 0;
  for (double now = 0; now < seconds || answered < sent; now = seconds_since(begun)) {
    if (now > seconds + answer_s_max) return fail(ErrorKind::kInternal, "pongs are missing");
    while (static_cast<double>(sent) * gap_s <= now && now < seconds) {
      const char ping[ping_bytes] = {};
      if (send(sockets.fds[sent++ % connections], ping, sizeof ping, MSG_NOSIGNAL) < 0) {
        return fail(errno_error("cannot send"));
      }
    }
    const double left = now < seconds ? static_cast<double>(sent) * gap_s - now : 0.1;
    answered += EVODB_TRY(take_pongs(sockets.epoll, left));
  }
  return (EVODB_TRY(cpu_seconds(pid_)) - before) / seconds_since(begun);
}

}  // namespace evodb::bench
