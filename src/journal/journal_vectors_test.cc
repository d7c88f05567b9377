// The golden files of vectors/journal, which a Python script wrote from the format's page.
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "journal/journal.h"
#include "journal/segment_format.h"
#include "sim/seams/fake_disk.h"
#include "sim/seams/seeded_random.h"

namespace evodb::journal {
namespace {

std::string vector_file(const std::string& name) {
  std::ifstream in(std::string(EVODB_SOURCE_DIR) + "/vectors/journal/" + name, std::ios::binary);
  std::stringstream bytes;
  bytes << in.rdbuf();
  EXPECT_GT(bytes.str().size(), 0u) << name;
  return bytes.str();
}

constexpr JournalOptions options{.segment_bytes = 16384, .max_bytes = 1u << 20};

struct Opened {
  sim::FakeDisk disk;
  sim::SeededRandom random{1};
  RecoveryReport report;
  std::unique_ptr<Journal> journal;
  Error error;

  explicit Opened(const std::vector<std::pair<std::string, std::string>>& files) {
    for (const auto& [name, bytes] : files) disk.put("j/" + name, bytes);
    auto opened = Journal::open(disk, "j", options, random, &report);
    if (opened) {
      journal = std::move(*opened);
    } else {
      error = opened.error();
    }
  }
  std::vector<std::string> payloads() {
    std::vector<std::string> out;
    auto cursor = journal->read_from(journal->first());
    Record record;
    while (cursor->next(&record).value_or(false)) out.emplace_back(record.payload);
    return out;
  }
};

std::vector<std::string> expected_payloads() {
  std::string bytes(1024, '\0');
  for (int i = 0; i < 1024; ++i) bytes[i] = static_cast<char>(i);
  return {"hello", bytes, "", "8 bytes!"};
}

TEST(JournalVectors, ASegmentIsRead) {
  Opened opened({{"0000000000001000.seg", vector_file("0000000000001000.seg")}});
  ASSERT_TRUE(opened.journal) << opened.error.text;
  EXPECT_EQ(opened.payloads(), expected_payloads());
  EXPECT_EQ(opened.report.first, Position(4096));
  EXPECT_EQ(opened.report.end, Position(0x14b0));
  EXPECT_EQ(opened.report.torn_bytes, 0u);
  EXPECT_EQ(opened.journal->id(), JournalId(0x1122334455667788));
  // What opening wrote (the mark, again) is what was there.
  EXPECT_EQ(opened.disk.contents("j/0000000000001000.seg"), vector_file("0000000000001000.seg"));
}

TEST(JournalVectors, ASegmentIsWritten) {
  const std::string golden = vector_file("0000000000001000.seg");
  std::string out = encode_segment_header({.journal = JournalId(0x1122334455667788),
                                           .ordinal = 0,
                                           .first = Position(4096),
                                           .salt = 0xa1a2a3a4a5a6a7a8,
                                           .segment_bytes = 16384});
  EXPECT_EQ(out, golden.substr(0, segment_header_bytes));
  const std::string payload = std::string("hello") + std::string(3, '\0');
  char header[record_header_bytes];
  store_record_header(header, {.payload_crc = payload_checksum(payload),
                               .salt = 0xa1a2a3a4a5a6a7a8,
                               .position = Position(4096),
                               .synced_through = Position(4096),
                               .length = 5,
                               .type = RecordType::kTableDef});
  EXPECT_EQ(std::string(header, sizeof header) + payload, golden.substr(4096, 48));
}

TEST(JournalVectors, TwoSegmentsAreReadAndWhatASpareLeftIsNot) {
  Opened opened({{"0000000000001000.seg", vector_file("two_first.seg")},
                 {"00000000000014b0.seg", vector_file("two_00000000000014b0.seg")}});
  ASSERT_TRUE(opened.journal) << opened.error.text;
  auto expected = expected_payloads();
  expected.push_back("in the second segment");
  EXPECT_EQ(opened.payloads(), expected);
}

TEST(JournalVectors, ATornTailIsCutWithAllThatLiesBehindIt) {
  Opened opened({{"0000000000001000.seg", vector_file("torn.seg")}});
  ASSERT_TRUE(opened.journal) << opened.error.text;
  EXPECT_EQ(opened.payloads(), expected_payloads());
  EXPECT_EQ(opened.report.torn_bytes, 640u + 64u);
}

TEST(JournalVectors, DamageBeforeSyncedRecordsIsRefusedAndLeftAlone) {
  Opened opened({{"0000000000001000.seg", vector_file("damaged.seg")}});
  ASSERT_FALSE(opened.journal);
  EXPECT_EQ(opened.error.kind, ErrorKind::kCorrupt);
  EXPECT_NE(opened.error.text.find("offset 4144"), std::string::npos) << opened.error.text;
  EXPECT_EQ(opened.disk.contents("j/0000000000001000.seg"), vector_file("damaged.seg"));
}

}  // namespace
}  // namespace evodb::journal
