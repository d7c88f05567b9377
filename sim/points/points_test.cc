// A part of every workload; build/evodb-crash-points visits all of it.
#include "sim/points/points.h"

#include <gtest/gtest.h>

#include "ingest/checkpoint_store.h"
#include "parent/recovery.h"
#include "sim/seams/seeded_random.h"

namespace evodb::sim {
namespace {

class Workloads : public testing::TestWithParam<std::size_t> {};

TEST_P(Workloads, RecoverFromAPartOfTheirPoints) {
  const Workload workload = all_workloads()[GetParam()];
  const bool flips = workload.name.starts_with("bit-flips");
  Report report{std::string(workload.name)};
  workload.run({.stride = flips ? 101u : 13u, .seeds = 1}, report);
  EXPECT_GT(report.points(), 20u);
  for (const std::string& violation : report.violations) ADD_FAILURE() << violation;
}

INSTANTIATE_TEST_SUITE_P(All, Workloads, testing::Range<std::size_t>(0, all_workloads().size()),
                         [](const auto& info) {
                           std::string name(all_workloads()[info.param].name);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// The enumeration itself: a world that loses what it acknowledged is found out.
class Forgetful final : public DiskWorld {
 public:
  FakeDisk& disk() override { return disk_; }
  Result<void> work() override {
    (void)disk_.make_directories("d");
    auto file = EVODB_TRY(disk_.open("d/f", base::OpenMode::kCreate));
    EVODB_TRY(disk_.sync_directory("d"));
    EVODB_TRY(file->pwrite(0, "acknowledged"));
    acknowledged_ = true;  // before its sync
    return file->sync();
  }
  void forget() override {}
  Result<void> recover() override {
    if (!acknowledged_ || disk_.contents("d/f") == "acknowledged") return {};
    return fail(ErrorKind::kInternal, "lost");
  }
  Result<void> go_on() override { return {}; }

 private:
  FakeDisk disk_;
  bool acknowledged_ = false;
};

TEST(Points, FindAnAcknowledgementBeforeItsSync) {
  Report report("forgetful");
  enumerate_disk([] { return std::make_unique<Forgetful>(); }, {}, report);
  EXPECT_EQ(report.calls, 4u);
  EXPECT_GT(report.violation_count, 0u);
  ASSERT_FALSE(report.violations.empty());
  EXPECT_NE(report.violations[0].find("sync d/f"), std::string::npos) << report.violations[0];
}

// Found by bit-flips-journal: the marks of what was trimmed between two checkpoints are only in the
// newer one, and without them a child's resent changes would land twice.
TEST(Recovery, RefusesAnOlderCheckpointOnceTheJournalWasTrimmedBehindIt) {
  FakeDisk disk;
  SeededRandom random(1);
  const journal::JournalOptions options{.segment_bytes = 8192, .max_bytes = 6 * 8192};
  {
    auto journal = *journal::Journal::open(disk, "j", options, random, nullptr);
    auto ingest = ingest::Ingest::create({}, *journal);
    ingest::Effects effects;
    for (int round = 0; round < 2; ++round) {
      for (int i = 0; i < 4; ++i) {
        const std::string payload(1'500, 'x');
        const std::string_view part = payload;
        ASSERT_TRUE(journal->append(journal::RecordType::kBatch, {&part, 1}));
      }
      ingest->on_durable(*journal->commit(), effects);
      ASSERT_TRUE(ingest::write_checkpoint(disk, "j", journal->id(), ingest->checkpoint()));
    }
    ASSERT_TRUE(journal->trim(ingest->checkpoint_position()));
    ASSERT_GT(journal->first(), Position(0));
  }
  disk.flip_bit("j/checkpoint-0000000000000002.ckpt", 8 * 40);
  const auto recovered = parent::recover_journal(disk, "j", options, {}, random);
  ASSERT_FALSE(recovered);
  EXPECT_EQ(recovered.error().kind, ErrorKind::kCorrupt);
  EXPECT_NE(recovered.error().text.find("the newest checkpoint in j is damaged"), std::string::npos)
      << recovered.error().text;
}

}  // namespace
}  // namespace evodb::sim
