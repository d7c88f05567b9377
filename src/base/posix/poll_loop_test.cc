#include "base/posix/poll_loop.h"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include <gtest/gtest.h>

#include "base/posix/epoll_loop.h"
#include "base/posix/socket_address.h"

namespace evodb::base {
namespace {

// The other side: a server on the parent's loop, in a thread of its own, that sends back what it
// gets.
class Echo final : public StreamEvents {
 public:
  Echo() : loop_(*EpollLoop::create()), address_(*loop_->listen("127.0.0.1:0", *this)) {
    thread_ = std::thread([this] { loop_->run(); });
  }
  ~Echo() override {
    loop_->stop();
    thread_.join();
  }
  std::uint16_t port() const { return parse_host_port(address_)->port; }
  void close_all() {
    loop_->post([this] {
      for (const StreamId s : streams_) loop_->close(s, false);
      streams_.clear();
    });
  }

  void on_accept(StreamId s, std::string_view) override {
    streams_.push_back(s);
    ++accepted;
  }
  void on_connected(StreamId) override {}
  void on_data(StreamId s, std::span<char> bytes) override {
    pending_.append(std::string_view(bytes));
    on_writable(s);
  }
  void on_writable(StreamId s) override { pending_.erase(0, loop_->write(s, pending_)); }
  void on_closed(StreamId s, std::string_view) override {
    std::erase(streams_, s);
    ++closed;
  }
  std::atomic<int> accepted = 0, closed = 0;

