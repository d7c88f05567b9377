// Every crash point, every failing call, every flipped bit of small journals.
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "journal/journal.h"
#include "journal/journal_world.h"
#include "journal/segment_format.h"
#include "sim/seams/fake_disk.h"
#include "sim/seams/seeded_random.h"

namespace evodb::journal {
namespace {

using sim::CrashModel;
using sim::FakeDisk;
using sim::SeededRandom;

constexpr JournalOptions options{.segment_bytes = 8192, .max_bytes = 5 * 8192};
constexpr CrashModel power_losses[] = {CrashModel::kLost, CrashModel::kTorn,
                                       CrashModel::kReordered};

constexpr int steps = 60;

void must(const Result<void>& done) { ASSERT_TRUE(done) << done.error().text; }

TEST(JournalCrash, AfterEveryMutatingCallNothingDurableIsLostAndNothingInvented) {
  std::uint64_t points = 0;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    std::uint64_t calls = 0;
    {
      JournalWorld world(seed, options);
      ASSERT_TRUE(world.open());
      for (int i = 0; i < steps; ++i) world.step();
      calls = world.disk.mutations();
    }
    for (std::uint64_t n = 1; n <= calls; ++n) {
      for (const CrashModel model : power_losses) {
        SCOPED_TRACE("seed " + std::to_string(seed) + " call " + std::to_string(n) + " model " +
                     std::to_string(static_cast<int>(model)));
        SeededRandom chance(seed * 1'000 + n);
        JournalWorld world(seed, options);
        const auto restart = [&] {
          world.forget();
          world.disk.restart(model, chance);
        };
        world.disk.crash_at(n);
        if (world.open()) {
          for (int i = 0; i < steps && !world.disk.crashed(); ++i) world.step();
        }
        restart();
        ++points;
        // And again at a random moment of the life after it, the recovery included.
        world.disk.crash_at(world.disk.mutations() + 1 + n % 11);
        if (const auto opened = world.open()) {
          for (int i = 0; i < 20 && !world.disk.crashed(); ++i) {
            if (i == 0) must(world.check());
            if (testing::Test::HasFatalFailure()) return;
            world.step();
          }
        } else {
          ASSERT_TRUE(world.disk.crashed()) << opened.error().text;
        }
        restart();
        must(world.open());
        must(world.check());
        if (testing::Test::HasFatalFailure()) return;
        for (int i = 0; i < 10; ++i) world.step();
        must(world.check());
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
  std::printf("crash points: %llu\n", static_cast<unsigned long long>(points));
}

TEST(JournalCrash, WhicheverCallFailsWhatWasAcknowledgedStays) {
  std::uint64_t points = 0;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    std::uint64_t calls = 0;
    {
      JournalWorld world(seed, options);
      ASSERT_TRUE(world.open());
      for (int i = 0; i < steps; ++i) world.step();
      calls = world.disk.mutations();
    }
    for (std::uint64_t n = 1; n <= calls; ++n) {
      for (const ErrorKind kind :
           {ErrorKind::kNoSpace, ErrorKind::kOverLimit, ErrorKind::kCorrupt}) {
        for (const CrashModel after : {CrashModel::kKilled, CrashModel::kLost, CrashModel::kTorn}) {
          SCOPED_TRACE("seed " + std::to_string(seed) + " call " + std::to_string(n) + " kind " +
                       std::to_string(static_cast<int>(kind)) + " then " +
                       std::to_string(static_cast<int>(after)));
          SeededRandom chance(seed * 1'000 + n);
          JournalWorld world(seed, options);
          world.disk.fail_mutation(n, {kind, "injected"});
          ++points;
          if (world.open()) {
            for (int i = 0; i < steps; ++i) {
              world.step();
              if (world.journal->poisoned()) break;
            }
            if (!world.journal->poisoned()) {
              ASSERT_TRUE(world.commit());
            }
          }
          // What a reopened journal serves is durable, whatever the failed sync did to the pages.
          for (const CrashModel how : {after, CrashModel::kLost}) {
            world.forget();
            world.disk.restart(how, chance);
            must(world.open());
            must(world.check());
            if (testing::Test::HasFatalFailure()) return;
          }
        }
      }
    }
  }
  std::printf("failing calls: %llu\n", static_cast<unsigned long long>(points));
}

// Opens the files with one bit flipped. True: opened, and what it serves is in `payloads`.
bool opens(const std::map<std::string, std::string>& files, const std::string& flipped,
           std::uint64_t bit, std::vector<std::string>* payloads) {
  FakeDisk disk;
  SeededRandom random(1);
  for (const auto& [path, bytes] : files) disk.put(path, bytes);
  disk.flip_bit(flipped, bit);
  const std::uint64_t before = disk.mutations();
  auto opened = Journal::open(disk, "j", options, random, nullptr);
  payloads->clear();
  if (!opened) {
    EXPECT_TRUE(opened.error().kind == ErrorKind::kCorrupt) << opened.error().text;
    EXPECT_EQ(disk.mutations(), before);
    return false;
  }
  auto cursor = (*opened)->read_from((*opened)->first());
  Record record;
  while (true) {
    const auto more = cursor->next(&record);
    EXPECT_TRUE(more);
    if (!more || !*more) return true;
    payloads->emplace_back(record.payload);
  }
}

struct Written {
  std::map<std::string, std::string> files;
  std::vector<std::string> payloads;
  std::uint64_t last_group_offset = 0;  // in the last file
  std::uint64_t end_offset = 0;
};

Written small_journal(bool closed) {
  FakeDisk disk;
  SeededRandom random(1);
  auto journal = *Journal::open(disk, "j", options, random, nullptr);
  Written written;
  Position last_group;
  for (int i = 0; i < 12; ++i) {
    written.payloads.push_back(std::to_string(i) + std::string(600, static_cast<char>('a' + i)));
    const std::string_view part = written.payloads.back();
    if (i % 2 == 0) last_group = journal->appended_end();
    (void)*journal->append(RecordType::kBatch, {&part, 1});
    if (i % 2 == 1) (void)*journal->commit();
  }
  const Position end = journal->durable_end();
  if (!closed) disk.crash();
  journal.reset();
  disk.restart(CrashModel::kLost, random);
  for (const std::string& path : disk.paths()) written.files[path] = disk.contents(path);
  EXPECT_EQ(written.files.size(), 2u);
  std::uint64_t first = 0;
  (void)base::parse_hex16(written.files.rbegin()->first.substr(2, 16), &first);
  written.last_group_offset = segment_header_bytes + last_group.value - first;
  written.end_offset = segment_header_bytes + end.value - first;
  return written;
}

TEST(JournalCrash, EveryFlippedBitOfAClosedJournalIsRefusedOrHarmless) {
  const Written written = small_journal(true);
  std::uint64_t refused = 0, harmless = 0;
  std::vector<std::string> seen;
  for (const auto& [path, bytes] : written.files) {
    for (std::uint64_t bit = 0; bit < bytes.size() * 8; ++bit) {
      if (opens(written.files, path, bit, &seen)) {
        ASSERT_EQ(seen, written.payloads) << path << " bit " << bit;
        ++harmless;
      } else {
        ++refused;
      }
    }
  }
  std::printf("flips refused: %llu, harmless: %llu\n", static_cast<unsigned long long>(refused),
              static_cast<unsigned long long>(harmless));
}

// The exception that the format's page admits: a flip in the very last group, after a power loss
// that also took the mark behind it, looks like a torn tail.
TEST(JournalCrash, WithoutItsMarkOnlyTheLastGroupCanBeTakenForTorn) {
  const Written written = small_journal(false);
  std::vector<std::string> seen;
  const std::string& last = written.files.rbegin()->first;
  for (const auto& [path, bytes] : written.files) {
    for (std::uint64_t bit = 0; bit < bytes.size() * 8; bit += 3) {
      if (!opens(written.files, path, bit, &seen) || seen == written.payloads) continue;
      ASSERT_EQ(path, last);
      ASSERT_GE(bit / 8, written.last_group_offset);
      ASSERT_LT(bit / 8, written.end_offset);
      ASSERT_TRUE(std::equal(seen.begin(), seen.end(), written.payloads.begin()));
      ASSERT_GE(seen.size(), written.payloads.size() - 2);
    }
  }
}

}  // namespace
}  // namespace evodb::journal
