#include "wire/utf8.h"

#include <string>

#include <gtest/gtest.h>

namespace evodb::wire {
namespace {

TEST(Utf8, AsciiIsToldAtEveryLengthAndEveryPlace) {
  for (std::size_t length = 0; length < 40; ++length) {
    std::string text(length, 'x');
    EXPECT_TRUE(is_ascii(text));
    for (std::size_t at = 0; at < length; ++at) {
      for (const char high : {'\x80', '\xff'}) {
        text[at] = high;
        EXPECT_FALSE(is_ascii(text)) << length << ", " << at;
      }
      text[at] = '\x7f';
      EXPECT_TRUE(is_ascii(text));
    }
  }
}

TEST(Utf8, AsciiIsValidAndWhatIsNotMayBe) {
  EXPECT_TRUE(is_valid_utf8("plain"));
  EXPECT_FALSE(is_ascii("h\xc3\xa9llo"));
  EXPECT_TRUE(is_valid_utf8("h\xc3\xa9llo"));
  EXPECT_FALSE(is_valid_utf8("h\xc3llo"));
}

}  // namespace
}  // namespace evodb::wire
