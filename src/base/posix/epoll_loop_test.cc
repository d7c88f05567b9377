#include "base/posix/epoll_loop.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/posix/socket_address.h"

namespace evodb::base {
namespace {

class Echo : public StreamEvents {
 public:
  explicit Echo(EpollLoop& loop) : loop_(loop) {}
  void on_accept(StreamId s, std::string_view peer) override {
    ++accepted;
    last_peer = std::string(peer);
    last = s;
  }
  void on_connected(StreamId) override {}
  void on_data(StreamId s, std::span<char> bytes) override {
    std::string& out = pending_[s.value];
    out += std::string_view(bytes);
    on_writable(s);
  }
  void on_writable(StreamId s) override {
    std::string& out = pending_[s.value];
    out.erase(0, loop_.write(s, out));
    if (out.empty()) pending_.erase(s.value);
  }
  void on_closed(StreamId s, std::string_view) override {
    ++closed;
    pending_.erase(s.value);
  }
  int accepted = 0, closed = 0;
  std::string last_peer;
  StreamId last;

 private:
  EpollLoop& loop_;
  std::map<std::uint32_t, std::string> pending_;
};

class Client : public StreamEvents {
 public:
  explicit Client(EpollLoop& loop) : loop_(loop) {}
  void on_accept(StreamId, std::string_view) override {}
  void on_connected(StreamId s) override {
    ++connected;
    on_writable(s);
  }
  void on_data(StreamId, std::span<char> bytes) override { received += std::string_view(bytes); }
  void on_writable(StreamId s) override { to_send.erase(0, loop_.write(s, to_send)); }
  void on_closed(StreamId, std::string_view why) override { closed = std::string(why); }
  int connected = 0;
  std::string to_send, received, closed;

 private:
  EpollLoop& loop_;
};

std::uint16_t port_of(const std::string& address) { return parse_host_port(address)->port; }

template <class Done>
bool run_until(EpollLoop& loop, Done done) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!done() && std::chrono::steady_clock::now() < deadline) loop.run_once(5);
  return done();
}

TEST(EpollLoop, EchoesMoreThanTheKernelTakesAtOnce) {
  auto loop = *EpollLoop::create();
  Echo echo(*loop);
  Client client(*loop);
  const std::string address = *loop->listen("127.0.0.1:0", echo);
  std::string sent;
  for (int i = 0; i < 1'000'000; ++i) sent += std::to_string(i);
  client.to_send = sent;
  const StreamId stream = *loop->dial("127.0.0.1", port_of(address), client);
  ASSERT_TRUE(run_until(*loop, [&] { return client.received.size() == sent.size(); }));
  EXPECT_EQ(client.received, sent);
  EXPECT_TRUE(echo.last_peer.starts_with("127.0.0.1:"));
  loop->close(stream, false);
  EXPECT_TRUE(run_until(*loop, [&] { return echo.closed == 1; }));
  EXPECT_TRUE(run_until(*loop, [&] { return loop->stats().lingering == 0; }));
  EXPECT_EQ(loop->stats().streams, 0u);
}

TEST(EpollLoop, OneThousandConnectionsShareOneBuffer) {
  auto loop = *EpollLoop::create();
  Echo echo(*loop);
  const std::string address = *loop->listen("127.0.0.1:0", echo);
  std::vector<std::unique_ptr<Client>> clients;
  std::vector<StreamId> streams;
  for (int i = 0; i < 1000; ++i) {
    clients.push_back(std::make_unique<Client>(*loop));
    clients.back()->to_send = "hello " + std::to_string(i);
    streams.push_back(*loop->dial("127.0.0.1", port_of(address), *clients.back()));
  }
  ASSERT_TRUE(run_until(*loop, [&] {
    for (int i = 0; i < 1000; ++i) {
      if (clients[i]->received != "hello " + std::to_string(i)) return false;
    }
    return true;
  }));
  EXPECT_EQ(echo.accepted, 1000);
  for (const StreamId s : streams) loop->close(s, true);
  EXPECT_TRUE(run_until(*loop, [&] { return echo.closed == 1000; }));
  EXPECT_EQ(loop->stats().streams, 0u);
}

