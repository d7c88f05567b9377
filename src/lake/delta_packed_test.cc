// Beside Arrow's encoder, and read back by Arrow's decoder.
#include "lake/delta_packed.h"

#include <limits>
#include <random>
#include <vector>

#include <arrow/buffer.h>
#include <gtest/gtest.h>
#include <parquet/encoding.h>

namespace evodb::lake {
namespace {

std::string ours(const std::vector<std::int64_t>& values) {
  std::string out;
  append_delta_packed(out, values.data(), values.size());
  return out;
}

std::string arrows(const std::vector<std::int64_t>& values) {
  const auto encoder =
      parquet::MakeTypedEncoder<parquet::Int64Type>(parquet::Encoding::DELTA_BINARY_PACKED);
  encoder->Put(values.data(), static_cast<int>(values.size()));
  return encoder->FlushValues()->ToString();
}

std::vector<std::int64_t> decoded(const std::string& bytes, std::size_t n) {
  std::vector<std::int64_t> values(n);
  const auto decoder =
      parquet::MakeTypedDecoder<parquet::Int64Type>(parquet::Encoding::DELTA_BINARY_PACKED);
  decoder->SetData(static_cast<int>(n), reinterpret_cast<const std::uint8_t*>(bytes.data()),
                   static_cast<int>(bytes.size()));
  EXPECT_EQ(decoder->Decode(values.data(), static_cast<int>(n)), static_cast<int>(n));
  return values;
}

TEST(DeltaPacked, IsWhatArrowWritesAndReads) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 600; ++round) {
    std::vector<std::int64_t> values;
    const std::size_t n = 1 + random() % (round % 3 == 0 ? 5 : 1'500);
    const unsigned step_bits = static_cast<unsigned>(random() % 65);
    std::uint64_t value = random() % 2 == 0 ? 0 : random();
    for (std::size_t i = 0; i < n; ++i) {
      value += step_bits == 64 ? random() : random() & ((std::uint64_t{1} << step_bits) - 1);
      values.push_back(static_cast<std::int64_t>(value));
    }
    ASSERT_EQ(ours(values), arrows(values)) << "round " << round;
    ASSERT_EQ(decoded(ours(values), n), values) << "round " << round;
  }
}

TEST(DeltaPacked, ExtremesWrapAround) {
  constexpr auto low = std::numeric_limits<std::int64_t>::min();
  constexpr auto high = std::numeric_limits<std::int64_t>::max();
  const std::vector<std::int64_t> values = {low, high, low, 0, high, -1, low, low, high, high};
  EXPECT_EQ(ours(values), arrows(values));
  EXPECT_EQ(decoded(ours(values), values.size()), values);
}

}  // namespace
}  // namespace evodb::lake
