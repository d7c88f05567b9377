// What both of the client library's outboxes do, and what only the file does.
#include <unistd.h>

#include <deque>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "edge/file_outbox.h"
#include "edge/memory_outbox.h"
#include "sim/seams/fake_clock.h"
#include "sim/seams/fake_disk.h"
#include "sim/seams/seeded_random.h"
#include "sim/seams/sqlite_disk.h"

namespace evodb::edge {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Seen {
  std::uint64_t lsn, txn;
  Op op;
  std::string table, key, before, after;
  std::int64_t at;
  friend bool operator==(const Seen&, const Seen&) = default;
};

struct Collect final : capture::ChangeSink {
  bool take(const capture::OutboxChange& c) override {
    if (all.size() >= max) return false;
    EXPECT_EQ(c.table->fingerprint(), c.table_fingerprint);
    const auto text = [](const wire::ValuesView& v) {
      return v.present ? std::to_string(v.count) + ":" + std::string(v.bytes) : "-";
    };
    all.push_back({c.lsn.value, c.txn.value, c.op, c.table->name, text(c.key), text(c.before),
                   text(c.after), c.committed_at.value});
    return true;
  }
  std::vector<Seen> all;
  std::size_t max = SIZE_MAX;
};

class Directory {
 public:
  Directory()
      : path_(std::filesystem::temp_directory_path() /
              ("evodb-outbox-" + std::to_string(getpid()))) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  std::string file() const { return path_ / "changes.outbox"; }

 private:
  std::filesystem::path path_;
};

class EitherOutbox : public ::testing::TestWithParam<bool> {
 protected:
  std::unique_ptr<AppendableOutbox> make(std::uint64_t bytes_max = 1 << 20) {
    if (!GetParam()) {
      return std::make_unique<MemoryOutbox>("db1", Epoch(3), AppendableOutboxOptions{bytes_max});
    }
    auto made = FileOutbox::open(directory_.file(), "db1", Epoch(3),
                                 {.bytes_max = bytes_max, .sync = false});
    EXPECT_TRUE(made) << made.error().text;
    return std::move(*made);
  }
  Directory directory_;
};

const wire::TableDef table_a{"a", 1, {{"id", "INTEGER", 1}}};
const wire::TableDef table_b{"b", 1, {{"x", "", 0}, {"y", "", 0}}};

// One encoded value, for as long as the tests run.
std::string_view text_value(std::string_view text) {
  static std::deque<std::string> kept;
  wire::put_value(kept.emplace_back(), ValueView::of_text(text));
  return kept.back();
}

NewChange insert(std::string_view bytes, const wire::TableDef& table = table_a) {
  return {.op = Op::kInsert,
          .table = &table,
          .table_fingerprint = table.fingerprint(),
          .after = {true, 1, bytes},
          .committed_at = UnixMillis(77)};
}

TEST_P(EitherOutbox, GivesBackWhatWasAppendedByteForByte) {
  auto outbox = make();
  using namespace std::string_view_literals;
  const std::vector<NewChange> first{
      insert(text_value("\0\xff\0"sv)),
      {.op = Op::kDelete,
       .table = &table_b,
       .table_fingerprint = table_b.fingerprint(),
       .key = {true, 1, text_value("k")},
       .committed_at = UnixMillis(-5)},
  };
  EXPECT_EQ(*outbox->append(first), Lsn(2));
  const NewChange second{.op = Op::kUpdate,
                         .table = &table_b,
                         .table_fingerprint = table_b.fingerprint(),
                         .before = {true, 0, ""},
                         .after = {true, 2, "\0\0"sv},
                         .committed_at = UnixMillis(9)};
  EXPECT_EQ(*outbox->append({&second, 1}), Lsn(3));
  Collect got;
  ASSERT_TRUE(outbox->read(Lsn(0), got));
  EXPECT_THAT(
      got.all,
      ElementsAre(
          Seen{1, 2, Op::kInsert, "a", "-", "-", "1:" + std::string(text_value("\0\xff\0"sv)), 77},
          Seen{2, 2, Op::kDelete, "b", "1:" + std::string(text_value("k")), "-", "-", -5},
          Seen{3, 3, Op::kUpdate, "b", "-", "0:", "2:" + std::string("\0\0"sv), 9}));
  const auto state = *outbox->state();
  EXPECT_EQ(state.source, "db1");
  EXPECT_EQ(state.epoch, Epoch(3));
  EXPECT_EQ(state.head, Lsn(3));
}

TEST_P(EitherOutbox, ReadsFromAnyLsnUntilTheSinkHasEnough) {
  auto outbox = make();
  for (int i = 0; i < 3'000; ++i)
    ASSERT_TRUE(outbox->append(std::vector{insert(text_value("abc"))}));
  for (const std::uint64_t after : {0u, 1u, 1'023u, 1'024u, 2'998u, 2'999u, 3'000u, 4'000u}) {
    Collect got;
    got.max = 5;
    ASSERT_TRUE(outbox->read(Lsn(after), got));
    const std::uint64_t expected = after >= 3'000 ? 0 : std::min<std::uint64_t>(5, 3'000 - after);
    ASSERT_EQ(got.all.size(), expected) << after;
    EXPECT_TRUE(expected == 0 || got.all[0].lsn == after + 1);
  }
}

TEST_P(EitherOutbox, FullItTakesNothingOfAGroupAndHasRoomAgainAfterATrim) {
  auto outbox = make(10 * (change_overhead_bytes + 104));
  const std::string_view row = text_value(std::string(98, 'r'));  // 100 bytes
  ASSERT_TRUE(outbox->append(std::vector(8, insert(row))));
  const auto over = outbox->append(std::vector(3, insert(row)));
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().kind, ErrorKind::kOverLimit);
  EXPECT_THAT(over.error().text, HasSubstr("the outbox is full"));
  EXPECT_EQ(outbox->state()->head, Lsn(8));
  ASSERT_TRUE(outbox->append(std::vector(2, insert(row))));
  EXPECT_FALSE(outbox->append(std::vector(1, insert(""))));
  ASSERT_TRUE(outbox->trim(outbox->state()->epoch, Lsn(4), ChainHash(99)));
  ASSERT_TRUE(outbox->append(std::vector(4, insert(row))));
  EXPECT_EQ(outbox->state()->trimmed, Lsn(4));
  EXPECT_EQ(outbox->state()->trimmed_chain, ChainHash(99));
  Collect got;
  ASSERT_TRUE(outbox->read(Lsn(0), got));
  ASSERT_EQ(got.all.size(), 10u);
  EXPECT_EQ(got.all[0].lsn, 5u);
  ASSERT_TRUE(outbox->trim(outbox->state()->epoch, Lsn(14), ChainHash(1)));
  EXPECT_EQ(outbox->state()->held_bytes, 0u);
  ASSERT_TRUE(
      outbox->trim(outbox->state()->epoch, Lsn(3), ChainHash(5)));  // long gone: nothing happens
  EXPECT_EQ(outbox->state()->trimmed_chain, ChainHash(1));
}