 private:
  std::unique_ptr<EpollLoop> loop_;
  std::string address_, pending_;
  std::vector<StreamId> streams_;
  std::thread thread_;
};

struct Client final : StreamEvents {
  explicit Client(PollLoop& l) : loop(l) {}
  void on_accept(StreamId, std::string_view) override {}
  void on_connected(StreamId) override { connected = true; }
  void on_data(StreamId, std::span<char> bytes) override {
    received.append(std::string_view(bytes));
  }
  void on_writable(StreamId s) override { send(s, ""); }
  void on_closed(StreamId, std::string_view why) override { closed = why; }
  void send(StreamId s, std::string_view bytes) {
    pending.append(bytes);
    pending.erase(0, loop.write(s, pending));
  }
  PollLoop& loop;
  bool connected = false;
  std::string received, closed, pending;
};

bool run_until(PollLoop& loop, const std::function<bool()>& done, int ms_max = 5'000) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms_max);
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    loop.run_once(20);
  }
  return true;
}

TEST(PollLoop, CarriesMoreBytesThanAnySocketBufferHoldsBothWays) {
  Echo echo;
  auto loop = *PollLoop::create();
  Client client(*loop);
  const StreamId s = *loop->dial("127.0.0.1", echo.port(), client);
  EXPECT_FALSE(client.connected);  // never before dial returns
  EXPECT_EQ(loop->write(s, "early"), 0u);
  ASSERT_TRUE(run_until(*loop, [&] { return client.connected; }));
  std::string sent;
  for (int i = 0; i < 20'000; ++i) sent += std::to_string(i) + " of a long text that repeats; ";
  for (int i = 0; i < 16; ++i) client.send(s, sent);
  ASSERT_TRUE(run_until(*loop, [&] { return client.received.size() == 16 * sent.size(); }, 30'000));
  for (int i = 0; i < 16; ++i) {
    ASSERT_EQ(client.received.compare(static_cast<std::size_t>(i) * sent.size(), sent.size(), sent),
              0);
  }
  loop->close(s, false);
  EXPECT_TRUE(run_until(*loop, [&] { return echo.closed == 1; }));
}

TEST(PollLoop, TellsWhyAConnectionWasRefusedOrEnded) {
  std::uint16_t port = 0;
  auto loop = *PollLoop::create();
  {
    Echo echo;
    port = echo.port();
    Client client(*loop);
    ASSERT_TRUE(loop->dial("127.0.0.1", port, client));
    // Connected is the kernel's word; the other loop may accept it only after what is posted there.
    ASSERT_TRUE(run_until(*loop, [&] { return client.connected && echo.accepted == 1; }));
    echo.close_all();
    ASSERT_TRUE(run_until(*loop, [&] { return !client.closed.empty(); }));
    EXPECT_EQ(client.closed, "the other side closed");
  }
  Client client(*loop);
  ASSERT_TRUE(loop->dial("127.0.0.1", port, client));
  ASSERT_TRUE(run_until(*loop, [&] { return !client.closed.empty(); }));
  EXPECT_EQ(client.closed, "cannot connect: Connection refused");
  EXPECT_FALSE(loop->dial("no such host", 1, client));
  EXPECT_FALSE(loop->listen("127.0.0.1:0", client));
}

TEST(PollLoop, AClosedStreamsIdIsReusedAndItsEventsDoNotReachTheNext) {
  Echo echo;
  auto loop = *PollLoop::create();
  Client first(*loop), second(*loop);
  const StreamId a = *loop->dial("127.0.0.1", echo.port(), first);
  ASSERT_TRUE(run_until(*loop, [&] { return first.connected; }));
  first.send(a, "for nobody");
  loop->close(a, true);
  const StreamId b = *loop->dial("127.0.0.1", echo.port(), second);
  EXPECT_EQ(a, b);
  ASSERT_TRUE(run_until(*loop, [&] { return second.connected; }));
  loop->run_once(50);
  EXPECT_EQ(first.received, "");
  EXPECT_EQ(first.closed, "");
  EXPECT_EQ(second.received, "");
}

TEST(PollLoop, TimersFireInOrderAndNotWhenCancelled) {
  auto loop = *PollLoop::create();
  std::string order;
  loop->after(30, [&] { order += 'c'; });
  loop->after(10, [&] { order += 'a'; });
  const TimerId never = loop->after(15, [&] { order += 'x'; });
  loop->after(20, [&] {
    order += 'b';
    loop->cancel(never);
  });
  loop->cancel(never);
  loop->cancel(TimerId(999));
  ASSERT_TRUE(run_until(*loop, [&] { return order.size() == 3; }));
  EXPECT_EQ(order, "abc");
}

TEST(PollLoop, ATimerThatSetsItselfAnewDoesNotStarveTheRest) {
  auto loop = *PollLoop::create();
  int fired = 0;
  std::function<void()> again = [&] {
    ++fired;
    loop->after(0, again);
  };
  again();
  bool posted = false;
  loop->post([&] { posted = true; });
  loop->run_once(0);
  EXPECT_TRUE(posted);
  EXPECT_LE(fired, 3);
}

TEST(PollLoop, WorkPostedByOtherThreadsRunsHereInOrder) {
  auto loop = *PollLoop::create();
  std::vector<int> got;
  std::thread other([&] {
    for (int i = 0; i < 1'000; ++i) loop->post([&got, i] { got.push_back(i); });
    loop->post([&] { loop->stop(); });
  });
  loop->run();
  other.join();
  ASSERT_EQ(got.size(), 1'000u);
  for (int i = 0; i < 1'000; ++i) EXPECT_EQ(got[static_cast<std::size_t>(i)], i);
}

PollLoop* signalled = nullptr;

TEST(PollLoop, StopsFromASignalHandlerAndBeforeRun) {
  auto loop = *PollLoop::create();
  loop->stop();
  loop->run();  // returns
  signalled = loop.get();
  const auto before = signal(SIGUSR1, [](int) { signalled->stop(); });
  std::thread other([pid = getpid()] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    kill(pid, SIGUSR1);
  });
  loop->run();
  other.join();
  signal(SIGUSR1, before);
}

TEST(PollLoop, AWatchedDescriptorIsReportedUntilPausedOrUnwatched) {
  auto loop = *PollLoop::create();
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  int seen = 0;
  loop->watch(ends[0], [&] {
    char c;
    seen += static_cast<int>(read(ends[0], &c, 1));
  });
  loop->run_once(0);
  EXPECT_EQ(seen, 0);
  ASSERT_EQ(write(ends[1], "abc", 3), 3);
  loop->run_once(1'000);
  EXPECT_EQ(seen, 1);
  loop->pause_watch(ends[0], true);
  loop->run_once(5);
  EXPECT_EQ(seen, 1);
  loop->pause_watch(ends[0], false);
  loop->run_once(1'000);
  EXPECT_EQ(seen, 2);
  loop->unwatch(ends[0]);
  loop->run_once(5);
  EXPECT_EQ(seen, 2);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(PollLoop, IdleItDoesNotWake) {
  auto loop = *PollLoop::create();
  loop->after(120, [&] { loop->stop(); });
  loop->run();
  EXPECT_LE(loop->wakeups(), 4u);
}

TEST(SystemRandom, GivesDifferentNumbersToEachAndBelowItsBound) {
  SystemRandom a, b;
  EXPECT_NE(a.next(), b.next());
  int low = 0;
  for (int i = 0; i < 10'000; ++i) low += a.below(10) < 5 ? 1 : 0;
  EXPECT_NEAR(low, 5'000, 400);
}

}  // namespace
}  // namespace evodb::base
