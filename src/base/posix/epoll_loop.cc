#include "base/posix/epoll_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/assert.h"
#include "base/posix/socket_address.h"
#include "base/posix/socket_option.h"

namespace evodb::base {
namespace {

constexpr std::uint8_t flag_connecting = 1;
constexpr std::uint8_t flag_wants_writable = 2;
constexpr std::uint8_t flag_paused = 4;
constexpr std::uint8_t flag_lingering = 8;
constexpr std::uint8_t flag_in_close_event = 16;  // its on_closed is running

// What epoll gives back: an id and generation, listener_key(), or one of these.
constexpr std::uint64_t wake_key = ~std::uint64_t{0};
constexpr std::uint64_t timer_key = wake_key - 1;

constexpr int accepts_per_round_min = 4;
constexpr int accepts_per_round_max = 64;
constexpr std::uint8_t young_turns = 4;     // upgrade, hello and a little more
constexpr int young_read_shift = 4;         // of 256 KiB: 16 KiB at a time from a new connection
constexpr std::uint8_t read_shift_max = 6;  // of 256 KiB: 4 KiB
constexpr std::int64_t accept_retry_ms = 100;
constexpr std::int64_t others_remembered_us = 10'000;  // then those who wait have more time
constexpr std::int64_t no_wait_us = 50;                // an epoll_wait that took less did not wait

std::uint64_t key_of(StreamId id, std::uint16_t generation) {
  return (static_cast<std::uint64_t>(generation) << 32) | id.value;
}

std::string why_text(int error) { return std::string(strerror(error)); }

std::int64_t monotonic_us() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000 + t.tv_nsec / 1000;
}

void set_timer(int fd, int flags, std::int64_t us) {  // 0: not any more
  const itimerspec at{
      .it_interval = {},
      .it_value = {static_cast<time_t>(us / 1'000'000), static_cast<long>(us % 1'000'000) * 1'000}};
  const int set = timerfd_settime(fd, flags, &at, nullptr);
  EVODB_ASSERT(set == 0, "a timer of ours");
}

}  // namespace

EpollLoop::EpollLoop(const EpollLoopOptions& options)
    : options_(options), buffer_(new char[options.receive_buffer_bytes]) {}

Result<std::unique_ptr<EpollLoop>> EpollLoop::create(const EpollLoopOptions& options) {
  std::unique_ptr<EpollLoop> loop(new EpollLoop(options));
  loop->epoll_ = epoll_create1(EPOLL_CLOEXEC);
  loop->wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_event event{.events = EPOLLIN, .data = {.u64 = wake_key}};
  epoll_event timer{.events = EPOLLIN, .data = {.u64 = timer_key}};
  loop->timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  loop->other_wakeup_ = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  if (loop->epoll_ < 0 || loop->wake_ < 0 || loop->timer_ < 0 || loop->other_wakeup_ < 0 ||
      epoll_ctl(loop->epoll_, EPOLL_CTL_ADD, loop->wake_, &event) != 0 ||
      epoll_ctl(loop->epoll_, EPOLL_CTL_ADD, loop->timer_, &timer) != 0) {
    return fail(ErrorKind::kOverLimit, "cannot make an event loop: " + why_text(errno) +
                                           "; raise the limit of open files (ulimit -n)");
  }
  return loop;
}

EpollLoop::~EpollLoop() {
  for (std::uint32_t id = 0; id < streams_.end(); ++id) {
    if (streams_[id].fd >= 0) ::close(streams_[id].fd);
  }
  for (const Listener& l : listeners_) {
    if (l.fd >= 0) ::close(l.fd);
  }
  if (wake_ >= 0) ::close(wake_);
  if (timer_ >= 0) ::close(timer_);
  if (other_wakeup_ >= 0) ::close(other_wakeup_);
  if (epoll_ >= 0) ::close(epoll_);
}

// --- rounds -------------------------------------------------------------------------------------

void EpollLoop::run(unsigned threads) {
  threads_ = threads;
  std::vector<std::thread> others;
  for (unsigned i = 1; i < threads; ++i) others.emplace_back([this] { take_turns(); });
  take_turns();
  for (std::thread& other : others) other.join();
  threads_ = 1;
  stop_.store(false, std::memory_order_release);
}

void EpollLoop::stop() {
  stop_.store(true, std::memory_order_release);
  wake();
}

void EpollLoop::wake() {
  const std::uint64_t one = 1;
  (void)!::write(wake_, &one, sizeof one);
}

void EpollLoop::take_turns() {
  Turn turn(turn_);
  while (!stop_.load(std::memory_order_acquire)) {
    if (has_leader_) {
      wait_to_be_woken(turn);
      continue;
    }
    has_leader_ = true;
    round(turn, -1);
    has_leader_ = false;
    do_blocking_work(turn);
  }
  wake_other(0);  // so that it sees stop_ as well
}

// Lets the thread that waits in wait_to_be_woken() look, after so long, whether there is a leader.
// One that is woken already, or will be, is soon enough for a delayed wake-up.
void EpollLoop::wake_other(std::int64_t after_us) {
  if (threads_ < 2 || (other_woken_ && after_us > 0)) return;
  other_woken_ = true;
  set_timer(other_wakeup_, 0, std::max<std::int64_t>(after_us, 1));
}

void EpollLoop::wait_to_be_woken(Turn& turn) {
  turn.unlock();
  std::uint64_t ignored;
  (void)!::read(other_wakeup_, &ignored, sizeof ignored);
  turn.lock();
  other_woken_ = false;
}

void EpollLoop::run_once(std::int64_t wait_ms_max) {
  Turn turn(turn_);
  round(turn, wait_ms_max);
  do_blocking_work(turn);
}

void EpollLoop::run_blocking(std::function<After()> work) { blocking_.push_back(std::move(work)); }

void EpollLoop::do_blocking_work(Turn& turn) {
  while (!doing_blocking_work_ && !blocking_.empty()) {
    auto work = std::move(blocking_.front());
    blocking_.pop_front();
    doing_blocking_work_ = true;
    const bool others_can_wait = quiet_ && work_us_ < options_.quick_work_us_max;
    wake_other(others_can_wait ? options_.delayed_wakeup_us : 0);
    turn.unlock();
    const std::int64_t begun_us = monotonic_us();
    After after = work();
    const std::int64_t took_us = monotonic_us() - begun_us;
    auto say_outcome = [this, took_us, after = std::move(after)] {
      work_us_ = took_us;
      doing_blocking_work_ = false;
      after();
    };
    if (turn.try_lock()) {
      say_outcome();
      continue;
    }
    // The other thread is in the middle of a round, at whose end it runs what was posted.
    post(std::move(say_outcome));
    turn.lock();
  }
}

void EpollLoop::round(Turn& turn, std::int64_t wait_ms_max) {
  std::array<epoll_event, 256> events;
  int n = 0;
  {
    const std::lock_guard lock(posted_mutex_);
    if (!posted_.empty()) wait_ms_max = 0;
  }
  const bool resting = resting_;
  const std::int64_t looked_us = monotonic_us();
  turn.unlock();
  if (resting) {
    wait_resting(wait_ms_max);
  } else {
    n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()),
                   static_cast<int>(wait_ms_max));
  }
  turn.lock();
  quiet_ = n <= 1 && monotonic_us() - looked_us > no_wait_us;
  if (resting_) n = 0;  // level-triggered: reported again
  ++stats_.wakeups;
  bool others = false;
  for (int i = 0; i < n; ++i) {
    const std::uint64_t key = events[i].data.u64;
    if (key == wake_key) {
      std::uint64_t ignored;
      (void)!::read(wake_, &ignored, sizeof ignored);
    } else if (key == timer_key) {
      armed_ms_ = 0;  // run_timers() sees to it
    } else if ((key & listener_bit) != 0) {
      accepting_.push_back(static_cast<std::size_t>(key & ~listener_bit));
    } else {
      const Waiting event{StreamId(static_cast<std::uint32_t>(key)),
                          static_cast<std::uint16_t>(key >> 32), events[i].events};
      const Stream& s = stream(event.stream);
      if (s.young > 0 || s.read_shift > 0) {
        waiting_.push_back(event);
      } else {
        others = true;
        on_stream_event(event.stream, event.generation, event.events);
      }
    }
  }
  if (others) others_at_us_ = monotonic_us();
  run_timers();
  run_posted();
  serve_waiting();
}

