#include "wire/websocket.h"

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "wire/utf8.h"

namespace evodb::wire {
namespace {

using Role = WsParser::Role;
using Step = WsParser::Step;

constexpr std::uint32_t key = 0xa1b2c3d4;

struct Seen {
  WsOpcode opcode;
  std::string payload;
  friend bool operator==(const Seen&, const Seen&) = default;
};

struct Outcome {
  std::vector<Seen> messages;
  int error = 0;  // a close code
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

void drain(WsParser& parser, Outcome& outcome) {
  for (;;) {
    WsMessage message;
    WsError error;
    switch (parser.next(&message, &error)) {
      case Step::kMessage:
        outcome.messages.push_back({message.opcode, std::string(message.payload)});
        break;
      case Step::kNeedMore: return;
      case Step::kError: outcome.error = static_cast<int>(error.code); return;
    }
  }
}

// Feeds `bytes` in pieces that end at `cuts`, each in memory of exactly its size.
Outcome parse(const std::string& bytes, Role role, std::vector<std::size_t> cuts = {},
              std::size_t bytes_max = 1 << 20) {
  WsParser parser(role, bytes_max);
  Outcome outcome;
  cuts.push_back(bytes.size());
  std::size_t from = 0;
  for (const std::size_t cut : cuts) {
    const std::unique_ptr<char[]> piece(new char[cut - from]);
    std::copy(bytes.begin() + static_cast<std::ptrdiff_t>(from),
              bytes.begin() + static_cast<std::ptrdiff_t>(cut), piece.get());
    parser.feed(piece.get(), cut - from);
    drain(parser, outcome);
    if (outcome.error != 0) break;
    from = cut;
  }
  return outcome;
}

// One frame with any first byte, unmasked or masked.
std::string frame(int first_byte, const std::string& payload, bool masked = true) {
  std::string out;
  encode_ws_frame(out, WsOpcode::kBinary, payload, masked ? &key : nullptr);
  out[0] = static_cast<char>(first_byte);
  return out;
}
constexpr int fin = 0x80;

std::string conversation() {
  std::string bytes = frame(fin | 1, "héllo ☃ wörld");
  bytes += frame(fin | 2, std::string(300, 'b'));
  bytes += frame(1, "first hé");
  bytes += frame(fin | 9, "ping within");
  bytes += frame(0, "");
  bytes += frame(0, "l\xc3");
  bytes += frame(fin | 10, "");
  bytes += frame(fin | 0, "\xb6");
  bytes += frame(fin | 2, "");
  bytes += frame(2, "two ");
  bytes += frame(fin | 0, "parts");
  std::string close;
  encode_ws_close(close, WsClose::kNormal, "done", &key);
  return bytes + close;
}

const Outcome conversation_seen = {{{WsOpcode::kText, "héllo ☃ wörld"},
                                    {WsOpcode::kBinary, std::string(300, 'b')},
                                    {WsOpcode::kPing, "ping within"},
                                    {WsOpcode::kPong, ""},
                                    {WsOpcode::kText, "first hélö"},
                                    {WsOpcode::kBinary, ""},
                                    {WsOpcode::kBinary, "two parts"},
                                    {WsOpcode::kClose,
                                     "\x03\xe8"
                                     "done"}},
                                   0};

// The parser's life ends at every cut; another one goes on from what it saved.
TEST(WebSocket, GivesTheSameMessagesWhereverTheParserChangesHands) {
  const std::string bytes = conversation();
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    WsParser first(Role::kServer, 1 << 20);
    Outcome outcome;
    std::string before = bytes.substr(0, cut), after = bytes.substr(cut), saved;
    first.feed(before.data(), before.size());
    drain(first, outcome);
    first.save(saved);
    EXPECT_EQ(saved.empty(), first.held_bytes() == 0) << cut;
    auto second = WsParser::restore(Role::kServer, 1 << 20, saved);
    ASSERT_TRUE(second) << cut << ": " << second.error().text;
    std::string again;
    second->save(again);
    EXPECT_EQ(again, saved) << cut;
    second->feed(after.data(), after.size());
    drain(*second, outcome);
    EXPECT_EQ(outcome, conversation_seen) << cut;
    for (std::size_t n = 1; n < saved.size(); ++n) {
      (void)WsParser::restore(Role::kServer, 1 << 20, std::string_view(saved).substr(0, n));
    }
    if (saved.empty()) continue;
    EXPECT_FALSE(WsParser::restore(Role::kServer, 1 << 20, saved + "x")) << cut;
    EXPECT_FALSE(WsParser::restore(Role::kServer, 1 << 20, saved.substr(0, saved.size() - 1)))
        << cut;
  }
}

TEST(WebSocket, ASavedMessageOverTheLimitIsRefused) {
  WsParser parser(Role::kServer, 1 << 20);
  std::string bytes = frame(fin | 2, std::string(5'000, 'b')).substr(0, 100), saved;
  parser.feed(bytes.data(), bytes.size());
  Outcome none;
  drain(parser, none);
  parser.save(saved);
  EXPECT_TRUE(WsParser::restore(Role::kServer, 5'000, saved));
  EXPECT_FALSE(WsParser::restore(Role::kServer, 4'999, saved));
  EXPECT_FALSE(WsParser::restore(Role::kClient, 5'000, saved));
}

TEST(WebSocket, GivesTheSameMessagesWhereverTheBytesAreCut) {
  const std::string bytes = conversation();
  EXPECT_EQ(parse(bytes, Role::kServer), conversation_seen);
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    EXPECT_EQ(parse(bytes, Role::kServer, {cut}), conversation_seen) << cut;
  }
  std::vector<std::size_t> every;
  for (std::size_t cut = 1; cut < bytes.size(); ++cut) every.push_back(cut);
  EXPECT_EQ(parse(bytes, Role::kServer, every), conversation_seen);
  std::mt19937_64 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::size_t> cuts;
    for (std::size_t at = 0; (at += 1 + random() % 60) < bytes.size();) cuts.push_back(at);
    EXPECT_EQ(parse(bytes, Role::kServer, cuts), conversation_seen);
  }
}

TEST(WebSocket, HoldsNothingBetweenMessages) {
  WsParser parser(Role::kServer, 1000);
  std::string bytes = frame(fin | 1, "hello");
  Outcome seen;
  parser.feed(bytes.data(), bytes.size());
  drain(parser, seen);
  EXPECT_EQ(parser.held_bytes(), 0u);
  bytes = frame(fin | 1, "hello");
  parser.feed(bytes.data(), 8);
  drain(parser, seen);
  EXPECT_GT(parser.held_bytes(), 0u);
  parser.feed(bytes.data() + 8, bytes.size() - 8);
  drain(parser, seen);
  EXPECT_EQ(parser.held_bytes(), 0u);
  EXPECT_EQ(seen.messages.size(), 2u);
}

TEST(WebSocket, GivesAWholeMessageInPlace) {
  WsParser parser(Role::kClient, 1000);
  std::string bytes = frame(fin | 2, "payload", false);
  parser.feed(bytes.data(), bytes.size());
  WsMessage message;
  WsError error;
  ASSERT_EQ(parser.next(&message, &error), Step::kMessage);
  EXPECT_EQ(message.payload.data(), bytes.data() + 2);
  EXPECT_EQ(parser.held_bytes(), 0u);
  EXPECT_EQ(parser.next(&message, &error), Step::kNeedMore);
}

TEST(WebSocket, RefusesAMessageOverTheLimitBeforeItIsThere) {
  for (const std::uint64_t size : {std::uint64_t{1001}, std::uint64_t{1} << 62}) {
    std::string head = {static_cast<char>(fin | 2), static_cast<char>(0xff)};
    for (int shift = 56; shift >= 0; shift -= 8) head += static_cast<char>(size >> shift);
    head += "mask";
    if (size == 1001) {
      head = {static_cast<char>(fin | 2), static_cast<char>(0xfe), 3, static_cast<char>(0xe9)};
      head += "mask";
    }
    EXPECT_EQ(parse(head, Role::kServer, {}, 1000).error, 1009) << size;
  }
  EXPECT_EQ(parse(frame(fin | 2, std::string(1000, 'x')), Role::kServer, {}, 1000).error, 0);
  // Fragments count together.
  std::string parts = frame(2, std::string(600, 'x'));
  EXPECT_EQ(parse(parts + frame(fin, std::string(400, 'x')), Role::kServer, {}, 1000).error, 0);
  EXPECT_EQ(parse(parts + frame(fin, std::string(401, 'x')), Role::kServer, {}, 1000).error, 1009);
}

TEST(WebSocket, MemoryFollowsWhatCameAndNotWhatWasPromised) {
  WsParser parser(Role::kServer, 16 << 20);
  std::string bytes = frame(fin | 2, std::string(10 << 20, 'x'));
  parser.feed(bytes.data(), 1000);
  Outcome seen;
  drain(parser, seen);
  EXPECT_LT(parser.held_bytes(), 16'000u);
}

TEST(WebSocket, RefusesWhatTheRfcForbids) {
  const auto error = [](const std::string& bytes, Role role = Role::kServer) {
    const int at_once = parse(bytes, role).error;
    std::vector<std::size_t> every;
    for (std::size_t cut = 1; cut < bytes.size(); ++cut) every.push_back(cut);
    EXPECT_EQ(parse(bytes, role, every).error, at_once);
    return at_once;
  };
  EXPECT_EQ(error(frame(fin | 1, "a", false)), 1002) << "unmasked from a client";
  EXPECT_EQ(error(frame(fin | 1, "a", true), Role::kClient), 1002) << "masked from a server";
  for (const int reserved : {0x40, 0x20, 0x10})
    EXPECT_EQ(error(frame(fin | reserved | 1, "")), 1002);
  for (const int opcode : {3, 4, 5, 6, 7, 11, 12, 13, 14, 15}) {
    EXPECT_EQ(error(frame(fin | opcode, "")), 1002) << opcode;
  }
  EXPECT_EQ(error(frame(9, "in parts")), 1002);
  EXPECT_EQ(error(frame(fin | 9, std::string(126, 'p'))), 1002);
  EXPECT_EQ(error(frame(fin | 9, std::string(125, 'p'))), 0);
  EXPECT_EQ(error(frame(fin | 0, "of nothing")), 1002);
  EXPECT_EQ(error(frame(1, "a") + frame(fin | 1, "b")), 1002) << "text within text";
  EXPECT_EQ(error(frame(1, "a") + frame(fin | 2, "b")), 1002);

  const std::string mask = "mask";
  EXPECT_EQ(error(std::string("\x82\xfe\x00\x05", 4) + mask), 1002) << "5 in two bytes";
  EXPECT_EQ(error(std::string("\x82\xff\0\0\0\0\0\0\xff\xff", 10) + mask), 1002);
  EXPECT_EQ(error(std::string("\x82\xff\x80\0\0\0\0\0\0\0", 10) + mask), 1002) << "bit 63";
}

TEST(WebSocket, ChecksCloseFrames) {
  const auto error = [](const std::string& payload) {
    return parse(frame(fin | 8, payload), Role::kServer).error;
  };
  const auto code = [](int c) {
    return std::string{static_cast<char>(c >> 8), static_cast<char>(c)};
  };
  EXPECT_EQ(error(""), 0);
  EXPECT_EQ(error("\x03"), 1002);
  for (const int good : {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014,
                         3000, 3999, 4000, 4999}) {
    EXPECT_EQ(error(code(good)), 0) << good;
  }
  for (const int bad : {0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535}) {
    EXPECT_EQ(error(code(bad)), 1002) << bad;
  }
  EXPECT_EQ(error(code(1000) + "ok ☃"), 0);
  EXPECT_EQ(error(code(1000) + "\xff"), 1007);
  // What follows a close is dropped, valid or not.
  EXPECT_EQ(parse(frame(fin | 8, "") + "garbage", Role::kServer),
            (Outcome{{{WsOpcode::kClose, ""}}, 0}));
  EXPECT_EQ(parse(frame(fin | 8, "") + "garbage", Role::kServer, {6, 9}),
            (Outcome{{{WsOpcode::kClose, ""}}, 0}));
}

TEST(WebSocket, StaysFailed) {
  WsParser parser(Role::kServer, 1000);
  std::string bad = frame(fin | 3, "");
  Outcome seen;
  parser.feed(bad.data(), bad.size());
  drain(parser, seen);
  EXPECT_EQ(seen.error, 1002);
  std::string good = frame(fin | 1, "good");
  parser.feed(good.data(), good.size());
  drain(parser, seen);
  EXPECT_TRUE(seen.messages.empty());
}

TEST(WebSocket, ChecksUtf8AcrossFragmentsAndCuts) {
  const std::string valid = "κόσμε ☃ \xf0\x9f\x98\x80 \xed\x9f\xbf \xee\x80\x80 \xf4\x8f\xbf\xbf";
  for (std::size_t cut = 0; cut <= valid.size(); ++cut) {
    const std::string bytes = frame(1, valid.substr(0, cut)) + frame(fin, valid.substr(cut));
    EXPECT_EQ(parse(bytes, Role::kServer), (Outcome{{{WsOpcode::kText, valid}}, 0})) << cut;
    const std::string whole = frame(fin | 1, valid);
    EXPECT_EQ(parse(whole, Role::kServer, {6 + cut}), (Outcome{{{WsOpcode::kText, valid}}, 0}));
  }
  // Ends within a character: only the last fragment shows it.
  EXPECT_EQ(parse(frame(1, "\xf0\x9f"), Role::kServer).error, 0);
  EXPECT_EQ(parse(frame(1, "\xf0\x9f") + frame(fin, "\x98"), Role::kServer).error, 1007);
  EXPECT_EQ(parse(frame(fin | 1, "\xf0\x9f\x98"), Role::kServer).error, 1007);
  EXPECT_EQ(parse(frame(fin | 1, "\xf0\x9f\x98"), Role::kServer, {7}).error, 1007);
  // An impossible byte is refused when it comes.
  EXPECT_EQ(parse(frame(1, "ab\xc0"), Role::kServer).error, 1007);
  EXPECT_EQ(parse(frame(fin | 2, "\xff\xfe"), Role::kServer).error, 0) << "binary is bytes";
}

TEST(Utf8, FollowsRfc3629) {
  for (const char* good : {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xef\xbf\xbf",
                           "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf",
                           "12345678\xc3\xa9"
                           "12345678"}) {
    EXPECT_TRUE(is_valid_utf8(good)) << good;
  }
  for (const char* bad : {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xe0\x9f\xbf",
                          "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
                          "\xf5\x80\x80\x80", "\xff", "\xe2\x98", "12345678\xff", "\xc3("}) {
    EXPECT_FALSE(is_valid_utf8(bad)) << bad;
  }
  EXPECT_EQ(utf8_prefix("aé", 2), "a");
  EXPECT_EQ(utf8_prefix("aé", 3), "aé");
  EXPECT_EQ(utf8_prefix("\x80\x80\x80", 2), "");
}

TEST(WebSocket, EncodesAllLengthFormsForBothEnds) {
  std::mt19937_64 random(7);
  for (const std::size_t size : {0, 1, 7, 8, 9, 125, 126, 127, 65'535, 65'536, 200'001}) {
    std::string payload(size, '\0');
    for (char& c : payload) c = static_cast<char>(random());
    const Outcome wanted{{{WsOpcode::kBinary, payload}}, 0};
    EXPECT_EQ(parse(frame(fin | 2, payload, true), Role::kServer), wanted) << size;
    EXPECT_EQ(parse(frame(fin | 2, payload, false), Role::kClient), wanted) << size;
    // The mask's phase at every offset.
    for (std::size_t cut = 1; cut < std::min<std::size_t>(size, 30); ++cut) {
      EXPECT_EQ(parse(frame(fin | 2, payload, true), Role::kServer, {cut}), wanted) << size;
    }
  }
  // RFC 6455 section 5.7.
  std::string hello;
  const std::uint32_t mask = 0x3d21fa37;
  encode_ws_frame(hello, WsOpcode::kText, "Hello", &mask);
  EXPECT_EQ(hello, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
  hello.clear();
  encode_ws_frame(hello, WsOpcode::kText, "Hello", nullptr);
  EXPECT_EQ(hello, "\x81\x05Hello");
}

TEST(WebSocket, AcceptsKeysAsTheRfcSays) {
  EXPECT_EQ(websocket_accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  EXPECT_EQ(websocket_accept("x3JJHMbDL1EzLkh9GBhXDw=="), "HSmrc0sMlYUkAGmm5OPpG2HaGWk=");
}

}  // namespace
}  // namespace evodb::wire
