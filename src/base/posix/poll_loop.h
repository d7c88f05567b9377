// PollLoop: a client's real base::Loop. One thread, poll(2), a handful of streams; nothing but
// POSIX, so that it is the same on Linux and macOS.
//
//   auto loop = EVODB_TRY(PollLoop::create());
//   loop->watch(fd, [] { ... });          // besides streams: any descriptor that becomes readable
//   std::thread thread([&] { loop->run(); });
//   loop->stop();
//
// dial() takes a numeric address at once; a host name is looked up blocking, and nothing else of
// this loop runs meanwhile (a resolver may take seconds). Who cannot have that dials numbers.
//
// close() without abort lets the kernel deliver what was taken even where unread bytes are waiting:
// the sending side is shut down and the rest is read, for lingering_ms_max, into nothing.
//
// It does not listen: that is the parent's loop (epoll_loop.h).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "base/posix/system_clock.h"

namespace evodb::base {

class PollLoop final : public Loop {
 public:
  static constexpr std::size_t receive_buffer_bytes = 64u << 10;
  static constexpr std::int64_t lingering_ms_max = 2'000;

  static Result<std::unique_ptr<PollLoop>> create();
  ~PollLoop() override;  // closes everything; no event follows
  PollLoop(const PollLoop&) = delete;
  PollLoop& operator=(const PollLoop&) = delete;

  // Handles events until stop(). The thread that calls it is the loop's thread.
  void run();
  // One round: waits for at most `wait_ms_max` (-1: for an event), handles what is there.
  void run_once(std::int64_t wait_ms_max);
  // From any thread, also from a signal handler. run() returns after the round; a stop before run()
  // counts.
  void stop();

  // Calls `readable` in each round in which `fd` can be read, until unwatch(). Loop thread, or
  // before run(). The descriptor stays the caller's.
  void watch(int fd, std::function<void()> readable);
  // While paused it is not looked at.
  void pause_watch(int fd, bool paused);
  void unwatch(int fd);

  void post(std::function<void()> work) override;
  Clock& clock() override { return clock_; }
  TimerId after(std::int64_t delay_ms, std::function<void()> work) override;
  void cancel(TimerId timer) override;
  // Always kInvalid.
  Result<std::string> listen(const std::string& address, StreamEvents& events) override;
  void stop_listening() override {}
  Result<StreamId> dial(const std::string& host, std::uint16_t port, StreamEvents& events) override;
  std::size_t write(StreamId stream, std::string_view bytes) override;
  void pause_reading(StreamId stream, bool paused) override;
  void close(StreamId stream, bool abort) override;

  std::uint64_t wakeups() const { return wakeups_.load(std::memory_order_relaxed); }

 private:
  struct Stream {
    int fd = -1;  // -1: free
    StreamEvents* events = nullptr;
    std::uint32_t life = 0;  // tells an event for the id's former owner
    bool connecting = false, wants_writable = false, paused = false, lingering = false;
    bool ended = false;  // its on_closed is running
  };
  struct Watch {
    std::uint64_t life = 0;
    std::function<void()> readable;
    bool paused = false;
  };
  // What one entry of the poll set stands for.
  struct Polled {
    enum class What : std::uint8_t { kWake, kStream, kWatch } what;
    std::uint32_t stream = 0;
    std::uint64_t life = 0;
    int fd = -1;
  };

  PollLoop() : buffer_(new char[receive_buffer_bytes]) {}
  Stream& open_stream(StreamId id);
  void wake();
  std::int64_t wait_ms(std::int64_t wait_ms_max);
  void on_stream_event(StreamId id, std::uint32_t life, short events);
  void finish_dial(StreamId id);
  void read_from(StreamId id);
  void report_closed(StreamId id, const std::string& why);
  void release(StreamId id);
  void run_timers();
  void run_posted();

  SystemClock clock_;
  int wake_read_ = -1, wake_write_ = -1;
  std::unique_ptr<char[]> buffer_;
  std::vector<Stream> streams_;
  std::map<int, Watch> watches_;
  std::uint64_t watch_lives_ = 0;
  std::map<std::pair<std::int64_t, std::uint64_t>, std::function<void()>> timers_;  // (due, id)
  std::map<std::uint64_t, std::int64_t> due_of_;
  std::uint64_t timer_next_ = 1;

  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;
  std::atomic<bool> stop_ = false;
  std::atomic<std::uint64_t> wakeups_ = 0;
};

}  // namespace evodb::base
