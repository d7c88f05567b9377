#include "bench/idle_children.h"

#include <errno.h>
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
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "bench/load.h"
#include "bench/loopback.h"
#include "bench/quantile.h"
#include "wire/change.h"
#include "wire/frame.h"
#include "wire/websocket.h"

namespace evodb::bench {

namespace {

constexpr std::uint32_t opening_max = 1'000;  // far below any listen backlog: no SYN is dropped
constexpr double answer_s_max = 60;
constexpr std::uint32_t mask = 0x5bd1e995u;

double now_s() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

}  // namespace

struct IdleChildren::Request {
  enum class What : std::uint8_t { kOpen, kIdle, kWake, kBroadcast, kClose };
  What what = What::kOpen;
  bool reset = false;
  std::uint16_t port = 0;
  std::uint32_t first = 0, end = 0;
  double seconds = 0, rate = 0;
  std::uint64_t opaque = 0;
};

struct IdleChildren::Reply {
  bool failed = false;
  char text[256] = {};
  OpenResult open;
  WakeResult wake;
  BroadcastResult broadcast;
};

// The process's own code: one epoll, requests one after the other.
class IdleGenerator {
 public:
  IdleGenerator(int control, std::uint32_t children_max)
      : control_(control), children_(children_max), events_(1024), table_(load_table(kRows)) {
    fingerprint_ = table_.fingerprint();
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
  }

  void run() {
    IdleChildren::Request request;
    while (recv(control_, &request, sizeof request, 0) == sizeof request) {
      reply_ = {};
      error_.clear();
      serve(request);
      if (!error_.empty()) {
        reply_.failed = true;
        std::snprintf(reply_.text, sizeof reply_.text, "%s", error_.c_str());
      }
      if (send(control_, &reply_, sizeof reply_, MSG_NOSIGNAL) < 0) return;
    }
  }

 private:
  static constexpr RowKind kRows = RowKind::kPayload200;
  enum class State : std::uint8_t { kClosed, kUpgrading, kGreeting, kOpen };

  struct Child {
    int fd = -1;
    State state = State::kClosed;
    bool table_defined = false;  // on this connection
    bool batch_waits = false;
    std::uint32_t lsn = 0;
    ChainHash chain;
    double sent_at = 0;  // of the ping or batch that waits for its answer; 0: none
    std::uint64_t broadcast = 0;
    std::string rest;  // of input that is in parts
  };

  void fail(std::uint32_t i, std::string_view text) {
    if (error_.empty()) error_ = "child " + std::to_string(i) + ": " + std::string(text);
  }

  void serve(const IdleChildren::Request& request) {
    using What = IdleChildren::Request::What;
    switch (request.what) {
      case What::kOpen: return open(request.port, request.first, request.end);
      case What::kIdle: return idle(request.seconds, request.rate);
      case What::kWake: return wake(request.seconds, request.rate);
      case What::kBroadcast: return broadcast(request.opaque);
      case What::kClose: return close_all(request.reset);
    }
  }

  // --- sockets
  bool connect_one(std::uint32_t i, std::uint16_t port) {
    Child& c = children_[i];
    const auto connected = connect_loopback(port, address_++);
    if (!connected) {
      fail(i, connected.error().text);
      return false;
    }
    c.fd = *connected;
    epoll_event event{.events = EPOLLIN, .data = {.u32 = i}};
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, c.fd, &event) != 0) {
      fail(i, std::string("epoll: ") + strerror(errno));
      return false;
    }
    c.state = State::kUpgrading;
    c.table_defined = c.batch_waits = false;
    c.sent_at = 0;
    write(i,
          "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
    return true;
  }

  void write(std::uint32_t i, std::string_view bytes) {
    // Small against any socket buffer.
    const ssize_t n =
        send(children_[i].fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n != static_cast<ssize_t>(bytes.size())) fail(i, "a write was cut short");
  }
  void send_frame(std::uint32_t i, const wire::Frame& frame) {
    frame_.clear();
    wire::encode_frame(frame_, frame);
    send_message(i, wire::WsOpcode::kBinary, frame_);
  }
  void send_message(std::uint32_t i, wire::WsOpcode opcode, std::string_view payload) {
    out_.clear();
    wire::encode_ws_frame(out_, opcode, payload, &mask);
    write(i, out_);
  }

  // Waits for at most `wait_s` and takes what came.
  void poll(double wait_s) {
    timespec wait{static_cast<time_t>(wait_s), 0};
    wait.tv_nsec = static_cast<long>((wait_s - static_cast<double>(wait.tv_sec)) * 1e9);
    const int n =
        epoll_pwait2(epoll_, events_.data(), static_cast<int>(events_.size()), &wait, nullptr);
    for (int k = 0; k < n; ++k) read_from(events_[static_cast<std::size_t>(k)].data.u32);
  }

