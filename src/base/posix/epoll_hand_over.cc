// Sockets that change hands: between two owners in this process, or between two processes.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/posix/epoll_loop.h"
#include "base/posix/socket_address.h"

namespace evodb::base {
namespace {

// Whom an adopted socket belongs to until it is given to somebody. It hears nothing: its loop's
// sockets rest.
class Nobody final : public StreamEvents {
 public:
  void on_accept(StreamId, std::string_view) override { heard(); }
  void on_connected(StreamId) override { heard(); }
  void on_data(StreamId, std::span<char>) override { heard(); }
  void on_writable(StreamId) override { heard(); }
  void on_closed(StreamId, std::string_view) override { heard(); }

 private:
  static void heard() { EVODB_ASSERT(false, "an adopted socket is given to somebody first"); }
};

Nobody nobody;

// Flags of the open file description are shared with whoever else holds it; close-on-exec is ours.
bool prepare(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
         fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

}  // namespace

Result<void> EpollLoop::rest_sockets(bool rest) {
  resting_ = rest;
  wake();  // the other thread, for what is no more
  return {};
}

// Not epoll: it would report at once, again and again, what must wait.
void EpollLoop::wait_resting(std::int64_t wait_ms_max) {
  pollfd own[] = {{.fd = wake_, .events = POLLIN, .revents = 0},
                  {.fd = timer_, .events = POLLIN, .revents = 0}};
  if (poll(own, std::size(own), static_cast<int>(wait_ms_max)) <= 0) return;
  if (own[0].revents == 0) return;
  std::uint64_t ignored;
  (void)!::read(wake_, &ignored, sizeof ignored);
}

void EpollLoop::give_stream(StreamId id, StreamEvents& events) { open_stream(id).events = &events; }

Result<std::string> EpollLoop::give_listeners(StreamEvents& events) {
  std::string address;
  for (Listener& l : listeners_) {
    if (l.fd < 0) continue;
    l.events = &events;
    if (!address.empty()) continue;
    SocketAddress bound;
    bound.size = sizeof bound.storage;
    if (getsockname(l.fd, reinterpret_cast<sockaddr*>(&bound.storage), &bound.size) != 0) {
      return fail(ErrorKind::kInternal,
                  std::string("a listening socket has no address: ") + strerror(errno));
    }
    address = format(bound);
  }
  if (address.empty()) return fail(ErrorKind::kInvalid, "there is no listening socket to take");
  return address;
}

int EpollLoop::descriptor(StreamId id) { return open_stream(id).fd; }

std::vector<int> EpollLoop::listener_descriptors() const {
  std::vector<int> descriptors;
  for (const Listener& l : listeners_) {
    if (l.fd >= 0) descriptors.push_back(l.fd);
  }
  return descriptors;
}

Result<StreamId> EpollLoop::adopt_stream(int fd) {
  EVODB_ASSERT(resting_, "sockets are adopted while those of the loop rest");
  Result<StreamId> id =
      prepare(fd) ? add_stream(fd, nobody, 0)
                  : fail(ErrorKind::kInvalid, std::string("no socket: ") + strerror(errno));
  if (!id) ::close(fd);
  return id;
}

Result<void> EpollLoop::adopt_listener(int fd) {
  EVODB_ASSERT(resting_, "sockets are adopted while those of the loop rest");
  int listening = 0;
  socklen_t size = sizeof listening;
  epoll_event event{.events = EPOLLIN, .data = {.u64 = listener_key(listeners_.size())}};
  if (!prepare(fd) || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 ||
      listening == 0 || epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
    ::close(fd);
    return fail(ErrorKind::kInvalid, "what came as a listening socket is none");
  }
  listeners_.push_back({fd, &nobody});
  return {};
}

}  // namespace evodb::base
