// Connections that go from one gate to another, in all the states that they can be in.
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "gate/gate_test_world.h"

namespace evodb::gate {
namespace {

using wire::WsOpcode;

const std::string get = "GET /status?x=1 HTTP/1.1\r\nHost: parent\r\n\r\n";

// The same loop; another gate, as after a hand-over within the process.
void change_hands(GateWorld& w, GateOptions options = {}) {
  ASSERT_TRUE(w.parent.rest_sockets(true));
  w.gate->freeze();
  ASSERT_EQ(w.gate->requests_waiting(), 0u);
  auto saved = w.gate->save_connections();
  ASSERT_TRUE(saved) << saved.error().text;
  w.gate->let_go();
  w.gate.reset();
  w.network.run_for(300);  // what comes meanwhile waits
  w.gate = Gate::create(w.parent, w.ingest, w.handlers, options);
  const auto address = w.gate->adopt(saved->bytes, saved->streams);
  ASSERT_TRUE(address) << address.error().text;
  EXPECT_EQ(*address, "parent:8787");
  w.gate->resume();
  ASSERT_TRUE(w.parent.rest_sockets(false));
}

TEST(GateHandOver, SessionsGoOnAsIfNothingHadHappened) {
  GateWorld w;
  auto a = w.child("a"), b = w.child("b"), plain = w.websocket(), http = w.client();
  const auto before = w.gate->stats();
  const auto hellos = w.ingest.hellos;
  change_hands(w);
  EXPECT_EQ(w.gate->stats().connections, before.connections);
  EXPECT_EQ(w.gate->stats().children, 2u);
  EXPECT_EQ(w.gate->stats().websockets, 3u);
  w.ack(w.ingest.sessions[1].value, 7, 3);
  const auto ack = b->next_frame<wire::Ack>();
  ASSERT_TRUE(ack);
  EXPECT_EQ(ack->durable, Lsn(7));
  a->text("ping");
  EXPECT_EQ(a->next().payload, "pong");
  a->frame(wire::Batch{"anything"});
  ASSERT_EQ(w.ingest.batches.size(), 1u);
  EXPECT_EQ(w.ingest.batches[0].session, w.ingest.sessions[0]);
  EXPECT_EQ(w.ingest.hellos, hellos) << "nobody had to say hello again";
  plain->hello("c");
  EXPECT_TRUE(plain->next_frame<wire::Welcome>());
  http->send(get);
  EXPECT_TRUE(http->received.ends_with("you asked for /status"));
  auto fresh = w.child("d");
  EXPECT_FALSE(fresh->closed());
  EXPECT_TRUE(w.ingest.disconnected.empty());
}

TEST(GateHandOver, AMessageInPartsIsFinishedByTheNextGateWhereverItWasCut) {
  const std::string body(200, 'x');
  const std::string bytes =
      TestClient::message_bytes(WsOpcode::kBinary, wire::encode_frame(wire::Batch{body}));
  for (std::size_t cut = 1; cut < bytes.size(); cut += 7) {
    GateWorld w;
    auto c = w.child();
    c->send(bytes.substr(0, cut));
    change_hands(w);
    EXPECT_TRUE(w.ingest.batches.empty());
    c->send(bytes.substr(cut));
    ASSERT_EQ(w.ingest.batches.size(), 1u) << cut;
    EXPECT_EQ(w.ingest.batches[0].body, body);
    EXPECT_EQ(w.gate->stats().held_bytes, 0u);
  }
}

TEST(GateHandOver, ARequestInPartsIsAnsweredByTheNextGateAndContinueIsSaidOnce) {
  for (std::size_t cut = 1; cut < get.size(); ++cut) {
    GateWorld w;
    auto c = w.client();
    c->send(get.substr(0, cut));
    change_hands(w);
    c->send(get.substr(cut));
    EXPECT_TRUE(c->received.ends_with("you asked for /status")) << cut;
  }
  GateWorld w;
  auto c = w.client();
  c->send("POST /p HTTP/1.1\r\nHost: p\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
  EXPECT_EQ(c->received, "HTTP/1.1 100 Continue\r\n\r\n");
  change_hands(w);
  c->send("body");
  EXPECT_EQ(c->received.find("100 Continue"), c->received.rfind("100 Continue"));
  EXPECT_TRUE(c->received.ends_with("you asked for /pbody"));
}

TEST(GateHandOver, OutputThatTheKernelDidNotTakeAndTheAckBehindItArriveWhole) {
  GateWorld w;
  auto c = w.child();
  c->pause(true);
  const std::string big(600'000, 'p');
  for (int i = 0; i < 2; ++i) {
    c->send(TestClient::message_bytes(WsOpcode::kPing, std::string(125, 'p')));
  }
  auto reader = w.client();
  reader->pause(true);
  reader->send("GET /big HTTP/1.1\r\nHost: p\r\n\r\n");
  ASSERT_GT(w.gate->stats().held_bytes, 100'000u) << "the test needs output that waits";
  w.ack(w.ingest.sessions[0].value, 9);
  change_hands(w);
  EXPECT_GT(w.gate->stats().held_bytes, 100'000u);
  reader->pause(false);
  w.network.run_for(2'000);
  EXPECT_EQ(std::count(reader->received.begin(), reader->received.end(), 'b'), 1 << 20);
  c->pause(false);
  w.network.run_for(2'000);
  EXPECT_EQ(c->next().opcode, WsOpcode::kPong);
  EXPECT_EQ(c->next().opcode, WsOpcode::kPong);
  const auto ack = c->next_frame<wire::Ack>();
  ASSERT_TRUE(ack);
  EXPECT_EQ(ack->durable, Lsn(9));
  EXPECT_EQ(w.gate->stats().held_bytes, 0u);
}

TEST(GateHandOver, TimeLimitsGoOnFromWhereTheyWere) {
  GateWorld w({.hello_ms_max = 10'000});
  auto c = w.websocket();
  w.network.run_for(7'000);
  change_hands(w, {.hello_ms_max = 10'000});
  w.network.run_for(1'000);
  EXPECT_FALSE(c->closed());
  w.network.run_for(6'000);
  EXPECT_TRUE(c->closed()) << "not ten seconds anew";
}

TEST(GateHandOver, HibernatedChildrenSleepOnWithTagsAttachmentsAndStamps) {
  GateWorld w;
  auto a = w.child("a"), b = w.child("b");
  a->text("ping");
  (void)a->next();
  const std::vector<ConnectionId> ids = w.gate->list();
  ASSERT_EQ(ids.size(), 2u);
  const std::vector<std::string_view> tags = {"group:7", "user"};
  ASSERT_TRUE(w.gate->set_tags(ids[0], tags));
  ASSERT_TRUE(w.gate->set_attachment(ids[1], "kept"));
  w.network.run_for(11'000);
  ASSERT_EQ(w.gate->stats().hibernated, 2u);
  const auto stamp = w.gate->get_auto_response_timestamp(ids[0]);
  ASSERT_TRUE(stamp);
  change_hands(w);
  EXPECT_EQ(w.gate->stats().hibernated, 2u);
  EXPECT_EQ(w.gate->stats().held_bytes, 0u);
  EXPECT_EQ(w.gate->get_tags(ids[0]), tags);
  EXPECT_EQ(w.gate->list("group:7"), std::vector<ConnectionId>{ids[0]});
  EXPECT_EQ(w.gate->get_attachment(ids[1]), "kept");
  // Time stood still for 300 ms between the gates.
  const auto after = w.gate->get_auto_response_timestamp(ids[0]);
  ASSERT_TRUE(after);
  EXPECT_NEAR(static_cast<double>(after->value - stamp->value), 300, 20);
  EXPECT_FALSE(w.gate->get_auto_response_timestamp(ids[1]));
  w.network.run_for(5'000);
  EXPECT_EQ(w.gate->stats().woken, 0u);
  b->frame(wire::Batch{"anything"});
  EXPECT_EQ(w.gate->stats().woken, 1u);
}

TEST(GateHandOver, ASessionOfWireV1KeepsItsSource) {
  GateWorld w;
  auto c = w.websocket();
  const std::string heartbeat =
      R"({"type":"heartbeat","sourceDoId":"old-1","timestamp":1,"lastAckSequence":0})";
  c->text(heartbeat);
  ASSERT_EQ(w.gate->stats().children, 1u);
  (void)c->next();
  change_hands(w);
  c->text(heartbeat);
  EXPECT_NE(c->next().payload.find("pong"), std::string::npos);
  EXPECT_EQ(w.ingest.hellos, std::vector<std::string>{"old-1"});
}

TEST(GateHandOver, ClosingConnectionsStillGetTheirLastWords) {
  GateWorld w;
  auto c = w.client();
  c->pause(true);
  c->send("GET /big HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n");
  ASSERT_EQ(w.gate->stats().connections, 1u);
  change_hands(w);
  c->pause(false);
  w.network.run_for(3'000);
  EXPECT_EQ(std::count(c->received.begin(), c->received.end(), 'b'), 1 << 20);
  EXPECT_TRUE(c->closed());
  EXPECT_EQ(w.gate->stats().connections, 0u);
}

TEST(GateHandOver, AnAnswerOverEveryLimitOfOutputAndTheRequestBehindIt) {
  for (const bool close : {false, true}) {
    GateWorld w({.output_bytes_max = 64u << 10});
    auto c = w.client();
    c->pause(true);
    const std::string end = close ? "Connection: close\r\n\r\n" : "\r\n" + get;
    c->send("GET /huge HTTP/1.1\r\nHost: p\r\n" + end);
    ASSERT_EQ(w.handlers.kept.use_count(), 2);
    change_hands(w, {.output_bytes_max = 64u << 10});
    EXPECT_EQ(w.handlers.kept.use_count(), 1);
    EXPECT_EQ(w.handlers.requests.size(), 1u);
    c->pause(false);
    w.network.run_for(3'000);
    EXPECT_EQ(std::count(c->received.begin(), c->received.end(), '#'), 8 << 20);
    EXPECT_EQ(c->received.ends_with("you asked for /status"), !close);
    EXPECT_EQ(c->closed(), close);
    EXPECT_EQ(w.gate->stats().held_bytes, 0u);
  }
}

TEST(GateHandOver, WaitsForHandlersAndRefusesWhileItDrains) {
  GateWorld w;
  auto c = w.client();
  c->send("GET /later HTTP/1.1\r\nHost: p\r\n\r\n");
  w.gate->freeze();
  EXPECT_EQ(w.gate->requests_waiting(), 1u);
  EXPECT_FALSE(w.gate->save_connections());
  w.handlers.later[0]({.body = "done"});
  EXPECT_EQ(w.gate->requests_waiting(), 0u);
  EXPECT_TRUE(w.gate->save_connections());
  w.gate->resume();
  w.network.run_for(50);
  EXPECT_TRUE(c->received.ends_with("done"));
  c->send(get);
  EXPECT_TRUE(c->received.ends_with("you asked for /status")) << "as if nothing had happened";
  w.gate->drain("going away");
  w.gate->freeze();
  EXPECT_FALSE(w.gate->save_connections());
}

TEST(GateHandOver, DamagedBytesAreRefusedAndNothingIsClosed) {
  GateWorld w;
  auto c = w.child();
  ASSERT_TRUE(w.parent.rest_sockets(true));
  w.gate->freeze();
  const auto saved = w.gate->save_connections();
  ASSERT_TRUE(saved);
  w.gate->let_go();
  w.gate = Gate::create(w.parent, w.ingest, w.handlers, {});
  EXPECT_FALSE(w.gate->adopt(saved->bytes.substr(1), saved->streams));
  w.gate = Gate::create(w.parent, w.ingest, w.handlers, {});
  ASSERT_TRUE(w.gate->adopt(saved->bytes, saved->streams));
  w.gate->resume();
  ASSERT_TRUE(w.parent.rest_sockets(false));
  c->text("ping");
  EXPECT_EQ(c->next().payload, "pong");
}

}  // namespace
}  // namespace evodb::gate
