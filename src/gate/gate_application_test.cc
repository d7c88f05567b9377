// What an application above the gate may do with connections, and when they hibernate.
#include <gtest/gtest.h>

#include "gate/gate_test_world.h"

namespace evodb::gate {
namespace {

using wire::WsOpcode;
using Ids = std::vector<ConnectionId>;

constexpr WsOpcode text = WsOpcode::kText, binary = WsOpcode::kBinary;

struct Application : GateWorld {
  explicit Application(const GateOptions& options = {}) : GateWorld(options) {}
  // The connection of the newest child.
  ConnectionId newest() { return ConnectionId(ingest.sessions.back().value); }
  Result<void> tag(ConnectionId id, std::vector<std::string_view> tags) {
    return gate->set_tags(id, tags);
  }
  // Of a batch's sender: its ack, and nothing behind it.
  void last_ack(ConnectionId id, std::uint64_t lsn, bool at_rest = true) {
    ingest::Effects effects;
    effects.acks.push_back({ingest::SessionId(id.value), {Lsn(lsn), Lsn(0), 1000}, at_rest});
    gate->deliver(effects);
    network.run_for(20);
  }
};

TEST(GateApplication, TextAndBinaryPairsAreAnsweredWithoutTheSession) {
  Application w;
  auto c = w.child();
  c->text("ping");
  EXPECT_EQ(c->next().payload, "pong");
  ASSERT_TRUE(w.gate->set_auto_response(text, "are you there?", "yes"));
  ASSERT_TRUE(w.gate->set_auto_response(binary, std::string_view("\0\1", 2), "\2"));
  c->text("are you there?");
  EXPECT_EQ(c->next().payload, "yes");
  c->binary(std::string_view("\0\1", 2));
  const auto answer = c->next();
  EXPECT_EQ(answer.opcode, binary);
  EXPECT_EQ(answer.payload, "\2");
  EXPECT_EQ(w.gate->stats().auto_responses, 3u);
  EXPECT_FALSE(c->closed());
  // Nearly the same is no request; this pair took the place of ping and pong.
  c->text("ping");
  EXPECT_EQ(c->next_frame<wire::Nack>()->reason, wire::NackReason::kMalformed);
}

TEST(GateApplication, AutoResponsePairsAreLimited) {
  Application w;
  const std::string most(2'048, 'x'), more(2'049, 'x');
  EXPECT_TRUE(w.gate->set_auto_response(text, most, most));
  EXPECT_EQ(w.gate->set_auto_response(text, more, "").error().kind, ErrorKind::kOverLimit);
  EXPECT_EQ(w.gate->set_auto_response(binary, "a", more).error().kind, ErrorKind::kOverLimit);
  EXPECT_EQ(w.gate->set_auto_response(text, "\xff", "").error().kind, ErrorKind::kInvalid);
  EXPECT_EQ(w.gate->set_auto_response(WsOpcode::kPing, "a", "").error().kind, ErrorKind::kInvalid);
  auto c = w.child();
  c->text(most);
  EXPECT_EQ(c->next().payload, most);
  ASSERT_TRUE(w.gate->set_auto_response(text, "", ""));
  c->text(most);
  EXPECT_TRUE(c->next_frame<wire::Nack>());
}

TEST(GateApplication, TheTimeOfTheLastAutoResponseIsKnown) {
  Application w;
  auto c = w.child();
  const ConnectionId id = w.newest();
  EXPECT_FALSE(w.gate->get_auto_response_timestamp(id));
  EXPECT_FALSE(w.gate->get_auto_response_timestamp(ConnectionId(12345)));
  const std::int64_t before = w.parent.clock().wall().value;
  c->text("ping");
  w.network.run_for(60'000);
  const auto at = w.gate->get_auto_response_timestamp(id);
  ASSERT_TRUE(at);
  EXPECT_GE(at->value, before - 10);
  EXPECT_LE(at->value, before + 50);
}

TEST(GateApplication, TagsAreListedInOrderAndGoWithTheirConnection) {
  Application w;
  auto a = w.child("a");
  const ConnectionId ida = w.newest();
  auto b = w.child("b");
  const ConnectionId idb = w.newest();
  auto c = w.child("c");
  const ConnectionId idc = w.newest();
  ASSERT_TRUE(w.tag(idc, {"group", "c"}));
  ASSERT_TRUE(w.tag(ida, {"group", "a", "group"}));
  EXPECT_EQ(w.gate->list("group"), (Ids{ida, idc}));
  EXPECT_EQ(w.gate->list("a"), Ids{ida});
  EXPECT_EQ(w.gate->list("nobody"), Ids{});
  EXPECT_EQ(w.gate->list(), (Ids{ida, idb, idc}));
  EXPECT_EQ(w.gate->get_tags(ida), (std::vector<std::string_view>{"a", "group"}));
  ASSERT_TRUE(w.tag(ida, {"other"}));
  EXPECT_EQ(w.gate->list("group"), Ids{idc});
  c->leave();
  EXPECT_EQ(w.gate->list("group"), Ids{});
  EXPECT_EQ(w.gate->get_tags(idc).size(), 0u);
  a->leave();
  EXPECT_EQ(w.gate->stats().tags_bytes, 0u);
}

TEST(GateApplication, TagsMayBeAddedToThoseThatWereGiven) {
  Application w;
  auto c = w.child();
  const ConnectionId id = w.newest();
  std::vector<std::string_view> wanted = {"zeta"};
  ASSERT_TRUE(w.tag(id, wanted));
  for (const std::string_view more : {"alpha", "beta", "eta", "gamma"}) {
    auto tags = w.gate->get_tags(id);  // views of what set_tags replaces
    tags.push_back(more);
    ASSERT_TRUE(w.tag(id, tags));
    wanted.push_back(more);
  }
  std::sort(wanted.begin(), wanted.end());
  EXPECT_EQ(w.gate->get_tags(id), wanted);
}

TEST(GateApplication, TagsAreLimited) {
  Application w(GateOptions{.tags_bytes_max = 4'096});
  auto c = w.child();
  const ConnectionId id = w.newest();
  std::vector<std::string_view> ten = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
  ASSERT_TRUE(w.tag(id, ten));
  ten.push_back("10");
  EXPECT_EQ(w.tag(id, ten).error().kind, ErrorKind::kOverLimit);
  const std::string longest(256, 't'), longer(257, 't');
  EXPECT_EQ(w.tag(id, {longer}).error().kind, ErrorKind::kInvalid);
  EXPECT_EQ(w.tag(id, {""}).error().kind, ErrorKind::kInvalid);
  EXPECT_EQ(w.tag(ConnectionId(999), {"a"}).error().kind, ErrorKind::kInvalid);
  EXPECT_EQ(w.gate->get_tags(id).size(), 10u);
  ASSERT_TRUE(w.tag(id, {longest}));
  std::vector<std::string> many;
  for (char i = 'a'; i < 'k'; ++i) many.emplace_back(256, i);
  EXPECT_EQ(w.tag(id, {many.begin(), many.end()}).error().kind, ErrorKind::kOverLimit);
  EXPECT_EQ(w.gate->get_tags(id), std::vector<std::string_view>{longest});
}

TEST(GateApplication, AttachmentsLiveAsLongAsTheirConnectionAndAreBounded) {
  Application w(GateOptions{.attachments_bytes_max = 40'000});
  auto a = w.child("a");
  const ConnectionId ida = w.newest();
  auto b = w.child("b");
  const ConnectionId idb = w.newest();
  EXPECT_EQ(w.gate->get_attachment(ida), "");
  const std::string most(16'384, 'm');
  ASSERT_TRUE(w.gate->set_attachment(ida, most));
  ASSERT_TRUE(w.gate->set_attachment(idb, most));
  EXPECT_EQ(w.gate->get_attachment(ida), most);
  EXPECT_EQ(w.gate->set_attachment(ida, most + "x").error().kind, ErrorKind::kOverLimit);
  auto c = w.child("c");
  const ConnectionId idc = w.newest();
  EXPECT_EQ(w.gate->set_attachment(idc, most).error().kind, ErrorKind::kOverLimit);
  ASSERT_TRUE(w.gate->set_attachment(ida, "small"));
  EXPECT_TRUE(w.gate->set_attachment(idc, most));
  b->leave();
  EXPECT_EQ(w.gate->get_attachment(idb), "");
  EXPECT_EQ(w.gate->set_attachment(idb, "x").error().kind, ErrorKind::kInvalid);
  auto d = w.child("d");
  EXPECT_EQ(w.gate->get_attachment(w.newest()), "") << "not the former owner's";
  c->leave();
  ASSERT_TRUE(w.gate->set_attachment(ida, ""));
  EXPECT_EQ(w.gate->stats().attachments_bytes, 0u);
}

TEST(GateApplication, ABroadcastReachesAllOrThoseWithATag) {
  Application w;
  auto a = w.child("a");
  ASSERT_TRUE(w.tag(w.newest(), {"group"}));
  auto b = w.child("b");
  auto http = w.client();
  EXPECT_EQ(w.gate->broadcast(text, "to all").value(), 2u);
  EXPECT_EQ(w.gate->broadcast(binary, "to the group", "group").value(), 1u);
  EXPECT_EQ(w.gate->broadcast(text, "to nobody", "empty").value(), 0u);
  w.network.run_for(20);
  EXPECT_EQ(a->next().payload, "to all");
  EXPECT_EQ(a->next().payload, "to the group");
  EXPECT_EQ(b->next().payload, "to all");
  EXPECT_EQ(b->next().opcode, WsOpcode::kContinuation);
  EXPECT_EQ(http->received, "");
  EXPECT_EQ(w.gate->broadcast(WsOpcode::kClose, "").error().kind, ErrorKind::kInvalid);
}

TEST(GateApplication, ABroadcastToManyComesInSlicesAndInOrder) {
  Application w;
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < 200; ++i) {
    clients.push_back(w.child("c" + std::to_string(i)));
    if (i % 2 == 0) {
      ASSERT_TRUE(w.tag(w.newest(), {"even"}));
    }
  }
  EXPECT_EQ(w.gate->broadcast(text, "first").value(), 200u);
  EXPECT_EQ(w.gate->broadcast(text, "second", "even").value(), 100u);
  EXPECT_EQ(w.gate->broadcast(text, "third").value(), 200u);
  w.network.run_for(100);
  for (std::size_t i = 0; i < 200; ++i) {
    ASSERT_EQ(clients[i]->next().payload, "first") << i;
    if (i % 2 == 0) {
      ASSERT_EQ(clients[i]->next().payload, "second") << i;
    }
    ASSERT_EQ(clients[i]->next().payload, "third") << i;
    ASSERT_EQ(clients[i]->next().opcode, WsOpcode::kContinuation) << i;
  }
}

TEST(GateApplication, ATagThatIsTakenAwayMeanwhileGetsNoBroadcast) {
  Application w;
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(w.child("c" + std::to_string(i)));
    ASSERT_TRUE(w.tag(w.newest(), {"group"}));
  }
  const ConnectionId last = w.gate->list("group").back();
  EXPECT_EQ(w.gate->broadcast(text, "to the group", "group").value(), 100u);
  ASSERT_TRUE(w.tag(last, {"elsewhere"}));
  w.network.run_for(100);
  std::size_t got = 0;
  for (auto& client : clients) got += client->next().payload == "to the group" ? 1 : 0;
  EXPECT_EQ(got, 99u);
}

TEST(GateApplication, BroadcastsThatWaitAreBounded) {
  Application w;
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < 65; ++i) clients.push_back(w.child("c" + std::to_string(i)));
  const std::string page(2u << 20, 'p');
  int taken = 0;
  while (taken < 100 && w.gate->broadcast(text, page)) ++taken;
  EXPECT_EQ(taken, 15);
  EXPECT_EQ(w.gate->broadcast(text, page).error().kind, ErrorKind::kOverLimit);
}

TEST(GateApplication, WhoDoesNotReadABroadcastIsCutOffAndTheOthersGetIt) {
  GateOptions options;
  options.output_bytes_max = 256 << 10;
  Application w(options);
  auto slow = w.child("slow");
  auto fast = w.child("fast");
  slow->pause(true);
  const std::string page(100'000, 'p');
  std::size_t got = 0;
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(w.gate->broadcast(text, page));
    w.network.run_for(100);
    if (fast->next().payload == page) ++got;
  }
  EXPECT_EQ(got, 30u);
  EXPECT_EQ(w.gate->stats().refused_slow_reader, 1u);
  EXPECT_EQ(w.gate->list().size(), 1u);
  EXPECT_EQ(w.gate->broadcast(text, std::string(200'000, 'x')).error().kind, ErrorKind::kOverLimit);
}

// --- hibernation --------------------------------------------------------------------------------

TEST(GateHibernation, AChildThatSaysNothingHibernatesAfterItsTime) {
  Application w;
  auto c = w.child();
  EXPECT_EQ(w.gate->stats().hibernated, 0u);
  w.network.run_for(9'000);
  EXPECT_EQ(w.gate->stats().hibernated, 0u);
  w.network.run_for(2'500);
  EXPECT_EQ(w.gate->stats().hibernated, 1u);
  c->leave();
  EXPECT_EQ(w.gate->stats().hibernated, 0u);
}

TEST(GateHibernation, TheLastAcknowledgementSendsItToSleepAtOnce) {
  Application w;
  auto c = w.child();
  const ConnectionId id = w.newest();
  w.last_ack(id, 1, false);
  EXPECT_EQ(w.gate->stats().hibernated, 0u) << "more is in the air";
  w.last_ack(id, 2);
  EXPECT_EQ(w.gate->stats().hibernated, 1u);
  EXPECT_EQ(c->next_frame<wire::Ack>()->durable, Lsn(1));
  EXPECT_EQ(c->next_frame<wire::Ack>()->durable, Lsn(2));
}

TEST(GateHibernation, OnlyWhatTheSessionMustSeeWakes) {
  Application w;
  auto c = w.child();
  const ConnectionId id = w.newest();
  ASSERT_TRUE(w.gate->set_auto_response(binary, "?", "!"));
  w.last_ack(id, 1);
  c->send(TestClient::message_bytes(WsOpcode::kPing, "x"));
  c->text("ping");
  c->binary("?");
  ASSERT_TRUE(w.tag(id, {"t"}));
  ASSERT_TRUE(w.gate->set_attachment(id, "bytes"));
  ASSERT_TRUE(w.gate->broadcast(text, "news"));
  w.last_ack(id, 1);  // persisted comes after the last batch was durable
  EXPECT_EQ(w.gate->stats().hibernated, 1u);
  EXPECT_EQ(w.gate->stats().woken, 0u);
  EXPECT_EQ(w.gate->stats().held_bytes, 0u);
  c->frame(wire::Ping{7});
  EXPECT_EQ(w.gate->stats().hibernated, 0u);
  EXPECT_EQ(w.gate->stats().woken, 1u);
  w.network.run_for(11'000);
  EXPECT_EQ(w.gate->stats().hibernated, 1u);
  EXPECT_EQ(w.gate->get_tags(id), std::vector<std::string_view>{"t"});
  EXPECT_EQ(w.gate->get_attachment(id), "bytes");
}

TEST(GateHibernation, AMessageInPartsKeepsAChildAwake) {
  Application w;
  auto c = w.child();
  const std::string bytes = TestClient::message_bytes(binary, std::string(100, 'x'));
  c->send(bytes.substr(0, 50));
  w.network.run_for(20'000);
  EXPECT_EQ(w.gate->stats().hibernated, 0u);
}

TEST(GateHibernation, ADeadPeerIsFoundAlsoWhileItHibernates) {
  Application w;
  auto c = w.child();
  w.last_ack(w.newest(), 1);
  c->pause(true);  // no pong any more
  w.network.run_for(95'000);
  EXPECT_EQ(w.gate->stats().connections, 0u);
  EXPECT_EQ(w.gate->stats().hibernated, 0u);
}

}  // namespace
}  // namespace evodb::gate
