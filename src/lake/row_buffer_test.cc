#include "lake/row_buffer.h"

#include <gtest/gtest.h>

namespace evodb::lake {
namespace {

TEST(ColumnBuffer, IsDenseUntilTheFirstGapAndKnowsEveryRowAfterwards) {
  MemoryMeter meter;
  ColumnBuffer longs(table::Type::kLong, meter);
  longs.put_long(0, 7);
  longs.put_long(1, -8);
  EXPECT_TRUE(longs.dense());
  longs.put_long(4, 9);
  longs.put_long(5, 10);
  longs.put_long(8, 11);
  EXPECT_FALSE(longs.dense());
  EXPECT_EQ(longs.rows(), 9u);
  EXPECT_EQ(longs.values(), 5u);
  const std::vector<bool> has = {true, true, false, false, true, true, false, false, true, false};
  for (std::uint32_t row = 0; row < has.size(); ++row) EXPECT_EQ(longs.has(row), has[row]) << row;
  EXPECT_EQ(static_cast<std::int64_t>(longs.fixed(1)), -8);
  EXPECT_EQ(longs.fixed(4), 9u);
  EXPECT_EQ(longs.fixed(8), 11u);
}

TEST(ColumnBuffer, MayBeginWithAGap) {
  MemoryMeter meter;
  ColumnBuffer texts(table::Type::kString, meter);
  texts.put_bytes(2, "ab");
  texts.put_bytes(3, "");
  texts.put_bytes(5, "cde");
  const std::vector<bool> has = {false, false, true, true, false, true, false};
  for (std::uint32_t row = 0; row < has.size(); ++row) EXPECT_EQ(texts.has(row), has[row]) << row;
  EXPECT_EQ(texts.bytes(2), "ab");
  EXPECT_EQ(texts.bytes(3), "");
  EXPECT_EQ(texts.bytes(5), "cde");
  EXPECT_GT(meter.bytes, 0u);
}

TEST(RowBuffer, SortsBySourceNameEpochAndLsnAndKnowsWhichFlagsOccur) {
  RowBuffer rows;
  const auto add = [&](std::string_view source, std::uint64_t lsn, std::uint8_t flags) {
    RowHead head;
    head.epoch = Epoch(1);
    head.lsn = Lsn(lsn);
    head.source = rows.source_number(source);
    head.flags = flags;
    return rows.add_row(head);
  };
  EXPECT_EQ(add("b", 1, 0), 0u);
  EXPECT_EQ(add("b", 2, 0), 1u);
  EXPECT_TRUE(rows.sorted_order().empty()) << "they lie as they should";
  EXPECT_FALSE(rows.has_flag(kHasBefore));
  EXPECT_EQ(add("a", 5, kHasBefore), 2u);
  EXPECT_EQ(add("b", 3, 0), 3u);
  EXPECT_EQ(add("a", 4, 0), 4u);
  EXPECT_EQ(rows.sources(), 2u);
  EXPECT_TRUE(rows.has_flag(kHasBefore));
  EXPECT_FALSE(rows.has_flag(kNoCommittedAt));
  EXPECT_EQ(rows.sorted_order(), (std::vector<std::uint32_t>{4, 2, 0, 1, 3}));
}

}  // namespace
}  // namespace evodb::lake
