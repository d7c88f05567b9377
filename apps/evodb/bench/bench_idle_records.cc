#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <deque>
#include <map>
#include <memory>
#include <string_view>

#include "base/posix/posix_disk.h"
#include "base/posix/system_clock.h"
#include "bench/bench_idle.h"
#include "bench/process_cost.h"
#include "gate/gate.h"
#include "ingest/ingest.h"
#include "journal/journal.h"
#include "wire/frame.h"
#include "wire/websocket.h"

namespace evodb::app {

namespace {

using Steady = std::chrono::steady_clock;

double ns_since(Steady::time_point begun, std::uint32_t count) {
  return std::chrono::duration<double, std::nano>(Steady::now() - begun).count() / count;
}

// base::Loop without a network: what a peer says is called in, what is written to it is looked at
// and forgotten. Time stands still but for advance().
class MemoryLoop final : public base::Loop {
 public:
  void post(std::function<void()> work) override { posted_.push_back(std::move(work)); }
  base::Clock& clock() override { return clock_; }
  base::TimerId after(std::int64_t delay_ms, std::function<void()> work) override {
    const std::pair due{clock_.now_ms + delay_ms, ++timer_last_};
    timers_[due] = std::move(work);
    return base::TimerId(timer_last_);
  }
  void cancel(base::TimerId timer) override {
    std::erase_if(timers_, [&](const auto& t) { return t.first.second == timer.value; });
  }
  Result<std::string> listen(const std::string& address, base::StreamEvents& events) override {
    events_ = &events;
    return address;
  }
  void stop_listening() override {}
  Result<base::StreamId> dial(const std::string&, std::uint16_t, base::StreamEvents&) override {
    return fail(ErrorKind::kInvalid, "nobody is there");
  }
  std::size_t write(base::StreamId, std::string_view bytes) override {
    ++writes;
    written.assign(bytes);
    return bytes.size();
  }
  void pause_reading(base::StreamId, bool) override {}
  void close(base::StreamId, bool) override { ++closes; }

  void accept(base::StreamId s) { events_->on_accept(s, "memory"); }
  // `bytes` is the shared buffer, which the gate unmasks in place.
  void say(base::StreamId s, std::string& bytes) { events_->on_data(s, bytes); }
  void run_posted() {
    while (!posted_.empty()) {
      const auto work = std::move(posted_.front());
      posted_.pop_front();
      work();
    }
  }
  void advance(std::int64_t ms) {
    const std::int64_t until = clock_.now_ms + ms;
    while (!timers_.empty() && timers_.begin()->first.first <= until) {
      clock_.now_ms = timers_.begin()->first.first;
      const auto work = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
      work();
    }
    clock_.now_ms = until;
  }

  std::string written;
  std::uint64_t writes = 0, closes = 0;

