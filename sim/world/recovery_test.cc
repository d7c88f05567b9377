// Damage that recovery must name: each was found by a history of evodb-sim.
#include "parent/recovery.h"

#include <gtest/gtest.h>

#include "sim/seams/fake_disk.h"
#include "sim/seams/seeded_random.h"

namespace evodb::sim {
namespace {

// evodb-sim, profile store, seed 147: positions were used again, and changes landed twice.
TEST(Recovery, RefusesAJournalThatEndsBeforeWhatATableHoldsOfIt) {
  table::TableState state;
  state.name = "items_changes";
  const auto check = [&](std::uint64_t journal, std::uint64_t position) {
    state.watermark = table::Watermark{.journal = journal, .position = Position(position)};
    return parent::check_watermarks({journal::JournalId(7), Position(100)},
                                    parent::OwnEpochs(journal::JournalId(7)),
                                    {table::FoundTable{state, std::nullopt}});
  };
  EXPECT_TRUE(check(7, 100));
  EXPECT_TRUE(check(8, 101));  // another journal's
  const auto ahead = check(7, 101);
  ASSERT_FALSE(ahead);
  EXPECT_EQ(ahead.error().kind, ErrorKind::kCorrupt);
  EXPECT_NE(ahead.error().text.find("items_changes"), std::string::npos);
}

// evodb-sim, profile bit-rot, seed 881000342: the end could not be compared while the store was
// away, and by the next start the journal was longer than what the tables hold.
TEST(Recovery, KeepsTheEndThatCouldNotBeCompared) {
  SeededRandom random(1);
  FakeDisk disk;
  ASSERT_TRUE(disk.make_directories("j"));
  const auto extent = [](std::uint64_t end) {
    return parent::JournalExtent{journal::JournalId(7), Position(end)};
  };
  const auto lowest = [&](const parent::JournalExtent& journal) {
    return parent::lowest_unchecked_end(disk, "j", journal);
  };
  EXPECT_EQ(lowest(extent(100)), Position(100));
  ASSERT_TRUE(parent::keep_unchecked_end(disk, "j", extent(100)));
  disk.restart(CrashModel::kReordered, random);
  EXPECT_EQ(lowest(extent(300)), Position(100));
  ASSERT_TRUE(parent::keep_unchecked_end(disk, "j", extent(300)));  // still not compared
  EXPECT_EQ(lowest(extent(300)), Position(100));
  ASSERT_TRUE(parent::keep_unchecked_end(disk, "j", extent(90)));
  EXPECT_EQ(lowest(extent(300)), Position(90));
  EXPECT_EQ(lowest({journal::JournalId(8), Position(300)}), Position(300));  // another journal's

  // Killed between the unlink and the sync of its directory: the next call does the rest.
  disk.crash_at(disk.mutations() + 2);
  EXPECT_FALSE(parent::forget_unchecked_end(disk, "j"));
  disk.restart(CrashModel::kKilled, random);
  ASSERT_TRUE(parent::forget_unchecked_end(disk, "j"));
  disk.restart(CrashModel::kReordered, random);
  EXPECT_EQ(lowest(extent(300)), Position(300));
}

TEST(Recovery, RefusesADamagedNoteOfAnEnd) {
  FakeDisk disk;
  ASSERT_TRUE(disk.make_directories("j"));
  ASSERT_TRUE(parent::keep_unchecked_end(disk, "j", {journal::JournalId(7), Position(100)}));
  const std::string whole = *base::read_whole_file(disk, "j/unchecked.end");
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    ASSERT_TRUE(base::write_file_atomically(disk, "j/unchecked.end", damaged));
    const auto end =
        parent::lowest_unchecked_end(disk, "j", {journal::JournalId(7), Position(300)});
    ASSERT_FALSE(end) << "bit " << bit;
    EXPECT_EQ(end.error().kind, ErrorKind::kCorrupt);
  }
}

}  // namespace
}  // namespace evodb::sim
