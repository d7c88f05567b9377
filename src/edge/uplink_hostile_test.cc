// What a parent says that no parent should: found by uplink_fuzz, each kept here by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "edge/memory_outbox.h"
#include "edge/uplink.h"
#include "sim/seams/fake_loop.h"
#include "wire/websocket.h"

namespace evodb::edge {
namespace {

using ::testing::HasSubstr;

// Says what the test tells it to, once a child has said hello.
class RawParent final : public base::StreamEvents {
 public:
  RawParent(sim::FakeNetwork& network, base::Loop& loop) : network_(network), loop_(loop) {
    (void)*loop_.listen("parent:8787", *this);
  }
  void say(const wire::Frame& frame) {
    bytes(wire::WsOpcode::kBinary, wire::encode_frame(frame));
    network_.run_for(5);
  }
  void bytes(wire::WsOpcode opcode, std::string_view payload) {
    std::string out;
    wire::encode_ws_frame(out, opcode, payload, nullptr);
    write(out);
  }
  void pause() { loop_.pause_reading(*stream_, true); }

  int dials = 0;
  std::vector<Lsn> batches;  // last LSN of each
  std::uint64_t barrier = 0;

 private:
  void on_accept(base::StreamId stream, std::string_view) override {
    ++dials;
    stream_ = stream;
    head_.clear();
    upgraded_ = false;
    output_.clear();
    parser_ = wire::WsParser(wire::WsParser::Role::kServer, 16u << 20);
  }
  void on_connected(base::StreamId) override {}
  void on_data(base::StreamId, std::span<char> bytes) override {
    if (!upgraded_) {
      head_ += std::string_view(bytes);
      if (head_.find("\r\n\r\n") == std::string::npos) return;
      upgraded_ = true;
      const std::size_t key = head_.find("Sec-WebSocket-Key: ") + 19;
      return write("HTTP/1.1 101 Yes\r\nSec-WebSocket-Accept: " +
                   wire::websocket_accept(head_.substr(key, 24)) + "\r\n\r\n");
    }
    parser_.feed(bytes.data(), bytes.size());
    wire::WsMessage message;
    wire::WsError error;
    while (parser_.next(&message, &error) == wire::WsParser::Step::kMessage) {
      const auto frame = wire::decode_frame(message.payload);
      if (!frame) continue;
      if (const auto* ping = std::get_if<wire::Ping>(&*frame)) barrier = ping->opaque;
      if (const auto* batch = std::get_if<wire::Batch>(&*frame)) {
        batches.push_back(wire::BatchReader(batch->body).header().last_lsn);
      }
    }
  }
  void on_writable(base::StreamId) override { write(""); }
  void on_closed(base::StreamId stream, std::string_view) override {
    if (stream_ == stream) stream_.reset();
  }
  void write(std::string_view bytes) {
    if (!stream_) return;
    output_ += bytes;
    output_.erase(0, loop_.write(*stream_, output_));
  }

  sim::FakeNetwork& network_;
  base::Loop& loop_;
  std::optional<base::StreamId> stream_;
  std::string head_, output_;
  bool upgraded_ = false;
  wire::WsParser parser_{wire::WsParser::Role::kServer, 16u << 20};
};

struct Observer final : UplinkObserver {
  void on_fatal(const Error& error) override { fatal = error.text; }
  std::string fatal;
};

class Hostile : public testing::Test {
 protected:
  void SetUp() override {
    uplink.start();
    network.run_for(20);
  }
  void append(std::size_t n, std::size_t bytes = 10) {
    const wire::TableDef table{"t", 1, {{"v", "", 0}}};
    std::string row;
    wire::put_value(row, ValueView::of_text(std::string(bytes, 'x')));
    const NewChange change{
        .table = &table, .table_fingerprint = table.fingerprint(), .after = {true, 1, row}};
    for (std::size_t i = 0; i < n; ++i) ASSERT_TRUE(outbox.append({&change, 1}));
    uplink.hurry();
    network.run_for(20);
  }
  void welcome(Lsn received = {}) {
    parent.say(wire::Welcome{.received = received, .credit_bytes = 4u << 20});
  }
  Lsn trimmed() { return outbox.state()->trimmed; }