TEST_P(EitherOutbox, ANewEpochKeepsWhatIsHeldAndBeginsItsChainAnew) {
  auto outbox = make();
  ASSERT_TRUE(outbox->append(std::vector(5, insert(text_value("x")))));
  ASSERT_TRUE(outbox->trim(outbox->state()->epoch, Lsn(2), ChainHash(99)));
  EXPECT_EQ(*outbox->begin_epoch(Epoch(2)), Epoch(4));
  EXPECT_EQ(*outbox->begin_epoch(Epoch(50)), Epoch(50));
  const auto state = *outbox->state();
  EXPECT_EQ(state.epoch, Epoch(50));
  EXPECT_EQ(state.trimmed, Lsn(2));
  EXPECT_EQ(state.trimmed_chain, ChainHash(0));
  EXPECT_EQ(state.head, Lsn(5));
}

INSTANTIATE_TEST_SUITE_P(Kinds, EitherOutbox, ::testing::Bool(), [](const auto& info) {
  return std::string(info.param ? "File" : "Memory");
});

TEST(FileOutbox, AFileThatWasMovedAwayTakesNothingMore) {
  Directory directory;
  auto outbox = *FileOutbox::open(directory.file(), "db1", Epoch(3), {.sync = false});
  ASSERT_TRUE(outbox->append(std::vector{insert(text_value("kept"))}));
  std::filesystem::rename(directory.file(), directory.file() + ".away");
  std::filesystem::copy_file(directory.file() + ".away", directory.file());
  const auto refused = outbox->append(std::vector{insert(text_value("would be lost"))});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kStale);
  EXPECT_THAT(refused.error().text, HasSubstr("was moved, removed or replaced"));
  EXPECT_FALSE(outbox->trim(Epoch(3), Lsn(1), ChainHash(1)));
  std::filesystem::rename(directory.file() + ".away", directory.file());
  ASSERT_TRUE(outbox->append(std::vector{insert(text_value("kept, too"))}));
  EXPECT_EQ(outbox->state()->head, Lsn(2));
}

TEST_P(EitherOutbox, TwoCopiesHaveTwoLives) {
  if (!GetParam()) return;  // what memory holds has no copies
  auto first = make();
  std::filesystem::copy_file(directory_.file(), directory_.file() + ".copy");
  auto second = *FileOutbox::open(directory_.file() + ".copy", "db1", Epoch(9), {.sync = false});
  EXPECT_NE(first->state()->life, second->state()->life);
  EXPECT_NE(first->state()->life, 0u);
}

