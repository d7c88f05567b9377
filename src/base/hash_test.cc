#include "base/hash.h"

#include <string>

#include <gtest/gtest.h>

#include "sim/seams/seeded_random.h"

namespace evodb::base {
namespace {

using namespace std::string_view_literals;

// RFC 3720 appendix B.4, and the check value of the catalogue of CRCs.
TEST(Crc32c, GivesTheNumbersOfTheStandard) {
  std::string ascending, descending;
  for (int i = 0; i < 32; ++i) {
    ascending.push_back(static_cast<char>(i));
    descending.push_back(static_cast<char>(31 - i));
  }
  for (const auto crc : {crc32c, crc32c_portable}) {
    EXPECT_EQ(crc("", 0), 0u);
    EXPECT_EQ(crc("123456789", 0), 0xe3069283u);
    EXPECT_EQ(crc(std::string(32, 0), 0), 0x8a9136aau);
    EXPECT_EQ(crc(std::string(32, 0xff), 0), 0x62a8ab43u);
    EXPECT_EQ(crc(ascending, 0), 0x46dd794eu);
    EXPECT_EQ(crc(descending, 0), 0x113fdb5cu);
  }
}

TEST(Crc32c, WithAndWithoutInstructionsIsTheSameAtEveryLengthAndAlignment) {
  sim::SeededRandom random(3);
  std::string bytes(700, 0);
  for (char& c : bytes) c = static_cast<char>(random.next());
  for (std::size_t offset = 0; offset < 16; ++offset) {
    for (std::size_t n = 0; n + offset <= 300; ++n) {
      const std::string_view piece = std::string_view(bytes).substr(offset, n);
      const auto seed = static_cast<std::uint32_t>(random.next());
      ASSERT_EQ(crc32c(piece, seed), crc32c_portable(piece, seed)) << offset << " " << n;
    }
  }
  for (int i = 0; i < 2'000; ++i) {
    const std::size_t offset = random.below(bytes.size());
    const std::string_view piece =
        std::string_view(bytes).substr(offset, random.below(bytes.size() - offset + 1));
    const std::size_t cut = random.below(piece.size() + 1);
    const std::uint32_t whole = crc32c(piece);
    ASSERT_EQ(whole, crc32c_portable(piece));
    ASSERT_EQ(whole, crc32c(piece.substr(cut), crc32c_portable(piece.substr(0, cut))));
    ASSERT_EQ(whole, crc32c_portable(piece.substr(cut), crc32c(piece.substr(0, cut))));
  }
}

// Long enough for lanes that are folded side by side, and for what remains behind them.
TEST(Crc32c, WithAndWithoutInstructionsIsTheSameWhenLong) {
  sim::SeededRandom random(4);
  std::string bytes(5000, 0);
  for (char& c : bytes) c = static_cast<char>(random.next());
  for (std::size_t n = 700; n <= 5000; n += 1 + n % 17) {
    const std::string_view piece = std::string_view(bytes).substr(0, n);
    const auto seed = static_cast<std::uint32_t>(random.next());
    ASSERT_EQ(crc32c(piece, seed), crc32c_portable(piece, seed)) << n;
  }
}

TEST(Xxh64, GivesTheNumbersOfTheSpecification) {
  EXPECT_EQ(xxh64(""), 0xef46db3751d8e999u);
  EXPECT_EQ(xxh64("abc"), 0x44bc2cf5ad770999u);
  EXPECT_NE(xxh64("abc", 1), xxh64("abc"));
}

}  // namespace
}  // namespace evodb::base
