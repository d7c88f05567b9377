#include "gate/connection_record.h"

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace evodb::gate {
namespace {

ConnectionRecord any_record(std::mt19937_64& random) {
  const auto chance = [&] { return random() % 2 == 0; };
  const auto bytes = [&](std::size_t least) {
    std::string out(least + random() % 300, '\0');
    for (char& c : out) c = static_cast<char>(random());
    return out;
  };
  static constexpr ConnectionState states[] = {ConnectionState::kHttp, ConnectionState::kWebSocket,
                                               ConnectionState::kV2, ConnectionState::kV1,
                                               ConnectionState::kClosing};
  ConnectionRecord r;
  r.state = states[random() % 5];
  r.said_hello = r.state == ConnectionState::kV2 || r.state == ConnectionState::kV1;
  r.pinged = chance();
  r.new_epoch = chance();
  r.served = chance();
  r.since_ms = random() >> (random() % 64);
  if (chance()) r.auto_response_ms = random() >> (random() % 64);
  if (chance()) r.output = bytes(1);
  const bool websocket = r.said_hello || r.state == ConnectionState::kWebSocket;
  if (websocket && chance()) {
    r.parser = bytes(1);
    r.message_since_ms = random() % 100'000;
  }
  if (websocket && chance()) {
    for (std::uint64_t n = 1 + random() % 10; n > 0; --n) r.tags.push_back(bytes(1).substr(0, 256));
    r.attachment = bytes(1);
  }
  if (r.state == ConnectionState::kHttp && chance()) {
    r.http = bytes(0);
    r.continue_given = chance();
  }
  if (r.state == ConnectionState::kV1) {
    r.source = std::string(1 + random() % 256, 's');
    r.disconnecting = chance();
  }
  if (r.state == ConnectionState::kV2 && chance()) {
    r.hibernated = chance();
    r.ack = wire::Ack{Lsn(random()), Lsn(random()), random()};
    r.ack_is_last = chance();
  }
  return r;
}

TEST(ConnectionRecord, ComesBackAsItWas) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 300; ++round) {
    std::vector<ConnectionRecord> records;
    std::string bytes;
    for (std::uint64_t n = random() % 20; n > 0; --n) {
      encode_connection_record(bytes, records.emplace_back(any_record(random)));
    }
    const auto read = decode_connection_records(bytes, records.size());
    ASSERT_TRUE(read) << read.error().text;
    EXPECT_EQ(*read, records);
    EXPECT_FALSE(decode_connection_records(bytes, records.size() + 1));
    EXPECT_FALSE(decode_connection_records(bytes + "x", records.size()));
    if (!records.empty()) {
      EXPECT_FALSE(decode_connection_records(bytes, records.size() - 1));
      EXPECT_FALSE(decode_connection_records(
          std::string_view(bytes).substr(0, random() % bytes.size()), records.size()));
    }
  }
}

TEST(ConnectionRecord, ACountThatTheBytesCannotHoldCostsNoMemory) {
  EXPECT_FALSE(decode_connection_records("\x03\x01", UINT64_MAX));
}

TEST(ConnectionRecord, RefusesWhatNoConnectionCanBe) {
  ConnectionRecord r;
  const auto refused = [&] {
    std::string bytes;
    encode_connection_record(bytes, r);
    return !decode_connection_records(bytes, 1);
  };
  r.state = ConnectionState::kFree;
  EXPECT_TRUE(refused());
  r.state = ConnectionState::kHttpWaiting;
  EXPECT_TRUE(refused());
  r.state = ConnectionState::kV2;
  EXPECT_TRUE(refused()) << "a session without a hello";
  r.said_hello = true;
  EXPECT_FALSE(refused());
  r.http = "GET /";
  EXPECT_TRUE(refused()) << "a request on a WebSocket";
  r.http.reset();
  r.disconnecting = true;
  EXPECT_TRUE(refused());
}

}  // namespace
}  // namespace evodb::gate
