#include "base/bytes.h"

#include <gtest/gtest.h>

#include "base/ascii.h"
#include "base/base64.h"
#include "base/chunked_slab.h"

namespace evodb::base {
namespace {

TEST(Hex16, IsSixteenDigitsThatReadBack) {
  EXPECT_EQ(hex16(0), "0000000000000000");
  EXPECT_EQ(hex16(0xa1000), "00000000000a1000");
  for (const std::uint64_t v : {std::uint64_t{0}, std::uint64_t{0xa1000}, UINT64_MAX}) {
    std::uint64_t back = 1;
    ASSERT_TRUE(parse_hex16(hex16(v), &back));
    EXPECT_EQ(back, v);
  }
  std::uint64_t untouched = 7;
  for (const std::string_view wrong :
       {"", "a1000", "00000000000A1000", "00000000000a100g", "000000000000a1000"}) {
    EXPECT_FALSE(parse_hex16(wrong, &untouched)) << wrong;
  }
  EXPECT_EQ(untouched, 7u);
}

TEST(Hex, ReadsPairsOfDigitsInEitherCaseAndNothingElse) {
  EXPECT_EQ(from_hex(""), "");
  EXPECT_EQ(from_hex("00fFa1"), std::string("\0\xff\xa1", 3));
  EXPECT_EQ(from_hex(to_hex("any bytes")), "any bytes");
  for (const std::string_view wrong : {"0", "000", "0g", "+1", "-1", " 1", "1 ", "0x"}) {
    EXPECT_FALSE(from_hex(wrong)) << wrong;
  }
}

// RFC 4648, section 10.
TEST(Base64, EncodesTheVectorsOfItsSpecification) {
  EXPECT_EQ(base64_encode(""), "");
  EXPECT_EQ(base64_encode("f"), "Zg==");
  EXPECT_EQ(base64_encode("fo"), "Zm8=");
  EXPECT_EQ(base64_encode("foo"), "Zm9v");
  EXPECT_EQ(base64_encode("foob"), "Zm9vYg==");
  EXPECT_EQ(base64_encode("fooba"), "Zm9vYmE=");
  EXPECT_EQ(base64_encode("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64_encode("\xff\xfe"), "//4=");
}

TEST(Ascii, ComparesWithoutRegardToCaseAndLeavesOtherBytesAlone) {
  EXPECT_TRUE(equal_ignoring_case("Keep-Alive", "kEEP-aLIVE"));
  EXPECT_FALSE(equal_ignoring_case("keep", "keep-alive"));
  EXPECT_FALSE(equal_ignoring_case("[", "{"));                // a letter's distance apart
  EXPECT_FALSE(equal_ignoring_case("\xc3\x84", "\xc3\xa4"));  // Latin letters beyond ASCII
  EXPECT_EQ(ascii_lower("MiB_\xc3\x84"), "mib_\xc3\x84");
}

TEST(ChunkedSlab, RecordsStayWhereTheyAreWhileItGrows) {
  ChunkedSlab<int> slab;
  EXPECT_EQ(slab.end(), 0u);
  int& first = slab.make(0);
  first = 7;
  EXPECT_EQ(slab.end(), 1024u);
  slab.make(5000) = 8;
  EXPECT_EQ(slab.end(), 5120u);
  EXPECT_EQ(&slab[0], &first);
  EXPECT_EQ(slab[0], 7);
  EXPECT_EQ(slab[1024], 0);
  EXPECT_EQ(slab[5000], 8);
}

}  // namespace
}  // namespace evodb::base
