// Damage that recovery must name: each was found by a history of evodb-sim.
#include "parent/recovery.h"

#include <gtest/gtest.h>

#include "ingest/checkpoint_store.h"
#include "parent/parent.h"
#include "sim/seams/fake_disk.h"
#include "sim/seams/seeded_random.h"

namespace evodb::sim {
namespace {

constexpr char folder[] = "data/journal";
const journal::JournalOptions journal_options{.segment_bytes = 32u << 10, .max_bytes = 256u << 10};

std::string newest_checkpoint(const FakeDisk& disk) {
  std::string newest;
  for (const auto& path : disk.paths()) {
    if (path.ends_with(".ckpt")) newest = std::max(newest, path);
  }
  return newest;
}

// A journal whose first segments are trimmed, with a checkpoint from before and one from after
// that.
void trimmed_journal(FakeDisk& disk, SeededRandom& random) {
  auto journal = journal::Journal::open(disk, folder, journal_options, random, nullptr);
  ASSERT_TRUE(journal) << journal.error().text;
  const auto write_checkpoint = [&] {
    const auto ingest = ingest::Ingest::create({}, **journal);
    ingest::Effects effects;
    ingest->on_durable((*journal)->durable_end(), effects);
    ASSERT_TRUE(ingest::write_checkpoint(disk, folder, (*journal)->id(), ingest->checkpoint()));
  };
  write_checkpoint();
  const std::string payload(4'000, 'x');
  const std::string_view parts[] = {payload};
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE((*journal)->append(journal::RecordType::kTableDef, parts));
    ASSERT_TRUE((*journal)->commit());
  }
  write_checkpoint();
  ASSERT_TRUE((*journal)->trim((*journal)->durable_end()));
  ASSERT_TRUE((*journal)->trimmed());
}

// evodb-sim, seed 30248: it went on from the older checkpoint, and had forgotten marks.
TEST(Recovery, RefusesAnOlderCheckpointThanTheJournalsBeginning) {
  FakeDisk disk;
  SeededRandom random(1);
  trimmed_journal(disk, random);
  parent::RoomWraps none;
  ASSERT_TRUE(parent::recover_journal(disk, folder, journal_options, {}, random, none));
  disk.flip_bit(newest_checkpoint(disk), 8 * 40);
  const auto recovered = parent::recover_journal(disk, folder, journal_options, {}, random, none);
  ASSERT_FALSE(recovered);
  EXPECT_EQ(recovered.error().kind, ErrorKind::kCorrupt);
  EXPECT_NE(recovered.error().text.find("checkpoint"), std::string::npos);
}

// evodb-sim, profile store, seed 147: positions were used again, and changes landed twice.
TEST(Recovery, RefusesAJournalThatEndsBeforeWhatATableHoldsOfIt) {
  table::TableState state;
  state.name = "items_changes";
  const auto check = [&](std::uint64_t journal, std::uint64_t position) {
    state.watermark = table::Watermark{.journal = journal, .position = Position(position)};
    return parent::check_watermarks({journal::JournalId(7), Position(100)}, {state});
  };
  EXPECT_TRUE(check(7, 100));
  EXPECT_TRUE(check(8, 101));  // another journal's
  const auto ahead = check(7, 101);
  ASSERT_FALSE(ahead);
  EXPECT_EQ(ahead.error().kind, ErrorKind::kCorrupt);
  EXPECT_NE(ahead.error().text.find("items_changes"), std::string::npos);
}

}  // namespace
}  // namespace evodb::sim
