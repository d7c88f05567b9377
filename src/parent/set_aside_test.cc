#include "parent/set_aside.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "sim/seams/fake_disk.h"
#include "sim/seams/seeded_random.h"

namespace evodb::parent {
namespace {

constexpr journal::JournalId ours{7};

// What a journal holds: `n` records of 100 positions each, from `first`.
class Records final : public journal::JournalCursor {
 public:
  Records(std::uint64_t first, std::uint64_t end) : at_(first), end_(end) {}
  Result<bool> next(journal::Record* record) override {
    if (at_ >= end_) return false;
    payload_ = "record " + std::to_string(at_);
    *record = {journal::RecordType::kBatch, Position(at_), Position(at_ + 100), payload_};
    at_ += 100;
    return true;
  }
  Position position() const override { return Position(at_); }

 private:
  std::uint64_t at_, end_;
  std::string payload_;
};

class SetAsideTest : public testing::Test {
 protected:
  SetAsideTest() { (void)disk_.make_directories("j"); }
  std::unique_ptr<SetAside> open(journal::JournalId journal = ours, std::uint64_t max = 1 << 20) {
    auto opened = SetAside::open(disk_, "j", journal, max);
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().text);
    return opened ? *std::move(opened) : nullptr;
  }
  Result<bool> put(SetAside& aside, std::uint64_t position,
                   const std::vector<std::string>& definitions = {"def"}) {
    const std::string payload = "record " + std::to_string(position);
    return aside.append(
        {journal::RecordType::kBatch, Position(position), Position(position + 100), payload},
        definitions);
  }
  // "def@0 record 0 ...", in the order in which they come.
  std::vector<std::string> read(SetAside& aside, std::uint64_t first, std::uint64_t end) {
    std::vector<std::string> all;
    const auto cursor = aside.cursor_before(Position(first), std::make_unique<Records>(first, end));
    journal::Record record;
    for (;;) {
      const auto more = cursor->next(&record);
      EXPECT_TRUE(more);
      if (!more || !*more) return all;
      const bool definition = record.type == journal::RecordType::kTableDef;
      all.push_back(definition ? "def" : std::string(record.payload));
    }
  }

  sim::FakeDisk disk_;
  sim::SeededRandom random_{3};
};

TEST_F(SetAsideTest, WhatWasSetAsideComesBeforeWhatTheJournalHolds) {
  auto aside = open();
  ASSERT_TRUE(*put(*aside, 0));
  ASSERT_TRUE(*put(*aside, 200));
  ASSERT_TRUE(*put(*aside, 300));
  ASSERT_TRUE(aside->sync());
  const std::vector<std::string> wanted = {"def", "record 0", "record 200", "record 300",
                                           "record 400"};
  EXPECT_EQ(read(*aside, 300, 500), wanted) << "the journal begins at 300";
  aside = open();
  EXPECT_EQ(read(*aside, 300, 500), wanted) << "and so it is after a restart";
}

TEST_F(SetAsideTest, ARecordIsKeptOnce) {
  auto aside = open();
  ASSERT_TRUE(*put(*aside, 0));
  ASSERT_TRUE(*put(*aside, 100));
  const std::uint64_t bytes = aside->bytes();
  aside = open();
  ASSERT_TRUE(*put(*aside, 0)) << "read again after a restart";
  ASSERT_TRUE(*put(*aside, 100));
  EXPECT_EQ(aside->bytes(), bytes);
  ASSERT_TRUE(*put(*aside, 200));
  EXPECT_GT(aside->bytes(), bytes);
}

// A second table begins to wait when lake and cursor are begun anew: what the journal holds for it
// lies before what was set aside for the first one, and between.
TEST_F(SetAsideTest, WhatTheJournalStillHoldsIsSetAsideAnewByEachReader) {
  auto aside = open();
  ASSERT_TRUE(*put(*aside, 0));
  ASSERT_TRUE(*put(*aside, 300));
  ASSERT_TRUE(*put(*aside, 500));
  ASSERT_TRUE(aside->sync());
  for (const bool restarted : {false, true}) {
    if (restarted) aside = open();
    const auto cursor = aside->cursor_before(Position(200), std::make_unique<Records>(200, 700));
    journal::Record record;
    while (*cursor->next(&record)) {
      if (record.type == journal::RecordType::kBatch) ASSERT_TRUE(*aside->append(record, {"def"}));
    }
    ASSERT_TRUE(aside->sync());
    EXPECT_EQ(aside->last_end(), Position(700));
  }
  const std::vector<std::string> wanted = {"def",        "record 0",   "def",        "record 200",
                                           "record 300", "record 400", "record 500", "record 600"};
  EXPECT_EQ(read(*aside, 700, 700), wanted) << "the journal was trimmed";
  EXPECT_EQ(read(*open(), 700, 700), wanted) << "and it is no other after a restart";
}

TEST_F(SetAsideTest, WhatTheJournalHoldsIsNotReadTwice) {
  auto aside = open();
  ASSERT_TRUE(*put(*aside, 0));
  ASSERT_TRUE(*put(*aside, 300));
  const std::vector<std::string> wanted = {"def", "record 0", "record 200", "record 300"};
  EXPECT_EQ(read(*aside, 200, 400), wanted);
  EXPECT_EQ(aside->last_end(), Position(100)) << "nothing but what the journal lacks is kept";
  ASSERT_TRUE(*put(*aside, 200));
  EXPECT_EQ(read(*aside, 300, 400),
            (std::vector<std::string>{"def", "record 0", "def", "record 200", "record 300"}));
}

TEST_F(SetAsideTest, ATornEndIsCutOffAndComesAgain) {
  auto aside = open();
  ASSERT_TRUE(*put(*aside, 0));
  ASSERT_TRUE(aside->sync());
  ASSERT_TRUE(*put(*aside, 100, {"another"}));
  disk_.crash();
  aside.reset();
  disk_.restart(sim::CrashModel::kTorn, random_);
  aside = open();
  ASSERT_TRUE(*put(*aside, 100, {"another"}));
  ASSERT_TRUE(aside->sync());
  const auto all = read(*aside, 200, 200);
  EXPECT_EQ(std::ranges::count(all, "record 0"), 1);
  EXPECT_EQ(std::ranges::count(all, "record 100"), 1);
}

TEST_F(SetAsideTest, AnotherJournalsIsRemoved) {
  auto aside = open();
  ASSERT_TRUE(*put(*aside, 0));
  ASSERT_TRUE(aside->sync());
  aside = open(journal::JournalId(8));
  EXPECT_TRUE(aside->empty());
  EXPECT_FALSE(*disk_.exists("j/set-aside.spill"));
}

TEST_F(SetAsideTest, AFullOneTakesNoMoreAndSaysSo) {
  auto aside = open(ours, 100);
  ASSERT_TRUE(*put(*aside, 0));
  ASSERT_TRUE(*put(*aside, 100));
  const auto refused = put(*aside, 200);
  ASSERT_TRUE(refused);
  EXPECT_FALSE(*refused);
  EXPECT_EQ(read(*aside, 300, 300), (std::vector<std::string>{"def", "record 0", "record 100"}));
}

TEST_F(SetAsideTest, ClearedItIsGoneForGood) {
  auto aside = open();
  ASSERT_TRUE(*put(*aside, 0));
  ASSERT_TRUE(aside->sync());
  ASSERT_TRUE(aside->clear());
  EXPECT_TRUE(aside->empty());
  EXPECT_TRUE(open()->empty());
  EXPECT_EQ(read(*aside, 0, 200), (std::vector<std::string>{"record 0", "record 100"}));
}

}  // namespace
}  // namespace evodb::parent
