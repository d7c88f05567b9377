#include "lake/landed_filter.h"

#include <random>
#include <set>

#include "base/bytes.h"
#include "base/hash.h"

namespace evodb::lake {
namespace {

TEST(LandedFilter, OfAnOrderedSourceEverythingUpToTheHighestIsThere) {
  LandedFilter filter;
  EXPECT_TRUE(filter.empty());
  filter.add("t", "s", Epoch(1), Lsn(7));
  filter.add("t", "s", Epoch(1), Lsn(3));
  EXPECT_FALSE(filter.empty());
  EXPECT_TRUE(filter.contains("t", "s", Epoch(1), Lsn(1)));
  EXPECT_TRUE(filter.contains("t", "s", Epoch(1), Lsn(7)));
  EXPECT_FALSE(filter.contains("t", "s", Epoch(1), Lsn(8)));
  EXPECT_FALSE(filter.contains("t", "s", Epoch(2), Lsn(1)));
  EXPECT_FALSE(filter.contains("t", "other", Epoch(1), Lsn(1)));
  EXPECT_FALSE(filter.contains("u", "s", Epoch(1), Lsn(1)));
}

TEST(LandedFilter, WhatAnyTableHasOfAnUnorderedSourceIsToldTogether) {
  std::mt19937_64 random(12);
  for (int round = 0; round < 200; ++round) {
    LandedFilter filter;
    std::set<std::uint64_t> want;
    for (int n = 0; n < 60; ++n) {
      const std::uint64_t lsn = random() % 80 + 1;
      want.insert(lsn);
      filter.add(std::string(1, static_cast<char>('a' + random() % 4)), "s", Epoch(0), Lsn(lsn));
    }
    filter.add("a", "ordered", Epoch(1), Lsn(7));
    const auto all = filter.unordered();
    ASSERT_EQ(all.size(), 1u);
    std::set<std::uint64_t> got;
    std::uint64_t behind = 0;
    for (const auto& [first, last] : all.at("s")) {
      EXPECT_TRUE(got.empty() || first > behind + 1) << "runs that touch are one";
      for (std::uint64_t lsn = first; lsn <= last; ++lsn) got.insert(lsn);
      behind = last;
    }
    EXPECT_EQ(got, want);
  }
}

TEST(LandedFilter, OfAnUnorderedSourceItKnowsEveryLsnByItself) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 200; ++round) {
    LandedFilter filter;
    std::set<std::uint64_t> want;
    for (int n = 0; n < 60; ++n) {
      const std::uint64_t lsn = random() % 50 + 1;
      want.insert(lsn);
      filter.add("t", "s", Epoch(0), Lsn(lsn));
    }
    const auto decoded = LandedFilter::decode(filter.encode());
    ASSERT_TRUE(decoded);
    for (std::uint64_t lsn = 0; lsn <= 60; ++lsn) {
      EXPECT_EQ(filter.contains("t", "s", Epoch(0), Lsn(lsn)), want.contains(lsn));
      EXPECT_EQ((*decoded)->contains("t", "s", Epoch(0), Lsn(lsn)), want.contains(lsn));
    }
  }
}

TEST(LandedFilter, IntervalsReachBothEndsOfTheNumbers) {
  LandedFilter filter;
  for (const std::uint64_t lsn : {UINT64_MAX, UINT64_MAX - 1, std::uint64_t{0}, std::uint64_t{1}}) {
    filter.add("t", "s", Epoch(0), Lsn(lsn));
  }
  const auto decoded = LandedFilter::decode(filter.encode());
  ASSERT_TRUE(decoded);
  EXPECT_TRUE((*decoded)->contains("t", "s", Epoch(0), Lsn(UINT64_MAX)));
  EXPECT_TRUE((*decoded)->contains("t", "s", Epoch(0), Lsn(0)));
  EXPECT_FALSE((*decoded)->contains("t", "s", Epoch(0), Lsn(2)));
  EXPECT_EQ((*decoded)->encode(), filter.encode());
}

TEST(LandedFilter, TellsTheHighestLsnOfEachSourceOverAllTables) {
  LandedFilter filter;
  filter.add("t", "s", Epoch(1), Lsn(7));
  filter.add("u", "s", Epoch(1), Lsn(9));
  filter.add("u", "s", Epoch(2), Lsn(2));
  const auto highest = filter.highest();
  ASSERT_EQ(highest.size(), 2u);
  EXPECT_EQ(highest[0].lsn, Lsn(9));
  EXPECT_EQ(highest[1].epoch, Epoch(2));
}

TEST(LandedFilter, ItsFileIsAsTheFormatsPageSays) {
  LandedFilter filter;
  filter.add("evodb/t", "s", Epoch(1), Lsn(300));
  filter.add("evodb/t", "v1", Epoch(0), Lsn(7));
  filter.add("evodb/t", "v1", Epoch(0), Lsn(8));
  const std::string payload(
      "\x01\x07"
      "evodb/t"
      "\x02"
      "\x01s"
      "\x01\xac\x02"
      "\x02v1"
      "\x00\x01\x07\x01",
      22);
  std::string want("EVLF\x02\0\0\0", 8);
  base::put_u32(want, base::crc32c(payload));
  EXPECT_EQ(filter.encode(), want + payload);
}

// Version 1 knew the tables by their names in the catalog, which other engines may change.
TEST(LandedFilter, AFileOfTheFirstVersionSaysThatItsTablesAreNames) {
  LandedFilter filter;
  filter.add("t", "s", Epoch(1), Lsn(7));
  std::string bytes = filter.encode();
  bytes[4] = 1;
  const auto decoded = LandedFilter::decode(bytes);
  ASSERT_TRUE(decoded);
  EXPECT_TRUE((*decoded)->is_by_name());
  ASSERT_EQ((*decoded)->highest().size(), 1u);
  EXPECT_EQ((*decoded)->highest()[0].lsn, Lsn(7));
  EXPECT_FALSE(filter.is_by_name());
  bytes[4] = 3;
  EXPECT_FALSE(LandedFilter::decode(bytes));
}

TEST(LandedFilter, DamageIsNoticed) {
  LandedFilter filter;
  filter.add("t", "s", Epoch(1), Lsn(7));
  filter.add("t", "v1", Epoch(0), Lsn(7));
  const std::string good = filter.encode();
  for (std::size_t n = 0; n < good.size(); ++n) {
    EXPECT_FALSE(LandedFilter::decode(good.substr(0, n)));
    std::string bad = good;
    bad[n] = static_cast<char>(bad[n] ^ 0x10);
    const auto decoded = LandedFilter::decode(bad);
    ASSERT_FALSE(decoded) << n;
    EXPECT_EQ(decoded.error().kind, ErrorKind::kCorrupt);
  }
  EXPECT_FALSE(LandedFilter::decode(good + "x"));
}

TEST(ScanIdentities, RefusesWhatIsNoParquetOfOurs) {
  const auto row = [](std::string_view, Epoch, Lsn) {};
  for (const std::string& bytes : {std::string(), std::string("PAR1"), std::string(1000, 'x')}) {
    const auto scanned = scan_identities(bytes, row);
    ASSERT_FALSE(scanned);
    EXPECT_EQ(scanned.error().kind, ErrorKind::kCorrupt);
  }
}

}  // namespace
}  // namespace evodb::lake
