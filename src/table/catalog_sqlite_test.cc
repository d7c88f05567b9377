#include <filesystem>
#include <thread>

#include <sqlite3.h>

#include "sim/seams/fake_disk.h"
#include "sim/seams/sqlite_disk.h"
#include "table/append_world.h"
#include "table/catalog.h"

namespace evodb::table {
namespace {

class SqliteCatalogTest : public testing::Test {
 protected:
  std::unique_ptr<Catalog> open() {
    auto catalog = open_sqlite_catalog(path, "evodb", "evodb");
    EXPECT_TRUE(catalog) << catalog.error().text;
    return std::move(*catalog);
  }
  // The first column of the first row, through a connection of its own.
  std::string query(const std::string& sql) {
    sqlite3* db = nullptr;
    sqlite3_open(path.c_str(), &db);
    std::string out;
    sqlite3_exec(
        db, sql.c_str(),
        [](void* into, int, char** values, char**) {
          *static_cast<std::string*>(into) = values[0] == nullptr ? "NULL" : values[0];
          return 0;
        },
        &out, nullptr);
    sqlite3_close(db);
    return out;
  }

  TemporaryFolder folder;
  const std::string path = folder.path() + "/catalog.db";
};

TEST_F(SqliteCatalogTest, ASwapHoldsOnlyFromTheExpectedLocation) {
  auto catalog = open();
  const WriterEpoch writer = *catalog->claim();
  EXPECT_EQ(catalog->load("t"), std::nullopt);
  EXPECT_TRUE(catalog->swap(writer, "t", std::nullopt, "m1"));
  EXPECT_EQ(catalog->swap(writer, "t", std::nullopt, "m2").error().kind, ErrorKind::kStale);
  EXPECT_EQ(catalog->swap(writer, "t", "m0", "m2").error().kind, ErrorKind::kStale);
  EXPECT_EQ(catalog->load("t"), "m1");
  EXPECT_TRUE(catalog->swap(writer, "t", "m1", "m2"));
  EXPECT_EQ(catalog->load("t"), "m2");
  EXPECT_EQ(query("SELECT previous_metadata_location FROM iceberg_tables"), "m1");
  EXPECT_EQ(query("SELECT iceberg_type FROM iceberg_tables"), "TABLE");
  EXPECT_EQ(catalog->list()->size(), 1u);
}

TEST_F(SqliteCatalogTest, AFileThatIsRemovedOrReplacedIsNoticedBeforeAnythingIsCommittedToIt) {
  for (const bool replaced : {false, true}) {
    auto catalog = open();
    const WriterEpoch writer = *catalog->claim();
    (void)catalog->swap(writer, "t", std::nullopt, "m1");
    const std::string copy = folder.path() + "/copy.db";
    std::filesystem::copy_file(path, copy, std::filesystem::copy_options::overwrite_existing);
    std::filesystem::remove(path);
    if (replaced) std::filesystem::rename(copy, path);
    EXPECT_EQ(catalog->list().error().kind, ErrorKind::kStale);
    EXPECT_EQ(catalog->load("t").error().kind, ErrorKind::kStale);
    EXPECT_EQ(catalog->swap(writer, "t", "m1", "m2").error().kind, ErrorKind::kStale);
    EXPECT_EQ(catalog->set_property(writer, "p", "v").error().kind, ErrorKind::kStale);
    ASSERT_TRUE(catalog->reopen());
    const WriterEpoch again = *catalog->claim();
    EXPECT_TRUE(catalog->swap(again, "u", std::nullopt, "m3"));
    EXPECT_EQ(query("PRAGMA integrity_check"), "ok");
    EXPECT_EQ(query("SELECT count(*) FROM iceberg_tables WHERE table_name = 'u'"), "1")
        << "what is committed now is in the file that others open";
    catalog.reset();
    for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path + suffix);
  }
}

TEST_F(SqliteCatalogTest, AClaimIsRaisedByWhoeverHoldsItAndWhenItsAnswerWasLost) {
  auto ours = open();
  const WriterEpoch held = *ours->claim();
  const WriterEpoch raised = *ours->claim_above(held, WriterEpoch(7));
  EXPECT_EQ(raised, WriterEpoch(7));
  // Whoever did not hear of 7 asks with what it holds.
  EXPECT_EQ(*ours->claim_above(held, WriterEpoch(7)), WriterEpoch(8));
  auto theirs = open();
  const WriterEpoch other = *theirs->claim();
  EXPECT_EQ(ours->claim_above(WriterEpoch(8), WriterEpoch(20)).error().kind, ErrorKind::kFenced);
  EXPECT_TRUE(theirs->set_property(other, "k", "v"));
}

TEST_F(SqliteCatalogTest, AFileThatWentBackIsNoticed) {
  auto catalog = open();
  (void)catalog->claim();
  const WriterEpoch writer = *catalog->claim();
  (void)query(
      "UPDATE iceberg_namespace_properties SET property_value = '1' WHERE property_key = "
      "'evodb.writer-epoch'");
  EXPECT_EQ(catalog->swap(writer, "t", std::nullopt, "m1").error().kind, ErrorKind::kStale);
  EXPECT_EQ(catalog->load("t").error().kind, ErrorKind::kStale) << "until it is opened anew";
  ASSERT_TRUE(catalog->reopen());
  EXPECT_TRUE(catalog->swap(*catalog->claim(WriterEpoch(9)), "t", std::nullopt, "m1"));
  EXPECT_EQ(query("SELECT property_value FROM iceberg_namespace_properties WHERE property_key = "
                  "'evodb.writer-epoch'"),
            "9");
}

TEST_F(SqliteCatalogTest, AClaimFencesEveryEarlierWriterForEver) {
  auto first = open(), second = open();
  const WriterEpoch old = *first->claim();
  EXPECT_TRUE(first->swap(old, "t", std::nullopt, "m1"));
  const WriterEpoch now = *second->claim();
  EXPECT_GT(now, old);
  EXPECT_EQ(first->swap(old, "t", "m1", "m2").error().kind, ErrorKind::kFenced);
  EXPECT_EQ(first->set_property(old, "k", "v").error().kind, ErrorKind::kFenced);
  EXPECT_TRUE(second->swap(now, "t", "m1", "m2"));
  EXPECT_GT(*open()->claim(), now) << "epochs grow over restarts";
}

TEST_F(SqliteCatalogTest, PropertiesStay) {
  {
    auto catalog = open();
    const WriterEpoch writer = *catalog->claim();
    EXPECT_EQ(catalog->property("k"), std::nullopt);
    EXPECT_TRUE(catalog->set_property(writer, "k", "v"));
    EXPECT_TRUE(catalog->set_property(writer, "k", "w"));
  }
  EXPECT_EQ(open()->property("k"), "w");
  EXPECT_EQ(query("SELECT property_value FROM iceberg_namespace_properties "
                  "WHERE namespace = 'evodb' AND property_key = 'exists'"),
            "true");
}

TEST_F(SqliteCatalogTest, OtherNamespacesAndViewsAreNotOurs) {
  auto catalog = open();
  const WriterEpoch writer = *catalog->claim();
  ASSERT_TRUE(catalog->swap(writer, "t", std::nullopt, "m1"));
  query(
      "INSERT INTO iceberg_tables VALUES ('evodb', 'other', 'x', 'm', NULL, 'TABLE'), "
      "('evodb', 'evodb', 'v', 'm', NULL, 'VIEW'), ('evodb', 'evodb', 'old', 'm', NULL, NULL)");
  const auto tables = catalog->list();
  ASSERT_TRUE(tables);
  ASSERT_EQ(tables->size(), 2u);
  EXPECT_EQ((*tables)[0].name, "old");
  EXPECT_EQ((*tables)[1].name, "t");
  EXPECT_EQ(catalog->swap(writer, "v", std::nullopt, "m1").error().kind, ErrorKind::kInvalid);
}

TEST_F(SqliteCatalogTest, ACatalogOfTheOldLayoutGetsItsColumn) {
  query(
      "CREATE TABLE iceberg_tables (catalog_name VARCHAR(255) NOT NULL, table_namespace "
      "VARCHAR(255) NOT NULL, table_name VARCHAR(255) NOT NULL, metadata_location VARCHAR(1000), "
      "previous_metadata_location VARCHAR(1000), "
      "PRIMARY KEY (catalog_name, table_namespace, table_name))");
  query("INSERT INTO iceberg_tables VALUES ('evodb', 'evodb', 't', 'm1', NULL)");
  auto catalog = open();
  EXPECT_TRUE(catalog->swap(*catalog->claim(), "t", "m1", "m2"));
  EXPECT_EQ(open()->load("t"), "m2");
}

TEST_F(SqliteCatalogTest, AReaderThatKeepsATransactionOpenBlocksNoCommit) {
  auto catalog = open();
  const WriterEpoch writer = *catalog->claim();
  ASSERT_TRUE(catalog->swap(writer, "t", std::nullopt, "m1"));
  sqlite3* reader = nullptr;
  sqlite3_open(path.c_str(), &reader);
  sqlite3_exec(reader, "BEGIN; SELECT * FROM iceberg_tables", nullptr, nullptr, nullptr);
  EXPECT_TRUE(catalog->swap(writer, "t", "m1", "m2"));
  sqlite3_close(reader);
}

TEST_F(SqliteCatalogTest, OfManySwapsFromOneLocationOneWins) {
  auto catalog = open();
  const WriterEpoch writer = *catalog->claim();
  ASSERT_TRUE(catalog->swap(writer, "t", std::nullopt, "m"));
  std::vector<std::thread> threads;
  std::atomic<int> won = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      const auto mine = open();
      if (mine->swap(writer, "t", "m", "m" + std::to_string(i))) ++won;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(won, 1);
}

TEST_F(SqliteCatalogTest, WhatIsNoCatalogSaysSo) {
  const auto missing = open_sqlite_catalog(folder.path() + "/none/catalog.db", "evodb", "evodb");
  EXPECT_EQ(missing.error().kind, ErrorKind::kInvalid);
  FILE* file = std::fopen(path.c_str(), "w");
  std::fputs("this is no SQLite file, and it is long enough to tell", file);
  std::fclose(file);
  const auto other = open_sqlite_catalog(path, "evodb", "evodb");
  EXPECT_EQ(other.error().kind, ErrorKind::kInvalid);
  EXPECT_NE(other.error().text.find(path), std::string::npos);
}

// A commit whose sync failed, the process killed: the next one finds the commit in the page cache
// and says that it happened, so it must outlive the power too.
TEST(SqliteCatalogOnABadDisk, WhatALaterProcessFindsCommittedSurvivesAPowerLoss) {
  sim::FakeDisk disk;
  sim::FakeClock clock;
  sim::SeededRandom random(4);
  sim::SqliteDisk sqlite(disk, clock, random);
  (void)disk.make_directories("d");
  const auto open = [&] {
    auto opened = open_sqlite_catalog("d/c", "evodb", "evodb", sqlite.name());
    EXPECT_TRUE(opened) << opened.error().text;
    return std::move(*opened);
  };
  auto catalog = open();
  const auto restart = [&](sim::CrashModel model) {
    disk.crash();
    catalog.reset();
    sqlite.forget();
    disk.restart(model, random);
    catalog = open();
  };
  const WriterEpoch writer = *catalog->claim();
  ASSERT_TRUE(catalog->swap(writer, "t", std::nullopt, "m1"));
  Result<void> swapped;
  for (std::uint64_t calls = 1; calls < 20 && !disk.failed_sync(); ++calls) {
    disk.fail_mutation(disk.mutations() + calls, {ErrorKind::kInternal, "EIO"},
                       sim::FakeDisk::Effect::kNothing);
    swapped = catalog->swap(writer, "t", "m1", "m2");
  }
  ASSERT_FALSE(swapped);
  EXPECT_EQ(swapped.error().kind, ErrorKind::kOutcomeUnknown);
  restart(sim::CrashModel::kKilled);
  ASSERT_EQ(*catalog->load("t"), "m2");
  restart(sim::CrashModel::kLost);
  EXPECT_EQ(*catalog->load("t"), "m2");
}

}  // namespace
}  // namespace evodb::table
