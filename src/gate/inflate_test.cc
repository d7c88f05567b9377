#include "gate/inflate.h"

#include <string>

#include <gtest/gtest.h>
#include <zstd.h>

namespace evodb::gate {
namespace {

std::string deflate(const std::string& plain) {
  std::string out(ZSTD_compressBound(plain.size()), 0);
  out.resize(ZSTD_compress(out.data(), out.size(), plain.data(), plain.size(), 3));
  return out;
}

TEST(Inflater, GivesBackWhatWasDeflated) {
  Inflater inflater;
  for (const std::size_t n : {0u, 1u, 1000u, 65536u, 65537u, 3'000'000u}) {
    std::string plain(n, 'a');
    for (std::size_t i = 0; i < n; i += 7) plain[i] = static_cast<char>(i * 31);
    const auto result = inflater.inflate(deflate(plain), n);
    ASSERT_TRUE(result) << result.error().text;
    EXPECT_EQ(*result, plain);
    if (n > 0) {
      const auto over = inflater.inflate(deflate(plain), n - 1);
      ASSERT_FALSE(over);
      EXPECT_EQ(over.error().kind, ErrorKind::kOverLimit);
    }
    inflater.shrink();
  }
}

TEST(Inflater, ABombIsGivenUpAtTheLimit) {
  Inflater inflater;
  const std::string bomb = deflate(std::string(64u << 20, 0));
  ASSERT_LT(bomb.size(), 16u << 10);
  const auto result = inflater.inflate(bomb, 1u << 20);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, ErrorKind::kOverLimit);

  // The same without a word of its size: found out on the way.
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  const std::string plain(64u << 20, 0);
  std::string quiet(ZSTD_compressBound(plain.size()), 0);
  quiet.resize(ZSTD_compress2(context, quiet.data(), quiet.size(), plain.data(), plain.size()));
  ZSTD_freeCCtx(context);
  ASSERT_EQ(ZSTD_getFrameContentSize(quiet.data(), quiet.size()), ZSTD_CONTENTSIZE_UNKNOWN);
  const auto found = inflater.inflate(quiet, 1u << 20);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().kind, ErrorKind::kOverLimit);
}

TEST(Inflater, RefusesWhatIsNotExactlyOneFrame) {
  Inflater inflater;
  const std::string good = deflate(std::string(10'000, 'x') + "end");
  for (std::size_t n = 0; n < good.size(); ++n) {
    EXPECT_FALSE(inflater.inflate(good.substr(0, n), 1u << 20)) << n;
  }
  EXPECT_FALSE(inflater.inflate(good + "x", 1u << 20));
  EXPECT_FALSE(inflater.inflate("not zstd at all", 1u << 20));
  EXPECT_TRUE(inflater.inflate(good, 1u << 20));
}

}  // namespace
}  // namespace evodb::gate
