#include "gate/gate.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <zstd.h>

#include "gate/connection.h"
#include "gate/gate_test_world.h"
#include "gate/inflate.h"

namespace evodb::gate {
namespace {

using wire::WsOpcode;

std::string batch_body() {
  wire::BatchWriter writer;
  writer.reset(Lsn(0), ChainHash(0));
  wire::TableDef def{.name = "t", .columns = {{.name = "a"}}};
  writer.add_table(0, def);
  std::string row;
  wire::put_value(row, ValueView::of_integer(7));
  writer.add_change(Op::kInsert, 0, def.fingerprint(), Lsn(1), TxnId(1), UnixMillis(1), {}, {},
                    {true, 1, row});
  return writer.finish();
}

const std::string get = "GET /status?x=1 HTTP/1.1\r\nHost: parent\r\n\r\n";

// --- HTTP ---------------------------------------------------------------------------------------

TEST(GateHttp, AnswersPipelinedRequestsInOrderOnOneConnection) {
  GateWorld w;
  auto c = w.client();
  c->send(get + "HEAD /h HTTP/1.1\r\nHost: p\r\n\r\n" + get);
  EXPECT_EQ(w.handlers.requests,
            (std::vector<std::string>{"GET /status?x=1", "HEAD /h?", "GET /status?x=1"}));
  EXPECT_EQ(w.gate->stats().http_requests, 3u);
  EXPECT_FALSE(c->closed());
  EXPECT_EQ(w.gate->stats().held_bytes, 0u);
  c->send("GET /last HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(c->closed());
  EXPECT_TRUE(c->received.ends_with("you asked for /last"));
}

TEST(GateHttp, ALateAnswerHoldsFurtherRequestsBack) {
  GateWorld w;
  auto c = w.client();
  c->send("POST /later HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\nhi" + get);
  EXPECT_EQ(w.handlers.requests.size(), 1u);
  EXPECT_EQ(c->received, "");
  w.network.run_for(60'000);  // a handler may take its time
  EXPECT_FALSE(c->closed());
  w.handlers.later[0]({.status = 202, .body = "done"});
  w.handlers.later[0]({.status = 500, .body = "twice"});
  w.network.run_for(50);
  EXPECT_EQ(w.handlers.requests.size(), 2u);
  EXPECT_TRUE(c->received.starts_with("HTTP/1.1 202 Accepted"));
  EXPECT_EQ(c->received.find("twice"), std::string::npos);
}

TEST(GateHttp, ALateAnswerToAConnectionThatIsGoneIsNothing) {
  GateWorld w;
  {
    auto c = w.client();
    c->send("GET /later HTTP/1.1\r\nHost: p\r\n\r\n");
  }
  w.network.run_for(50);
  auto other = w.client();  // takes the id
  w.handlers.later[0]({});
  w.network.run_for(50);
  EXPECT_EQ(other->received, "");
  auto late = w.client();
  late->send("GET /later HTTP/1.1\r\nHost: p\r\n\r\n");
  w.gate.reset();
  w.handlers.later[1]({});
}

TEST(GateHttp, RefusalsSayWhatToDoAndClose) {
  GateWorld w;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"\x16\x03\x01", "HTTP/1.1 400"},
      {"GET / HTTP/3.0\r\n\r\n", "HTTP/1.1 505"},
      {"GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(30'000, 'x'), "HTTP/1.1 431"},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n", "HTTP/1.1 413"},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 411"},
      {"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
       "Sec-WebSocket-Version: 7\r\nSec-WebSocket-Key: x\r\n\r\n",
       "HTTP/1.1 426"},
  };
  for (const auto& [bytes, expected] : cases) {
    auto c = w.client();
    c->send(bytes);
    EXPECT_TRUE(c->received.starts_with(expected)) << c->received;
    EXPECT_TRUE(c->closed()) << bytes;
  }
  const GateStats stats = w.gate->stats();
  EXPECT_EQ(stats.refused_malformed_http, 3u);
  EXPECT_EQ(stats.refused_header_size, 1u);
  EXPECT_EQ(stats.refused_size, 1u);
  EXPECT_EQ(stats.refused_websocket, 1u);
  EXPECT_EQ(stats.connections, 0u);
  EXPECT_EQ(stats.held_bytes, 0u);
}

TEST(GateHttp, UnknownMethodsGet405) {
  GateWorld w;
  auto c = w.client();
  c->send("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(c->received.starts_with("HTTP/1.1 405"));
  EXPECT_NE(c->received.find("Allow: GET, HEAD, POST"), std::string::npos);
  EXPECT_TRUE(w.handlers.requests.empty());
}

TEST(GateHttp, HandlersAnswerWhatWouldWrite) {
  GateWorld w;
  auto c = w.client();
  for (const char* method : {"DELETE", "PUT", "PATCH"}) {
    c->send(std::string(method) + " /x HTTP/1.1\r\nHost: h\r\n\r\n");
  }
  EXPECT_EQ(w.handlers.requests, (std::vector<std::string>{"DELETE /x?", "PUT /x?", "PATCH /x?"}));
}

TEST(GateHttp, NoContentHasNoLengthAndFurtherHeadersAreSent) {
  GateWorld w;
  auto c = w.client();
  c->send("GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(c->received.starts_with("HTTP/1.1 204 No Content\r\n"));
  EXPECT_EQ(c->received.find("Content-Length"), std::string::npos);
  EXPECT_EQ(c->received.find("Content-Type:"), std::string::npos);
  EXPECT_NE(c->received.find("\r\nX-Why: none\r\n"), std::string::npos);
  c->received.clear();
  c->send(get);
  EXPECT_TRUE(c->received.starts_with("HTTP/1.1 200"));
}

TEST(GateHttp, SlowLorisIsCutAtTheTimeLimit) {
  GateWorld w;
  auto c = w.client();
  c->send("GET / HTTP/1.1\r\n");
  for (int i = 0; i < 9 && !c->closed(); ++i) {
    c->send("X-" + std::to_string(i) + ": a\r\n");
    w.network.run_for(1000);
  }
  EXPECT_FALSE(c->closed());
  w.network.run_for(2'500);
  EXPECT_TRUE(c->received.starts_with("HTTP/1.1 408")) << c->received;
  EXPECT_TRUE(c->closed());
  EXPECT_EQ(w.gate->stats().refused_header_time, 1u);
}

TEST(GateHttp, AKeptAliveConnectionEndsWithoutARefusal) {
  GateWorld w;
  auto c = w.client();
  c->send(get);
  c->received.clear();
  w.network.run_for(11'000);
  EXPECT_TRUE(c->closed());
  EXPECT_EQ(c->received, "");
  EXPECT_EQ(w.gate->stats().refused_header_time, 0u);
}

TEST(GateHttp, TooManyConnectionsGet503) {
  GateWorld w({.connections_max = 2});
  auto a = w.client(), b = w.client(), c = w.client();
  w.network.run_for(20);
  EXPECT_TRUE(c->received.starts_with("HTTP/1.1 503"));
  EXPECT_TRUE(c->closed());
  EXPECT_EQ(w.gate->stats().refused_connections_max, 1u);
  a->leave();
  auto d = w.client();
  d->send(get);
  EXPECT_TRUE(d->received.starts_with("HTTP/1.1 200"));
}

TEST(GateHttp, ALargeAnswerLeavesInPiecesAndTheBufferIsFreed) {
  GateWorld w;
  auto c = w.client();
  c->send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
  w.network.run_for(1000);
  EXPECT_TRUE(c->received.ends_with("bbb"));
  EXPECT_GT(c->received.size(), 1u << 20);
  EXPECT_EQ(w.gate->stats().held_bytes, 0u);
}

TEST(GateHttp, AnAnswerOverEveryLimitOfOutputLeavesAsItsReaderTakesIt) {
  GateWorld w({.output_bytes_max = 64u << 10});
  auto c = w.client();
  c->pause(true);
  c->send("GET /huge HTTP/1.1\r\nHost: h\r\n\r\n" + get);
  EXPECT_EQ(w.handlers.requests.size(), 1u);  // what follows waits
  EXPECT_GT(w.gate->stats().held_bytes, 8u << 20);
  EXPECT_EQ(w.handlers.kept.use_count(), 2);
  w.network.run_for(3'000);
  c->pause(false);
  w.network.run_for(3'000);
  EXPECT_EQ(std::count(c->received.begin(), c->received.end(), '#'), 8 << 20);
  EXPECT_TRUE(c->received.ends_with("you asked for /status"));
  EXPECT_EQ(w.handlers.kept.use_count(), 1);
  EXPECT_EQ(w.gate->stats().held_bytes, 0u);
  c->send(get);
  EXPECT_EQ(w.handlers.requests.size(), 3u);
}

TEST(GateHttp, WhoTakesNothingOfAnAnswerIsReset) {
  GateWorld w;
  auto c = w.client();
  c->pause(true);
  c->send("GET /huge HTTP/1.1\r\nHost: h\r\n\r\n");
  w.network.run_for(4'000);
  EXPECT_EQ(w.gate->stats().connections, 1u);
  w.network.run_for(3'000);
  EXPECT_EQ(w.gate->stats().connections, 0u);
  EXPECT_EQ(w.gate->stats().refused_slow_reader, 1u);
  EXPECT_EQ(w.gate->stats().held_bytes, 0u);
  EXPECT_EQ(w.handlers.kept.use_count(), 1);
}

TEST(GateHttp, WhoTakesALittleOfAnAnswerForEverIsResetInTheEnd) {
  GateWorld w({.message_ms_max = 20'000});
  w.network.options().window_bytes = 1u << 10;
  auto c = w.client();
  c->send("GET /huge HTTP/1.1\r\nHost: h\r\n\r\n");
  for (int s = 0; s < 18; ++s) {
    c->pause(true);
    w.network.run_for(999);
    c->pause(false);
    w.network.run_for(1);
  }
  EXPECT_EQ(w.gate->stats().connections, 1u);
  c->pause(true);
  w.network.run_for(4'000);
  EXPECT_EQ(w.gate->stats().connections, 0u);
  EXPECT_EQ(w.handlers.kept.use_count(), 1);
}

TEST(GateHttp, AnAnswerWhoseReaderWentAwayIsLetGo) {
  GateWorld w;
  auto c = w.client();
  c->pause(true);
  c->send("GET /huge HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(w.handlers.kept.use_count(), 2);
  c.reset();
  w.network.run_for(100);
  EXPECT_EQ(w.gate->stats().connections, 0u);
  EXPECT_EQ(w.handlers.kept.use_count(), 1);
  auto late = w.client();
  late->send("GET /huge HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  w.network.run_for(3'000);
  EXPECT_TRUE(late->closed());
  EXPECT_EQ(std::count(late->received.begin(), late->received.end(), '#'), 8 << 20);
}

TEST(GateHttp, LastWordsWaitForASlowReaderButNotForOneThatTakesNothing) {
  GateWorld w;
  w.network.options().window_bytes = 4u << 10;
  auto slow = w.client();
  auto stuck = w.client();
  stuck->pause(true);
  for (TestClient* c : {slow.get(), stuck.get()}) {
    c->send("GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  }
  for (int i = 0; i < 8; ++i) {  // a few pieces every second
    slow->pause(true);
    w.network.run_for(1000);
    slow->pause(false);
    w.network.run_for(2);
  }
  EXPECT_FALSE(slow->closed());
  EXPECT_EQ(w.gate->stats().connections, 1u);  // the stuck one was reset
  w.network.run_for(5000);
  EXPECT_TRUE(slow->received.ends_with("bbb"));
  EXPECT_TRUE(slow->closed());
  EXPECT_EQ(w.gate->stats().held_bytes, 0u);
}

// --- WebSocket ----------------------------------------------------------------------------------

TEST(GateWebSocket, UpgradesOnAnyPathAndAnswersPings) {
  GateWorld w;
  for (const char* path : {"/", "/ws", "/a/b?c=d"}) {
    auto c = w.client();
    c->upgrade(path);
    ASSERT_TRUE(c->upgraded) << path;
    c->text("ping");
    auto m = c->next();
    EXPECT_EQ(m.opcode, WsOpcode::kText);
    EXPECT_EQ(m.payload, "pong");
    c->send(TestClient::message_bytes(WsOpcode::kPing, "abc"));
    m = c->next();
    EXPECT_EQ(m.opcode, WsOpcode::kPong);
    EXPECT_EQ(m.payload, "abc");
    EXPECT_EQ(w.gate->stats().held_bytes, 0u);
  }
}

TEST(GateWebSocket, BytesBehindTheUpgradeAreItsFirstMessage) {
  GateWorld w;
  auto c = w.client();
  c->send(
      "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n" +
      TestClient::message_bytes(WsOpcode::kText, "ping"));
  EXPECT_TRUE(c->received.ends_with("\x81\x04pong"));
}

TEST(GateWebSocket, CloseIsEchoedAndTheConnectionEnds) {
  GateWorld w;
  auto c = w.websocket();
  std::string close;
  const std::uint32_t mask = 1;
  wire::encode_ws_close(close, wire::WsClose::kNormal, "bye", &mask);
  c->send(close);
  const auto m = c->next();
  EXPECT_EQ(m.opcode, WsOpcode::kClose);
  EXPECT_EQ(m.close_code(), 1000);
  EXPECT_TRUE(c->closed());
  EXPECT_EQ(w.gate->stats().connections, 0u);
}

TEST(GateWebSocket, ProtocolErrorsCloseWithTheirCode) {
  GateWorld w;
  auto c = w.websocket();
  c->send("\x82\x01x");  // not masked
  const auto m = c->next();
  EXPECT_EQ(m.opcode, WsOpcode::kClose);
  EXPECT_EQ(m.close_code(), 1002);
  EXPECT_TRUE(c->closed());
  EXPECT_EQ(w.gate->stats().refused_frame, 1u);
}

TEST(GateWebSocket, BeforeAHelloMessagesAreSmall) {
  GateWorld w;
  auto c = w.websocket();
  c->binary(std::string((64u << 10) + 1, 'x'));
  const auto m = c->next();
  EXPECT_EQ(m.close_code(), 1009);
  EXPECT_EQ(w.gate->stats().refused_size, 1u);
}

TEST(GateWebSocket, AFrameThatClaimsTheWorldCostsNothing) {
  GateWorld w;
  auto c = w.child();
  c->send(std::string("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04", 14));
  EXPECT_EQ(c->next().close_code(), 1009);
  EXPECT_EQ(w.gate->stats().held_bytes, 0u);
}

TEST(GateWebSocket, NoHelloInTimeIsClosed) {
  GateWorld w;
  auto c = w.websocket();
  w.network.run_for(5'000);
  c->text("ping");  // does not count
  EXPECT_EQ(c->next().payload, "pong");
  w.network.run_for(6'000);
  EXPECT_EQ(c->next().close_code(), 1008);
  EXPECT_TRUE(c->closed());
  EXPECT_EQ(w.gate->stats().refused_hello_time, 1u);
}

TEST(GateWebSocket, AFragmentedMessageIsHeldAndFreed) {
  GateWorld w;
  auto c = w.child();
  const std::string message = TestClient::message_bytes(WsOpcode::kText, "ping");
  c->send(message.substr(0, 3));
  EXPECT_GT(w.gate->stats().held_bytes, 0u);
  c->send(message.substr(3));
  EXPECT_EQ(c->next().payload, "pong");
  EXPECT_EQ(w.gate->stats().held_bytes, 0u);
}

TEST(GateWebSocket, PartialMessagesTogetherAreBounded) {
  GateWorld w({.partial_bytes_max = 100'000});
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < 10; ++i) {
    clients.push_back(w.child("db" + std::to_string(i)));
    const std::string message =
        TestClient::message_bytes(WsOpcode::kBinary, std::string(30'000, 'x'));
    clients.back()->send(message.substr(0, 20'000));
    EXPECT_LE(w.gate->stats().held_bytes, 100'000u);
  }
  EXPECT_GT(w.gate->stats().refused_memory, 0u);
}

TEST(GateWebSocket, MemoryIsTakenFromThoseWhoSitOnIt) {
  GateWorld w({.message_ms_max = 1'000'000, .partial_bytes_max = 100'000});
  const auto part = [](std::size_t bytes) {
    return TestClient::message_bytes(WsOpcode::kBinary, std::string(60'000, 'x')).substr(0, bytes);
  };
  std::vector<std::unique_ptr<TestClient>> squatters;
  for (int i = 0; i < 4; ++i) {
    squatters.push_back(w.child("squatter" + std::to_string(i)));
    squatters.back()->send(part(20'000));
  }
  w.network.run_for(10'000);
  auto young = w.child("young");
  young->send(part(30'000));
  w.network.run_for(20);
  EXPECT_FALSE(young->closed());
  EXPECT_GT(w.gate->stats().refused_memory, 0u);
  EXPECT_EQ(w.gate->stats().refused_memory,
            static_cast<std::uint64_t>(
                std::ranges::count_if(squatters, [](const auto& s) { return s->closed(); })));
  EXPECT_LE(w.gate->stats().held_bytes, 100'000u);
}

TEST(GateWebSocket, AMessageInPartsMustBeWholeInTime) {
  for (const std::int64_t ping_ms : {0, 500, 10'000}) {
    GateWorld w({.message_ms_max = 2'000, .idle_ping_ms = ping_ms});
    auto slow = w.child("slow");
    auto steady = w.child("steady");
    const std::string message =
        TestClient::message_bytes(WsOpcode::kBinary, wire::encode_frame(wire::Ping{7}));
    const std::string pong = TestClient::message_bytes(WsOpcode::kPong, "");
    slow->send(std::string("\x02\x81\0\0\0\0x", 7));  // the first fragment of some
    for (int ms = 0; ms < 3'000; ms += 250) {
      // A control frame between fragments is no progress.
      if (!slow->closed()) slow->send(pong);
      // Always in the middle of a message, though never long of the same one.
      steady->send(ms == 0 ? message.substr(0, 9) : message.substr(9) + message.substr(0, 9));
      w.network.run_for(250);
    }
    EXPECT_EQ(w.gate->stats().refused_message_time, 1u) << ping_ms;
    TestClient::Message last;
    for (auto m = slow->next(); m.opcode != WsOpcode::kContinuation; m = slow->next()) last = m;
    EXPECT_EQ(last.opcode, WsOpcode::kClose);
    EXPECT_EQ(last.close_code(), 1008);
    EXPECT_FALSE(steady->closed());
  }
}

TEST(GateWebSocket, AClientThatDoesNotReadIsClosedAndCounted) {
  GateWorld w({.output_bytes_max = 100'000});
  auto c = w.child();
  c->pause(true);
  const std::string ping = TestClient::message_bytes(WsOpcode::kPing, std::string(125, 'x'));
  std::string pings;
  for (int i = 0; i < 100; ++i) pings += ping;
  for (int i = 0; i < 100 && !c->closed(); ++i) c->send(pings);
  EXPECT_EQ(w.gate->stats().refused_slow_reader, 1u);
  EXPECT_EQ(w.gate->stats().connections, 0u);
  EXPECT_EQ(w.ingest.disconnected.size(), 1u);
}

TEST(GateWebSocket, DeadPeersAreFoundByPings) {
  GateWorld w;
  auto c = w.child();
  w.network.run_for(31'000);
  EXPECT_EQ(c->next().opcode, WsOpcode::kPing);
  c->send(TestClient::message_bytes(WsOpcode::kPong, ""));
  w.network.run_for(31'000);
  EXPECT_EQ(c->next().opcode, WsOpcode::kPing);
  w.network.run_for(31'000);  // this time nothing comes back
  EXPECT_TRUE(c->closed());
  EXPECT_EQ(w.gate->stats().children, 0u);
}

TEST(GateWebSocket, IdleConnectionsShareOneTimer) {
  GateWorld w;
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < 50; ++i) clients.push_back(w.child("db" + std::to_string(i)));
  EXPECT_EQ(w.parent.timer_count(), 1u);
  EXPECT_EQ(w.gate->stats().held_bytes, 0u);
  clients.clear();
  w.network.run_for(5'000);
  EXPECT_EQ(w.parent.timer_count(), 0u);
}

// --- wire v2 ------------------------------------------------------------------------------------

TEST(GateV2, HelloWelcomeBatchAck) {
  GateWorld w;
  auto c = w.websocket();
  w.ingest.next_hello.welcome.credit_bytes = 777;
  c->hello("db1");
  const auto welcome = c->next_frame<wire::Welcome>();
  ASSERT_TRUE(welcome);
  EXPECT_EQ(welcome->credit_bytes, 777u);
  EXPECT_TRUE(welcome->accepts_zstd);
  EXPECT_EQ(welcome->frame_bytes_max, 16u << 20);
  EXPECT_EQ(w.ingest.hellos, (std::vector<std::string>{"db1"}));
  EXPECT_EQ(w.gate->stats().children, 1u);

  const std::string body = batch_body();
  c->frame(wire::Batch{body});
  ASSERT_EQ(w.ingest.batches.size(), 1u);
  EXPECT_EQ(w.ingest.batches[0].body, body);
  EXPECT_EQ(w.ingest.batches[0].frame_bytes, body.size() + wire::frame_header_bytes);
  EXPECT_EQ(w.handlers.appended, 1);
  EXPECT_EQ(c->received, "");  // no acknowledgement before it is durable
  w.ack(w.ingest.sessions[0].value, 1);
  const auto ack = c->next_frame<wire::Ack>();
  ASSERT_TRUE(ack);
  EXPECT_EQ(ack->durable, Lsn(1));
  EXPECT_EQ(w.gate->stats().held_bytes, 0u);

  c->frame(wire::Ping{42});
  EXPECT_EQ(c->next_frame<wire::Pong>()->opaque, 42u);
  c->frame(wire::Bye{});
  EXPECT_EQ(c->next().close_code(), 1000);
  EXPECT_TRUE(c->closed());
  EXPECT_EQ(w.ingest.disconnected.size(), 1u);
}

TEST(GateV2, ZstdBodiesAreInflatedAndBombsRefused) {
  GateWorld w;
  auto c = w.child();
  const auto send = [&](const std::string& body) {
    std::string zstd(ZSTD_compressBound(body.size()), 0);
    zstd.resize(ZSTD_compress(zstd.data(), zstd.size(), body.data(), body.size(), 3));
    std::string frame;
    wire::encode_envelope(frame, wire::FrameType::kBatch, wire::kFlagZstd, zstd);
    c->binary(frame);
    return frame.size();
  };
  const std::size_t size = send(batch_body());
  ASSERT_EQ(w.ingest.batches.size(), 1u);
  EXPECT_EQ(w.ingest.batches[0].body, batch_body());
  EXPECT_EQ(w.ingest.batches[0].frame_bytes, size);
  send(std::string(100u << 20, 0));
  const auto nack = c->next_frame<wire::Nack>();
  ASSERT_TRUE(nack);
  EXPECT_EQ(nack->reason, wire::NackReason::kOverLimit);
  w.network.run_for(50);
  EXPECT_TRUE(c->closed());
  EXPECT_EQ(w.ingest.batches.size(), 1u);
  EXPECT_EQ(w.gate->stats().refused_size, 1u);
  EXPECT_EQ(w.gate->stats().refused_frame, 0u);
}

TEST(GateV2, HowFarAZstdBodyInflatesFollowsItsSize) {
  static_assert(inflated_bytes_max(100) == 1u << 20);
  static_assert(inflated_bytes_max(1u << 20) == 256u << 20);
  GateWorld w;
  const auto refused = [&](const std::string& body) {
    auto c = w.child();
    std::string zstd(ZSTD_compressBound(body.size()), 0);
    zstd.resize(ZSTD_compress(zstd.data(), zstd.size(), body.data(), body.size(), 3));
    std::string frame;
    wire::encode_envelope(frame, wire::FrameType::kBatch, wire::kFlagZstd, zstd);
    c->binary(frame);
    w.network.run_for(50);
    const auto nack = c->next_frame<wire::Nack>();
    return nack && nack->reason == wire::NackReason::kOverLimit;
  };
  EXPECT_FALSE(refused(std::string(1'000'000, 0)));  // far over the ratio, and small
  EXPECT_TRUE(refused(std::string(1'100'000, 0)));
  std::string noisy(3'000'000, 0);  // large, and not far from what was sent
  for (std::size_t i = 0; i < noisy.size(); i += 16) noisy[i] = static_cast<char>(i * i >> 9);
  EXPECT_FALSE(refused(noisy));
}

TEST(GateV2, AnotherMajorVersionIsToldBoth) {
  GateWorld w;
  auto c = w.websocket();
  wire::Hello hello;
  hello.source = "x";
  std::string bytes = wire::encode_frame(hello);
  bytes[2] = 9;
  c->binary(bytes);
  const auto nack = c->next_frame<wire::Nack>();
  ASSERT_TRUE(nack);
  EXPECT_EQ(nack->reason, wire::NackReason::kVersion);
  EXPECT_EQ(c->next().close_code(), 1008);
  EXPECT_TRUE(w.ingest.hellos.empty());
}

TEST(GateV2, WhatIsNoHelloFirstIsRefused) {
  GateWorld w;
  for (const wire::Frame& frame :
       {wire::Frame(wire::Ping{1}), wire::Frame(wire::Batch{"x"}), wire::Frame(wire::Ack{})}) {
    auto c = w.websocket();
    c->frame(frame);
    const auto nack = c->next_frame<wire::Nack>();
    ASSERT_TRUE(nack);
    EXPECT_EQ(nack->reason, wire::NackReason::kMalformed);
    EXPECT_EQ(nack->text, "the first frame must be a hello");
    EXPECT_TRUE(c->closed());
  }
}

TEST(GateV2, EveryFlippedBitOfABatchFrameIsRefused) {
  GateWorld w;
  const std::string good = wire::encode_frame(wire::Batch{batch_body()});
  for (std::size_t bit = 24; bit < good.size() * 8; bit += 37) {
    auto c = w.child();
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    c->binary(bad);
    EXPECT_TRUE(c->next_frame<wire::Nack>()) << bit;
    EXPECT_TRUE(c->closed()) << bit;
  }
  EXPECT_TRUE(w.ingest.batches.empty());
}

TEST(GateV2, ARefusedHelloGetsItsNackAndAClose) {
  GateWorld w;
  auto c = w.websocket();
  w.ingest.next_hello.accepted = false;
  w.ingest.next_hello.nack = {.reason = wire::NackReason::kUnauthorized, .text = "no such token"};
  c->hello();
  const auto nack = c->next_frame<wire::Nack>();
  ASSERT_TRUE(nack);
  EXPECT_EQ(nack->text, "no such token");
  EXPECT_EQ(c->next().close_code(), 1008);
  EXPECT_EQ(w.gate->stats().children, 0u);
  EXPECT_TRUE(w.ingest.disconnected.empty());
}

TEST(GateV2, ASupersededSessionIsToldAndClosed) {
  GateWorld w;
  auto old = w.child("db");
  const auto session = w.ingest.sessions[0];
  w.ingest.next_hello.superseded = session;
  w.ingest.next_hello.has_superseded = true;
  auto fresh = w.child("db");
  const auto bye = old->next_frame<wire::Bye>();
  ASSERT_TRUE(bye);
  EXPECT_EQ(bye->reason, wire::ByeReason::kSuperseded);
  EXPECT_TRUE(old->closed());
  EXPECT_FALSE(fresh->closed());
  EXPECT_EQ(w.gate->stats().children, 1u);
  EXPECT_EQ(w.ingest.disconnected, (std::vector<ingest::SessionId>{session}));
}

TEST(GateV2, RefusedBatchesGetTheirNack) {
  GateWorld w;
  auto c = w.child();
  w.ingest.next_batch = {
      .nack = {.reason = wire::NackReason::kGap, .resend_after = Lsn(5), .text = "gap"}};
  c->frame(wire::Batch{batch_body()});
  const auto nack = c->next_frame<wire::Nack>();
  ASSERT_TRUE(nack);
  EXPECT_EQ(nack->resend_after, Lsn(5));
  EXPECT_FALSE(c->closed());
  EXPECT_EQ(w.handlers.appended, 0);
  w.ingest.next_batch = {.nack = {.text = "chain"}, .close = true};
  c->frame(wire::Batch{batch_body()});
  EXPECT_TRUE(c->next_frame<wire::Nack>());
  EXPECT_TRUE(c->closed());
}

TEST(GateV2, SeveralAcksOfOneDeliveryBecomeOne) {
  GateWorld w;
  auto c = w.child();
  ingest::Effects effects;
  for (std::uint64_t lsn = 1; lsn <= 10; ++lsn) {
    effects.acks.push_back({w.ingest.sessions[0], {Lsn(lsn), Lsn(lsn / 2), 1}});
  }
  w.gate->deliver(effects);
  w.network.run_for(20);
  EXPECT_EQ(c->next_frame<wire::Ack>()->durable, Lsn(10));
  EXPECT_EQ(c->received, "");
}

TEST(GateV2, AcksForASlowReaderAreJoinedUntilItReads) {
  GateWorld w;
  w.network.options().window_bytes = 256;
  auto c = w.child();
  c->pause(true);
  for (std::uint64_t lsn = 1; lsn <= 1000; ++lsn) w.ack(w.ingest.sessions[0].value, lsn);
  EXPECT_LT(w.gate->stats().held_bytes, 2'000u);
  c->pause(false);
  w.network.run_for(1'000);
  std::uint64_t last = 0;
  int count = 0;
  while (const auto ack = c->next_frame<wire::Ack>()) {
    EXPECT_GT(ack->durable.value, last);
    last = ack->durable.value;
    ++count;
  }
  EXPECT_EQ(last, 1000u);
  EXPECT_LT(count, 100);
  EXPECT_EQ(w.gate->stats().held_bytes, 0u);
}

TEST(GateV2, AcksForSessionsThatAreGoneGoNowhere) {
  GateWorld w;
  auto c = w.child();
  const std::uint32_t session = w.ingest.sessions[0].value;
  c->leave();
  w.ack(session, 5);
  w.ack(12'345, 5);
  auto next = w.websocket();  // takes the number, has not said hello
  w.ack(session, 6);
  EXPECT_EQ(next->received, "");
}

TEST(GateV2, DuplicateAcksOfABatchGoOutAtOnce) {
  GateWorld w;
  auto c = w.child();
  w.ingest.next_batch.verdict = ingest::BatchVerdict::kDuplicate;
  w.ingest.next_effects.acks.push_back({w.ingest.sessions[0], {Lsn(9), Lsn(3), 1}});
  c->frame(wire::Batch{batch_body()});
  EXPECT_EQ(c->next_frame<wire::Ack>()->durable, Lsn(9));
  EXPECT_EQ(w.handlers.appended, 0);
}

TEST(GateV2, AfterANewEpochVerdictOneMoreHelloMayCome) {
  GateWorld w;
  auto c = w.websocket();
  w.ingest.next_hello.welcome.verdict = wire::WelcomeVerdict::kNewEpoch;
  c->hello();
  EXPECT_EQ(c->next_frame<wire::Welcome>()->verdict, wire::WelcomeVerdict::kNewEpoch);
  c->hello();
  EXPECT_TRUE(c->next_frame<wire::Welcome>());
  EXPECT_EQ(w.gate->stats().children, 1u);
  c->hello();
  EXPECT_TRUE(c->next_frame<wire::Nack>());
  EXPECT_TRUE(c->closed());
}

TEST(GateV2, TextOnAV2ConnectionIsRefusedButPing) {
  GateWorld w;
  auto c = w.child();
  c->text("ping");
  EXPECT_EQ(c->next().payload, "pong");
  c->text("{}");
  EXPECT_TRUE(c->next_frame<wire::Nack>());
  EXPECT_TRUE(c->closed());
}

// --- drain --------------------------------------------------------------------------------------

TEST(GateDrain, EveryoneIsToldAndTheGateEmpties) {
  GateWorld w;
  auto idle = w.client();
  auto fresh = w.websocket();
  auto child = w.child();
  auto waiting = w.client();
  waiting->send("GET /later HTTP/1.1\r\nHost: p\r\n\r\n");
  w.gate->drain("the parent is shutting down");
  w.network.run_for(50);
  EXPECT_TRUE(idle->closed());
  EXPECT_EQ(fresh->next().close_code(), 1001);
  const auto bye = child->next_frame<wire::Bye>();
  ASSERT_TRUE(bye);
  EXPECT_EQ(bye->reason, wire::ByeReason::kShutdown);
  EXPECT_EQ(child->next().close_code(), 1001);
  EXPECT_FALSE(w.gate->drained());
  w.handlers.later[0]({});
  w.network.run_for(50);
  EXPECT_TRUE(waiting->received.starts_with("HTTP/1.1 200"));
  EXPECT_NE(waiting->received.find("Connection: close"), std::string::npos);
  EXPECT_TRUE(w.gate->drained());
  auto late = w.client();
  EXPECT_TRUE(late->closed());
  EXPECT_EQ(w.gate->stats().held_bytes, 0u);
}

TEST(GateRecord, IsSmall) { EXPECT_LE(sizeof(Connection) + 16, 96u); }

// Random bytes in random pieces: no crash, and nothing is left behind.
TEST(Gate, ForgetsEverythingWhenEveryoneLeft) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    GateWorld w({}, seed);
    {
      std::vector<std::unique_ptr<TestClient>> clients;
      for (int i = 0; i < 20; ++i) {
        clients.push_back(w.child("db" + std::to_string(i)));
        const std::string frame = TestClient::message_bytes(
            WsOpcode::kBinary, wire::encode_frame(wire::Batch{batch_body()}));
        clients.back()->send(frame.substr(0, w.network.random().below(frame.size() + 1)));
      }
    }
    w.network.run_for(1000);
    EXPECT_EQ(w.gate->stats().connections, 0u);
    EXPECT_EQ(w.gate->stats().websockets, 0u);
    EXPECT_EQ(w.gate->stats().children, 0u);
    EXPECT_EQ(w.gate->stats().held_bytes, 0u);
    EXPECT_EQ(w.ingest.disconnected.size(), 20u);
  }
}

}  // namespace
}  // namespace evodb::gate