// New connections, streams whose last turn was long, and accepting. Whom the time does not reach is
// reported again by the next epoll_wait, which is level-triggered.
void EpollLoop::serve_waiting() {
  if (resting_) {
    waiting_.clear();
    accepting_.clear();
  }
  if (waiting_.empty() && accepting_.empty()) return;
  const std::int64_t now_us = monotonic_us();
  const std::int64_t us_max = now_us - others_at_us_ < others_remembered_us
                                  ? options_.round_us_max
                                  : options_.round_alone_us_max;
  const std::int64_t until_us = now_us + us_max;
  // Half of the time belongs to those who are here already.
  for (const std::size_t index : accepting_) accept_from(index, until_us - us_max / 2);
  accepting_.clear();
  const std::size_t n = waiting_.size();
  std::size_t served = 0;
  for (; served < n; ++served) {
    const Waiting& event = waiting_[(waiting_first_ + served) % n];
    on_stream_event(event.stream, event.generation, event.events);
    if (monotonic_us() >= until_us) {
      ++served;
      break;
    }
  }
  waiting_first_ = n == 0 ? 0 : (waiting_first_ + served) % n;
  waiting_.clear();
}

void EpollLoop::post(std::function<void()> work) {
  bool first;
  {
    const std::lock_guard lock(posted_mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(work));
  }
  if (first) wake();
}

