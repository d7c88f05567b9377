#include "table/served_table.h"

#include <memory>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "sim/seams/fake_clock.h"
#include "sim/seams/fake_store.h"

namespace evodb::table {
namespace {

constexpr std::uint64_t bytes_max = 1u << 20;

class ServedTableTest : public testing::Test {
 protected:
  std::string put(const std::string& bytes, const std::string& table = "t") {
    const std::string key = "evodb/" + table + "/metadata/" + std::to_string(++files_) + ".json";
    store_.set_object(key, bytes);
    const std::string location = store_.location(key);
    const auto before = catalog_->load(table).value();
    EXPECT_TRUE(catalog_->swap(writer_, table, before, location));
    return location;
  }
  auto read(SnapshotsServed snapshots = SnapshotsServed::kAll, std::uint64_t max = bytes_max) {
    return read_served_table(store_, *catalog_, "t", snapshots, max);
  }

  sim::FakeClock clock_;
  sim::FakeStore store_{clock_};
  std::unique_ptr<Catalog> catalog_ = open_sqlite_catalog(":memory:", "evodb", "evodb").value();
  WriterEpoch writer_ = catalog_->claim().value();
  int files_ = 0;
};

TEST_F(ServedTableTest, IsTheCurrentFileAsItLies) {
  EXPECT_FALSE(read().value());
  put("{}");
  const std::string document = " {\"b\": 1, \"a\": 9007199254740993, \"n\": 1.50 }\n";
  const std::string location = put(document);
  const auto table = read().value();
  ASSERT_TRUE(table);
  EXPECT_EQ(table->metadata_location, location);
  EXPECT_EQ(table->metadata, document);
}

TEST_F(ServedTableTest, RefsKeepWhatABranchOrATagNamesAndTheCurrentOne) {
  const std::int64_t large = 9'007'199'254'740'993;  // no double has it
  nlohmann::json document = {{"current-snapshot-id", large}, {"x", "y"}};
  for (const std::int64_t id : {std::int64_t{1}, std::int64_t{2}, std::int64_t{3}, large}) {
    document["snapshots"].push_back({{"snapshot-id", id}, {"manifest-list", "m"}});
  }
  document["refs"] = {{"main", {{"snapshot-id", large}}}, {"tag", {{"snapshot-id", 2}}}};
  put(document.dump());
  const auto table = read(SnapshotsServed::kRefs).value();
  const auto served = nlohmann::json::parse(table->metadata);
  ASSERT_EQ(served["snapshots"].size(), 2u);
  EXPECT_EQ(served["snapshots"][0]["snapshot-id"], 2);
  EXPECT_EQ(served["snapshots"][1]["snapshot-id"], large);
  EXPECT_EQ(served["x"], "y");
  EXPECT_EQ(nlohmann::json::parse(read().value()->metadata)["snapshots"].size(), 4u);
  put(R"({"current-snapshot-id": -1})");
  EXPECT_EQ(read(SnapshotsServed::kRefs).value()->metadata, R"({"current-snapshot-id":-1})");
}

TEST_F(ServedTableTest, WhatIsNoJsonObjectIsDamaged) {
  for (const char* bytes : {"", "  ", "[]", "{", "{}{}", "{\"a\": \"\xff\"}", "null", "\x1f\x8b"}) {
    const std::string location = put(bytes);
    const auto table = read();
    ASSERT_FALSE(table) << bytes;
    EXPECT_EQ(table.error().kind, ErrorKind::kCorrupt);
    EXPECT_NE(table.error().text.find(location), std::string::npos);
  }
  put("\xef\xbb\xbf{\"a\": 1}");
  EXPECT_EQ(read().value()->metadata, "{\"a\": 1}");
}

TEST_F(ServedTableTest, AFileOverTheLimitAndOneThatIsGoneAreNamed) {
  const std::string location = put("{\"a\": 1}");
  EXPECT_EQ(read(SnapshotsServed::kAll, 7).error().kind, ErrorKind::kOverLimit);
  EXPECT_TRUE(read(SnapshotsServed::kAll, 8));
  EXPECT_TRUE(store_.remove(*store_.key_of(location)));
  EXPECT_EQ(read().error().kind, ErrorKind::kNotFound);
  EXPECT_NE(read().error().text.find(location), std::string::npos);
}

}  // namespace
}  // namespace evodb::table
