// Loop: the seam through which events reach a room: posted work, timers, byte streams.
//
// One Loop is one thread of control: it calls every handler below in turn, never two at once.
// The gate and the edge are written against it; base/posix has the real ones (epoll for the
// parent, poll for a client), sim has one with a fake clock whose network cuts and delays.
//
//   class Echo : public StreamEvents {
//    public:
//     explicit Echo(Loop& loop) : loop_(loop) {}
//     void on_accept(StreamId, std::string_view) override {}
//     void on_connected(StreamId) override {}
//     void on_data(StreamId s, std::span<char> bytes) override {
//       loop_.write(s, std::string_view(bytes));
//     }
//     void on_writable(StreamId) override {}
//     void on_closed(StreamId, std::string_view) override {}
//
//    private:
//     Loop& loop_;
//   };
//   Echo echo(loop);
//   std::string address = EVODB_TRY(loop.listen("127.0.0.1:8787", echo));
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "evodb/result.h"
#include "evodb/types.h"

namespace evodb::base {

// Names a stream of this loop. Small and dense, so a table may be indexed by it; it is reused after
// the stream was closed.
using StreamId = Strong<struct StreamTag, std::uint32_t>;
using TimerId = Strong<struct TimerTag, std::uint64_t>;  // never reused; 0 is none

class StreamEvents {
 public:
  virtual ~StreamEvents() = default;
  virtual void on_accept(StreamId stream, std::string_view peer) = 0;  // listeners only
  virtual void on_connected(StreamId stream) = 0;                      // dialled streams only
  // `bytes` is the loop's shared buffer: valid during the call, which may change it (a WebSocket's
  // bytes are unmasked in place). All of it counts as taken.
  virtual void on_data(StreamId stream, std::span<char> bytes) = 0;
  // After a short write(): more will be taken.
  virtual void on_writable(StreamId stream) = 0;
  // The other side or the network ended it; `why` is for people. The id is free when this returns.
  // Never called for a stream that we closed ourselves.
  virtual void on_closed(StreamId stream, std::string_view why) = 0;
};

// Runs work elsewhere or later, in order, one at a time.
class Executor {
 public:
  virtual ~Executor() = default;
  // Never runs `work` before returning. May be called from any thread.
  virtual void post(std::function<void()> work) = 0;
  // The same once so much time has passed; never, if the executor ended before. Any thread.
  virtual void post_after(std::int64_t delay_ms, std::function<void()> work) = 0;
};

// Work that may block (a disk's sync), beside a loop: one piece at a time, in order.
class BlockingWork {
 public:
  using After = std::function<void()>;
  virtual ~BlockingWork() = default;
  // Runs `work` away from the loop's handlers, and then, on the loop, what it returned. Neither
  // runs before this returns. Loop thread only.
  virtual void run_blocking(std::function<After()> work) = 0;
};

class Loop : public Executor {
 public:
  virtual Clock& clock() = 0;

  // Timers. Loop thread only.
  virtual TimerId after(std::int64_t delay_ms, std::function<void()> work) = 0;
  virtual void cancel(TimerId timer) = 0;  // unknown or fired: nothing happens
  void post_after(std::int64_t delay_ms, std::function<void()> work) final {
    post([this, delay_ms, work = std::move(work)] { after(delay_ms, work); });
  }

  // Streams. Loop thread only. `events` outlives the listener and all of its streams.
  // "host:port" with a numeric port, 0 for any; returns the address bound.
  virtual Result<std::string> listen(const std::string& address, StreamEvents& events) = 0;
  virtual void stop_listening() = 0;
  // Starts to connect; on_connected or on_closed follows, never before dial returns.
  virtual Result<StreamId> dial(const std::string& host, std::uint16_t port,
                                StreamEvents& events) = 0;
  // Returns how many bytes were taken. Fewer than given: keep the rest, on_writable will come.
  virtual std::size_t write(StreamId stream, std::string_view bytes) = 0;
  // While paused no on_data comes (on_closed still may). The kernel's window is the backpressure.
  virtual void pause_reading(StreamId stream, bool paused) = 0;
  // Ends it. What write() took is still delivered, unless `abort`. No event follows.
  virtual void close(StreamId stream, bool abort = false) = 0;

  // Changing hands: docs/upgrade.md. Loop thread only; a loop that cannot do it says kInvalid.
  // While its sockets rest, no event of a stream or listener is given, and nobody is accepted:
  // what comes waits in the kernel. write() works; timers and posted work go on.
  virtual Result<void> rest_sockets(bool rest) {
    (void)rest;
    return fail(ErrorKind::kInvalid, "the sockets of this loop cannot change hands");
  }
  // From now on the events of this stream are `events`'s.
  virtual void give_stream(StreamId stream, StreamEvents& events) { (void)stream, (void)events; }
  // The same for every listener; returns the address that the first one is bound to.
  virtual Result<std::string> give_listeners(StreamEvents& events) {
    (void)events;
    return fail(ErrorKind::kInvalid, "the sockets of this loop cannot change hands");
  }
};

}  // namespace evodb::base
