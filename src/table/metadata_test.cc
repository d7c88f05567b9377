#include "table/metadata.h"

#include <gtest/gtest.h>

namespace evodb::table {
namespace {

const Schema schema{0, {{.id = 1, .name = "a", .type = Type::kLong, .required = true}}};

TableMetadata fresh() {
  return TableMetadata::create({"uuid-1", "s3://b/t/", schema, {1}, UnixMillis(100)});
}

Snapshot snapshot(std::int64_t n) {
  return {.id = n,
          .parent = n > 1 ? std::optional(n - 1) : std::nullopt,
          .sequence_number = n,
          .timestamp_ms = 100 + n,
          .manifest_list = "s3://b/t/metadata/list-" + std::to_string(n),
          .summary = {{"operation", "append"}}};
}

TableMetadata with_snapshots(std::int64_t n) {
  TableMetadata m = fresh();
  for (std::int64_t i = 1; i <= n; ++i) m.add_snapshot(snapshot(i));
  return m;
}

Json json_of(const TableMetadata& m) { return *parse_json(m.to_json()); }

TEST(TableMetadata, ANewTableIsWhatTheSpecRequires) {
  const Json json = json_of(fresh());
  EXPECT_EQ(json["format-version"], 2);
  EXPECT_EQ(json["last-sequence-number"], 0);
  EXPECT_EQ(json["last-partition-id"], 999);
  EXPECT_EQ(json["partition-specs"], Json::parse(R"([{"spec-id":0,"fields":[]}])"));
  EXPECT_EQ(json["default-sort-order-id"], 1);
  EXPECT_EQ(json["sort-orders"][1]["fields"][0]["source-id"], 1);
  EXPECT_EQ(json["schemas"][0]["fields"][0]["required"], true);
  EXPECT_FALSE(json.contains("current-snapshot-id")) << "absent until there is one";
  const auto read = TableMetadata::parse(fresh().to_json());
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(read->location(), "s3://b/t") << "without its slash";
  EXPECT_EQ(read->sort_order_of({1}), 1);
  EXPECT_EQ(read->sort_order_of({2}), std::nullopt);
  EXPECT_EQ(read->current_snapshot(), nullptr);
}

TEST(TableMetadata, WhatItDoesNotKnowIsKept) {
  Json json = json_of(with_snapshots(1));
  json["from-the-future"] = {{"x", 1}};
  json["refs"]["main"]["max-ref-age-ms"] = 5;
  auto m = TableMetadata::parse(json.dump());
  ASSERT_TRUE(m);
  m->add_snapshot(snapshot(2));
  const Json after = json_of(*m);
  EXPECT_EQ(after["from-the-future"]["x"], 1);
  EXPECT_EQ(after["refs"]["main"]["max-ref-age-ms"], 5);
  EXPECT_EQ(after["refs"]["main"]["snapshot-id"], 2);
}

TEST(TableMetadata, BrokenDocumentsSayWhichMember) {
  const Json good = json_of(with_snapshots(2));
  const auto error_of = [&](auto damage) {
    Json json = good;
    damage(json);
    const auto read = TableMetadata::parse(json.dump());
    return read ? Error{} : read.error();
  };
  for (const char* member : {"format-version", "table-uuid", "location", "last-sequence-number",
                             "last-updated-ms", "last-column-id", "current-schema-id"}) {
    const Error error = error_of([&](Json& json) { json.erase(member); });
    EXPECT_EQ(error.kind, ErrorKind::kCorrupt);
    EXPECT_NE(error.text.find(member), std::string::npos) << error.text;
  }
  EXPECT_EQ(error_of([](Json& json) { json["current-snapshot-id"] = 9; }).kind,
            ErrorKind::kCorrupt);
  EXPECT_EQ(error_of([](Json& json) { json["snapshots"][1]["snapshot-id"] = 1; }).kind,
            ErrorKind::kCorrupt);
  EXPECT_EQ(error_of([](Json& json) { json["last-sequence-number"] = 1; }).kind,
            ErrorKind::kCorrupt);
  EXPECT_EQ(error_of([](Json& json) { json["format-version"] = 3; }).kind, ErrorKind::kInvalid);
  // Ids are 32 bits wide: one that is not would come back as another.
  for (const char* member : {"last-column-id", "current-schema-id"}) {
    EXPECT_EQ(error_of([&](Json& json) { json[member] = INT32_MAX; }).kind, ErrorKind::kCorrupt);
  }
  const Error wide = error_of([](Json& json) {
    json["current-schema-id"] = INT64_MAX;
    json["schemas"][0]["schema-id"] = INT64_MAX;
  });
  EXPECT_EQ(wide.text, "table metadata: a schema's schema-id is out of range");
  EXPECT_EQ(TableMetadata::parse("{").error().kind, ErrorKind::kCorrupt);
  EXPECT_EQ(TableMetadata::parse(std::string(1000, '[')).error().kind, ErrorKind::kCorrupt);
}

TEST(TableMetadata, TheMetadataLogIsCutAtItsLength) {
  TableMetadata m = fresh();
  for (int i = 0; i < 5; ++i) {
    const auto dropped = m.log_metadata("f" + std::to_string(i), 3);
    EXPECT_EQ(dropped, i < 3 ? std::vector<std::string>()
                             : std::vector<std::string>{"f" + std::to_string(i - 3)});
  }
  EXPECT_EQ(m.metadata_log(), (std::vector<std::string>{"f2", "f3", "f4"}));
}

TEST(TableMetadata, DroppedSnapshotsGiveTheirListsAndTheManifestsThatAMergeReplaced) {
  TableMetadata m = with_snapshots(3);
  Snapshot merging = snapshot(4);
  merging.summary[std::string(merged_manifests_key)] = "x.avro,y.avro,../evil,";
  m.add_snapshot(merging);
  EXPECT_EQ(m.retain_snapshots(2),
            (std::vector<std::string>{"s3://b/t/metadata/list-1", "s3://b/t/metadata/list-2"}));
  m.add_snapshot(snapshot(5));
  EXPECT_EQ(m.retain_snapshots(2),
            (std::vector<std::string>{"s3://b/t/metadata/list-3", "s3://b/t/metadata/x.avro",
                                      "s3://b/t/metadata/y.avro"}));
  EXPECT_EQ(json_of(m)["snapshot-log"].size(), 2u);
  EXPECT_TRUE(TableMetadata::parse(m.to_json()));
}

TEST(TableMetadata, ATaggedSnapshotStaysWithItsManifests) {
  TableMetadata m = with_snapshots(2);
  Json json = json_of(m);
  json["refs"]["audit"] = {{"snapshot-id", 1}, {"type", "tag"}};
  m = *TableMetadata::parse(json.dump());
  Snapshot merging = snapshot(3);
  merging.summary[std::string(merged_manifests_key)] = "x.avro";
  m.add_snapshot(merging);
  EXPECT_EQ(m.retain_snapshots(1), (std::vector<std::string>{"s3://b/t/metadata/list-2"}));
  EXPECT_NE(m.find_snapshot(1), nullptr);
}

TEST(TableMetadata, GarbageCollectionThatIsSwitchedOffRemovesNothing) {
  TableMetadata m = with_snapshots(3);
  m.set_property("gc.enabled", "false");
  EXPECT_TRUE(m.retain_snapshots(1).empty());
  EXPECT_TRUE(m.log_metadata("a", 0).empty());
  EXPECT_EQ(m.snapshots().size(), 1u);
}

}  // namespace
}  // namespace evodb::table
