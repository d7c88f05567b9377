// How a link ends: what the parent is told in the WebSocket, and what the Uplink is told.
#include "edge/parent_link.h"

#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "sim/seams/fake_loop.h"
#include "wire/websocket.h"

namespace evodb::edge {
namespace {

// Upgrades everybody, sends what the test says, keeps what comes.
class RawServer final : public base::StreamEvents {
 public:
  explicit RawServer(sim::FakeNetwork& network) : loop_(network, "parent") {
    EXPECT_TRUE(loop_.listen("parent:8787", *this));
  }
  void send(std::string_view bytes) { loop_.write(stream_, bytes); }
  void send_message(wire::WsOpcode opcode, std::string_view payload) {
    std::string bytes;
    wire::encode_ws_frame(bytes, opcode, payload, nullptr);
    send(bytes);
  }
  void stop_reading() { loop_.pause_reading(stream_, true); }

  std::optional<std::string> closed_with;  // the close frame's payload
  std::string reset;                       // why the connection ended, once it has

 private:
  void on_accept(base::StreamId stream, std::string_view) override { stream_ = stream; }
  void on_connected(base::StreamId) override {}
  void on_writable(base::StreamId) override {}
  void on_closed(base::StreamId, std::string_view why) override { reset = why; }
  void on_data(base::StreamId, std::span<char> bytes) override {
    std::string copy(bytes.begin(), bytes.end());
    if (!upgraded_) {
      static constexpr std::string_view name = "Sec-WebSocket-Key: ";
      const std::string key = copy.substr(copy.find(name) + name.size(), 24);
      send("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " +
           wire::websocket_accept(key) + "\r\n\r\n");
      upgraded_ = true;
      return;
    }
    parser_.feed(copy.data(), copy.size());
    wire::WsMessage message;
    wire::WsError error;
    wire::WsParser::Step step;
    while ((step = parser_.next(&message, &error)) == wire::WsParser::Step::kMessage) {
      if (message.opcode == wire::WsOpcode::kClose) closed_with = std::string(message.payload);
    }
    EXPECT_EQ(step, wire::WsParser::Step::kNeedMore) << error.text;
  }

  sim::FakeLoop loop_;
  base::StreamId stream_;
  bool upgraded_ = false;
  wire::WsParser parser_{wire::WsParser::Role::kServer, 32u << 20};
};

class ParentLinkEnd : public testing::Test, public LinkEvents {
 protected:
  ParentLinkEnd() {
    EXPECT_TRUE(link.open());
    network.run_for(1'000);
    EXPECT_TRUE(link.is_open());
  }
  void on_link_open() override {}
  void on_link_frame(const wire::Frame&) override {}
  void on_link_writable() override {}
  void on_link_closed(const Error& error) override {
    EXPECT_FALSE(why) << "told twice";
    why = error;
  }

  sim::FakeNetwork network{1};
  RawServer server{network};
  sim::FakeLoop loop{network, "edge"};
  ParentLink link{loop, network.random(), {.parent = {.host = "parent"}}, *this};
  std::optional<Error> why;
};

TEST_F(ParentLinkEnd, ACloseIsAnsweredWithItsCode) {
  std::string bytes;
  wire::encode_ws_close(bytes, wire::WsClose::kGoingAway, "restarting", nullptr);
  server.send(bytes);
  network.run_for(1'000);
  EXPECT_EQ(server.closed_with, "\x03\xe9");
  ASSERT_TRUE(why);
  EXPECT_EQ(why->kind, ErrorKind::kRetry);
  EXPECT_EQ(why->text, "parent:8787 closed the connection: restarting");
  EXPECT_TRUE(link.is_closed());
}

TEST_F(ParentLinkEnd, ACloseInPiecesAndWithoutACodeIsAnsweredWithout) {
  server.send("\x88");
  network.run_for(1'000);
  server.send(std::string_view("\0", 1));
  network.run_for(1'000);
  EXPECT_EQ(server.closed_with, "");
  EXPECT_TRUE(why);
}

TEST_F(ParentLinkEnd, WhatBreaksTheProtocolIsNamedInTheClose) {
  server.send("\xc1\x01x");  // a reserved bit
  network.run_for(1'000);
  EXPECT_EQ(server.closed_with, "\x03\xea");
  ASSERT_TRUE(why);
  EXPECT_EQ(why->kind, ErrorKind::kRetry);
}

TEST_F(ParentLinkEnd, TextThatIsNotUtf8IsNamedInTheClose) {
  server.send("\x81\x01\xff");
  network.run_for(1'000);
  EXPECT_EQ(server.closed_with, "\x03\xef");
}

TEST_F(ParentLinkEnd, WhoSendsTextIsNoParent) {
  server.send_message(wire::WsOpcode::kText, "hello");
  network.run_for(1'000);
  EXPECT_EQ(server.closed_with, "\x03\xeb");
  ASSERT_TRUE(why);
  EXPECT_EQ(why->kind, ErrorKind::kInvalid);
}

TEST_F(ParentLinkEnd, AFrameOfAnotherProtocolIsNoParents) {
  server.send_message(wire::WsOpcode::kBinary, "{}");
  network.run_for(1'000);
  EXPECT_EQ(server.closed_with, "\x03\xf0");
  ASSERT_TRUE(why);
  EXPECT_EQ(why->kind, ErrorKind::kInvalid);
}

// Half a frame is on its way, and the rest will never be: nothing may be said behind it.
TEST_F(ParentLinkEnd, BehindPartOfAFrameNothingIsSaid) {
  server.stop_reading();
  while (link.send_encoded(std::string(1u << 20, 'x')) == 0) network.run_for(100);
  server.send_message(wire::WsOpcode::kClose, "\x03\xe9");
  network.run_for(1'000);
  EXPECT_TRUE(why);
  EXPECT_FALSE(server.reset.empty());
  EXPECT_FALSE(server.closed_with);
}

}  // namespace
}  // namespace evodb::edge