void EpollLoop::run_posted() {
  {
    const std::lock_guard lock(posted_mutex_);
    running_.swap(posted_);
  }
  for (auto& work : running_) work();
  running_.clear();
}

TimerId EpollLoop::after(std::int64_t delay_ms, std::function<void()> work) {
  const std::uint64_t timer = timer_next_++;
  timers_.emplace(timer, std::move(work));
  const std::int64_t at_ms = clock_.monotonic().value + std::max<std::int64_t>(delay_ms, 0);
  heap_.push_back({at_ms, timer});
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  if (at_ms < armed_ms_) arm_timer(at_ms);
  return TimerId(timer);
}

void EpollLoop::cancel(TimerId timer) {
  if (timers_.erase(timer.value) == 0) return;
  if (heap_.size() < 64 || heap_.size() < 2 * timers_.size()) return;
  std::erase_if(heap_, [&](const Due& due) { return !timers_.contains(due.timer); });
  std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
}

// A timer of the kernel instead of epoll_wait's time limit: that would be set and taken back for
// each event, which costs a virtual machine two exits.
void EpollLoop::arm_timer(std::int64_t at_ms) {
  armed_ms_ = at_ms;
  // Set again, it is no longer readable; in the past, it is at once.
  set_timer(timer_, TFD_TIMER_ABSTIME, at_ms == not_armed ? 0 : at_ms * 1'000);
}

void EpollLoop::run_timers() {
  const std::int64_t now = clock_.monotonic().value;
  while (!heap_.empty() && heap_.front().at_ms <= now) {
    const std::uint64_t timer = heap_.front().timer;
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    heap_.pop_back();
    const auto it = timers_.find(timer);
    if (it == timers_.end()) continue;  // cancelled
    const std::function<void()> work = std::move(it->second);
    timers_.erase(it);
    work();
  }
  if (armed_ms_ <= now) arm_timer(heap_.empty() ? not_armed : heap_.front().at_ms);
}

// --- listening ----------------------------------------------------------------------------------

Result<std::string> EpollLoop::listen(const std::string& address, StreamEvents& events) {
  const HostPort where = EVODB_TRY(parse_host_port(address));
  SocketAddress bound = EVODB_TRY(resolve(where.host, where.port, true));
  const int fd = socket(bound.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const auto give_up = [&](const char* advice) {
    const std::string why = why_text(errno);
    if (fd >= 0) ::close(fd);
    return fail(ErrorKind::kInvalid, "cannot listen on " + address + ": " + why + advice);
  };
  if (fd < 0) return give_up("");
  set_socket_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  tune(fd);  // what is accepted inherits it: seven calls less a connection
  if (bind(fd, reinterpret_cast<const sockaddr*>(&bound.storage), bound.size) != 0) {
    return give_up(errno == EADDRINUSE ? "; stop the process that has it, or choose another address"
                                       : "");
  }
  if (::listen(fd, options_.listen_backlog) != 0) return give_up("");
  bound.size = sizeof bound.storage;
  getsockname(fd, reinterpret_cast<sockaddr*>(&bound.storage), &bound.size);
  epoll_event event{.events = EPOLLIN, .data = {.u64 = listener_key(listeners_.size())}};
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) return give_up("");
  listeners_.push_back({fd, &events});
  return format(bound);
}

void EpollLoop::stop_listening() {
  for (Listener& l : listeners_) {
    if (l.fd >= 0) ::close(l.fd);
    l.fd = -1;  // the index stays: an event of this round may still name it
  }
}

void EpollLoop::accept_from(std::size_t index, std::int64_t until_us) {
  if (index >= listeners_.size() || listeners_[index].fd < 0) return;
  StreamEvents& events = *listeners_[index].events;
  const int listener_fd = listeners_[index].fd;
  for (int i = 0; i < accepts_per_round_max; ++i) {
    if (i >= accepts_per_round_min && monotonic_us() >= until_us) return;
    const bool full =
        options_.streams_max != 0 && stats_.streams + lingering_count_ >= options_.streams_max;
    if (full && !release_oldest_lingering()) return pause_accepting();
    SocketAddress peer;
    peer.size = sizeof peer.storage;
    const int fd = accept4(listener_fd, reinterpret_cast<sockaddr*>(&peer.storage), &peer.size,
                           SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        if (release_oldest_lingering()) continue;
        return pause_accepting();
      }
      if (errno == EAGAIN || errno == EWOULDBLOCK) return;
      continue;  // the peer went away before it was accepted
    }
    Result<StreamId> id = add_stream(fd, events, 0);
    if (!id) {  // no kernel memory for the registration
      ::close(fd);
      pause_accepting();
      return;
    }
    ++stats_.accepted;
    stream(*id).young = young_turns;
    events.on_accept(*id, format(peer));
    if (index >= listeners_.size() || listeners_[index].fd != listener_fd) return;  // stopped
  }
}