 private:
  struct ManualClock final : base::Clock {
    UnixMillis wall() override { return UnixMillis(1'700'000'000'000 + now_ms); }
    base::MonotonicMillis monotonic() override { return base::MonotonicMillis(now_ms); }
    std::int64_t now_ms = 0;
  };
  ManualClock clock_;
  std::deque<std::function<void()>> posted_;
  base::StreamEvents* events_ = nullptr;
  std::map<std::pair<std::int64_t, std::uint64_t>, std::function<void()>> timers_;
  std::uint64_t timer_last_ = 0;
};

class NoPages final : public gate::GateHandlers {
  void on_http(const gate::HttpRequest&, std::function<void(gate::HttpResponse)> respond) override {
    respond({.status = 404});
  }
  void on_appended() override {}
  void on_flush_requested() override {}
  BufferStatus buffer_status() override { return {}; }
};

std::string hello_of(std::uint32_t i, std::string& source, wire::Hello& hello) {
  source = "idle-" + std::to_string(i);
  hello.source = source;
  hello.epoch = Epoch(1);
  hello.frame_bytes_max = 1u << 20;
  return wire::encode_frame(hello);
}

Result<IdleRecords> measure(std::uint32_t count, const std::string& directory) {
  constexpr std::uint32_t mask = 0x5bd1e995u;
  base::PosixDisk disk;
  base::SystemRandom random;
  auto journal = EVODB_TRY(journal::Journal::open(disk, directory, {}, random, nullptr));
  auto ingest = ingest::Ingest::create({}, *journal);
  MemoryLoop loop;
  NoPages pages;
  gate::GateOptions options;
  options.connections_max = count;
  auto gate = gate::Gate::create(loop, *ingest, pages, options);
  (void)EVODB_TRY(gate->listen("memory:0"));
  const auto anonymous = [&]() -> Result<double> {
    return static_cast<double>(EVODB_TRY(bench::anonymous_bytes(getpid())));
  };
  const auto wrong = [](const char* what) { return fail(ErrorKind::kCorrupt, what); };

  IdleRecords result;
  std::string source, message, upgrade;
  wire::Hello hello;
  // Every source says hello once, one after the other: what is left is what a source costs.
  const double nothing = EVODB_TRY(anonymous());
  for (std::uint32_t i = 0; i < count; ++i) {
    (void)hello_of(i, source, hello);
    if (!ingest->on_hello(ingest::SessionId(0), hello, UnixMillis(0)).accepted) {
      return wrong("a source was not welcome");
    }
  }
  ingest->on_disconnect(ingest::SessionId(0));
  const double sources = EVODB_TRY(anonymous());
  result.source_bytes = (sources - nothing) / count;

  auto begun = Steady::now();
  for (std::uint32_t i = 0; i < count; ++i) {
    const base::StreamId s(i);
    loop.accept(s);
    upgrade =
        "GET / HTTP/1.1\r\nHost: memory\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    loop.say(s, upgrade);
    if (!loop.written.starts_with("HTTP/1.1 101")) return wrong("no upgrade");
    message.clear();
    wire::encode_ws_frame(message, wire::WsOpcode::kBinary, hello_of(i, source, hello), &mask);
    loop.say(s, message);
    const auto frame = wire::decode_frame(std::string_view(loop.written).substr(2));
    const auto* welcome = frame ? std::get_if<wire::Welcome>(&*frame) : nullptr;
    if (welcome == nullptr || welcome->verdict != wire::WelcomeVerdict::kResume) {
      return wrong("no welcome");
    }
  }
  result.open_ns = ns_since(begun, count);
  begun = Steady::now();
  loop.advance(options.hibernate_after_ms + 1'000);
  result.hibernate_ns = ns_since(begun, count);
  const gate::GateStats stats = gate->stats();
  if (stats.hibernated != count || stats.held_bytes != 0 || loop.closes != 0 ||
      ingest->stats().sessions != count || ingest->stats().sources != count) {
    return wrong("not all of them hibernate");
  }
  result.connection_bytes = (EVODB_TRY(anonymous()) - sources) / count;

  // In random order, as the wire brings them: each touches cold memory.
  constexpr std::uint32_t pings = 1'000'000;
  begun = Steady::now();
  for (std::uint32_t i = 0; i < pings; ++i) {
    message.clear();
    wire::encode_ws_frame(message, wire::WsOpcode::kPing, "idle", &mask);
    loop.say(base::StreamId(static_cast<std::uint32_t>(random.below(count))), message);
    if (loop.written.size() != 6) return wrong("no pong");
  }
  result.ping_ns = ns_since(begun, pings);
  begun = Steady::now();
  const std::uint64_t writes = loop.writes;
  const auto given = EVODB_TRY(gate->broadcast(wire::WsOpcode::kText, "to all"));
  loop.run_posted();
  result.broadcast_ns = ns_since(begun, count);
  if (given != count || loop.writes - writes != count || gate->stats().woken != 0) {
    return wrong("a broadcast did not reach all of them in their sleep");
  }
  return result;
}

}  // namespace

Result<IdleRecords> measure_idle_records(std::uint32_t count, const std::string& directory) {
  struct Answer {
    bool failed = false;
    char text[256] = {};
    IdleRecords records;
  };
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return fail(ErrorKind::kInternal, strerror(errno));
  const pid_t pid = fork();
  if (pid < 0) return fail(ErrorKind::kInternal, strerror(errno));
  if (pid == 0) {
    Answer answer;
    const auto measured = measure(count, directory);
    if (measured) {
      answer.records = *measured;
    } else {
      answer.failed = true;
      std::snprintf(answer.text, sizeof answer.text, "%s", measured.error().text.c_str());
    }
    _exit(::write(ends[1], &answer, sizeof answer) == sizeof answer ? 0 : 1);
  }
  ::close(ends[1]);
  Answer answer;
  const bool whole = ::read(ends[0], &answer, sizeof answer) == sizeof answer;
  ::close(ends[0]);
  waitpid(pid, nullptr, 0);
  if (!whole) return fail(ErrorKind::kInternal, "the process that measured records has ended");
  if (answer.failed) return fail(ErrorKind::kCorrupt, answer.text);
  return answer.records;
}

}  // namespace evodb::app
