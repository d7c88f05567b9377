#include "table/manifest.h"

#include <gtest/gtest.h>

#include "table/avro.h"
#include "table/manifest_merge.h"

namespace evodb::table {
namespace {

ManifestEntry full_entry() {
  ManifestEntry entry;
  entry.status = EntryStatus::kExisting;
  entry.snapshot_id = 11;
  entry.sequence_number = 4;
  entry.file_sequence_number = 3;
  entry.file = {.location = "s3://b/t/data/x.parquet",
                .record_count = 100,
                .file_bytes = 5000,
                .column_bytes = {{1, 10}, {2, 20}},
                .value_counts = {{1, 100}},
                .null_counts = {{2, 5}},
                .nan_counts = {{3, 1}},
                .lower_bounds = {{1, std::string("\0\1", 2)}},
                .upper_bounds = {{1, "z"}},
                .split_offsets = {4, 900}};
  entry.key_metadata = "key";
  entry.equality_ids = {1, 2};
  entry.sort_order_id = 1;
  return entry;
}

TEST(Manifest, AnEntryKeepsEverythingThatV2Knows) {
  const auto read = read_manifest(write_manifest({"{}", 0, 0}, {full_entry()}), {});
  ASSERT_TRUE(read) << read.error().text;
  const ManifestEntry &in = (*read)[0], out = full_entry();
  EXPECT_EQ(in.status, out.status);
  EXPECT_EQ(in.snapshot_id, out.snapshot_id);
  EXPECT_EQ(in.sequence_number, out.sequence_number);
  EXPECT_EQ(in.file_sequence_number, out.file_sequence_number);
  EXPECT_EQ(in.file.location, out.file.location);
  EXPECT_EQ(in.file.record_count, out.file.record_count);
  EXPECT_EQ(in.file.file_bytes, out.file.file_bytes);
  EXPECT_EQ(in.file.column_bytes, out.file.column_bytes);
  EXPECT_EQ(in.file.value_counts, out.file.value_counts);
  EXPECT_EQ(in.file.null_counts, out.file.null_counts);
  EXPECT_EQ(in.file.nan_counts, out.file.nan_counts);
  EXPECT_EQ(in.file.lower_bounds, out.file.lower_bounds);
  EXPECT_EQ(in.file.upper_bounds, out.file.upper_bounds);
  EXPECT_EQ(in.file.split_offsets, out.file.split_offsets);
  EXPECT_EQ(in.key_metadata, out.key_metadata);
  EXPECT_EQ(in.equality_ids, out.equality_ids);
  EXPECT_EQ(in.sort_order_id, out.sort_order_id);
  EXPECT_FALSE(in.partitioned);
}

TEST(Manifest, AnAddedEntryInheritsWhatItsListSays) {
  ManifestEntry entry = full_entry();
  entry.status = EntryStatus::kAdded;
  entry.sequence_number.reset();
  entry.file_sequence_number.reset();
  const auto read = read_manifest(write_manifest({"{}", 0, 0}, {entry}),
                                  {.sequence_number = 42, .added_snapshot_id = 7});
  ASSERT_TRUE(read);
  EXPECT_EQ((*read)[0].sequence_number, 42);
  EXPECT_EQ((*read)[0].file_sequence_number, 42);
  EXPECT_EQ((*read)[0].snapshot_id, 11) << "its own";
}

TEST(Manifest, TheHeaderSaysWhatReadersAskFor) {
  const auto file = read_avro(write_manifest({R"({"type":"struct"})", 3, 0}, {}));
  ASSERT_TRUE(file);
  EXPECT_EQ(file->metadata.at("schema"), R"({"type":"struct"})");
  EXPECT_EQ(file->metadata.at("schema-id"), "3");
  EXPECT_EQ(file->metadata.at("partition-spec"), "[]");
  EXPECT_EQ(file->metadata.at("partition-spec-id"), "0");
  EXPECT_EQ(file->metadata.at("format-version"), "2");
  EXPECT_EQ(file->metadata.at("content"), "data");
}

TEST(ManifestList, ALineKeepsEverything) {
  ManifestFile line{.location = "s3://b/m.avro",
                    .bytes = 7,
                    .spec_id = 2,
                    .content = 1,
                    .sequence_number = 9,
                    .min_sequence_number = 3,
                    .added_snapshot_id = 77,
                    .added_files = 1,
                    .existing_files = 2,
                    .deleted_files = 3,
                    .added_rows = 10,
                    .existing_rows = 20,
                    .deleted_rows = 30,
                    .key_metadata = "k"};
  line.partitions = {{.contains_null = true,
                      .contains_nan = false,
                      .lower_bound = "a",
                      .upper_bound = std::nullopt}};
  const auto read = read_manifest_list(write_manifest_list({1, 2, 9}, {line, line}));
  ASSERT_TRUE(read) << read.error().text;
  ASSERT_EQ(read->size(), 2u);
  EXPECT_EQ((*read)[1], line);
}

TEST(ManifestList, AManifestReadAsAListIsCorrupt) {
  EXPECT_EQ(read_manifest_list(write_manifest({"{}", 0, 0}, {full_entry()})).error().kind,
            ErrorKind::kCorrupt);
  EXPECT_EQ(read_manifest("", {}).error().kind, ErrorKind::kCorrupt);
}

TEST(ManifestMerge, OnlyOurKindIsMergedLevelByLevel) {
  std::vector<ManifestFile> lines(40, ManifestFile{.bytes = 8'000, .added_files = 1});
  EXPECT_EQ(manifests_to_merge(lines, 0).size(), 40u);
  for (int i = 0; i < 9; ++i) lines[static_cast<std::size_t>(i)].content = 1;
  EXPECT_TRUE(manifests_to_merge(lines, 0).empty()) << "31 of them";
  EXPECT_TRUE(manifests_to_merge(lines, 1).empty()) << "another spec";
  for (auto& line : lines) line = {.bytes = 200'000, .existing_files = 40};
  EXPECT_EQ(manifests_to_merge(lines, 0).size(), 40u) << "the next level";
  for (auto& line : lines) line = {.bytes = 200'000, .existing_files = 2000};
  EXPECT_TRUE(manifests_to_merge(lines, 0).empty()) << "full";
  for (auto& line : lines) line = {.bytes = 3 << 20, .existing_files = 40};
  EXPECT_EQ(manifests_to_merge(lines, 0).size(), 2u) << "no manifest grows beyond about 8 MiB";
}

TEST(ManifestMerge, WhatWasDeletedIsLeftBehind) {
  ManifestEntry deleted = full_entry();
  deleted.status = EntryStatus::kDeleted;
  ManifestMerge merge;
  merge.add({.location = "a"}, {full_entry(), deleted});
  EXPECT_FALSE(merge.worthwhile());
  merge.add({.location = "b"}, {full_entry()});
  ManifestEntry partitioned = full_entry();
  partitioned.partitioned = true;
  merge.add({.location = "c"}, {partitioned});
  const NewManifest made = merge.write({"{}", 0, 0}, "k", "l", 5);
  EXPECT_EQ(made.replaces, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(made.line.existing_files, 2);
  EXPECT_EQ(made.line.existing_rows, 200);
  const ManifestFile line = in_commit(made.line, 10);
  EXPECT_EQ(line.sequence_number, 10);
  EXPECT_EQ(line.min_sequence_number, 4);
  EXPECT_EQ(read_manifest(made.bytes, line)->size(), 2u);
}

}  // namespace
}  // namespace evodb::table
