// What tests and histories trust FakeDisk for beyond Disk's own promises.
#include "sim/seams/fake_disk.h"

#include <gtest/gtest.h>

#include "sim/seams/seeded_random.h"

namespace evodb::sim {
namespace {

// Found by seed 178089668: a journal that "was gone" came back in part, beside the next one.
TEST(FakeDisk, WhatIsRemovedBehindItsBackStaysGoneWhateverWasUnsynced) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    SeededRandom random(seed);
    FakeDisk disk;
    ASSERT_TRUE(disk.make_directories("d"));
    ASSERT_TRUE(disk.open("d/new", base::OpenMode::kCreate));
    ASSERT_TRUE(disk.rename("d/new", "d/a"));
    disk.remove("d/a");
    if (seed % 2 == 0) {
      ASSERT_TRUE(disk.sync_directory("d"));
    }
    disk.restart(CrashModel::kTorn, random);
    EXPECT_FALSE(*disk.exists("d/a")) << seed;
  }
}

TEST(FakeDisk, WhatIsPutIsThereWhateverWasUnsynced) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    SeededRandom random(seed);
    FakeDisk disk;
    disk.put("d/a", "old");
    ASSERT_TRUE(disk.unlink("d/a"));
    disk.put("d/a", "new");
    disk.restart(CrashModel::kTorn, random);
    EXPECT_EQ(disk.contents("d/a"), "new") << seed;
  }
}

}  // namespace
}  // namespace evodb::sim
