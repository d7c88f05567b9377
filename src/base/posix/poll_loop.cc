#include "base/posix/poll_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/posix/socket_address.h"
#include "base/posix/socket_option.h"

namespace evodb::base {
namespace {

#ifdef MSG_NOSIGNAL
constexpr int send_flags = MSG_NOSIGNAL;
#else
constexpr int send_flags = 0;  // macOS: SO_NOSIGPIPE on the socket instead
#endif

bool make_nonblocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
         fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

}  // namespace

Result<std::unique_ptr<PollLoop>> PollLoop::create() {
  std::unique_ptr<PollLoop> loop(new PollLoop);
  int ends[2];
  if (pipe(ends) != 0) {
    return fail(ErrorKind::kOverLimit, std::string("cannot make an event loop: ") +
                                           strerror(errno) +
                                           "; raise the limit of open files (ulimit -n)");
  }
  loop->wake_read_ = ends[0];
  loop->wake_write_ = ends[1];
  if (!make_nonblocking(ends[0]) || !make_nonblocking(ends[1])) {
    return fail(ErrorKind::kInternal, std::string("cannot make an event loop: ") + strerror(errno));
  }
  return loop;
}

PollLoop::~PollLoop() {
  for (const Stream& s : streams_) {
    if (s.fd >= 0) ::close(s.fd);
  }
  if (wake_read_ >= 0) ::close(wake_read_);
  if (wake_write_ >= 0) ::close(wake_write_);
}

// --- rounds -------------------------------------------------------------------------------------

void PollLoop::run() {
  while (!stop_.load(std::memory_order_acquire)) run_once(-1);
  stop_.store(false, std::memory_order_release);
}

void PollLoop::stop() {
  stop_.store(true, std::memory_order_release);
  wake();
}

void PollLoop::wake() {
  const int saved = errno;              // a signal handler leaves it as it was
  (void)!::write(wake_write_, "w", 1);  // full: a wake is under way already
  errno = saved;
}

void PollLoop::run_once(std::int64_t wait_ms_max) {
  std::vector<pollfd> fds{{wake_read_, POLLIN, 0}};
  std::vector<Polled> polled{{Polled::What::kWake, 0, 0, wake_read_}};
  for (std::uint32_t i = 0; i < streams_.size(); ++i) {
    const Stream& s = streams_[i];
    if (s.fd < 0) continue;
    short events = 0;
    if (s.connecting || s.wants_writable) events |= POLLOUT;
    if (!s.connecting && !s.paused) events |= POLLIN;
    fds.push_back({s.fd, events, 0});
    polled.push_back({Polled::What::kStream, i, s.life, s.fd});
  }
  for (const auto& [fd, watch] : watches_) {
    if (watch.paused) continue;
    fds.push_back({fd, POLLIN, 0});
    polled.push_back({Polled::What::kWatch, 0, watch.life, fd});
  }
  const int n =
      ::poll(fds.data(), static_cast<nfds_t>(fds.size()), static_cast<int>(wait_ms(wait_ms_max)));
  wakeups_.fetch_add(1, std::memory_order_relaxed);
  for (std::size_t i = 0; n > 0 && i < fds.size(); ++i) {
    if (fds[i].revents == 0) continue;
    const Polled& p = polled[i];
    if (p.what == Polled::What::kWake) {
      char ignored[64];
      while (::read(wake_read_, ignored, sizeof ignored) > 0) {
      }
    } else if (p.what == Polled::What::kStream) {
      on_stream_event(StreamId(p.stream), static_cast<std::uint32_t>(p.life), fds[i].revents);
    } else if (const auto it = watches_.find(p.fd);
               it != watches_.end() && it->second.life == p.life) {
      const std::function<void()> readable = it->second.readable;  // it may unwatch itself
      readable();
    }
  }
  run_timers();
  run_posted();
}

std::int64_t PollLoop::wait_ms(std::int64_t wait_ms_max) {
  if (stop_.load(std::memory_order_acquire)) return 0;
  {
    const std::lock_guard lock(posted_mutex_);
    if (!posted_.empty()) return 0;
  }
  if (timers_.empty()) return wait_ms_max;
  const std::int64_t due =
      std::clamp<std::int64_t>(timers_.begin()->first.first - clock_.monotonic().value, 0, 1 << 30);
  return wait_ms_max < 0 ? due : std::min(due, wait_ms_max);
}

void PollLoop::post(std::function<void()> work) {
  bool first;
  {
    const std::lock_guard lock(posted_mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(work));
  }
  if (first) wake();
}

void PollLoop::run_posted() {
  std::vector<std::function<void()>> running;
  {
    const std::lock_guard lock(posted_mutex_);
    running.swap(posted_);
  }
  for (auto& work : running) work();
}

TimerId PollLoop::after(std::int64_t delay_ms, std::function<void()> work) {
  const std::uint64_t timer = timer_next_++;
  const std::int64_t due = clock_.monotonic().value + std::max<std::int64_t>(delay_ms, 0);
  timers_.emplace(std::pair(due, timer), std::move(work));
  due_of_.emplace(timer, due);
  return TimerId(timer);
}

void PollLoop::cancel(TimerId timer) {
  const auto it = due_of_.find(timer.value);
  if (it == due_of_.end()) return;
  timers_.erase({it->second, timer.value});
  due_of_.erase(it);
}

void PollLoop::run_timers() {
  const std::int64_t now = clock_.monotonic().value;
  // Timers that these set wait for the next round, or one that sets itself anew starves streams.
  const std::uint64_t before = timer_next_;
  for (;;) {
    auto it = timers_.begin();
    while (it != timers_.end() && it->first.first <= now && it->first.second >= before) ++it;
    if (it == timers_.end() || it->first.first > now) return;
    const std::function<void()> work = std::move(it->second);
    due_of_.erase(it->first.second);
    timers_.erase(it);
    work();
  }
}

// --- watches ------------------------------------------------------------------------------------

void PollLoop::watch(int fd, std::function<void()> readable) {
  watches_[fd] = {++watch_lives_, std::move(readable), false};
}

void PollLoop::pause_watch(int fd, bool paused) {
  const auto it = watches_.find(fd);
  if (it != watches_.end()) it->second.paused = paused;
}

void PollLoop::unwatch(int fd) { watches_.erase(fd); }

// --- streams ------------------------------------------------------------------------------------

Result<std::string> PollLoop::listen(const std::string& address, StreamEvents&) {
  return fail(ErrorKind::kInvalid, "a client's loop does not listen on " + address);
}

PollLoop::Stream& PollLoop::open_stream(StreamId id) {
  EVODB_ASSERT(id.value < streams_.size() && streams_[id.value].fd >= 0 &&
                   !streams_[id.value].lingering && !streams_[id.value].ended,
               "a stream is used while it is open");
  return streams_[id.value];
}

Result<StreamId> PollLoop::dial(const std::string& host, std::uint16_t port, StreamEvents& events) {
  const SocketAddress to = EVODB_TRY(resolve(host, port, false));
  const int fd = socket(to.storage.ss_family, SOCK_STREAM, 0);
  if (fd < 0 || !make_nonblocking(fd)) {
    const std::string why = strerror(errno);
    if (fd >= 0) ::close(fd);
    return fail(ErrorKind::kRetry,
                "cannot make a socket: " + why + "; raise the limit of open files (ulimit -n)");
  }
  set_socket_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
#ifdef SO_NOSIGPIPE
  set_socket_option(fd, SOL_SOCKET, SO_NOSIGPIPE, 1);
#endif
  if (connect(fd, reinterpret_cast<const sockaddr*>(&to.storage), to.size) != 0 &&
      errno != EINPROGRESS && errno != EINTR) {
    const std::string why = strerror(errno);
    ::close(fd);
    return fail(ErrorKind::kRetry, "cannot connect to " + format(to) + ": " + why);
  }
  auto free = std::ranges::find_if(streams_, [](const Stream& s) { return s.fd < 0; });
  if (free == streams_.end()) free = streams_.emplace(streams_.end());
  const std::uint32_t life = free->life + 1;
  *free = {.fd = fd, .events = &events, .life = life, .connecting = true};
  return StreamId(static_cast<std::uint32_t>(free - streams_.begin()));
}

std::size_t PollLoop::write(StreamId id, std::string_view bytes) {
  Stream& s = open_stream(id);
  if (bytes.empty()) return 0;
  ssize_t n = 0;
  if (!s.connecting) {
    do {
      n = ::send(s.fd, bytes.data(), bytes.size(), send_flags);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
      // A dead socket: its end is reported by poll, and until then it takes everything.
      if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS) return bytes.size();
      n = 0;
    }
  }
  if (static_cast<std::size_t>(n) < bytes.size()) s.wants_writable = true;
  return static_cast<std::size_t>(n);
}