void EpollLoop::pause_accepting() {
  if (accept_paused_) return;
  accept_paused_ = true;
  ++stats_.accept_pauses;
  for (std::size_t i = 0; i < listeners_.size(); ++i) {
    if (listeners_[i].fd < 0) continue;
    epoll_event event{.events = 0, .data = {.u64 = listener_key(i)}};
    epoll_ctl(epoll_, EPOLL_CTL_MOD, listeners_[i].fd, &event);
  }
  accept_timer_ = after(accept_retry_ms, [this] { resume_accepting(); });
}

void EpollLoop::resume_accepting() {
  if (!accept_paused_) return;
  accept_paused_ = false;
  cancel(accept_timer_);
  for (std::size_t i = 0; i < listeners_.size(); ++i) {
    if (listeners_[i].fd < 0) continue;
    epoll_event event{.events = EPOLLIN, .data = {.u64 = listener_key(i)}};
    epoll_ctl(epoll_, EPOLL_CTL_MOD, listeners_[i].fd, &event);
  }
}

// --- streams ------------------------------------------------------------------------------------

EpollLoop::Stream& EpollLoop::open_stream(StreamId id) {
  EVODB_ASSERT(id.value < streams_.end(), "a stream of this loop");
  Stream& s = stream(id);
  EVODB_ASSERT(s.events != nullptr, "a stream is used while it is open");
  return s;
}

Result<StreamId> EpollLoop::add_stream(int fd, StreamEvents& events, std::uint8_t flags) {
  if (free_.empty()) {
    const std::uint32_t first = streams_.end();
    streams_.make(first);  // and the rest of its chunk
    for (std::uint32_t id = streams_.end(); id-- > first;) free_.push_back(id);
  }
  const StreamId id(free_.back());
  Stream& s = stream(id);
  epoll_event event{.events = (flags & flag_connecting) ? std::uint32_t{EPOLLOUT}
                                                        : std::uint32_t{EPOLLIN | EPOLLRDHUP},
                    .data = {.u64 = key_of(id, s.generation)}};
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
    return fail(ErrorKind::kOverLimit, "cannot watch a socket: " + why_text(errno));
  }
  free_.pop_back();
  s.events = &events;
  s.fd = fd;
  s.flags = flags;
  ++stats_.streams;
  return id;
}