  void read_from(std::uint32_t i) {
    Child& c = children_[i];
    if (c.state == State::kClosed) return;
    const ssize_t n = recv(c.fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
      fail(i, n == 0 ? "the parent closed the connection" : strerror(errno));
      return shut(i, false);
    }
    std::string_view bytes(buffer_.data(), static_cast<std::size_t>(n));
    std::string joined;
    if (!c.rest.empty()) {
      joined = std::move(c.rest);
      joined += bytes;
      c.rest = std::string();
      bytes = joined;
    }
    if (c.state == State::kUpgrading) {
      const auto end = bytes.find("\r\n\r\n");
      if (end == std::string_view::npos) return c.rest.assign(bytes), void();
      if (!bytes.starts_with("HTTP/1.1 101")) return fail(i, bytes.substr(0, 100));
      bytes.remove_prefix(end + 4);
      hello(i);
    }
    take_messages(i, bytes);
  }

  // Frames of a server are not masked; those that come here are short ones.
  void take_messages(std::uint32_t i, std::string_view bytes) {
    while (bytes.size() >= 2) {
      const auto size = static_cast<std::size_t>(static_cast<unsigned char>(bytes[1]));
      std::size_t head = 2, payload = size;
      if (size == 126) {
        if (bytes.size() < 4) break;
        head = 4;
        payload = static_cast<std::size_t>(static_cast<unsigned char>(bytes[2])) << 8 |
                  static_cast<unsigned char>(bytes[3]);
      } else if (size > 126) {
        return fail(i, "a message of over 64 KiB or a masked one");
      }
      if (bytes.size() < head + payload) break;
      on_message(i, static_cast<wire::WsOpcode>(bytes[0] & 15), bytes.substr(head, payload));
      bytes.remove_prefix(head + payload);
    }
    children_[i].rest.assign(bytes);
  }

  // --- the protocol
  void hello(std::uint32_t i) {
    Child& c = children_[i];
    c.state = State::kGreeting;
    const std::string source = "idle-" + std::to_string(i);
    wire::Hello hello;
    hello.source = source;
    hello.epoch = Epoch(1);
    hello.wait = WaitLevel::kDurable;
    hello.head = Lsn(c.lsn);
    hello.frame_bytes_max = 1u << 20;
    hello.agent = "evodb-bench";
    send_frame(i, hello);
  }

  void on_message(std::uint32_t i, wire::WsOpcode opcode, std::string_view payload) {
    Child& c = children_[i];
    if (opcode == wire::WsOpcode::kPing) {  // the parent's own
      return send_message(i, wire::WsOpcode::kPong, payload);
    }
    if (opcode == wire::WsOpcode::kPong) {
      ++pongs_;
      return;
    }
    if (opcode != wire::WsOpcode::kBinary) return fail(i, "the parent says goodbye");
    const auto frame = wire::decode_frame(payload);
    if (!frame) return fail(i, frame.error().text);
    if (const auto* welcome = std::get_if<wire::Welcome>(&*frame)) {
      if (c.state != State::kGreeting || welcome->verdict != wire::WelcomeVerdict::kResume ||
          welcome->received != Lsn(c.lsn) || welcome->received_chain != c.chain) {
        return fail(i, "the welcome does not say what was sent before");
      }
      c.state = State::kOpen;
      ++open_;
      --opening_;
    } else if (std::holds_alternative<wire::Pong>(*frame)) {
      if (c.sent_at == 0 || c.batch_waits) return;
      ping_ms_.push_back((now_s() - c.sent_at) * 1e3);
      c.sent_at = 0;
    } else if (const auto* ack = std::get_if<wire::Ack>(&*frame)) {
      if (!c.batch_waits || ack->durable < Lsn(c.lsn)) return;
      batch_ms_.push_back((now_s() - c.sent_at) * 1e3);
      c.sent_at = 0;
      c.batch_waits = false;
    } else if (const auto* ping = std::get_if<wire::Ping>(&*frame)) {
      if (ping->opaque != c.broadcast && ping->opaque == broadcast_) {
        c.broadcast = ping->opaque;
        ++broadcast_seen_;
        reply_.broadcast.last_at_s = now_s();
      }
    } else if (const auto* nack = std::get_if<wire::Nack>(&*frame)) {
      fail(i, "nack: " + std::string(nack->text));
    } else {
      fail(i, "a frame that nobody asked for");
    }
  }

