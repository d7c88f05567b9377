#include "table/bounds.h"

#include <gtest/gtest.h>

#include "base/bytes.h"

namespace evodb::table {
namespace {

TEST(Bounds, NumbersAreLittleEndian) {
  EXPECT_EQ(base::to_hex(bound_of_long(258)), "0201000000000000");
  EXPECT_EQ(base::to_hex(bound_of_int(-1)), "ffffffff");
  EXPECT_EQ(base::to_hex(bound_of_boolean(true)), "01");
  EXPECT_EQ(base::to_hex(lower_bound_of_double(1.0)), "000000000000f03f");
  EXPECT_EQ(base::to_hex(lower_bound_of_double(0.0)), "0000000000000080");
  EXPECT_EQ(base::to_hex(upper_bound_of_double(-0.0)), "0000000000000000");
}

TEST(Bounds, TextIsCutByCharactersAndAnUpperBoundIsIncremented) {
  EXPECT_EQ(lower_bound_of_text("héllo", 2), "hé");
  EXPECT_EQ(upper_bound_of_text("héllo", 2), "hê");
  EXPECT_EQ(upper_bound_of_text("héllo", 5), "héllo") << "not cut, not incremented";
  EXPECT_EQ(upper_bound_of_text("a\xf4\x8f\xbf\xbfz", 2), "b") << "no character after U+10FFFF";
  EXPECT_EQ(upper_bound_of_text("\xf4\x8f\xbf\xbfz", 1), std::nullopt);
  EXPECT_EQ(upper_bound_of_text("\xed\x9f\xbfz", 1), "\xee\x80\x80") << "over the surrogates";
  EXPECT_EQ(upper_bound_of_text("\x7fz", 1), "\xc2\x80");
  EXPECT_EQ(lower_bound_of_text("", 2), "");
}

TEST(Bounds, TextThatIsNoUtf8HasNone) {
  for (const char* bad : {"\xff", "a\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80"}) {
    EXPECT_EQ(lower_bound_of_text(bad), std::nullopt);
    EXPECT_EQ(upper_bound_of_text(bad), std::nullopt);
  }
}

TEST(Bounds, BytesAreCutAndIncremented) {
  EXPECT_EQ(lower_bound_of_bytes("abc", 2), "ab");
  EXPECT_EQ(upper_bound_of_bytes("abc", 2), "ac");
  EXPECT_EQ(upper_bound_of_bytes("a\xff\xff", 2), "b");
  EXPECT_EQ(upper_bound_of_bytes("\xff\xff\xff", 2), std::nullopt);
  EXPECT_EQ(upper_bound_of_bytes("ab", 2), "ab");
}

}  // namespace
}  // namespace evodb::table
