// Every crash point, every failing call, every flipped bit of small journals.
#include <gtest/gtest.h>

#include "journal/journal.h"
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

// What was appended, and what of it must be there.
struct Model {
  struct Entry {
    Position position, end;
    std::string payload;
  };
  std::vector<Entry> entries;  // all that were ever appended and not cut by a recovery
  Position durable;            // the highest that commit() gave
  Position trimmed;            // the highest that trim() was asked for
  std::uint64_t counter = 0;   // payloads never repeat
};

class World {
 public:
  explicit World(std::uint64_t seed) : random_(seed) {}

  // False: refused, which no test here expects.
  bool open() {
    auto opened = Journal::open(disk, "j", options, random_, &report);
    if (!opened) {
      error = opened.error();
      return false;
    }
    journal = std::move(*opened);
    return true;
  }

  // One step that changes something. Errors are looked at by the caller, through disk and journal.
  void step() {
    switch (random_.below(8)) {
      case 0: (void)commit(); break;
      case 1:
        if (!model.entries.empty()) {
          const Position to = model.entries[random_.below(model.entries.size())].end;
          if (to <= model.durable) {
            model.trimmed = std::max(model.trimmed, to);
            (void)journal->trim(to);
          }
        }
        break;
      case 2:  // a checkpoint beside it, as ingest writes them
        (void)base::write_file_atomically(disk, "j/checkpoint-0000000000000001.ckpt", "marks");
        break;
      default: {
        std::string payload = std::to_string(model.counter++) + ":";
        payload.resize(payload.size() + random_.below(1500), static_cast<char>(model.counter));
        const std::string_view part = payload;
        auto appended = journal->append(RecordType::kBatch, {&part, 1});
        if (appended) model.entries.push_back({appended->position, appended->end, payload});
        if (random_.below(3) == 0) (void)commit();
      }
    }
  }

  bool commit() {
    const auto done = journal->commit();
    if (done) model.durable = std::max(model.durable, *done);
    return done.has_value();
  }

  // The journal must hold every durable record that was not trimmed, in order, and nothing that was
  // not appended.
  void check() {
    ASSERT_GE(journal->durable_end(), model.durable);
    // A segment that is still there is allowed, a missing one is not.
    ASSERT_LE(journal->first(), model.trimmed);
    auto cursor = journal->read_from(journal->first());
    Record record;
    std::size_t i = 0;
    while (i < model.entries.size() && model.entries[i].position < journal->first()) ++i;
    while (true) {
      const auto more = cursor->next(&record);
      ASSERT_TRUE(more) << more.error().text;
      if (!*more) break;
      ASSERT_LT(i, model.entries.size()) << "invented a record";
      ASSERT_EQ(record.position, model.entries[i].position);
      ASSERT_EQ(record.end, model.entries[i].end);
      ASSERT_EQ(record.payload, model.entries[i].payload);
      ++i;
    }
    ASSERT_EQ(cursor->position(), journal->durable_end());
    model.entries.resize(i);  // the rest was torn and is gone for good
    model.durable = journal->durable_end();
    std::uint64_t bytes = 0;
    for (const std::string& path : disk.paths()) {
      if (!path.ends_with(".ckpt") && !path.ends_with(".ckpt.tmp"))
        bytes += disk.contents(path).size();
    }
    ASSERT_LE(bytes, options.max_bytes);
  }

  void restart(CrashModel how) {
    journal.reset();
    disk.restart(how, random_);
  }

  FakeDisk disk;
  std::unique_ptr<Journal> journal;
  RecoveryReport report;
  Model model;
  Error error;

 private:
  SeededRandom random_;
};

constexpr int steps = 60;

TEST(JournalCrash, after_every_mutating_call_nothing_durable_is_lost_and_nothing_invented) {
  std::uint64_t points = 0;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    std::uint64_t calls = 0;
    {
      World world(seed);
      ASSERT_TRUE(world.open());
      for (int i = 0; i < steps; ++i) world.step();
      calls = world.disk.mutations();
    }
    for (std::uint64_t n = 1; n <= calls; ++n) {
      for (const CrashModel model : power_losses) {
        SCOPED_TRACE("seed " + std::to_string(seed) + " call " + std::to_string(n) + " model " +
                     std::to_string(static_cast<int>(model)));
        World world(seed);
        world.disk.crash_at(n);
        if (world.open()) {
          for (int i = 0; i < steps && !world.disk.crashed(); ++i) world.step();
        }
        world.restart(model);
        ++points;
        // And again at a random moment of the life after it, the recovery included.
        world.disk.crash_at(world.disk.mutations() + 1 + n % 11);
        if (world.open()) {
          for (int i = 0; i < 20 && !world.disk.crashed(); ++i) {
            if (i == 0) world.check();
            if (testing::Test::HasFatalFailure()) return;
            world.step();
          }
        } else {
          ASSERT_TRUE(world.disk.crashed()) << world.error.text;
        }
        world.restart(model);
        ASSERT_TRUE(world.open()) << world.error.text;
        world.check();
        if (testing::Test::HasFatalFailure()) return;
        for (int i = 0; i < 10; ++i) world.step();
        world.check();
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
  std::printf("crash points: %llu\n", static_cast<unsigned long long>(points));
}

TEST(JournalCrash, whichever_call_fails_what_was_acknowledged_stays) {
  std::uint64_t points = 0;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    std::uint64_t calls = 0;
    {
      World world(seed);
      ASSERT_TRUE(world.open());
      for (int i = 0; i < steps; ++i) world.step();
      calls = world.disk.mutations();
    }
    for (std::uint64_t n = 1; n <= calls; ++n) {
      for (const ErrorKind kind : {ErrorKind::kOverLimit, ErrorKind::kCorrupt}) {
        for (const CrashModel after : {CrashModel::kKilled, CrashModel::kLost, CrashModel::kTorn}) {
          SCOPED_TRACE("seed " + std::to_string(seed) + " call " + std::to_string(n) + " kind " +
                       std::to_string(static_cast<int>(kind)) + " then " +
                       std::to_string(static_cast<int>(after)));
          World world(seed);
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
          world.restart(after);
          ASSERT_TRUE(world.open()) << world.error.text;
          world.check();
          if (testing::Test::HasFatalFailure()) return;
          // What a reopened journal serves is durable, whatever the failed sync did to the pages.
          world.restart(CrashModel::kLost);
          ASSERT_TRUE(world.open()) << world.error.text;
          world.check();
          if (testing::Test::HasFatalFailure()) return;
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
  (void)parse_hex16(written.files.rbegin()->first.substr(2, 16), &first);
  written.last_group_offset = segment_header_bytes + last_group.value - first;
  written.end_offset = segment_header_bytes + end.value - first;
  return written;
}

TEST(JournalCrash, every_flipped_bit_of_a_closed_journal_is_refused_or_harmless) {
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
TEST(JournalCrash, without_its_mark_only_the_last_group_can_be_taken_for_torn) {
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
