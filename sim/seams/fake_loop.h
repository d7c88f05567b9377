// FakeLoop: base::Loop of one simulated process, on a FakeNetwork's virtual time.
//
//   FakeLoop loop(network, "edge-7");
//   loop.set_wall_offset_ms(-3'600'000);   // a clock that jumped an hour back
//   loop.crash(FakeLoop::Crash::kSilent);  // power loss: the others are not told
//
// Destroying it is kill -9: posted work and timers are forgotten, bytes not yet delivered are lost,
// and the other ends hear on_closed, as a kernel would tell them.
//
// post() is not for other threads here: the simulated world has one.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/loop.h"
#include "sim/seams/fake_network.h"

namespace evodb::sim {

class FakeLoop final : public base::Loop {
 public:
  FakeLoop(FakeNetwork& network, std::string name);
  FakeLoop(const FakeLoop&) = delete;
  FakeLoop& operator=(const FakeLoop&) = delete;
  ~FakeLoop() override;

  void post(std::function<void()> work) override;
  base::Clock& clock() override { return clock_; }
  base::TimerId after(std::int64_t delay_ms, std::function<void()> work) override;
  void cancel(base::TimerId timer) override { timers_.erase(timer.value); }
  Result<std::string> listen(const std::string& address, base::StreamEvents& events) override;
  void stop_listening() override;
  Result<base::StreamId> dial(const std::string& host, std::uint16_t port,
                              base::StreamEvents& events) override;
  std::size_t write(base::StreamId stream, std::string_view bytes) override;
  void pause_reading(base::StreamId stream, bool paused) override;
  void close(base::StreamId stream, bool abort) override;
  Result<void> rest_sockets(bool rest) override;
  void give_stream(base::StreamId stream, base::StreamEvents& events) override;
  Result<std::string> give_listeners(base::StreamEvents& events) override;

  // --- for tests --------------------------------------------------------------------------------
  enum class Crash : std::uint8_t {
    kReset,   // the process died, its kernel lives: the others hear of it
    kSilent,  // the machine died: the others hear nothing
  };
  // Everything of this loop is forgotten; it may be used again as a new process (same name).
  void crash(Crash how);
  void set_wall_offset_ms(std::int64_t ms) { wall_offset_ms_ = ms; }
  const std::string& name() const { return name_; }
  std::size_t stream_count() const;
  std::size_t timer_count() const { return timers_.size(); }

 private:
  friend class FakeNetwork;

  class FakeClock final : public base::Clock {
   public:
    explicit FakeClock(FakeLoop& loop) : loop_(loop) {}
    UnixMillis wall() override;
    base::MonotonicMillis monotonic() override { return loop_.network_.now(); }

   private:
    FakeLoop& loop_;
  };
  struct Slot {
    FakeNetwork::ConnectionPtr connection;  // null: free
    int end = 0;
  };

  base::StreamId add_stream(FakeNetwork::ConnectionPtr connection, int end);
  void remove_stream(base::StreamId stream);
  Slot& slot(base::StreamId stream);

  FakeNetwork& network_;
  std::string name_;
  std::uint32_t id_;  // a new one for each life
  FakeClock clock_{*this};
  std::int64_t wall_offset_ms_ = 0;
  bool dead_ = false;
  bool resting_ = false;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::vector<std::string> addresses_;
  std::set<std::uint64_t> timers_;
  std::uint64_t timer_next_ = 1;
};

}  // namespace evodb::sim
