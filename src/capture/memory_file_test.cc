#include "capture/memory_file.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

namespace evodb::capture {
namespace {

LogMemory some_memory() {
  return {.source = "shop-7",
          .life = 0xfedcba9876543210,
          .epoch = Epoch(1'700'000'000'001),
          .trimmed = Lsn(41),
          .trimmed_chain = ChainHash(0x123456789abcdef0),
          .seen = Lsn(99),
          .seen_hash = 6,
          .definitions = 12,
          .all_tables = false,
          .paused = true,
          .selection = {{"users", false}, {"naïve \"quoted\"", true}}};
}

void expect_equal(const LogMemory& a, const LogMemory& b) {
  EXPECT_EQ(encode_memory(a), encode_memory(b));
  EXPECT_EQ(a.source, b.source);
  EXPECT_EQ(a.life, b.life);
  EXPECT_EQ(a.epoch, b.epoch);
  EXPECT_EQ(a.trimmed, b.trimmed);
  EXPECT_EQ(a.trimmed_chain, b.trimmed_chain);
  EXPECT_EQ(a.seen, b.seen);
  EXPECT_EQ(a.seen_hash, b.seen_hash);
  EXPECT_EQ(a.definitions, b.definitions);
  EXPECT_EQ(a.all_tables, b.all_tables);
  EXPECT_EQ(a.paused, b.paused);
  EXPECT_EQ(a.selection.size(), b.selection.size());
}

TEST(MemoryFile, GivesBackWhatWasKept) {
  const auto again = decode_memory(encode_memory(some_memory()));
  ASSERT_TRUE(again);
  expect_equal(*again, some_memory());
  EXPECT_EQ(again->selection[1].name, "naïve \"quoted\"");
  EXPECT_TRUE(again->selection[1].excluded);
}

TEST(MemoryFile, DamageOfAnyBitOrAnyCutIsNoMemory) {
  const std::string whole = encode_memory(some_memory());
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(decode_memory(flipped)) << bit;
  }
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(decode_memory(std::string_view(whole).substr(0, size))) << size;
  }
}

TEST(MemoryFile, LiesBesideTheDatabaseAndMayBeAbsent) {
  const auto directory =
      std::filesystem::temp_directory_path() / ("evodb-memory-" + std::to_string(getpid()));
  std::filesystem::create_directories(directory);
  const std::string db = directory / "app.db";
  EXPECT_FALSE(load_memory(db));
  save_memory(db, some_memory());
  const auto kept = load_memory(db);
  ASSERT_TRUE(kept);
  expect_equal(*kept, some_memory());
  EXPECT_TRUE(std::filesystem::exists(directory / "app.db-evodb"));
  std::filesystem::remove_all(directory);
  save_memory(db, some_memory());  // nowhere to write: nothing happens
  EXPECT_FALSE(load_memory(db));
}

}  // namespace
}  // namespace evodb::capture