  void send_batch(std::uint32_t i) {
    Child& c = children_[i];
    writer_.reset(Lsn(c.lsn), c.chain);
    if (!c.table_defined) writer_.add_table(0, table_);
    c.table_defined = true;
    ++c.lsn;
    std::string values;
    wire::put_value(values, ValueView::of_integer(c.lsn));
    wire::put_value(values, ValueView::of_text("woken at random"));
    writer_.add_change(Op::kInsert, 0, fingerprint_, Lsn(c.lsn), TxnId(c.lsn),
                       UnixMillis(1'700'000'000'000), {}, {}, wire::ValuesView{true, 2, values});
    c.chain = writer_.chain();
    const std::string body = writer_.finish();
    frame_.clear();
    wire::encode_envelope(frame_, wire::FrameType::kBatch, 0, body);
    c.batch_waits = true;
    send_message(i, wire::WsOpcode::kBinary, frame_);
  }

  // --- requests
  void open(std::uint16_t port, std::uint32_t first, std::uint32_t end) {
    const double begun = now_s();
    const std::uint32_t wanted = open_ + end - first;
    for (std::uint32_t next = first; open_ < wanted && error_.empty();) {
      // A few at a time, so that answers are read meanwhile.
      for (int k = 0; k < 16 && next < end && opening_ < opening_max; ++k, ++next) {
        if (!connect_one(next, port)) return;
        ++opening_;
      }
      poll(next < end && opening_ < opening_max ? 0 : 0.1);
      if (now_s() - begun > answer_s_max) fail(next, "not all are welcome within a minute");
    }
    reply_.open.seconds = now_s() - begun;
  }

  std::vector<std::uint32_t> open_children() const {
    std::vector<std::uint32_t> open;
    for (std::uint32_t i = 0; i < children_.size(); ++i) {
      if (children_[i].state == State::kOpen) open.push_back(i);
    }
    return open;
  }

  void idle(double seconds, double ping_every_s) {
    const auto open = open_children();
    if (open.empty()) return fail(0, "nobody is connected");
    const double gap_s = ping_every_s / static_cast<double>(open.size());
    const double begun = now_s();
    pongs_ = 0;
    std::uint64_t sent = 0;
    for (;;) {
      const double now = now_s();
      while (begun + static_cast<double>(sent) * gap_s <= now && now < begun + seconds) {
        send_message(open[sent % open.size()], wire::WsOpcode::kPing, "idle");
        ++sent;
      }
      const double left =
          now < begun + seconds ? begun + static_cast<double>(sent) * gap_s - now : 0.1;
      poll(std::clamp(left, 0.0, 0.1));
      if (!error_.empty()) return;
      if (now >= begun + seconds && pongs_ >= sent) break;
      if (now > begun + seconds + answer_s_max) return fail(0, "pongs are missing");
    }
  }

  void wake(double seconds, double per_s) {
    const auto open = open_children();
    if (open.empty()) return fail(0, "nobody is connected");
    const double begun = now_s();
    ping_ms_.clear();
    batch_ms_.clear();
    std::uint64_t turn = 0, sent = 0;
    std::uint64_t random = 0x9e3779b97f4a7c15u;
    for (;;) {
      const double now = now_s();
      for (; begun + static_cast<double>(turn) / per_s <= now && now < begun + seconds; ++turn) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        const std::uint32_t i = open[random % open.size()];
        if (children_[i].sent_at != 0) continue;  // woken a moment ago
        // When it was due: what held this process up counts, too.
        children_[i].sent_at = begun + static_cast<double>(turn) / per_s;
        ++sent;
        if (turn % 2 == 0) {
          send_frame(i, wire::Ping{turn});
        } else {
          send_batch(i);
        }
      }
      poll(std::clamp(begun + static_cast<double>(turn) / per_s - now, 0.0, 0.1));
      if (!error_.empty()) return;
      if (now >= begun + seconds && ping_ms_.size() + batch_ms_.size() == sent) break;
      if (now > begun + seconds + answer_s_max) return fail(0, "answers are missing");
    }
    WakeResult& r = reply_.wake;
    r.ping_ms_p50 = quantile(ping_ms_, 0.5);
    r.ping_ms_p99 = quantile(ping_ms_, 0.99);
    r.ping_ms_max = quantile(ping_ms_, 1);
    r.batch_ms_p50 = quantile(batch_ms_, 0.5);
    r.batch_ms_p99 = quantile(batch_ms_, 0.99);
  }

  void broadcast(std::uint64_t opaque) {
    broadcast_ = opaque;
    broadcast_seen_ = 0;
    // Ready: the caller sends the frame now, and waits for the second reply.
    (void)send(control_, &reply_, sizeof reply_, MSG_NOSIGNAL);
    const double begun = now_s();
    while (broadcast_seen_ < open_ && error_.empty()) {
      poll(0.1);
      if (now_s() - begun > answer_s_max) {
        fail(0, "only " + std::to_string(broadcast_seen_) + " got the broadcast");
      }
    }
  }

  void shut(std::uint32_t i, bool reset) {
    Child& c = children_[i];
    if (c.state == State::kOpen) --open_;
    if (reset) {
      const linger hard{.l_onoff = 1, .l_linger = 0};
      (void)setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    }
    ::close(c.fd);
    c.fd = -1;
    c.state = State::kClosed;
    c.rest = std::string();
  }

  void close_all(bool reset) {
    for (std::uint32_t i = 0; i < children_.size(); ++i) {
      if (children_[i].state == State::kClosed) continue;
      if (!reset) {
        const char normal[2] = {0x03, static_cast<char>(0xe8)};  // 1000
        send_message(i, wire::WsOpcode::kClose, {normal, 2});
      }
      shut(i, reset);
    }
  }

  int control_;
  int epoll_ = -1;
  std::vector<Child> children_;
  std::vector<epoll_event> events_;
  std::array<char, 64 << 10> buffer_;
  std::string frame_, out_, error_;
  std::uint32_t open_ = 0, opening_ = 0, address_ = 0;
  std::uint64_t pongs_ = 0, broadcast_ = 0, broadcast_seen_ = 0;
  std::vector<double> ping_ms_, batch_ms_;
  wire::TableDef table_;
  std::uint64_t fingerprint_ = 0;
  wire::BatchWriter writer_;
  IdleChildren::Reply reply_;
};

