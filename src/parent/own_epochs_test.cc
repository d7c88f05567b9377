#include "parent/own_epochs.h"

#include <gtest/gtest.h>

#include "sim/seams/fake_disk.h"
#include "sim/seams/seeded_random.h"

namespace evodb::parent {
namespace {

constexpr journal::JournalId journal_of_all{7};

class OwnEpochsTest : public testing::Test {
 protected:
  OwnEpochsTest() { (void)disk_.make_directories("j"); }
  OwnEpochs load() { return OwnEpochs::load(disk_, "j", journal_of_all).value(); }
  void add(std::uint64_t epoch, std::uint64_t end = 100) {
    ASSERT_TRUE(load().add(disk_, "j", table::WriterEpoch(epoch), Position(end)));
  }
  static table::Watermark mark(std::uint64_t epoch, std::uint64_t journal = journal_of_all.value,
                               std::uint64_t position = 100) {
    return {"parent", table::WriterEpoch(epoch), journal, Position(position)};
  }
  bool owns(std::uint64_t epoch) { return load().are_of(mark(epoch)); }

  sim::FakeDisk disk_;
  sim::SeededRandom random_{3};
};

TEST_F(OwnEpochsTest, WithoutAFileEveryEpochIsOurs) {
  EXPECT_TRUE(owns(1));
  EXPECT_FALSE(load().are_of(mark(1, 8))) << "but never another journal's";
  add(5);
  EXPECT_TRUE(owns(1));
  EXPECT_TRUE(owns(5));
  EXPECT_FALSE(owns(6)) << "claimed by somebody else since";
}

TEST_F(OwnEpochsTest, WhatOthersHaveClaimedBetweenIsNotOurs) {
  for (const std::uint64_t epoch : {3, 4, 4, 7, 8}) add(epoch);
  for (const std::uint64_t epoch : {1, 3, 4, 7, 8}) EXPECT_TRUE(owns(epoch)) << epoch;
  for (const std::uint64_t epoch : {5, 6, 9}) EXPECT_FALSE(owns(epoch)) << epoch;
  disk_.crash();
  disk_.restart(sim::CrashModel::kLost, random_);
  EXPECT_TRUE(owns(8)) << "it was synced";
}

// evodb-sim, profile operator, seed 930027: the parent beside a copy went on under the same epoch,
// and what it had put there was found only much later.
TEST_F(OwnEpochsTest, WhatLiesBehindTheNextClaimIsNotOurs) {
  add(3, 50);
  EXPECT_TRUE(load().are_of(mark(3, 7, 1'000))) << "it lands just now";
  add(4, 200);
  EXPECT_TRUE(load().are_of(mark(3, 7, 200)));
  EXPECT_FALSE(load().are_of(mark(3, 7, 201)));
  EXPECT_FALSE(load().are_of(mark(2, 7, 51)));
  EXPECT_TRUE(load().are_of(mark(2, 7, 50)));
}

TEST_F(OwnEpochsTest, ManyStartsTakeNoMoreSpace) {
  for (std::uint64_t epoch = 1; epoch <= 200; ++epoch) add(epoch, epoch);
  const std::size_t bytes = disk_.contents("j/own.epochs").size();
  for (std::uint64_t epoch = 201; epoch <= 300; ++epoch) add(epoch, epoch);
  EXPECT_EQ(disk_.contents("j/own.epochs").size(), bytes);
  EXPECT_TRUE(load().are_of(mark(1, 7, 2)));
  EXPECT_TRUE(load().are_of(mark(300)));
  EXPECT_FALSE(load().are_of(mark(301)));
}

TEST_F(OwnEpochsTest, ADamagedFileOwnsNothing) {
  add(3);
  disk_.flip_bit("j/own.epochs", 150);
  EXPECT_FALSE(owns(3));
  EXPECT_TRUE(load().have_forgotten(table::WriterEpoch(3)));
  add(4);
  EXPECT_TRUE(load().have_forgotten(table::WriterEpoch(3)));
  EXPECT_FALSE(load().have_forgotten(table::WriterEpoch(4)));
  auto read = load();
  read.forget_nothing_before(table::WriterEpoch(5));
  ASSERT_TRUE(read.add(disk_, "j", table::WriterEpoch(5), Position(100)));
  EXPECT_FALSE(load().have_forgotten(table::WriterEpoch(3)));
  EXPECT_FALSE(owns(3));
  EXPECT_TRUE(owns(4));
}

TEST_F(OwnEpochsTest, AnotherJournalsFileSaysNothing) {
  add(3);
  const auto own = OwnEpochs::load(disk_, "j", journal::JournalId(8)).value();
  EXPECT_TRUE(own.are_of(mark(9, 8)));
}

}  // namespace
}  // namespace evodb::parent