void EpollLoop::release(StreamId id) {
  Stream& s = stream(id);
  ::close(s.fd);  // leaves epoll by itself
  if (s.flags & flag_lingering) {
    --lingering_count_;
  } else {
    --stats_.streams;
  }
  s.events = nullptr;
  s.fd = -1;
  s.flags = 0;
  s.young = 0;
  s.read_shift = 0;
  ++s.generation;
  free_.push_back(id.value);
  if (accept_paused_) resume_accepting();
}

void EpollLoop::tune(int fd) {
  set_socket_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_socket_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, options_.kernel_unsent_bytes_max);
  set_socket_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_socket_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, options_.keepalive_idle_s);
  set_socket_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 15);
  set_socket_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
  set_socket_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, options_.dead_peer_ms_max);
}

void EpollLoop::set_flag(StreamId id, Stream& s, std::uint8_t flag, bool on) {
  const std::uint8_t flags = static_cast<std::uint8_t>(on ? s.flags | flag : s.flags & ~flag);
  if (flags == s.flags) return;
  s.flags = flags;
  // Paused: not even the half-close is asked for, as it would be reported again and again.
  std::uint32_t events = 0;
  if (s.flags & flag_connecting) {
    events = EPOLLOUT;
  } else {
    if (!(s.flags & flag_paused)) events |= EPOLLIN | EPOLLRDHUP;
    if (s.flags & flag_wants_writable) events |= EPOLLOUT;
  }
  epoll_event event{.events = events, .data = {.u64 = key_of(id, s.generation)}};
  epoll_ctl(epoll_, EPOLL_CTL_MOD, s.fd, &event);
}

Result<StreamId> EpollLoop::dial(const std::string& host, std::uint16_t port,
                                 StreamEvents& events) {
  const SocketAddress to = EVODB_TRY(resolve(host, port, false));
  const int fd = socket(to.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) {
    return fail(ErrorKind::kRetry, "cannot make a socket: " + why_text(errno) +
                                       "; raise the limit of open files (ulimit -n)");
  }
  tune(fd);
  // An immediate failure of a local connect is reported through the socket's error as well.
  const int result = connect(fd, reinterpret_cast<const sockaddr*>(&to.storage), to.size);
  const int error = result == 0 ? 0 : errno;
  if (error != 0 && error != EINPROGRESS && error != EINTR) {
    ::close(fd);
    return fail(ErrorKind::kRetry, "cannot connect to " + format(to) + ": " + why_text(error));
  }
  Result<StreamId> id = add_stream(fd, events, flag_connecting);
  if (!id) ::close(fd);
  return id;
}

std::size_t EpollLoop::write(StreamId id, std::string_view bytes) {
  Stream& s = open_stream(id);
  EVODB_ASSERT(!(s.flags & flag_in_close_event), "nothing is written from on_closed");
  if (bytes.empty()) return 0;
  if (s.flags & flag_connecting) {
    s.flags |= flag_wants_writable;  // asked for once connected
    return 0;
  }
  ssize_t n;
  do {
    n = send(s.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n < 0) {
    // A dead socket: its end is reported by epoll, and until then it takes everything.
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS) return bytes.size();
    n = 0;
  }
  if (static_cast<std::size_t>(n) < bytes.size()) set_flag(id, s, flag_wants_writable, true);
  return static_cast<std::size_t>(n);
}

void EpollLoop::pause_reading(StreamId id, bool paused) {
  set_flag(id, open_stream(id), flag_paused, paused);
}

