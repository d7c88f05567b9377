#include "capture/room_reserve.h"

#include <sys/stat.h>

#include "capture/capture_test_db.h"

namespace evodb::capture {
namespace {

TEST(RoomReserve, ItsFileHoldsRealBlocksUntilItIsReleased) {
  const TempDir dir;
  RoomReserve room(dir.file("app.db"), 1u << 20);
  EXPECT_FALSE(room.is_kept());
  EXPECT_FALSE(room.release());
  ASSERT_TRUE(room.keep());
  EXPECT_TRUE(room.keep()) << "it is there";
  struct stat found{};
  ASSERT_EQ(stat(room.path().c_str(), &found), 0);
  EXPECT_EQ(room.path(), dir.file("app.db-evodb-reserve"));
  EXPECT_GE(found.st_blocks * 512, 1 << 20);
  EXPECT_TRUE(room.release());
  EXPECT_FALSE(room.is_kept());
}

TEST(RoomReserve, NoneIsMadeWhereItWouldTakeTheLastRoom) {
  const TempDir dir;
  RoomReserve room(dir.file("app.db"), std::uint64_t{1} << 60);
  EXPECT_FALSE(room.keep());
  EXPECT_FALSE(room.is_kept());
}

TEST(RoomReserve, NoneIsKeptWhereNoneIsWanted) {
  const TempDir dir;
  RoomReserve room(dir.file("app.db"), 0);
  EXPECT_FALSE(room.keep());
  EXPECT_FALSE(room.release());
}

TEST(RoomReserve, ADatabaseThatIsNoFileHasNone) {
  RoomReserve room("nowhere/at/all/app.db", 1u << 20);
  EXPECT_FALSE(room.keep());
}

}  // namespace
}  // namespace evodb::capture
