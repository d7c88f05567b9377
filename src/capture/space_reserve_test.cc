#include "capture/space_reserve.h"

#include <sys/stat.h>

#include "capture/capture_test_db.h"

namespace evodb::capture {
namespace {

TEST(SpaceReserve, ItsFileHoldsRealBlocksUntilItIsReleased) {
  const TempDir dir;
  SpaceReserve space(dir.file("app.db"), 1u << 20);
  EXPECT_FALSE(space.is_kept());
  EXPECT_FALSE(space.release());
  ASSERT_TRUE(space.keep());
  EXPECT_TRUE(space.keep()) << "it is there";
  struct stat found{};
  ASSERT_EQ(stat(space.path().c_str(), &found), 0);
  EXPECT_EQ(space.path(), dir.file("app.db-evodb-reserve"));
  EXPECT_GE(found.st_blocks * 512, 1 << 20);
  EXPECT_TRUE(space.release());
  EXPECT_FALSE(space.is_kept());
}

TEST(SpaceReserve, NoneIsMadeWhereItWouldTakeTheLastSpace) {
  const TempDir dir;
  SpaceReserve space(dir.file("app.db"), std::uint64_t{1} << 60);
  EXPECT_FALSE(space.keep());
  EXPECT_FALSE(space.is_kept());
}

TEST(SpaceReserve, NoneIsKeptWhereNoneIsWanted) {
  const TempDir dir;
  SpaceReserve space(dir.file("app.db"), 0);
  EXPECT_FALSE(space.keep());
  EXPECT_FALSE(space.release());
}

TEST(SpaceReserve, ADatabaseThatIsNoFileHasNone) {
  SpaceReserve space("nowhere/at/all/app.db", 1u << 20);
  EXPECT_FALSE(space.keep());
}

}  // namespace
}  // namespace evodb::capture