TEST(EpollLoop, AnIdleLoopDoesNotWakeUp) {
  auto loop = *EpollLoop::create();
  Echo echo(*loop);
  Client client(*loop);
  const std::string address = *loop->listen("127.0.0.1:0", echo);
  ASSERT_TRUE(loop->dial("127.0.0.1", port_of(address), client));
  ASSERT_TRUE(run_until(*loop, [&] { return client.connected == 1 && echo.accepted == 1; }));
  const std::uint64_t before = loop->stats().wakeups;
  loop->run_once(100);
  EXPECT_EQ(loop->stats().wakeups, before + 1);
}

TEST(EpollLoop, AGracefulCloseDeliversLastWordsDespiteUnreadBytes) {
  auto loop = *EpollLoop::create();
  class Goodbye : public Echo {
   public:
    explicit Goodbye(EpollLoop& loop) : Echo(loop), l(loop) {}
    void on_data(StreamId s, std::span<char>) override {
      l.write(s, "good bye");
      l.close(s, false);
    }
    EpollLoop& l;
  } server(*loop);
  Client client(*loop);
  const std::string address = *loop->listen("127.0.0.1:0", server);
  client.to_send = std::string(4 << 20, 'x');  // most of it is never read by the server
  ASSERT_TRUE(loop->dial("127.0.0.1", port_of(address), client));
  ASSERT_TRUE(run_until(*loop, [&] { return !client.closed.empty(); }));
  EXPECT_EQ(client.received, "good bye");
  EXPECT_EQ(client.closed, "the other side closed");
}

TEST(EpollLoop, ReportsARefusedDialAfterDialReturned) {
  auto loop = *EpollLoop::create();
  Echo echo(*loop);
  const std::uint16_t port = port_of(*loop->listen("127.0.0.1:0", echo));
  loop->stop_listening();
  Client client(*loop);
  auto stream = loop->dial("127.0.0.1", port, client);
  if (stream) {
    EXPECT_EQ(client.closed, "");
    ASSERT_TRUE(run_until(*loop, [&] { return !client.closed.empty(); }));
    EXPECT_NE(client.closed.find("refused"), std::string::npos);
  }
}

TEST(EpollLoop, PausedReadingLeavesBytesInTheKernel) {
  auto loop = *EpollLoop::create();
  Echo echo(*loop);
  Client client(*loop);
  const std::string address = *loop->listen("127.0.0.1:0", echo);
  const StreamId stream = *loop->dial("127.0.0.1", port_of(address), client);
  ASSERT_TRUE(run_until(*loop, [&] { return client.connected == 1 && echo.accepted == 1; }));
  loop->pause_reading(echo.last, true);
  loop->write(stream, "later");
  for (int i = 0; i < 5; ++i) loop->run_once(2);
  EXPECT_EQ(client.received, "");
  loop->pause_reading(echo.last, false);
  EXPECT_TRUE(run_until(*loop, [&] { return client.received == "later"; }));
}

TEST(EpollLoop, TimersFireInOrderAndCancelledOnesDoNot) {
  auto loop = *EpollLoop::create();
  std::vector<int> order;
  loop->after(20, [&] { order.push_back(2); });
  loop->after(1, [&] { order.push_back(1); });
  const TimerId cancelled = loop->after(5, [&] { order.push_back(9); });
  loop->cancel(cancelled);
  loop->after(30, [&] {
    order.push_back(3);
    loop->stop();
  });
  loop->run();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(loop->stats().timers, 0u);
}

