// The inputs are zlib's own output, made by Python's zlib.compressobj(level, DEFLATED, -15).
#include "table/inflate.h"

#include <gtest/gtest.h>

namespace evodb::table {
namespace {

std::string from_hex(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return out;
}

const char* const dynamic =
    "8d92410ac4200c45af922398a8b132a79981e9aa5028855ebfdd969745b68ffcf8fc7aec9714d95739bfbfed2fe747"
    "8e87284803994c399075a0ca290a2c5c4e54996bf4744e8d25a1a081ba017556353835b94bad24248cbb9a674ed412"
    "dc28284cdd321a3353ebacc12d839774b661a5253482af3398530d587f476f";

std::string rows() {
  std::string text;
  for (int i = 0; i < 40; ++i) text += "row " + std::to_string(i % 7 * i) + " of table t; ";
  return text;
}

Result<std::string> inflated(std::string_view bytes, std::size_t max = 10'000) {
  std::string out;
  EVODB_TRY(inflate(bytes, max, out));
  return out;
}

TEST(Inflate, EveryKindOfBlock) {
  EXPECT_EQ(inflated(from_hex(dynamic)).value(), rows());
  EXPECT_EQ(inflated(from_hex("4bcbac484d514843908a00")).value(), "fixed fixed fixed!");
  EXPECT_EQ(inflated(from_hex("010600f9ff73746f726564")).value(), "stored");
  EXPECT_EQ(inflated(from_hex("0300")).value(), "");
}

TEST(Inflate, StopsAtItsBound) {
  EXPECT_EQ(inflated(from_hex(dynamic), 758).error().kind, ErrorKind::kOverLimit);
  EXPECT_TRUE(inflated(from_hex(dynamic), 759));
  EXPECT_EQ(inflated(from_hex("010600f9ff73746f726564"), 5).error().kind, ErrorKind::kOverLimit);
}

TEST(Inflate, EveryCutAndEveryFlippedBitIsHarmless) {
  const std::string good = from_hex(dynamic);
  for (std::size_t n = 0; n < good.size(); ++n) {
    EXPECT_FALSE(inflated(std::string_view(good).substr(0, n))) << n;
  }
  EXPECT_EQ(inflated(good + "xyz").value(), rows()) << "what PyIceberg leaves behind the end";
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
    (void)inflated(bad);
  }
}

}  // namespace
}  // namespace evodb::table
