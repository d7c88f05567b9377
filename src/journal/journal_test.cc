#include "journal/journal.h"

#include <thread>

#include <gtest/gtest.h>

#include "journal/segment_format.h"
#include "sim/seams/fake_disk.h"
#include "sim/seams/seeded_random.h"

namespace evodb::journal {
namespace {

using sim::CrashModel;
using sim::FakeDisk;
using sim::SeededRandom;

constexpr JournalOptions small{.segment_bytes = 8192, .max_bytes = 8 * 8192};

class JournalTest : public testing::Test {
 protected:
  std::unique_ptr<Journal> open(const JournalOptions& options = small) {
    auto opened = Journal::open(disk_, "j", options, random_, &report_);
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().text);
    return opened ? std::move(*opened) : nullptr;
  }
  static Result<Journal::Appended> append(Journal& journal, std::string_view payload) {
    return journal.append(RecordType::kBatch, {&payload, 1});
  }
  static std::vector<std::string> read(Journal& journal, Position from) {
    std::vector<std::string> payloads;
    auto cursor = journal.read_from(from);
    Record record;
    while (true) {
      const auto more = cursor->next(&record);
      EXPECT_TRUE(more) << (more ? "" : more.error().text);
      if (!more || !*more) return payloads;
      payloads.emplace_back(record.payload);
    }
  }

  FakeDisk disk_;
  SeededRandom random_{7};
  RecoveryReport report_;
};

TEST_F(JournalTest, AnEmptyDirectoryGetsANewIdAndKeepsIt) {
  auto journal = open();
  EXPECT_TRUE(report_.created);
  const JournalId id = journal->id();
  EXPECT_NE(id.value, 0u);
  journal.reset();
  journal = open();
  EXPECT_FALSE(report_.created);
  EXPECT_EQ(journal->id(), id);
}

TEST_F(JournalTest, APositionIsWhereARecordBeginsAndItsEndIsTheNextOnes) {
  auto journal = open();
  const std::string_view parts[] = {"ab", "", "cde"};
  const auto first = *journal->append(RecordType::kTableDef, parts);
  const auto second = *append(*journal, "");
  EXPECT_EQ(first.position, Position(0));
  EXPECT_EQ(first.end, Position(48));
  EXPECT_EQ(second.position, first.end);
  EXPECT_TRUE(journal->has_pending());
  EXPECT_EQ(journal->durable_end(), Position(0));
  auto cursor = journal->read_from(Position(0));
  Record record;
  EXPECT_FALSE(*cursor->next(&record));  // not durable yet
  EXPECT_EQ(*journal->commit(), second.end);
  EXPECT_FALSE(journal->has_pending());
  ASSERT_TRUE(*cursor->next(&record));
  EXPECT_EQ(record.type, RecordType::kTableDef);
  EXPECT_EQ(record.payload, "abcde");
  EXPECT_EQ(record.end, second.position);
  ASSERT_TRUE(*cursor->next(&record));
  EXPECT_EQ(record.payload, "");
  EXPECT_FALSE(*cursor->next(&record));
  EXPECT_EQ(cursor->position(), second.end);
}

TEST_F(JournalTest, RecordsRollOverIntoSegmentsAndACursorFollows) {
  const JournalOptions spacious{.segment_bytes = 8192, .max_bytes = 16 * 8192};
  auto journal = open(spacious);
  auto cursor = journal->read_from(Position(0));
  std::vector<std::string> seen;
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(append(*journal, std::string(900, static_cast<char>('a' + i % 26))));
    if (i % 3 == 0) {
      ASSERT_TRUE(journal->commit());
    }
    Record record;
    while (*cursor->next(&record)) seen.emplace_back(record.payload);
  }
  ASSERT_TRUE(journal->commit());
  EXPECT_EQ(read(*journal, Position(0)).size(), 40u);
  EXPECT_EQ(read(*journal, cursor->position()).size(), 40 - seen.size());
  journal.reset();
  journal = open(spacious);
  EXPECT_EQ(report_.records, 40u);
  EXPECT_GT(report_.segments, 8u);
  EXPECT_EQ(report_.torn_bytes, 0u);
}