TEST(FileOutbox, WhatWasAppendedIsThereAfterItWasClosedAndOpened) {
  Directory directory;
  sim::SeededRandom dice(5);
  std::vector<Seen> expected;
  std::uint64_t lsn = 0, trimmed = 0;
  for (int life = 0; life < 8; ++life) {
    auto outbox = FileOutbox::open(directory.file(), "db1",
                                   Epoch(static_cast<std::uint64_t>(life) + 1), {.sync = false});
    ASSERT_TRUE(outbox) << outbox.error().text;
    for (int step = 0; step < 40; ++step) {
      if (dice.below(4) == 0 && trimmed < lsn) {
        trimmed += 1 + dice.below(lsn - trimmed);
        ASSERT_TRUE(
            (*outbox)->trim((*outbox)->state()->epoch, Lsn(trimmed), ChainHash(trimmed * 7)));
      } else {
        const std::string_view row = text_value(std::string(dice.below(300), 'q'));
        const std::size_t n = 1 + dice.below(9);
        ASSERT_TRUE(
            (*outbox)->append(std::vector(n, insert(row, dice.below(2) == 0 ? table_a : table_b))));
        lsn += n;
      }
    }
    const auto state = *(*outbox)->state();
    EXPECT_EQ(state.epoch, Epoch(1));  // the first one stays
    EXPECT_EQ(state.head, Lsn(lsn));
    EXPECT_EQ(state.trimmed, Lsn(trimmed));
    EXPECT_EQ(state.trimmed_chain, ChainHash(trimmed * 7));
    Collect got;
    ASSERT_TRUE((*outbox)->read(Lsn(0), got));
    EXPECT_EQ(got.all.size(), lsn - trimmed);
    const std::uint64_t held = state.held_bytes;
    outbox->reset();
    auto again = FileOutbox::open(directory.file(), "db1", Epoch(1), {.sync = false});
    ASSERT_TRUE(again) << again.error().text;
    Collect got_again;
    ASSERT_TRUE((*again)->read(Lsn(0), got_again));
    EXPECT_EQ(got_again.all, got.all);
    EXPECT_EQ((*again)->state()->held_bytes, held);
  }
}

TEST(FileOutbox, RefusesAnotherSourcesAndAnotherProgramsFileAndASecondProcess) {
  Directory directory;
  auto mine = FileOutbox::open(directory.file(), "db1", Epoch(1), {});
  ASSERT_TRUE(mine) << mine.error().text;
  const auto second = FileOutbox::open(directory.file(), "db1", Epoch(1), {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::kRetry);
  mine->reset();
  const auto other = FileOutbox::open(directory.file(), "db2", Epoch(1), {});
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().kind, ErrorKind::kInvalid);
  EXPECT_THAT(other.error().text, HasSubstr("is of source 'db1', not of 'db2'"));

  std::filesystem::remove(directory.file());
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(directory.file().c_str(), &db), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db, "CREATE TABLE theirs(x)", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(db);
  const auto foreign = FileOutbox::open(directory.file(), "db1", Epoch(1), {});
  ASSERT_FALSE(foreign);
  EXPECT_THAT(foreign.error().text, HasSubstr("is a database of something else"));
  EXPECT_FALSE(FileOutbox::open("/no/such/directory/x", "db1", Epoch(1), {}));
}

// On the forgetful disk: what was found there by build/evodb-crash-points.
class FileOutboxOnABadDisk : public ::testing::Test {
 protected:
  FileOutboxOnABadDisk() { (void)disk.make_directories("d"); }
  Result<std::unique_ptr<FileOutbox>> open() {
    return FileOutbox::open("d/o", "db1", Epoch(3), {.vfs = sqlite.name()});
  }
  void restart(std::unique_ptr<FileOutbox>& outbox, sim::CrashModel model) {
    disk.crash();
    outbox.reset();
    sqlite.forget();
    disk.restart(model, random);
  }
  // The next sync fails.
  Error append_with_failing_sync(FileOutbox& outbox) {
    for (std::uint64_t calls = 1; calls < 20; ++calls) {
      const std::uint64_t n = disk.mutations() + calls;
      disk.fail_mutation(n, {ErrorKind::kInternal, "EIO"}, sim::FakeDisk::Effect::kNothing);
      const auto appended = outbox.append(std::vector{insert(text_value("late"))});
      if (!appended && disk.failed_sync()) return appended.error();
    }
    return {};
  }
  sim::FakeDisk disk;
  sim::FakeClock clock;
  sim::SeededRandom random{4};
  sim::SqliteDisk sqlite{disk, clock, random};
};

