// What a FileOutbox' witness finds, and whom it must not accuse: on the forgetful disk.
#include "edge/outbox_witness.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "edge/file_outbox.h"
#include "sim/seams/fake_clock.h"
#include "sim/seams/fake_disk.h"
#include "sim/seams/seeded_random.h"
#include "sim/seams/sqlite_disk.h"

namespace evodb::edge {
namespace {

using ::testing::HasSubstr;

const wire::TableDef table{"t", 1, {{"v", "", 0}}};

class OutboxWitnessTest : public testing::Test {
 protected:
  using Files = std::map<std::string, std::string>;

  OutboxWitnessTest() { (void)disk.make_directories("d"); }
  Result<std::unique_ptr<FileOutbox>> open(bool sync = true) {
    return FileOutbox::open("d/o", "db1", Epoch(3), {.sync = sync, .vfs = sqlite.name()});
  }
  static void append(FileOutbox& outbox, int changes, std::size_t bytes = 20) {
    std::string row;
    wire::put_value(row, ValueView::of_text(std::string(bytes, 'x')));
    const NewChange change{
        .table = &table, .table_fingerprint = table.fingerprint(), .after = {true, 1, row}};
    for (int i = 0; i < changes; ++i) ASSERT_TRUE(outbox.append({&change, 1}));
  }
  void kill(std::unique_ptr<FileOutbox>& outbox, sim::CrashModel model = sim::CrashModel::kKilled) {
    disk.crash();
    outbox.reset();
    sqlite.forget();
    disk.restart(model, random);
  }
  Files files() const {
    Files all;
    for (const std::string& path : disk.paths()) all[path] = disk.contents(path);
    return all;
  }
  // As somebody copies them back: those that are in `copy`, and no log that is not.
  void restore(const Files& copy, std::initializer_list<const char*> names) {
    disk.remove("d/o-wal");
    for (const char* name : names) disk.put(name, copy.at(name));
  }
  void spoil_last_frame() { disk.flip_bit("d/o-wal", disk.contents("d/o-wal").size() * 8 - 5); }