// --- the caller's side --------------------------------------------------------------------------

Result<std::unique_ptr<IdleChildren>> IdleChildren::start(std::uint32_t children_max) {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
    return evodb::fail(ErrorKind::kInternal, std::string("no socket pair: ") + strerror(errno));
  }
  const pid_t pid = fork();
  if (pid < 0) {
    return evodb::fail(ErrorKind::kInternal, std::string("cannot fork: ") + strerror(errno));
  }
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::close(sockets[0]);
    {
      auto generator = std::make_unique<IdleGenerator>(sockets[1], children_max);
      generator->run();
    }
    _exit(0);
  }
  ::close(sockets[1]);
  return std::unique_ptr<IdleChildren>(new IdleChildren(pid, sockets[0]));
}

IdleChildren::~IdleChildren() {
  ::close(socket_);
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

Result<void> IdleChildren::tell(const Request& request) {
  if (send(socket_, &request, sizeof request, MSG_NOSIGNAL) != sizeof request) {
    return fail(ErrorKind::kInternal, "the process of idle children has ended");
  }
  return {};
}

Result<IdleChildren::Reply> IdleChildren::answer() {
  Reply reply;
  if (recv(socket_, &reply, sizeof reply, 0) != sizeof reply) {
    return fail(ErrorKind::kInternal, "the process of idle children has ended");
  }
  if (reply.failed) return fail(ErrorKind::kInvalid, reply.text);
  return reply;
}

Result<IdleChildren::Reply> IdleChildren::ask(const Request& request) {
  EVODB_TRY(tell(request));
  return answer();
}

Result<OpenResult> IdleChildren::open(std::uint16_t port, std::uint32_t first, std::uint32_t end) {
  Request request{.what = Request::What::kOpen, .port = port, .first = first, .end = end};
  return EVODB_TRY(ask(request)).open;
}

Result<void> IdleChildren::idle(double seconds, double ping_every_s) {
  Request request{.what = Request::What::kIdle, .seconds = seconds, .rate = ping_every_s};
  EVODB_TRY(ask(request));
  return {};
}

Result<WakeResult> IdleChildren::wake(double seconds, double per_s) {
  Request request{.what = Request::What::kWake, .seconds = seconds, .rate = per_s};
  return EVODB_TRY(ask(request)).wake;
}

Result<void> IdleChildren::begin_broadcast(std::uint64_t opaque) {
  Request request{.what = Request::What::kBroadcast, .opaque = opaque};
  (void)EVODB_TRY(ask(request));
  return {};
}

Result<BroadcastResult> IdleChildren::end_broadcast() { return EVODB_TRY(answer()).broadcast; }

Result<void> IdleChildren::close_all(bool reset) {
  Request request{.what = Request::What::kClose, .reset = reset};
  (void)EVODB_TRY(ask(request));
  return {};
}

}  // namespace evodb::bench