TEST(EpollLoop, PostsFromOtherThreadsRunInOrderOnTheLoop) {
  auto loop = *EpollLoop::create();
  std::vector<int> seen;
  std::thread other([&] {
    for (int i = 0; i < 10'000; ++i) loop->post([&seen, i] { seen.push_back(i); });
    loop->post([&] { loop->stop(); });
  });
  loop->run();
  other.join();
  ASSERT_EQ(seen.size(), 10'000u);
  for (int i = 0; i < 10'000; ++i) ASSERT_EQ(seen[i], i);
}

// Blocking work waits until somebody else has let it go on: with one thread it would for ever.
void serves_others_while_blocking_work_runs(const EpollLoopOptions& options) {
  auto loop = *EpollLoop::create(options);
  Echo echo(*loop);
  Client client(*loop);
  const std::string address = *loop->listen("127.0.0.1:0", echo);
  std::promise<void> go_on;
  bool after_ran = false;
  loop->post([&] {
    loop->run_blocking([&] {
      go_on.get_future().wait();
      return [&] {
        after_ran = true;
        EXPECT_EQ(client.received, "hello");
        loop->stop();
      };
    });
    client.to_send = "hello";
    ASSERT_TRUE(loop->dial("127.0.0.1", port_of(address), client));
  });
  std::function<void()> look = [&] {
    if (client.received == "hello") return go_on.set_value();
    loop->after(1, look);
  };
  loop->after(1, look);
  loop->run(2);
  EXPECT_TRUE(after_ran);
}

TEST(EpollLoop, ServesOthersWhileBlockingWorkRuns) {
  serves_others_while_blocking_work_runs({});
  // Never taken for quick: the other thread is called before the work, not by the timer.
  serves_others_while_blocking_work_runs(
      {.quick_work_us_max = 0, .delayed_wakeup_us = 900'000'000});
  // Always taken for quick: by the timer, if what asked for it came alone.
  serves_others_while_blocking_work_runs(
      {.quick_work_us_max = 900'000'000, .delayed_wakeup_us = 100});
}

// A timer that is due while quick work runs: it fires beside the work if the other thread was woken
// for that. The work must have been asked for alone and after a wait, which a slow machine may
// spoil.
TEST(EpollLoop, DoesNotWakeTheOtherThreadForQuickWorkThatCameAlone) {
  auto loop =
      *EpollLoop::create({.quick_work_us_max = 900'000'000, .delayed_wakeup_us = 900'000'000});
  int tries = 0;
  std::atomic<bool> fired = false;
  bool alone = false;
  std::function<void()> attempt = [&] {
    fired = false;
    loop->after(1, [&] { fired = true; });
    loop->run_blocking([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      const bool beside = fired;
      return [&, beside] {
        alone = !beside;
        if (alone || ++tries == 50) return loop->stop();
        loop->after(10, attempt);
      };
    });
  };
  loop->after(10, attempt);
  loop->run(2);
  EXPECT_TRUE(alone) << "woken in each of " << tries << " tries";
}

// Each piece asks for the next one: from its outcome, from a handler, from posted work. Nothing
// here is locked or atomic, so that ThreadSanitizer sees whoever runs without having the turn.
TEST(EpollLoop, BlockingWorkRunsInOrderAndItsOutcomesOnTheLoop) {
  auto loop = *EpollLoop::create();
  int on_loop = 0, begun = 0, ended = 0, ticks = 0;
  std::function<void()> ask = [&] {
    const int number = begun++;
    loop->run_blocking([&, number] {
      return [&, number] {
        EXPECT_EQ(number, ended++);
        ++on_loop;
        if (ended == 3'000) return loop->stop();
        if (begun < 3'000) ask();
      };
    });
  };
  std::function<void()> tick = [&] {
    ++on_loop;
    ++ticks;
    loop->after(0, tick);
  };
  loop->post(tick);
  for (int i = 0; i < 3; ++i) loop->post(ask);
  std::thread other([&] {
    for (int i = 0; i < 10'000; ++i) loop->post([&] { ++on_loop; });
  });
  loop->run(2);
  other.join();
  EXPECT_EQ(ended, 3'000);
  EXPECT_GT(ticks, 0);
}

TEST(EpollLoop, WhoWaitsForEventsHearsOfATimerThatAnOutcomeSets) {
  auto loop = *EpollLoop::create();
  const auto began = std::chrono::steady_clock::now();
  loop->after(60'000, [] {});
  loop->post([&] {
    loop->run_blocking([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the other one waits by now
      return [&] { loop->after(5, [&] { loop->stop(); }); };
    });
  });
  loop->run(2);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(30));
}

TEST(EpollLoop, AnOutcomeMayRestTheSocketsAndWakeThem) {
  auto loop = *EpollLoop::create();
  Echo echo(*loop);
  Client client(*loop);
  const std::string address = *loop->listen("127.0.0.1:0", echo);
  const auto beside = [&](std::function<void()> then) {
    loop->run_blocking([then] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      return then;
    });
  };
  loop->post([&] {
    beside([&] {
      ASSERT_TRUE(loop->rest_sockets(true));
      client.to_send = "hello";
      ASSERT_TRUE(loop->dial("127.0.0.1", port_of(address), client));
      beside([&] {
        EXPECT_EQ(client.connected, 0);
        EXPECT_EQ(echo.accepted, 0);
        ASSERT_TRUE(loop->rest_sockets(false));
      });
    });
  });
  std::function<void()> look = [&] {
    if (client.received == "hello") return loop->stop();
    loop->after(1, look);
  };
  loop->after(1, look);
  loop->run(2);
  EXPECT_EQ(client.received, "hello");
}

TEST(EpollLoop, OneThreadDoesBlockingWorkItself) {
  auto loop = *EpollLoop::create();
  int step = 0;
  loop->run_blocking([&] {
    EXPECT_EQ(step++, 0);
    return [&] { EXPECT_EQ(step++, 1); };
  });
  EXPECT_EQ(step, 0);
  loop->run_once(0);
  EXPECT_EQ(step, 2);
}

TEST(EpollLoop, ListenSaysWhatIsWrong) {
  auto loop = *EpollLoop::create();
  Echo echo(*loop);
  const std::string address = *loop->listen("127.0.0.1:0", echo);
  auto second = EpollLoop::create();
  const auto taken = (*second)->listen(address, echo);
  ASSERT_FALSE(taken);
  EXPECT_NE(taken.error().text.find("choose another address"), std::string::npos);
  EXPECT_FALSE(loop->listen("nonsense", echo));
  EXPECT_FALSE(loop->listen("127.0.0.1:99999", echo));
}

// Out of descriptors: the loop must pause, not spin, serve whom it has, and go on when one is free.
int out_of_descriptors() {
  const rlimit few{40, 40};
  if (setrlimit(RLIMIT_NOFILE, &few) != 0) return 1;
  auto loop = *EpollLoop::create();
  Echo echo(*loop);
  const std::string address = *loop->listen("127.0.0.1:0", echo);
  // Clients in another process, with descriptors of their own.
  int ready[2];
  if (pipe(ready) != 0) return 2;
  const pid_t child = fork();
  if (child == 0) {
    const SocketAddress to = *resolve("127.0.0.1", port_of(address), false);
    loop.reset();
    std::vector<int> fds;
    for (int i = 0; i < 30; ++i) {
      const int fd = socket(AF_INET, SOCK_STREAM, 0);
      if (fd < 0 || connect(fd, reinterpret_cast<const sockaddr*>(&to.storage), to.size) != 0) {
        _exit(1);
      }
      fds.push_back(fd);
    }
    // The parent takes fewer; closing some lets the others in.
    usleep(200'000);
    for (int i = 0; i < 15; ++i) close(fds[i]);
    for (int i = 15; i < 30; ++i) {
      char c;
      if (send(fds[i], "x", 1, 0) != 1 || recv(fds[i], &c, 1, 0) != 1) _exit(2);
    }
    _exit(0);
  }
  // Take descriptors away so that 30 connections do not fit.
  std::vector<int> hogs;
  for (int i = 0; i < 12; ++i) hogs.push_back(dup(0));
  const std::int64_t end = loop->clock().monotonic().value + 150;
  while (loop->clock().monotonic().value < end) loop->run_once(20);
  if (loop->stats().accept_pauses == 0) return 3;
  if (loop->stats().wakeups > 200) return 4;  // spinning
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) loop->run_once(20);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return 5;
  return echo.accepted == 30 ? 0 : 6;
}

TEST(EpollLoop, OutOfDescriptorsItPausesAcceptingAndGoesOn) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(out_of_descriptors());
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

// Eight streams that take a millisecond a turn, and one that is quick.
class Slow : public Echo {
 public:
  using Echo::Echo;
  void on_data(StreamId s, std::span<char> bytes) override {
    turns.push_back(s.value);
    if (bytes[0] != 's') return;
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1);
    while (std::chrono::steady_clock::now() < end) {
    }
  }
  std::vector<std::uint32_t> turns;
};

TEST(EpollLoop, ThoseWithShortTurnsComeFirstAndTheOthersAllGetOne) {
  auto loop = *EpollLoop::create({.receive_buffer_bytes = 64});
  Slow slow(*loop);
  const std::string address = *loop->listen("127.0.0.1:0", slow);
  const SocketAddress to = *resolve("127.0.0.1", port_of(address), false);
  std::vector<int> fds;
  for (int i = 0; i < 9; ++i) {
    fds.push_back(socket(AF_INET, SOCK_STREAM, 0));
    ASSERT_EQ(connect(fds.back(), reinterpret_cast<const sockaddr*>(&to.storage), to.size), 0);
    while (slow.accepted <= i) loop->run_once(5);
  }
  const std::uint32_t quick = slow.last.value;
  for (int turn = 0; turn < 5; ++turn) {  // so that it is no new connection any more
    ASSERT_EQ(send(fds[8], "q", 1, 0), 1);
    const std::size_t before = slow.turns.size();
    while (slow.turns.size() == before) loop->run_once(5);
  }
  const std::string flood(4'000, 's');  // far more than one turn takes
  for (int i = 0; i < 8; ++i) ASSERT_EQ(send(fds[i], flood.data(), flood.size(), 0), 4'000);
  for (int i = 0; i < 60; ++i) loop->run_once(0);  // all are known for their long turns

  slow.turns.clear();
  ASSERT_EQ(send(fds[8], "q", 1, 0), 1);
  loop->run_once(0);
  ASSERT_GE(slow.turns.size(), 2u);
  EXPECT_EQ(slow.turns[0], quick);
  EXPECT_EQ(slow.turns.size(), 2u);  // one long turn is more than the round has for them

  slow.turns.clear();
  for (int i = 0; i < 8; ++i) loop->run_once(0);
  EXPECT_EQ(std::set<std::uint32_t>(slow.turns.begin(), slow.turns.end()).size(), 8u);
  for (const int fd : fds) ::close(fd);
}

// What is kept for others is never given to connections, nor to those that linger.
TEST(EpollLoop, NeverHoldsMoreStreamsThanItMay) {
  auto loop = *EpollLoop::create({.streams_max = 8});
  Echo echo(*loop);
  const std::string address = *loop->listen("127.0.0.1:0", echo);
  const SocketAddress to = *resolve("127.0.0.1", port_of(address), false);
  std::vector<int> fds;
  const auto come = [&](int n) {
    for (int i = 0; i < n; ++i) {
      fds.push_back(socket(AF_INET, SOCK_STREAM, 0));
      ASSERT_EQ(connect(fds.back(), reinterpret_cast<const sockaddr*>(&to.storage), to.size), 0);
    }
    for (int i = 0; i < 10; ++i) loop->run_once(5);
  };
  come(12);
  EXPECT_EQ(loop->stats().streams, 8u);
  EXPECT_GT(loop->stats().accept_pauses, 0u);
  for (int i = 0; i < 3; ++i) ::close(fds[i]);
  for (int i = 0; i < 20; ++i) loop->run_once(10);
  EXPECT_EQ(loop->stats().streams, 8u);  // three of those that waited came in
  EXPECT_EQ(echo.accepted, 11);
  for (std::size_t i = 3; i < fds.size(); ++i) ::close(fds[i]);
}

TEST(SocketAddress, ParsesAndRefuses) {
  EXPECT_EQ(parse_host_port("[::1]:80")->host, "::1");
  EXPECT_EQ(parse_host_port("localhost:0")->port, 0);
  for (const char* bad : {"", ":", "80", "host:", "host:x", "host:70000", "::1:80", "[]:1"}) {
    EXPECT_FALSE(parse_host_port(bad)) << bad;
  }
}

// As two processes share sockets: each has descriptors of its own for the same ones.
TEST(EpollLoop, SocketsChangeHandsWithoutBeingClosed) {
  auto old_loop = *EpollLoop::create(), new_loop = *EpollLoop::create();
  Echo old_echo(*old_loop), new_echo(*new_loop);
  const std::string address = *old_loop->listen("127.0.0.1:0", old_echo);
  const HostPort where = *parse_host_port(address);
  const auto dial = [&] {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    const SocketAddress to = *resolve(where.host, where.port, false);
    EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&to.storage), to.size), 0);
    return fd;
  };
  const int before = dial();
  while (old_echo.accepted == 0) old_loop->run_once(100);

  ASSERT_TRUE(old_loop->rest_sockets(true));
  EXPECT_EQ(send(before, "meanwhile", 9, 0), 9);
  const int waiting = dial();
  bool ran = false;
  old_loop->after(5, [&] { ran = true; });
  const auto wakeups = old_loop->stats().wakeups;
  for (int i = 0; i < 5; ++i) old_loop->run_once(10);
  EXPECT_TRUE(ran) << "timers go on";
  EXPECT_EQ(old_loop->stats().wakeups - wakeups, 5u) << "and nothing spins";
  EXPECT_EQ(old_echo.accepted, 1);

  ASSERT_TRUE(new_loop->rest_sockets(true));
  for (const int fd : old_loop->listener_descriptors()) {
    ASSERT_TRUE(new_loop->adopt_listener(dup(fd)));
  }
  const auto stream = new_loop->adopt_stream(dup(old_loop->descriptor(old_echo.last)));
  ASSERT_TRUE(stream);
  EXPECT_FALSE(new_loop->adopt_listener(dup(old_loop->descriptor(old_echo.last))));
  new_loop->give_stream(*stream, new_echo);
  EXPECT_EQ(*new_loop->give_listeners(new_echo), address);
  old_loop.reset();  // closes its descriptors, and nothing else
  ASSERT_TRUE(new_loop->rest_sockets(false));
  while (new_echo.accepted == 0) new_loop->run_once(100);
  for (int i = 0; i < 5; ++i) new_loop->run_once(10);
  char answer[16] = {};
  EXPECT_EQ(recv(before, answer, sizeof answer, MSG_DONTWAIT), 9);
  EXPECT_EQ(std::string(answer), "meanwhile");
  EXPECT_EQ(send(waiting, "late", 4, 0), 4);
  for (int i = 0; i < 5; ++i) new_loop->run_once(10);
  EXPECT_EQ(recv(waiting, answer, sizeof answer, MSG_DONTWAIT), 4);
  EXPECT_EQ(new_echo.closed, 0);
  ::close(before);
  ::close(waiting);
}

}  // namespace
}  // namespace evodb::base