  sim::FakeDisk disk;
  sim::FakeClock clock;
  sim::SeededRandom random{4};
  sim::SqliteDisk sqlite{disk, clock, random};
};

TEST_F(OutboxWitnessTest, ADamagedLogOfAKilledProcessIsRefusedAndLeftAlone) {
  auto outbox = std::move(*open());
  append(*outbox, 3);
  kill(outbox);
  spoil_last_frame();
  const Files before = files();
  const auto opened = open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::kCorrupt);
  EXPECT_THAT(opened.error().text, HasSubstr("ends at LSN 2, and 3 was acknowledged"));
  EXPECT_THAT(opened.error().text, HasSubstr("delete 'd/o-head'"));
  EXPECT_TRUE(files() == before);
  EXPECT_EQ(open().error().kind, ErrorKind::kCorrupt);  // and so it stays
  EXPECT_EQ(FileOutbox::open("d/o", "another", Epoch(3), {.vfs = sqlite.name()}).error().kind,
            ErrorKind::kInvalid);
  EXPECT_TRUE(files() == before);
  // What the text says helps.
  disk.remove("d/o-head");
  outbox = std::move(*open());
  EXPECT_EQ(outbox->state()->head, Lsn(2));
}

TEST_F(OutboxWitnessTest, ALostTrimOrEpochIsDamageToo) {
  auto outbox = std::move(*open());
  append(*outbox, 3);
  ASSERT_EQ(*outbox->begin_epoch(Epoch(9)), Epoch(9));
  kill(outbox);
  spoil_last_frame();
  EXPECT_EQ(open().error().kind, ErrorKind::kCorrupt);
}

TEST_F(OutboxWitnessTest, ALogThatGrewLongBeginsAnewAndIsStillWatched) {
  auto outbox = std::move(*open());
  append(*outbox, 12, 1u << 20);
  EXPECT_LT(disk.contents("d/o-wal").size(), 5u << 20);
  append(*outbox, 1);
  kill(outbox);
  const Files before = files();
  spoil_last_frame();
  EXPECT_EQ(open().error().kind, ErrorKind::kCorrupt);
  disk.put("d/o-wal", before.at("d/o-wal"));  // the damage is gone
  outbox = std::move(*open());
  EXPECT_EQ(outbox->state()->head, Lsn(13));
}

TEST_F(OutboxWitnessTest, AnOlderCopyBesideANewerWitnessIsTaken) {
  auto outbox = std::move(*open());
  append(*outbox, 2);
  const Files closed_copy = [&] {
    outbox.reset();
    return files();
  }();
  outbox = std::move(*open());
  append(*outbox, 2);
  const Files hot_copy = files();  // while it is used
  append(*outbox, 2);
  kill(outbox);
  const Files newest = files();

  restore(hot_copy, {"d/o", "d/o-wal"});
  outbox = std::move(*open());
  EXPECT_EQ(outbox->state()->head, Lsn(4));
  append(*outbox, 5);  // its own way from here
  kill(outbox);
  outbox = std::move(*open());
  EXPECT_EQ(outbox->state()->head, Lsn(9));
  kill(outbox);

  disk.put("d/o-head", newest.at("d/o-head"));
  restore(hot_copy, {"d/o"});  // without its log
  outbox = std::move(*open());
  EXPECT_EQ(outbox->state()->head, Lsn(2));
  kill(outbox);

  disk.put("d/o-head", newest.at("d/o-head"));
  restore(closed_copy, {"d/o"});
  outbox = std::move(*open());
  EXPECT_EQ(outbox->state()->head, Lsn(2));
  kill(outbox);

  // A newer one beside an older witness, and one without.
  disk.put("d/o-head", closed_copy.at("d/o-head"));
  restore(newest, {"d/o", "d/o-wal"});
  outbox = std::move(*open());
  EXPECT_EQ(outbox->state()->head, Lsn(6));
  kill(outbox);
  disk.remove("d/o-head");
  restore(newest, {"d/o", "d/o-wal"});
  outbox = std::move(*open());
  EXPECT_EQ(outbox->state()->head, Lsn(6));
}

TEST_F(OutboxWitnessTest, ANewFileBesideTheWitnessOfAnOlderOneBegins) {
  auto outbox = std::move(*open());
  append(*outbox, 3);
  kill(outbox);
  disk.remove("d/o");
  disk.remove("d/o-wal");
  outbox = std::move(*open());
  EXPECT_EQ(outbox->state()->head, Lsn(0));
}

TEST_F(OutboxWitnessTest, WithoutSyncsAPowerLossIsNoDamage) {
  for (int round = 0; round < 20; ++round) {
    auto outbox = open(false);
    ASSERT_TRUE(outbox) << outbox.error().text;
    append(**outbox, 5);
    kill(*outbox, round % 2 == 0 ? sim::CrashModel::kReordered : sim::CrashModel::kLost);
  }
  EXPECT_TRUE(open());
}

TEST_F(OutboxWitnessTest, ADamagedWitnessAccusesNobody) {
  auto outbox = std::move(*open());
  append(*outbox, 3);
  kill(outbox);
  const Files before = files();
  const std::size_t bits = before.at("d/o-head").size() * 8;
  for (std::size_t bit = 0; bit < bits; bit += bits / 2 < bit || bit < 600 ? 1 : 997) {
    for (const auto& [name, bytes] : before) disk.put(name, bytes);
    disk.flip_bit("d/o-head", bit);
    outbox = std::move(*open());
    ASSERT_EQ(outbox->state()->head, Lsn(3)) << bit;
    kill(outbox);
  }
}

TEST_F(OutboxWitnessTest, KeepsTwoLogsApart) {
  auto witness = std::move(*OutboxWitness::open(sqlite.name(), "d/w"));
  EXPECT_FALSE(*witness->find(5));
  for (const std::uint64_t log : {5, 6, 7}) {
    for (const std::uint64_t head : {1, 2}) {
      witness->write({.log = log, .epoch = Epoch(1), .head = Lsn(head), .log_bytes = 10});
    }
  }
  EXPECT_FALSE(*witness->find(5));
  witness = std::move(*OutboxWitness::open(sqlite.name(), "d/w"));
  EXPECT_EQ((*witness->find(6))->head, Lsn(2));
  EXPECT_EQ((*witness->find(7))->head, Lsn(2));
  EXPECT_EQ((*witness->find(7))->log_bytes, 10u);
}

}  // namespace
}  // namespace evodb::edge