TEST_F(JournalTest, RecordsAppendedTogetherLieInOneSegment) {
  auto journal = open();
  ASSERT_TRUE(append(*journal, std::string(3000, 'x')));
  const std::string big(900, 'b');
  const std::string_view part[] = {big};
  const std::vector<RecordParts> group(2, RecordParts{RecordType::kBatch, part});
  const std::size_t bytes = 2 * Journal::record_bytes(900);
  const std::uint64_t segment = journal->segment_of_next(8);
  EXPECT_EQ(journal->segment_of_next(bytes), segment + 1);
  ASSERT_TRUE(journal->append_together(group));
  EXPECT_EQ(journal->segment_of_next(8), segment + 1);
  ASSERT_TRUE(journal->commit());
  journal = open();
  EXPECT_EQ(report_.segments, 2u);
  EXPECT_EQ(report_.records, 3u);
}

TEST_F(JournalTest, TheCapHoldsAndTrimmingGivesSpaceBack) {
  auto journal = open();
  std::vector<Position> ends;
  for (int round = 0; round < 50; ++round) {
    while (true) {
      const auto appended = append(*journal, std::string(1000, 'x'));
      if (!appended) {
        EXPECT_EQ(appended.error().kind, ErrorKind::kOverLimit);
        EXPECT_LT(journal->free_bytes(), Journal::record_bytes(1000));
        break;
      }
      ends.push_back(appended->end);
      if (random_.below(3) == 0) {
        ASSERT_TRUE(journal->commit());
      }
      EXPECT_LE(disk_.total_bytes(), small.max_bytes);
    }
    ASSERT_TRUE(journal->commit());
    ASSERT_TRUE(journal->trim(ends[ends.size() - 1 - random_.below(20)]));
    EXPECT_LE(disk_.total_bytes(), small.max_bytes);
    EXPECT_GT(journal->free_bytes(), 0u);
    if (round % 10 == 9) {
      journal.reset();
      journal = open();
      EXPECT_LE(disk_.total_bytes(), small.max_bytes);
      EXPECT_EQ(journal->durable_end(), ends.back());
    }
  }
}

TEST_F(JournalTest, ATrimmedPositionIsRefusedAndTheNewestSegmentStays) {
  auto journal = open();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(append(*journal, std::string(1000, 'x')));
  const Position end = *journal->commit();
  auto slow = journal->read_from(Position(0));
  Record record;
  ASSERT_TRUE(*slow->next(&record));
  ASSERT_TRUE(journal->trim(end));
  EXPECT_GT(journal->first(), Position(0));
  EXPECT_LT(journal->first(), end);
  EXPECT_EQ(read(*journal, journal->first()).size() * Journal::record_bytes(1000),
            end.value - journal->first().value);
  const auto below = journal->read_from(Position(0))->next(&record);
  ASSERT_FALSE(below);
  EXPECT_EQ(below.error().kind, ErrorKind::kInvalid);
  // The one that was too slow is told so once its chunk is used up, and never sees other records.
  for (int i = 0; i < 40; ++i) {
    (void)append(*journal, std::string(1000, 'y'));
    ASSERT_TRUE(journal->commit());
  }
  Result<bool> more = true;
  while (more && *more) {
    more = slow->next(&record);
    if (more && *more) {
      EXPECT_EQ(record.payload, std::string(1000, 'x'));
    }
  }
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().kind, ErrorKind::kInvalid);
}

