// The gate on real sockets: what the fake network cannot show (kernel buffers, partial writes, the
// loop's shared receive buffer unmasked in place).
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/posix/epoll_loop.h"
#include "base/posix/socket_address.h"
#include "gate/gate_test_world.h"

namespace evodb::gate {
namespace {

class SocketClient final : public base::StreamEvents {
 public:
  SocketClient(base::EpollLoop& loop, std::uint16_t port) : loop_(loop) {
    stream = *loop_.dial("127.0.0.1", port, *this);
  }
  void send(std::string_view bytes) {
    pending_ += bytes;
    pending_.erase(0, loop_.write(stream, pending_));
  }
  void on_accept(base::StreamId, std::string_view) override {}
  void on_connected(base::StreamId) override {}
  void on_data(base::StreamId, std::span<char> bytes) override {
    received += std::string_view(bytes);
  }
  void on_writable(base::StreamId s) override { pending_.erase(0, loop_.write(s, pending_)); }
  void on_closed(base::StreamId, std::string_view) override { closed = true; }

  base::StreamId stream;
  std::string received;
  bool closed = false;

 private:
  base::EpollLoop& loop_;
  std::string pending_;
};

const std::string upgrade =
    "GET /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

TEST(GateOnSockets, ManyChildrenSayHelloSendABatchAndHibernate) {
  auto loop = *base::EpollLoop::create();
  ScriptedIngest ingest;
  ScriptedHandlers handlers;
  auto gate = Gate::create(*loop, ingest, handlers, {});
  const std::uint16_t port = base::parse_host_port(*gate->listen("127.0.0.1:0"))->port;
  const auto run_until = [&](auto done) {
    // Gives up once nothing has moved for so many rounds: a busy machine moves less in each.
    std::uint64_t moved = 0;
    for (int still = 0; still < 5'000 && !done(); ++still) {
      loop->run_once(5);
      const std::uint64_t now = gate->stats().bytes_in + gate->stats().bytes_out;
      if (now != moved) still = 0;
      moved = now;
    }
    return done();
  };

  wire::Hello hello;
  hello.source = "db";
  hello.epoch = Epoch(1);
  const std::string body(300'000, 'x');  // more than one receive buffer; ingest here takes anything
  const std::string conversation =
      upgrade + TestClient::message_bytes(wire::WsOpcode::kBinary, wire::encode_frame(hello)) +
      TestClient::message_bytes(wire::WsOpcode::kBinary, wire::encode_frame(wire::Batch{body}));
  std::vector<std::unique_ptr<SocketClient>> clients;
  constexpr std::size_t count = 300;
  for (std::size_t i = 0; i < count; ++i) {
    clients.push_back(std::make_unique<SocketClient>(*loop, port));
    clients.back()->send(conversation);
  }
  ASSERT_TRUE(run_until([&] { return ingest.batches.size() == count; }));
  for (const auto& batch : ingest.batches) ASSERT_EQ(batch.body, body);
  EXPECT_EQ(gate->stats().children, count);
  EXPECT_EQ(gate->stats().held_bytes, 0u);

  ingest::Effects effects;
  for (const auto session : ingest.sessions) effects.acks.push_back({session, {Lsn(1), Lsn(0), 1}});
  for (auto& client : clients) client->received.clear();
  gate->deliver(effects);
  ASSERT_TRUE(run_until([&] {
    return std::ranges::all_of(clients, [](const auto& c) { return !c->received.empty(); });
  }));

  gate->drain("test");
  ASSERT_TRUE(run_until(
      [&] { return std::ranges::all_of(clients, [](const auto& c) { return c->closed; }); }));
  EXPECT_TRUE(gate->drained());
}

TEST(GateOnSockets, ARefusalArrivesThoughTheRequestGoesOn) {
  auto loop = *base::EpollLoop::create();
  ScriptedIngest ingest;
  ScriptedHandlers handlers;
  auto gate = Gate::create(*loop, ingest, handlers, {});
  const std::uint16_t port = base::parse_host_port(*gate->listen("127.0.0.1:0"))->port;
  SocketClient client(*loop, port);
  client.send("GET / HTTP/1.1\r\nX: " + std::string(2 << 20, 'x'));
  for (int i = 0; i < 1'000 && !client.closed; ++i) loop->run_once(5);
  EXPECT_TRUE(client.received.starts_with("HTTP/1.1 431")) << client.received.substr(0, 100);
}

}  // namespace
}  // namespace evodb::gate