  sim::FakeNetwork network{1};
  sim::FakeLoop loop{network, "parent"}, edge{network, "edge"};
  RawParent parent{network, loop};
  MemoryOutbox outbox{"db1", Epoch(7)};
  Observer observer;
  Uplink uplink{edge,
                network.random(),
                outbox,
                {.link = {.parent = {.host = "parent"}}, .batch_bytes = 50'000},
                observer};
};

TEST_F(Hostile, AnAckOfWhatWasNotSentEndsTheSessionAndTrimsNothing) {
  append(3);
  welcome();
  parent.say(wire::Ack{Lsn(UINT64_MAX), Lsn(UINT64_MAX), 1u << 20});
  append(3);
  network.run_for(80);
  EXPECT_EQ(trimmed(), Lsn(0));
  EXPECT_THAT(uplink.stats().last_error.value().text, HasSubstr("acknowledges what was not sent"));
}

TEST_F(Hostile, AnAckBehindARefusalCannotTrimWhatWasRefused) {
  append(6);
  welcome();
  ASSERT_EQ(parent.batches.back(), Lsn(6));
  parent.say(wire::Nack{wire::NackReason::kGap, Lsn(2), 1'000, "resend"});
  parent.say(wire::Ack{Lsn(6), Lsn(6), 1u << 20});
  network.run_for(80);
  EXPECT_EQ(trimmed(), Lsn(0));
  network.run_for(5'000);
  EXPECT_GT(parent.dials, 1) << "it goes on with another session";
}

TEST_F(Hostile, ARefusalOfWhatWasAcknowledgedDoesNotStopTheProcess) {
  append(6);
  welcome();
  parent.say(wire::Ack{Lsn(6), Lsn(6), 1u << 20});
  parent.say(wire::Nack{wire::NackReason::kGap, Lsn(2), 500, "resend"});
  network.run_for(100);
  EXPECT_EQ(trimmed(), Lsn(0)) << "who contradicts itself is not believed";
  parent.say(wire::Pong{parent.barrier});
  network.run_for(20'000);
  EXPECT_GT(parent.dials, 1);
}

TEST_F(Hostile, ARefusalDuringTheComparisonIsNoWayAroundIt) {
  append(9'000);  // more than one slice of a walk
  parent.bytes(wire::WsOpcode::kBinary,
               wire::encode_frame(wire::Welcome{.received = Lsn(9'000),
                                                .received_chain = ChainHash(99),
                                                .durable = Lsn(9'000),
                                                .persisted = Lsn(9'000),
                                                .credit_bytes = 1u << 20}));
  parent.bytes(wire::WsOpcode::kBinary,
               wire::encode_frame(wire::Nack{wire::NackReason::kGap, Lsn(9'000), 0, ""}));
  network.run_for(5);
  parent.say(wire::Pong{parent.barrier});
  network.run_for(200);
  EXPECT_EQ(trimmed(), Lsn(0));
}

TEST_F(Hostile, AWildWaitIsCutToMinutes) {
  append(1);
  welcome();
  parent.say(wire::Nack{wire::NackReason::kUnavailable, Lsn(0), UINT32_MAX, "never"});
  const int before = parent.dials;
  network.run_for(301'000);
  EXPECT_GT(parent.dials, before);
}

TEST_F(Hostile, AnEpochBeyondWhatALogCanHaveIsRefused) {
  append(1);
  parent.say(
      wire::Welcome{.verdict = wire::WelcomeVerdict::kNewEpoch, .epoch_min = Epoch(UINT64_MAX)});
  network.run_for(100);
  EXPECT_EQ(outbox.state()->epoch, Epoch(7));
  EXPECT_THAT(observer.fatal, HasSubstr("contradicts itself"));
}

TEST_F(Hostile, AWelcomeThatHasMoreDurableThanReceivedIsRefused) {
  append(3);
  parent.say(wire::Welcome{.durable = Lsn(3), .persisted = Lsn(3), .credit_bytes = 1u << 20});
  network.run_for(100);
  EXPECT_EQ(trimmed(), Lsn(0));
  EXPECT_THAT(observer.fatal, HasSubstr("contradicts itself"));
}

TEST_F(Hostile, PingsOfAParentThatDoesNotReadDoNotPileUp) {
  welcome();
  parent.pause();
  for (int i = 0; i < 10'000; ++i) {
    parent.bytes(wire::WsOpcode::kPing, std::string(100, 'p'));
    parent.bytes(wire::WsOpcode::kBinary, wire::encode_frame(wire::Ping{7}));
  }
  network.run_for(1'000);
  EXPECT_LE(uplink.stats().unsent_bytes, 1u << 20);
}

// A link as fast as the outbox fills, or slower, is never quite drained.
TEST_F(Hostile, AParentThatReadsSlowlyDoesNotMakeTheOutputGrow) {
  welcome();
  network.options().window_bytes = 8u << 10;
  network.options().delay_us_min = network.options().delay_us_max = 10'000;
  std::uint64_t most = 0;
  std::size_t drained = 0;
  for (int i = 0; i < 300; ++i) {
    append(2, 20'000);  // and 20 ms in which the link takes 16 KiB at most
    const Lsn had = parent.batches.empty() ? Lsn() : parent.batches.back();
    parent.say(wire::Ack{had, had, 64u << 20});
    most = std::max(most, uplink.stats().unsent_bytes);
    drained += i > 10 && uplink.stats().unsent_bytes == 0;
  }
  ASSERT_EQ(drained, 0u) << "the link is never idle";
  EXPECT_GT(uplink.stats().bytes_sent, 2u << 20) << "that much went through";
  EXPECT_LE(most, 1u << 20);
}

}  // namespace
}  // namespace evodb::edge