TEST_F(JournalTest, APositionThatIsNoRecordsIsRefused) {
  auto journal = open();
  ASSERT_TRUE(append(*journal, std::string(100, 'x')));
  ASSERT_TRUE(journal->commit());
  Record record;
  EXPECT_FALSE(journal->read_from(Position(8))->next(&record));
  EXPECT_EQ(journal->read_from(Position(100'000))->next(&record).error().kind, ErrorKind::kInvalid);
}

TEST_F(JournalTest, TheQueueIsBounded) {
  JournalOptions options = small;
  options.pending_bytes_max = 2500;
  auto journal = open(options);
  ASSERT_TRUE(append(*journal, std::string(1000, 'x')));
  ASSERT_TRUE(append(*journal, std::string(1000, 'x')));
  EXPECT_EQ(append(*journal, std::string(1000, 'x')).error().kind, ErrorKind::kOverLimit);
  ASSERT_TRUE(journal->commit());
  EXPECT_TRUE(append(*journal, std::string(1000, 'x')));
  EXPECT_EQ(append(*journal, std::string(9000, 'x')).error().kind, ErrorKind::kOverLimit);
}

TEST_F(JournalTest, AFailedSyncPoisonsAndOnlyAReopenClearsThat) {
  auto journal = open();
  ASSERT_TRUE(append(*journal, "one"));
  ASSERT_TRUE(journal->commit());
  ASSERT_TRUE(append(*journal, "two"));
  // The first group's write, the zeros behind it, then the sync.
  disk_.fail_mutation(disk_.mutations() + 2, {ErrorKind::kCorrupt, "EIO"});
  EXPECT_EQ(journal->commit().error().kind, ErrorKind::kInternal);
  EXPECT_TRUE(journal->poisoned());
  EXPECT_EQ(journal->durable_end(), Position(48));
  EXPECT_FALSE(append(*journal, "three"));
  EXPECT_FALSE(journal->commit());
  EXPECT_FALSE(journal->trim(Position(48)));
  journal.reset();
  disk_.restart(CrashModel::kKilled, random_);
  // "two" can be read although it never reached the platter: it must be written again, since the
  // reopened journal calls it durable.
  journal = open();
  EXPECT_EQ(read(*journal, Position(0)), (std::vector<std::string>{"one", "two"}));
  journal.reset();
  disk_.restart(CrashModel::kLost, random_);
  journal = open();
  EXPECT_EQ(read(*journal, Position(0)), (std::vector<std::string>{"one", "two"}));
}

TEST_F(JournalTest, WhatWasCutAsTornNeverTurnsUpBehindLaterRecords) {
  const JournalOptions pages{.segment_bytes = 16384, .max_bytes = 8 * 16384};
  auto journal = open(pages);
  // The second record begins with a page, so that no filled page of a later group covers it.
  ASSERT_EQ(append(*journal, std::string(4056, 'a'))->end, Position(4096));
  ASSERT_TRUE(append(*journal, "never acknowledged"));
  ASSERT_TRUE(journal->commit());
  journal.reset();
  const std::string path = disk_.paths()[0];
  std::string bytes = disk_.contents(path);
  bytes.replace(segment_header_bytes + 1024, 512, std::string(512, '\0'));  // a sector never came
  bytes.replace(8192 + 64, 40, std::string(40, '\0'));                      // nor did the mark
  disk_.put(path, bytes);
  journal = open(pages);
  EXPECT_EQ(report_.records, 0u);
  EXPECT_EQ(report_.torn_bytes, 4096u + 64u);
  ASSERT_EQ(append(*journal, std::string(4056, 'b'))->end, Position(4096));
  ASSERT_TRUE(journal->commit());
  disk_.crash();
  journal.reset();
  disk_.restart(CrashModel::kLost, random_);
  journal = open(pages);
  EXPECT_EQ(read(*journal, Position(0)), (std::vector<std::string>{std::string(4056, 'b')}));
}

TEST_F(JournalTest, AFullDiskStopsItOnlyAsLongAsItIsFull) {
  auto journal = open();
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(append(*journal, std::string(900, static_cast<char>('a' + i % 26))));
    if (i % 4 != 3) continue;
    disk_.fail_all_mutations(Error{ErrorKind::kNoSpace, "ENOSPC"});
    const auto full = journal->commit();
    ASSERT_FALSE(full);
    EXPECT_EQ(full.error().kind, ErrorKind::kNoSpace);
    EXPECT_FALSE(journal->poisoned());
    EXPECT_TRUE(append(*journal, "meanwhile"));
    disk_.fail_all_mutations(std::nullopt);
    ASSERT_TRUE(journal->commit());
  }
  ASSERT_TRUE(journal->commit());
  EXPECT_EQ(read(*journal, Position(0)).size(), 37u);
}

TEST_F(JournalTest, ACheckpointThatKnowsMoreThanTheJournalHoldsRefusesIt) {
  auto journal = open();
  ASSERT_TRUE(append(*journal, "one"));
  ASSERT_TRUE(journal->commit());
  JournalOptions knowing = small;
  knowing.known_id = journal->id();
  knowing.known_durable = Position(48);
  journal.reset();
  EXPECT_NE(open(knowing), nullptr);
  knowing.known_durable = Position(56);
  const auto refused = Journal::open(disk_, "j", knowing, random_, nullptr);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kCorrupt);
  knowing.known_id = JournalId(1);
  EXPECT_NE(open(knowing), nullptr);
}

TEST_F(JournalTest, AMissingSegmentIsRefused) {
  auto journal = open();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(append(*journal, std::string(1000, 'x')));
  ASSERT_TRUE(journal->commit());
  journal.reset();
  const auto paths = disk_.paths();
  ASSERT_GE(paths.size(), 4u);
  disk_.remove(paths[1]);
  const auto refused = Journal::open(disk_, "j", small, random_, nullptr);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kCorrupt);
  EXPECT_NE(refused.error().text.find("missing"), std::string::npos);
}