void EpollLoop::close(StreamId id, bool abort) {
  Stream& s = open_stream(id);
  EVODB_ASSERT(!(s.flags & flag_in_close_event), "a stream that ended is not closed again");
  if (abort || (s.flags & flag_connecting)) {
    const linger reset{.l_onoff = 1, .l_linger = 0};
    setsockopt(s.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    release(id);
    return;
  }
  char ignored;
  const bool at_end = recv(s.fd, &ignored, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
  if (at_end || shutdown(s.fd, SHUT_WR) != 0 || options_.lingering_max == 0) {
    release(id);
    return;
  }
  --stats_.streams;
  ++lingering_count_;
  s.events = nullptr;
  ++s.generation;
  s.flags = flag_lingering | flag_paused;
  set_flag(id, s, flag_paused, false);  // and renews the registration for the new generation
  if (lingering_count_ > options_.lingering_max) release_oldest_lingering();
  lingering_.push_back({clock_.monotonic().value + options_.lingering_ms_max, id, s.generation});
  if (lingering_timer_.value == 0) {
    lingering_timer_ = after(options_.lingering_ms_max, [this] { sweep_lingering(); });
  }
}

bool EpollLoop::release_oldest_lingering() {
  while (!lingering_.empty()) {
    const Lingering oldest = lingering_.front();
    lingering_.pop_front();
    if (stream(oldest.stream).generation != oldest.generation) continue;
    release(oldest.stream);
    return true;
  }
  return false;
}

void EpollLoop::sweep_lingering() {
  const std::int64_t now = clock_.monotonic().value;
  while (!lingering_.empty()) {
    const Lingering oldest = lingering_.front();
    const bool gone = stream(oldest.stream).generation != oldest.generation;
    if (!gone && oldest.until_ms > now) break;
    lingering_.pop_front();
    if (!gone) release(oldest.stream);
  }
  lingering_timer_ = {};
  if (!lingering_.empty()) {
    lingering_timer_ = after(lingering_.front().until_ms - now, [this] { sweep_lingering(); });
  }
}

// --- events -------------------------------------------------------------------------------------

void EpollLoop::on_stream_event(StreamId id, std::uint16_t generation, std::uint32_t events) {
  Stream& s = stream(id);
  if (s.fd < 0 || s.generation != generation) return;  // closed earlier in this round
  if (s.flags & flag_lingering) return drain_lingering(id, s);
  if (s.flags & flag_connecting) return finish_dial(id, s);
  if (events & EPOLLOUT) {
    set_flag(id, s, flag_wants_writable, false);
    s.events->on_writable(id);
    if (s.generation != generation) return;
  }
  if (s.flags & flag_paused) {
    if (events & (EPOLLHUP | EPOLLERR)) report_closed(id, "connection reset");
    return;
  }
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) read_from(id, s);
}

void EpollLoop::finish_dial(StreamId id, Stream& s) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(s.fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return report_closed(id, "cannot connect: " + why_text(error));
  set_flag(id, s, flag_connecting, false);
  s.events->on_connected(id);
}

void EpollLoop::read_from(StreamId id, Stream& s) {
  const int shift = std::max<int>(s.read_shift, s.young > 0 ? young_read_shift : 0);
  const std::size_t bytes_max = std::max<std::size_t>(options_.receive_buffer_bytes >> shift, 1);
  ssize_t n;
  do {
    n = recv(s.fd, buffer_.get(), bytes_max, MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n > 0) {
    const std::uint16_t generation = s.generation;
    const std::int64_t began_us = monotonic_us();
    s.events->on_data(id, {buffer_.get(), static_cast<std::size_t>(n)});
    if (s.generation == generation) note_turn(s, monotonic_us() - began_us);
    return;
  }
  if (n == 0) return report_closed(id, "the other side closed");
  if (errno == EAGAIN || errno == EWOULDBLOCK) return;
  report_closed(id, why_text(errno));
}

void EpollLoop::note_turn(Stream& s, std::int64_t took_us) {
  if (s.young > 0) --s.young;
  if (took_us > options_.long_turn_us) {
    for (; took_us > options_.long_turn_us && s.read_shift < read_shift_max; took_us /= 2) {
      ++s.read_shift;
    }
  } else if (took_us < options_.long_turn_us / 4 && s.read_shift > 0) {
    --s.read_shift;
  }
}

void EpollLoop::report_closed(StreamId id, const std::string& why) {
  Stream& s = stream(id);
  s.flags |= flag_in_close_event;
  s.events->on_closed(id, why);
  release(id);
}

void EpollLoop::drain_lingering(StreamId id, Stream& s) {
  const ssize_t n = recv(s.fd, buffer_.get(), options_.receive_buffer_bytes, MSG_DONTWAIT);
  if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))) return;
  release(id);
}

EpollLoopStats EpollLoop::stats() const {
  EpollLoopStats stats = stats_;
  stats.lingering = lingering_count_;
  stats.timers = timers_.size();
  return stats;
}

}  // namespace evodb::base