TEST_F(FileOutboxOnABadDisk, AnAppendWhoseCommitFailsIsOfUnknownOutcome) {
  auto outbox = std::move(*open());
  ASSERT_TRUE(outbox->append(std::vector{insert(text_value("early"))}));
  const Error error = append_with_failing_sync(*outbox);
  EXPECT_EQ(error.kind, ErrorKind::kOutcomeUnknown) << error.text;
  // In this process it did not happen; the next one finds it in the log.
  EXPECT_EQ(outbox->state()->head, Lsn(1));
  restart(outbox, sim::CrashModel::kKilled);
  outbox = std::move(*open());
  EXPECT_EQ(outbox->state()->head, Lsn(2));
}

TEST_F(FileOutboxOnABadDisk, WhatIsBuiltOnALogWhoseSyncFailedSurvivesAPowerLoss) {
  auto outbox = std::move(*open());
  ASSERT_TRUE(outbox->append(std::vector{insert(text_value("early"))}));
  (void)append_with_failing_sync(*outbox);
  restart(outbox, sim::CrashModel::kKilled);
  outbox = std::move(*open());
  ASSERT_EQ(*outbox->append(std::vector{insert(text_value("acknowledged"))}), Lsn(3));
  restart(outbox, sim::CrashModel::kLost);
  outbox = std::move(*open());
  Collect got;
  ASSERT_TRUE(outbox->read(Lsn(0), got));
  ASSERT_EQ(got.all.size(), 3u);
  EXPECT_EQ(got.all[2].after, "1:" + std::string(text_value("acknowledged")));
}

TEST_F(FileOutboxOnABadDisk, DamageIsSaidAndNeverServed) {
  auto outbox = std::move(*open());
  ASSERT_TRUE(outbox->append(std::vector{insert(text_value("first")), insert(text_value("second")),
                                         insert(text_value("third"))}));
  ASSERT_TRUE(outbox->trim(outbox->state()->epoch, Lsn(1), ChainHash(5)));
  outbox.reset();
  const std::string whole = disk.contents("d/o");
  const auto damaged = [&](const std::string& sql) {
    disk.put("d/o", whole);
    sqlite3* db = nullptr;
    EXPECT_EQ(sqlite3_open_v2("d/o", &db, SQLITE_OPEN_READWRITE, sqlite.name().c_str()), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sql;
    sqlite3_close(db);
    auto opened = open();
    if (!opened) return opened.error();
    Collect got;
    const auto read = (*opened)->read(Lsn(0), got);
    return read ? Error{ErrorKind::kInternal, "served"} : read.error();
  };
  for (const char* sql :
       {"UPDATE changes SET rows=CAST(replace(rows,'second','sekond') AS BLOB)",
        "UPDATE changes SET txn=4 WHERE lsn=3", "UPDATE changes SET time=78 WHERE lsn=2",
        "UPDATE changes SET op=2 WHERE lsn=2", "DELETE FROM changes WHERE lsn=2",
        "UPDATE state SET value=2 WHERE key='trimmed'",
        "UPDATE state SET value=4 WHERE key='epoch'",
        "UPDATE state SET value=6 WHERE key='trimmed_chain'",
        "UPDATE tables SET def=CAST(replace(def,'INTEGER','INTEGES') AS BLOB)",
        "PRAGMA writable_schema=1;UPDATE sqlite_schema SET sql=replace(sql,'lsn INTEGER','lsn "
        "INTEGES') WHERE name='changes'"}) {
    const Error error = damaged(sql);
    EXPECT_EQ(error.kind, ErrorKind::kCorrupt) << sql << ": " << error.text;
    EXPECT_THAT(error.text, HasSubstr("d/o")) << sql;
  }
}

TEST_F(FileOutboxOnABadDisk, AFileOfBeforeThereWereChecksumsIsRead) {
  auto outbox = std::move(*open());
  ASSERT_TRUE(outbox->append(std::vector{insert(text_value("first"))}));
  outbox.reset();
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open_v2("d/o", &db, SQLITE_OPEN_READWRITE, sqlite.name().c_str()), SQLITE_OK);
  // presence, count, length, the tag of a TEXT of five bytes, those
  ASSERT_EQ(sqlite3_exec(db,
                         "DELETE FROM state WHERE key='sum';"
                         "UPDATE changes SET rows=x'0401062b6669727374'",
                         nullptr, nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(db);
  outbox = std::move(*open());
  Collect got;
  ASSERT_TRUE(outbox->read(Lsn(0), got));
  ASSERT_EQ(got.all.size(), 1u);
  EXPECT_EQ(got.all[0].after, "1:" + std::string(text_value("first")));
  ASSERT_TRUE(outbox->trim(outbox->state()->epoch, Lsn(1), ChainHash(5)));
}

}  // namespace
}  // namespace evodb::edge