TEST_F(JournalTest, AReadErrorIsPassedOnAndNothingIsChanged) {
  auto journal = open();
  ASSERT_TRUE(append(*journal, "one"));
  ASSERT_TRUE(journal->commit());
  journal.reset();
  for (std::uint64_t n = 1; n <= 2; ++n) {
    const std::uint64_t before = disk_.mutations();
    disk_.fail_read(disk_.reads() + n, {ErrorKind::kCorrupt, "EIO"});
    EXPECT_FALSE(Journal::open(disk_, "j", small, random_, nullptr));
    EXPECT_EQ(disk_.mutations(), before);
  }
}

TEST_F(JournalTest, ATinyCapIsRefusedWithTheLeastThatWorks) {
  const auto refused = Journal::open(disk_, "j", {.max_bytes = 20'000}, random_, nullptr);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().text.find("32768"), std::string::npos);
}

TEST_F(JournalTest, AppendingCommittingReadingAndTrimmingRunSideBySide) {
  auto journal = open({.segment_bytes = 64u << 10, .max_bytes = 1u << 20});
  constexpr int count = 3000;
  std::atomic<std::uint64_t> landed{0};
  std::thread committer([&] {
    while (landed < count) {
      ASSERT_TRUE(journal->commit());
      ASSERT_TRUE(journal->trim(Position(landed * Journal::record_bytes(500))));
    }
  });
  std::thread reader([&] {
    auto cursor = journal->read_from(Position(0));
    Record record;
    while (landed < count) {
      const auto more = cursor->next(&record);
      ASSERT_TRUE(more) << more.error().text;
      if (!*more) {
        std::this_thread::yield();
        continue;
      }
      ASSERT_EQ(record.payload, std::string(500, static_cast<char>(landed % 251)));
      ++landed;
    }
  });
  for (int i = 0; i < count;) {
    if (append(*journal, std::string(500, static_cast<char>(i % 251)))) {
      ++i;
    } else {
      std::this_thread::yield();
    }
  }
  committer.join();
  reader.join();
}

}  // namespace
}  // namespace evodb::journal
