#include "server/hand_over_channel.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/assert.h"
#include "commands/command.h"

namespace evodb::app {
namespace {

using Steady = std::chrono::steady_clock;

// A deadline; -1 is none.
class Patience {
 public:
  explicit Patience(std::int64_t ms)
      : endless_(ms < 0),
        until_(Steady::now() + std::chrono::milliseconds(std::max<std::int64_t>(ms, 0))) {}
  bool over() const { return !endless_ && Steady::now() >= until_; }
  // False: it is over.
  bool wait_for(int fd, short events) const {
    for (;;) {
      int left = -1;
      if (!endless_) {
        const auto ms = std::chrono::ceil<std::chrono::milliseconds>(until_ - Steady::now());
        left = static_cast<int>(std::clamp<std::int64_t>(ms.count(), 0, 1 << 30));
      }
      pollfd wanted{.fd = fd, .events = events, .revents = 0};
      const int n = poll(&wanted, 1, left);
      if (n > 0) return true;
      if (n == 0) return false;
      if (errno != EINTR) return true;  // the call that follows says what is wrong
    }
  }

 private:
  bool endless_;
  Steady::time_point until_;
};

std::unexpected<Error> failed(const char* what) {
  return fail(ErrorKind::kInternal, std::string(what) + ": " + std::strerror(errno));
}

}  // namespace

Result<std::pair<HandOverChannel, HandOverChannel>> HandOverChannel::create() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return failed("cannot make a socket pair");
  }
  return std::pair(HandOverChannel(ends[0]), HandOverChannel(ends[1]));
}

HandOverChannel& HandOverChannel::operator=(HandOverChannel&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

HandOverChannel::~HandOverChannel() {
  if (fd_ >= 0) ::close(fd_);
}

Result<void> HandOverChannel::send(Kind kind, std::string_view body,
                                   std::span<const int> descriptors, std::int64_t wait_ms_max) {
  EVODB_ASSERT(body.size() <= body_bytes_max && descriptors.size() <= descriptors_max,
               "a message of the hand-over within its limits");
  auto first = static_cast<char>(kind);
  iovec parts[2] = {{.iov_base = &first, .iov_len = 1},
                    {.iov_base = const_cast<char*>(body.data()), .iov_len = body.size()}};
  alignas(cmsghdr) char control[CMSG_SPACE(descriptors_max * sizeof(int))];
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  if (!descriptors.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  }
  const Patience patience(wait_ms_max);
  for (;;) {
    if (sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return {};
    if (errno == EINTR) continue;
    const bool full = errno == EAGAIN || errno == EWOULDBLOCK;
    // So many descriptors may be under way as a process may have open.
    const bool too_many = errno == ETOOMANYREFS || errno == ENOBUFS;
    if (!full && !too_many) return failed("is gone");
    if (patience.over() || (full && !patience.wait_for(fd_, POLLOUT))) {
      return fail(ErrorKind::kRetry,
                  "did not read what it was sent within " + std::to_string(wait_ms_max) + " ms");
    }
    if (too_many) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

Result<std::optional<HandOverChannel::Message>> HandOverChannel::receive(std::int64_t wait_ms_max) {
  char first = 0;
  Message message;
  message.body.resize(body_bytes_max);
  iovec parts[2] = {{.iov_base = &first, .iov_len = 1},
                    {.iov_base = message.body.data(), .iov_len = message.body.size()}};
  alignas(cmsghdr) char control[CMSG_SPACE(descriptors_max * sizeof(int))];
  msghdr header{};
  header.msg_iov = parts;
  header.msg_iovlen = 2;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  const Patience patience(wait_ms_max);
  ssize_t n = 0;
  do {
    if (!patience.wait_for(fd_, POLLIN)) {
      return fail(ErrorKind::kRetry,
                  "the other process said nothing for " + std::to_string(wait_ms_max) + " ms");
    }
    n = recvmsg(fd_, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK));
  if (n == 0 || (n < 0 && errno == ECONNRESET)) return std::nullopt;
  if (n < 0) return failed("cannot be heard");
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    message.descriptors.resize(count);
    std::memcpy(message.descriptors.data(), CMSG_DATA(c), count * sizeof(int));
  }
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || first < 1 ||
      first > static_cast<char>(Kind::kTaken)) {
    for (const int fd : message.descriptors) ::close(fd);
    return fail(ErrorKind::kInvalid,
                (header.msg_flags & MSG_CTRUNC) != 0
                    ? "not every descriptor came: raise the limit of open files (ulimit -n)"
                    : "said what is no message of a hand-over");
  }
  message.kind = static_cast<Kind>(first);
  message.body.resize(static_cast<std::size_t>(n) - 1);
  return message;
}

void refuse_to_take_over(HandOverChannel& channel, const Error& why) {
  (void)channel.send(HandOverChannel::Kind::kRefused,
                     why.text.substr(0, HandOverChannel::body_bytes_max), {}, 1'000);
  _exit(report(why));
}

}  // namespace evodb::app