void PollLoop::pause_reading(StreamId id, bool paused) { open_stream(id).paused = paused; }

void PollLoop::close(StreamId id, bool abort) {
  Stream& s = open_stream(id);
  if (abort || s.connecting) {
    const linger reset{.l_onoff = 1, .l_linger = 0};
    setsockopt(s.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    return release(id);
  }
  if (shutdown(s.fd, SHUT_WR) != 0) return release(id);
  ++s.life;
  s.events = nullptr;
  s.paused = s.wants_writable = false;
  s.lingering = true;
  after(lingering_ms_max, [this, id, life = s.life] {
    if (streams_[id.value].life == life) release(id);
  });
}

void PollLoop::release(StreamId id) {
  Stream& s = streams_[id.value];
  ::close(s.fd);
  const std::uint32_t life = s.life + 1;
  s = Stream();
  s.life = life;
}

void PollLoop::on_stream_event(StreamId id, std::uint32_t life, short events) {
  if (streams_[id.value].life != life || streams_[id.value].fd < 0) return;
  if (streams_[id.value].lingering) {
    const ssize_t n = recv(streams_[id.value].fd, buffer_.get(), receive_buffer_bytes, 0);
    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))) return;
    return release(id);
  }
  if (streams_[id.value].connecting) return finish_dial(id);
  if (events & POLLOUT) {
    streams_[id.value].wants_writable = false;
    streams_[id.value].events->on_writable(id);
    if (streams_[id.value].life != life) return;
  }
  if (streams_[id.value].paused) {
    if (events & (POLLHUP | POLLERR)) report_closed(id, "connection reset");
    return;
  }
  if (events & (POLLIN | POLLHUP | POLLERR)) read_from(id);
}

void PollLoop::finish_dial(StreamId id) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(streams_[id.value].fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return report_closed(id, std::string("cannot connect: ") + strerror(error));
  streams_[id.value].connecting = false;
  streams_[id.value].events->on_connected(id);
}

void PollLoop::read_from(StreamId id) {
  ssize_t n;
  do {
    n = recv(streams_[id.value].fd, buffer_.get(), receive_buffer_bytes, 0);
  } while (n < 0 && errno == EINTR);
  if (n > 0) {
    return streams_[id.value].events->on_data(id, {buffer_.get(), static_cast<std::size_t>(n)});
  }
  if (n == 0) return report_closed(id, "the other side closed");
  if (errno == EAGAIN || errno == EWOULDBLOCK) return;
  report_closed(id, strerror(errno));
}

void PollLoop::report_closed(StreamId id, const std::string& why) {
  streams_[id.value].ended = true;
  streams_[id.value].events->on_closed(id, why);
  release(id);
}

}  // namespace evodb::base
