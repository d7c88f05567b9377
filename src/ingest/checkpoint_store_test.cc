#include "ingest/checkpoint_store.h"

#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "ingest/batch_record.h"
#include "sim/seams/fake_disk.h"
#include "sim/seams/seeded_random.h"

namespace evodb::ingest {
namespace {

constexpr journal::JournalId journal_id(0x1122334455667788);

std::string vector_file(const std::string& name) {
  std::ifstream in(std::string(EVODB_SOURCE_DIR) + "/vectors/journal/" + name, std::ios::binary);
  std::stringstream bytes;
  bytes << in.rdbuf();
  EXPECT_GT(bytes.str().size(), 0u) << name;
  return bytes.str();
}

TEST(CheckpointStore, TheGoldenFileIsWhatIsWrittenAndRead) {
  sim::FakeDisk disk;
  ASSERT_TRUE(write_checkpoint(disk, "j", journal_id, "marks"));
  const auto paths = disk.paths();
  ASSERT_EQ(paths.size(), 1u);
  EXPECT_EQ(paths[0], "j/checkpoint-0000000000000001.ckpt");
  EXPECT_EQ(disk.contents(paths[0]), vector_file("checkpoint.ckpt"));
  EXPECT_EQ((*load_checkpoint(disk, "j", journal_id))->bytes, "marks");
}

TEST(CheckpointStore, TheGoldenBatchRecordsAreReadAndWritten) {
  const std::string bytes = vector_file("batch_ordered.bin");
  const auto record = decode_batch_record(bytes);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->source, "shop-7");
  EXPECT_EQ(record->skip_through, Lsn(40));
  EXPECT_EQ(record->chain_after, ChainHash(0xC0FFEE));
  EXPECT_EQ(record->tables[1].table_ref, 300u);
  EXPECT_EQ(record->body, "body");
  for (const char* name : {"batch_ordered.bin", "batch_unordered.bin"}) {
    const std::string golden = vector_file(name);
    const auto read = decode_batch_record(golden);
    ASSERT_TRUE(read);
    std::string again;
    encode_batch_record_prefix(again, *read);
    EXPECT_EQ(again + std::string(read->body), golden);
  }
}

TEST(CheckpointStore, AnOlderOneStandsInForADamagedOneAndAnotherJournalsCountsNot) {
  sim::FakeDisk disk;
  for (const char* bytes : {"one", "two", "three"}) {
    ASSERT_TRUE(write_checkpoint(disk, "j", journal_id, bytes));
  }
  ASSERT_EQ(disk.paths().size(), 2u);
  EXPECT_EQ((*load_checkpoint(disk, "j", journal_id))->bytes, "three");
  EXPECT_FALSE((*load_checkpoint(disk, "j", journal_id))->older);
  EXPECT_FALSE(*load_checkpoint(disk, "j", journal::JournalId(5)));
  disk.flip_bit(disk.paths()[1], 260);
  EXPECT_EQ((*load_checkpoint(disk, "j", journal_id))->bytes, "two");
  EXPECT_TRUE((*load_checkpoint(disk, "j", journal_id))->older);
  disk.flip_bit(disk.paths()[0], 3);
  EXPECT_EQ(load_checkpoint(disk, "j", journal_id).error().kind, ErrorKind::kCorrupt);
}

TEST(CheckpointStore, WheneverItCrashesTheOldOrTheNewOneIsThere) {
  for (const auto model :
       {sim::CrashModel::kLost, sim::CrashModel::kTorn, sim::CrashModel::kReordered}) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
      for (std::uint64_t n = 1; n < 30; ++n) {
        sim::FakeDisk disk;
        sim::SeededRandom random(seed);
        disk.crash_at(n);
        int written = 0;
        while (written < 6 && write_checkpoint(disk, "j", journal_id, std::to_string(written))) {
          ++written;
        }
        if (!disk.crashed()) continue;
        disk.restart(model, random);
        const auto loaded = load_checkpoint(disk, "j", journal_id);
        ASSERT_TRUE(loaded) << loaded.error().text;
        if (written > 0) {
          ASSERT_TRUE(*loaded);
          EXPECT_GE(std::stoi((*loaded)->bytes), written - 1);
        }
        ASSERT_TRUE(write_checkpoint(disk, "j", journal_id, "next"));
        EXPECT_EQ((*load_checkpoint(disk, "j", journal_id))->bytes, "next");
      }
    }
  }
}

}  // namespace
}  // namespace evodb::ingest
