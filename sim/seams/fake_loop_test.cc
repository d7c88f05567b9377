#include "sim/seams/fake_loop.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace evodb::sim {
namespace {

using base::StreamId;

// Remembers what happened; a server side may echo.
class Recorder : public base::StreamEvents {
 public:
  explicit Recorder(FakeLoop& loop, bool echo = false) : loop_(loop), echo_(echo) {}
  void on_accept(StreamId s, std::string_view) override { accepted.push_back(s); }
  void on_connected(StreamId) override { connected = true; }
  void on_data(StreamId s, std::span<char> data) override {
    const std::string_view bytes(data);
    received += bytes;
    ++pieces;
    if (echo_) {
      pending_[s] += bytes;
      on_writable(s);
    }
  }
  void on_writable(StreamId s) override {
    ++writable;
    if (!echo_) return;
    std::string& p = pending_[s];
    p.erase(0, loop_.write(s, p));
  }
  void on_closed(StreamId, std::string_view why) override { closed = std::string(why); }

  std::vector<StreamId> accepted;
  bool connected = false;
  std::string received, closed;
  int pieces = 0, writable = 0;

 private:
  FakeLoop& loop_;
  bool echo_;
  std::map<StreamId, std::string> pending_;
};

struct World {
  explicit World(std::uint64_t seed = 1, bool echo = false, FakeNetworkOptions options = {})
      : network(seed, options),
        parent(network, "parent"),
        edge(network, "edge"),
        server(parent, echo),
        client(edge) {
    EXPECT_TRUE(parent.listen("parent:1", server));
    stream = *edge.dial("parent", 1, client);
  }
  FakeNetwork network;
  FakeLoop parent, edge;
  Recorder server, client;
  StreamId stream;
};

TEST(FakeLoop, ConnectsAndEchoesEveryByteInOrder) {
  World w(7, true);
  w.network.run_for(10);
  ASSERT_TRUE(w.client.connected);
  std::string sent;
  for (int i = 0; i < 20'000; ++i) sent += std::to_string(i);
  std::size_t at = 0;
  while (at < sent.size()) {
    at += w.edge.write(w.stream, std::string_view(sent).substr(at));
    w.network.run_for(1);
  }
  w.network.run_for(1000);
  EXPECT_EQ(w.client.received, sent);
  EXPECT_GE(w.server.pieces, 2);
}

TEST(FakeLoop, AWriteBeyondTheWindowIsShortAndWritableFollows) {
  World w;
  w.network.run_for(10);
  const std::string big(100'000, 'x');
  EXPECT_EQ(w.edge.write(w.stream, big), 64u << 10);
  EXPECT_EQ(w.edge.write(w.stream, big), 0u);
  w.network.run_for(100);
  EXPECT_GE(w.client.writable, 1);
}

TEST(FakeLoop, ACutLosesBytesInFlightAndBothSidesHear) {
  World w;
  w.network.run_for(10);
  w.edge.write(w.stream, "lost");
  w.network.cut("edge", "parent");
  w.edge.write(w.stream, "lost too");
  w.network.run_for(10);
  EXPECT_EQ(w.server.received, "");
  EXPECT_EQ(w.server.closed, "connection reset");
  EXPECT_EQ(w.client.closed, "connection reset");
  EXPECT_EQ(w.edge.stream_count() + w.parent.stream_count(), 0u);
}

TEST(FakeLoop, AGracefulCloseDeliversWhatWasTaken) {
  World w;
  w.network.run_for(10);
  w.edge.write(w.stream, "last words");
  w.edge.close(w.stream, false);
  w.network.run_for(10);
  EXPECT_EQ(w.server.received, "last words");
  EXPECT_EQ(w.server.closed, "the other side closed");
  EXPECT_EQ(w.client.closed, "");  // it closed by itself
}

TEST(FakeLoop, AOneWayPartitionDelaysOneDirection) {
  World w;
  w.network.run_for(10);
  w.network.partition("edge", "parent");
  w.edge.write(w.stream, "up");
  w.parent.write(w.server.accepted[0], "down");
  w.network.run_for(1000);
  EXPECT_EQ(w.server.received, "");
  EXPECT_EQ(w.client.received, "down");
  w.network.heal("edge", "parent");
  w.network.run_for(10);
  EXPECT_EQ(w.server.received, "up");
}

TEST(FakeLoop, PausedStreamsHoldTheWindow) {
  World w;
  w.network.run_for(10);
  w.parent.pause_reading(w.server.accepted[0], true);
  EXPECT_EQ(w.edge.write(w.stream, "held"), 4u);
  w.network.run_for(100);
  EXPECT_EQ(w.server.received, "");
  w.parent.pause_reading(w.server.accepted[0], false);
  w.network.run_for(100);
  EXPECT_EQ(w.server.received, "held");
}

TEST(FakeLoop, DiallingNobodyIsRefused) {
  World w;
  Recorder lonely(w.edge);
  ASSERT_TRUE(w.edge.dial("nowhere", 9, lonely));
  EXPECT_EQ(lonely.closed, "");
  w.network.run_for(10);
  EXPECT_EQ(lonely.closed, "connection refused");
}

TEST(FakeLoop, ACrashResetsPeersOrLeavesThemInTheDark) {
  World w;
  w.network.run_for(10);
  w.parent.crash(FakeLoop::Crash::kReset);
  w.network.run_for(10);
  EXPECT_EQ(w.client.closed, "connection reset");

  World dark;
  dark.network.run_for(10);
  bool fired = false;
  dark.parent.after(5, [&] { fired = true; });
  dark.parent.crash(FakeLoop::Crash::kSilent);
  dark.network.run_for(60'000);
  EXPECT_EQ(dark.client.closed, "");
  EXPECT_FALSE(fired);
  // The same name comes back and listens again.
  EXPECT_TRUE(dark.parent.listen("parent:1", dark.server));
}

TEST(FakeLoop, TimersAndPostsRunInOrderAtTheirTime) {
  World w;
  std::vector<int> order;
  std::int64_t when = 0;
  w.parent.after(50, [&] {
    order.push_back(3);
    when = w.parent.clock().monotonic().value;
  });
  const base::TimerId cancelled = w.parent.after(20, [&] { order.push_back(9); });
  w.parent.post([&] { order.push_back(1); });
  w.parent.post([&] { order.push_back(2); });
  w.parent.cancel(cancelled);
  EXPECT_TRUE(order.empty());
  w.network.run_until(base::MonotonicMillis(60));
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(when, 50);
  w.parent.set_wall_offset_ms(-1000);
  EXPECT_EQ(w.parent.clock().wall().value + 1000, w.edge.clock().wall().value);
}

TEST(FakeLoop, OneSeedIsOneHistory) {
  const auto history = [](std::uint64_t seed) {
    World w(seed, true);
    w.network.run_for(10);
    for (int i = 0; i < 50; ++i) {
      w.edge.write(w.stream, std::string(997, 'a'));
      w.network.run_for(1);
    }
    w.network.run_for(100);
    return w.network.trace_hash();
  };
  EXPECT_EQ(history(3), history(3));
  EXPECT_NE(history(3), history(4));
}

}  // namespace
}  // namespace evodb::sim
