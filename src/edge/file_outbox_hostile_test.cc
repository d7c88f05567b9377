// Outbox files with rows that this library does not write: found by file_outbox_fuzz.
#include <unistd.h>

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "edge/file_outbox.h"

namespace evodb::edge {
namespace {

using ::testing::HasSubstr;

class HostileFile : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove(path);
    auto outbox = *FileOutbox::open(path, "s", Epoch(7), {});
    const wire::TableDef table{"t", 1, {{"v", "", 0}}};
    std::string row;
    wire::put_value(row, ValueView::of_integer(1));
    const NewChange change{
        .table = &table, .table_fingerprint = table.fingerprint(), .after = {true, 1, row}};
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(outbox->append({&change, 1}));
  }
  void run(const std::string& sql) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sql;
    sqlite3_close(db);
  }
  struct Sink final : capture::ChangeSink {
    bool take(const capture::OutboxChange&) override { return ++taken > 0; }
    int taken = 0;
  };
  // What opening or reading says; "" if nothing is wrong.
  std::string refusal() {
    auto outbox = FileOutbox::open(path, "s", Epoch(7), {});
    if (!outbox) return outbox.error().text;
    Sink sink;
    const auto read = (*outbox)->read(Lsn(), sink);
    return read ? "" : read.error().text;
  }

  const std::string path = testing::TempDir() + "hostile-" + std::to_string(::getpid());
};

TEST_F(HostileFile, AGoodOneIsRead) { EXPECT_EQ(refusal(), ""); }

TEST_F(HostileFile, AnUnknownOpIsDamageAndNotSentForEver) {
  run("UPDATE changes SET op = 4 WHERE lsn = 2");
  EXPECT_THAT(refusal(), HasSubstr("LSN 2 is damaged"));
  run("UPDATE changes SET op = -1 WHERE lsn = 2");
  EXPECT_THAT(refusal(), HasSubstr("LSN 2 is damaged"));
}

TEST_F(HostileFile, ValuesThatNobodyCanDecodeAreDamage) {
  for (const char* rows : {"x'0401010e'", "x'0401020909'", "x'04ffffffffff0f0109'", "x'08'"}) {
    run(std::string("UPDATE changes SET rows = ") + rows + " WHERE lsn = 3");
    EXPECT_THAT(refusal(), HasSubstr("LSN 3 is damaged")) << rows;
  }
}

TEST_F(HostileFile, AMarkBeyondWhatSqliteCanCountIsDamage) {
  run("DELETE FROM state WHERE key = 'sum'");  // as in a file of before there were checksums
  for (const char* value : {"-1", "9223372036854775807", "-1e300"}) {
    run(std::string("UPDATE state SET value = ") + value + " WHERE key = 'trimmed'");
    EXPECT_THAT(refusal(), HasSubstr("that no outbox has")) << value;
  }
  run("UPDATE state SET value = 0 WHERE key = 'trimmed'; UPDATE changes SET lsn = -5 WHERE lsn = "
      "1");
  EXPECT_THAT(refusal(), HasSubstr("that no outbox has"));
}

}  // namespace
}  // namespace evodb::edge
