#include "base/posix/posix_disk.h"

#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

namespace evodb::base {
namespace {

class PosixDiskTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "evodb_disk_XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  std::string root_;
  PosixDisk disk_;
};

TEST_F(PosixDiskTest, WhatIsWrittenIsReadBackAndEndsWhereItEnds) {
  auto file = *disk_.open(root_ + "/a", OpenMode::kCreate);
  ASSERT_TRUE(file->pwrite(3, "defg"));
  ASSERT_TRUE(file->sync());
  EXPECT_EQ(*file->size(), 7u);
  char bytes[16] = {};
  EXPECT_EQ(*file->pread(0, bytes, sizeof bytes), 7u);
  EXPECT_EQ(std::string(bytes, 7), std::string("\0\0\0defg", 7));
  EXPECT_EQ(*file->pread(100, bytes, 1), 0u);
  ASSERT_TRUE(file->truncate(4));
  EXPECT_EQ(*file->size(), 4u);
}

TEST_F(PosixDiskTest, NamesAreMadeListedRenamedAndRemoved) {
  ASSERT_TRUE(disk_.make_directories(root_ + "/x/y//z"));
  ASSERT_TRUE(disk_.make_directories(root_ + "/x/y/z/"));
  (void)*disk_.open(root_ + "/x/y/b", OpenMode::kCreate);
  (void)*disk_.open(root_ + "/x/y/a", OpenMode::kCreate);
  EXPECT_EQ(*disk_.list(root_ + "/x/y"), (std::vector<std::string>{"a", "b"}));
  ASSERT_TRUE(disk_.rename(root_ + "/x/y/a", root_ + "/x/y/b"));
  ASSERT_TRUE(disk_.sync_directory(root_ + "/x/y"));
  EXPECT_FALSE(*disk_.exists(root_ + "/x/y/a"));
  ASSERT_TRUE(disk_.unlink(root_ + "/x/y/b"));
  EXPECT_TRUE(disk_.list(root_ + "/x/y")->empty());
}

TEST_F(PosixDiskTest, ErrorsNameTheCallThePathAndTheReason) {
  const auto absent = disk_.open(root_ + "/none", OpenMode::kRead);
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().kind, ErrorKind::kNotFound);
  EXPECT_NE(absent.error().text.find("open " + root_ + "/none"), std::string::npos);
  EXPECT_NE(absent.error().text.find("ENOENT"), std::string::npos);
  EXPECT_EQ(disk_.unlink(root_ + "/none").error().kind, ErrorKind::kNotFound);
  (void)*disk_.open(root_ + "/there", OpenMode::kCreate);
  EXPECT_NE(disk_.open(root_ + "/there", OpenMode::kCreate).error().text.find("EEXIST"),
            std::string::npos);
  EXPECT_EQ(disk_.make_directories(root_ + "/there/below").error().kind, ErrorKind::kInvalid);
}

TEST_F(PosixDiskTest, AWriteWithoutRoomIsOverLimit) {
  // A file size limit is the one kind of "full" that needs no file system of its own.
  auto file = *disk_.open(root_ + "/a", OpenMode::kCreate);
  struct rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small{8192, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto written = file->pwrite(4096, std::string(100'000, 'x'));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().kind, ErrorKind::kNoSpace);
}

TEST_F(PosixDiskTest, FilesAreReplacedWhole) {
  ASSERT_TRUE(write_file_atomically(disk_, root_ + "/f", "one"));
  ASSERT_TRUE(write_file_atomically(disk_, root_ + "/f", "second"));
  EXPECT_EQ(*read_whole_file(disk_, root_ + "/f"), "second");
  EXPECT_EQ(*disk_.list(root_), (std::vector<std::string>{"f"}));
}

}  // namespace
}  // namespace evodb::base
