#include "parent/hand_over_format.h"

#include <random>
#include <string>

#include <gtest/gtest.h>

namespace evodb::parent {
namespace {

HandOverContents some() {
  return {.journal_id = 77,
          .journal_end = Position(1u << 20),
          .streams = {0, 1, 5, 900, UINT32_MAX},
          .connections = std::string("c\0nnections", 11),
          .sessions = "sessions"};
}

TEST(HandOverFormat, ComesBackAsItWas) {
  for (const auto& contents : {some(), HandOverContents{}}) {
    const auto read = decode_hand_over(encode_hand_over(contents));
    ASSERT_TRUE(read) << read.error().text;
    EXPECT_EQ(*read, contents);
  }
}

TEST(HandOverFormat, EveryFlippedBitAndEveryCutIsRefused) {
  const std::string bytes = encode_hand_over(some());
  for (std::size_t i = 0; i < bytes.size() * 8; ++i) {
    std::string flipped = bytes;
    flipped[i / 8] = static_cast<char>(flipped[i / 8] ^ (1 << (i % 8)));
    EXPECT_FALSE(decode_hand_over(flipped)) << i;
  }
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(decode_hand_over(std::string_view(bytes).substr(0, n))) << n;
  }
  EXPECT_FALSE(decode_hand_over(bytes + "x"));
}

TEST(HandOverFormat, AnotherVersionIsNamed) {
  std::string bytes = encode_hand_over(some());
  bytes[8] = 9;
  const auto refused = decode_hand_over(bytes);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().text.find("version 9"), std::string::npos);
}

}  // namespace
}  // namespace evodb::parent
