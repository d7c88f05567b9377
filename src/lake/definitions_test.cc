#include "lake/definitions.h"

#include <gtest/gtest.h>

namespace evodb::lake {
namespace {

std::string encoded(std::uint32_t version) {
  std::string out;
  wire::encode_table_def(out, {.name = "t", .schema_version = version, .columns = {{.name = "c"}}});
  return out;
}
std::uint64_t fingerprint(std::uint32_t version) {
  return wire::TableDef{.name = "t", .schema_version = version, .columns = {{.name = "c"}}}
      .fingerprint();
}

TEST(Definitions, AreFoundByTheirFingerprint) {
  Definitions definitions(1'000);
  ASSERT_TRUE(definitions.add(encoded(3), Position(0)));
  ASSERT_TRUE(definitions.find(fingerprint(3)));
  EXPECT_EQ(definitions.find(fingerprint(3))->def.schema_version, 3u);
  EXPECT_EQ(definitions.find(fingerprint(4)), nullptr);
}

TEST(Definitions, ThatNoRecordCanReferToAnyMoreAreForgottenAndRepeatedOnesKept) {
  constexpr std::uint64_t reach = 10'000;
  Definitions definitions(reach);
  std::size_t most = 0;
  for (std::uint32_t n = 1; n <= 200'000; ++n) {
    ASSERT_TRUE(definitions.add(encoded(n), Position(n * 100)));
    if (n % 50 == 0) {
      ASSERT_TRUE(definitions.add(encoded(1), Position(n * 100 + 50)));
    }
    most = std::max(most, definitions.size());
  }
  EXPECT_LT(most, 40'000u) << "about 4 MiB of them";
  EXPECT_TRUE(definitions.find(fingerprint(1)));
  for (std::uint32_t n = 200'000; n > 200'000 - reach / 100; --n) {
    ASSERT_TRUE(definitions.find(fingerprint(n))) << n;
  }
}

TEST(Definitions, MalformedOnesAreCorruptAndNotKept) {
  Definitions definitions(1'000);
  for (const std::string& bad : {std::string(), encoded(1) + "x", encoded(1).substr(0, 4)}) {
    const auto added = definitions.add(bad, Position(0));
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().kind, ErrorKind::kCorrupt);
  }
  EXPECT_EQ(definitions.size(), 0u);
}

}  // namespace
}  // namespace evodb::lake
