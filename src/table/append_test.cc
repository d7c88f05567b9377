#include "table/append.h"

#include <algorithm>
#include <set>

#include "table/append_world.h"

namespace evodb::table {
namespace {

using Append = AppendWorld;

TEST_F(Append, CreatesTheTableWithTheFirstFileAndItsWatermark) {
  const auto after = run(append(0));
  ASSERT_TRUE(after) << after.error().text;
  EXPECT_EQ(after->watermark, at(1));
  EXPECT_EQ(after->total_records, 10);
  EXPECT_EQ(after->total_files, 1);
  EXPECT_EQ(after->total_bytes, 1000);
  EXPECT_EQ(after->location_key, "evodb/t");
  EXPECT_EQ(after->uuid.size(), 36u);
  EXPECT_TRUE(after->schema.same_fields(schema));
  EXPECT_EQ(after->last_column_id, 2);
  expect_files(1);

  const TableMetadata there = metadata();
  const Snapshot& snapshot = *there.current_snapshot();
  EXPECT_EQ(snapshot.id, after->current_snapshot);
  EXPECT_EQ(snapshot.summary.at("operation"), "append");
  EXPECT_EQ(snapshot.summary.at("added-records"), "10");
  EXPECT_EQ(snapshot.summary.at("evodb.position"), "1");
  EXPECT_EQ(there.property("evodb.position"), "1");
  EXPECT_EQ(there.property("evodb.journal-id"), "99");
  EXPECT_EQ(there.property("evodb.writer-epoch"), std::to_string(writer.value));
  EXPECT_EQ(there.property("evodb.parent-id"), "parent-1");
}

TEST_F(Append, WhatIsParsedFromTheMetadataIsWhatTheCommitReturned) {
  ASSERT_TRUE(run(append(0)));
  const auto after = run(append(1));
  ASSERT_TRUE(after);
  const std::string json = store.get(*store.key_of(after->metadata_location)).value();
  const auto parsed = parse_table_state("t", after->metadata_location, json, store);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->watermark, after->watermark);
  EXPECT_EQ(parsed->current_snapshot, after->current_snapshot);
  EXPECT_EQ(parsed->total_records, 20);
  EXPECT_EQ(parsed->snapshots, 2u);
  EXPECT_EQ(parsed->last_updated, after->last_updated);
  EXPECT_EQ(parsed->schema.fields, schema.fields);
}

TEST_F(Append, ThreeHundredCommitsCostTheSameEachAndLeaveNoRubbish) {
  std::uint64_t calls_max = 0, calls_sum = 0;
  std::size_t lines_max = 0;
  for (int n = 0; n < 300; ++n) {
    const std::uint64_t before = store.calls();
    auto request = append(n);
    request.snapshots_max = 10;
    request.metadata_log_max = 5;
    ASSERT_TRUE(run(std::move(request))) << n;
    calls_max = std::max(calls_max, store.calls() - before);
    calls_sum += store.calls() - before;
    lines_max = std::max(lines_max, lines().size());
  }
  expect_files(300);
  EXPECT_LE(lines_max, 32u + 300 / 32);
  EXPECT_LE(calls_sum / 300, 10u);
  EXPECT_LE(calls_max, 80u) << "a merge reads 32 manifests and removes as many";
  EXPECT_EQ(metadata().snapshots().size(), 10u);

  // Everything that lies there is referred to, and everything that is referred to lies there.
  std::set<std::string> stored, referred;
  for (const auto& [key, bytes] : store.objects()) {
    if (key.starts_with("evodb/t/metadata/")) stored.insert(key);
  }
  for (const std::string& key : live().metadata_keys) referred.insert(key);
  EXPECT_EQ(stored, referred);
}

TEST_F(Append, MergedEntriesKeepTheirSequenceNumbersAndSnapshots) {
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> wanted;
  for (int n = 0; n < 40; ++n) {
    const auto after = run(append(n));
    ASSERT_TRUE(after);
    wanted[data_file(n).location] = {n + 1, *after->current_snapshot};
  }
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> found;
  bool merged = false;
  for (const ManifestFile& line : lines()) {
    if (line.existing_files > 1) merged = true;
    std::int64_t oldest = INT64_MAX;
    const auto entries =
        read_manifest(store.get(*store.key_of(line.location)).value(), line).value();
    for (const auto& entry : entries) {
      found[entry.file.location] = {*entry.sequence_number, entry.snapshot_id};
      oldest = std::min(oldest, *entry.sequence_number);
      EXPECT_EQ(entry.file.lower_bounds, data_file(0).lower_bounds);
      EXPECT_EQ(entry.file.null_counts, data_file(0).null_counts);
      EXPECT_EQ(entry.sort_order_id, 1);
    }
    EXPECT_EQ(line.min_sequence_number, oldest);
  }
  EXPECT_TRUE(merged);
  EXPECT_EQ(found, wanted);
}

TEST_F(Append, NewColumnsComeInTheSameCommitAsTheirData) {
  ASSERT_TRUE(run(append(0)));
  schema.fields.push_back({.id = 3, .name = "price", .type = Type::kDouble});
  const auto after = run(append(1));
  ASSERT_TRUE(after) << after.error().text;
  EXPECT_EQ(after->schema.schema_id, 1);
  EXPECT_EQ(after->last_column_id, 3);
  EXPECT_EQ(after->schema.fields, schema.fields);
  EXPECT_EQ(metadata().snapshots().size(), 2u);
  EXPECT_NE(metadata().property("schema.name-mapping.default")->find("price"), std::string::npos);
}

TEST_F(Append, AMergeCountsColumnsThatAreYoungerThanAFileAsNull) {
  for (int n = 0; n < 40; ++n) {
    if (n == 20) schema.fields.push_back({.id = 3, .name = "price", .type = Type::kDouble});
    auto request = append(n);
    if (n != 5) {  // which is somebody else's
      const std::string key =
          "evodb/t/data/00000000000000" + std::to_string(10 + n) + "-0123456789abcdef-0.parquet";
      request.files[0].location = store.location(key);
      request.files[0].column_bytes = {{1, 50}, {2, 50}};
      store.set_object(key, "rows");
    }
    ASSERT_TRUE(run(std::move(request))) << n;
  }
  int counted = 0, silent = 0, merged = 0;
  for (const ManifestFile& line : lines()) {
    const auto entries =
        read_manifest(store.get(*store.key_of(line.location)).value(), line).value();
    for (const auto& entry : entries) {
      if (line.existing_files == 0) continue;
      ++merged;
      if (entry.file.null_counts.contains(3)) {
        EXPECT_EQ(entry.file.null_counts.at(3), entry.file.value_counts.at(3));
        ++counted;
      } else {
        ++silent;
      }
    }
  }
  EXPECT_GT(merged, 30);
  EXPECT_EQ(silent, 1);
  EXPECT_EQ(counted, merged - 1);
}

TEST_F(Append, SchemasThatNoSnapshotUsesAreDroppedWithTheSnapshots) {
  ASSERT_TRUE(run(append(0)));
  for (int n = 1; n < 30; ++n) {
    schema.fields.push_back({.id = n + 2, .name = "c" + std::to_string(n), .type = Type::kLong});
    auto request = append(n);
    request.snapshots_max = 4;
    const auto after = run(std::move(request));
    ASSERT_TRUE(after) << after.error().text;
    EXPECT_EQ(after->schema.schema_id, n);
  }
  const Json json = parse_json(metadata().to_json()).value();
  EXPECT_EQ(json["schemas"].size(), 4u);
  EXPECT_EQ(json["last-column-id"], 31);
}

TEST_F(Append, ACommitWithoutFilesMovesOnlyTheWatermark) {
  ASSERT_TRUE(run(append(0)));
  auto request = append(1);
  request.files.clear();
  const auto after = run(std::move(request));
  ASSERT_TRUE(after);
  EXPECT_EQ(after->watermark, at(2));
  EXPECT_EQ(after->snapshots, 1u);
  EXPECT_EQ(after->total_records, 10);
  EXPECT_TRUE(run(append(2)));
  EXPECT_EQ(metadata().property("evodb.position"), "3");
}

TEST_F(Append, AClockThatWasSetBackDoesNotTurnTheHistoryBack) {
  ASSERT_TRUE(run(append(0)));
  clock.jump_wall_ms(-3'600'000);
  ASSERT_TRUE(run(append(1)));
  const TableMetadata there = metadata();
  EXPECT_EQ(there.snapshots()[1].timestamp_ms, there.snapshots()[0].timestamp_ms);
  EXPECT_GE(there.last_updated_ms(), there.snapshots()[1].timestamp_ms);
}

TEST_F(Append, TheTableIsNamedInTheErrorWhenItIsGoneOrThereAlready) {
  auto missing = append(1);
  EXPECT_EQ(run(missing).error().kind, ErrorKind::kNotFound);
  ASSERT_TRUE(run(append(0)));
  auto again = append(0);
  again.watermark = at(50);
  const auto there = run(std::move(again));
  EXPECT_EQ(there.error().kind, ErrorKind::kExists) << there.error().text;
}

TEST_F(Append, AnotherWatermarkThanExpectedStopsBeforeAnythingIsWritten) {
  ASSERT_TRUE(run(append(0)));
  auto request = append(1);
  request.expected = at(7);
  const auto objects = store.objects();
  const auto result = run(std::move(request));
  EXPECT_EQ(result.error().kind, ErrorKind::kStale);
  EXPECT_NE(result.error().text.find("position 7"), std::string::npos) << result.error().text;
  EXPECT_EQ(store.objects(), objects);
  expect_files(1);
}

TEST_F(Append, DataThatDoesNotMoveTheWatermarkIsRefused) {
  ASSERT_TRUE(run(append(0)));
  auto request = append(1);
  request.watermark = *request.expected;
  EXPECT_EQ(run(std::move(request)).error().kind, ErrorKind::kInvalid);
  expect_files(1);
}

TEST_F(Append, AnOlderWriterIsFencedByTheCatalogAndByTheTable) {
  ASSERT_TRUE(run(append(0)));
  const WriterEpoch old = writer;
  const auto late = append(1);
  writer = *catalog->claim();
  EXPECT_EQ(run(late).error().kind, ErrorKind::kFenced) << "at the swap";

  auto by_new = append(1);
  by_new.expected = Watermark{"parent-1", old, 99, Position(1)};
  ASSERT_TRUE(run(std::move(by_new)));
  const auto objects = store.objects();
  EXPECT_EQ(run(late).error().kind, ErrorKind::kFenced) << "by the watermark, before any write";
  EXPECT_EQ(store.objects(), objects);
  expect_files(2);
}

TEST_F(Append, ACommitOfAnotherEngineInBetweenIsKept) {
  ASSERT_TRUE(run(append(0)));
  std::string foreign;
  catalog->before_swap = [&] { foreign = foreign_append("theirs"); };
  const auto after = run(append(1));
  ASSERT_TRUE(after) << after.error().text;
  expect_files(2, {foreign});
  EXPECT_EQ(metadata().snapshots().size(), 3u);
  EXPECT_EQ(metadata().current_snapshot()->sequence_number, 3);
}

TEST_F(Append, ACommitOfAnotherEngineDuringAMergeKeepsTheMerge) {
  for (int n = 0; n < 32; ++n) ASSERT_TRUE(run(append(n)));
  std::string foreign;
  catalog->before_swap = [&] { foreign = foreign_append("theirs"); };
  ASSERT_TRUE(run(append(32)));
  expect_files(33, {foreign});
  EXPECT_LE(lines().size(), 4u);
}

TEST_F(Append, ManifestsThatAnotherEngineRewroteDuringAMergeAreNotListedTwice) {
  for (int n = 0; n < 32; ++n) ASSERT_TRUE(run(append(n)));
  catalog->before_swap = [&] { foreign_rewrite("theirs"); };
  ASSERT_TRUE(run(append(32)));
  expect_files(33);
  EXPECT_EQ(lines().size(), 2u);
}

TEST_F(Append, ATableThatMovedOnWhileItWasReadIsReadAgain) {
  ASSERT_TRUE(run(append(0)));
  const std::string before = *store.key_of(catalog->load("t").value().value());
  AppendCommit commit(append(1), store, random);
  std::string foreign;
  for (bool first = true; auto io = commit.next(); first = false) {
    commit.on_response(perform(store, *catalog, *io));
    if (!first) continue;
    foreign = foreign_append("theirs");
    ASSERT_TRUE(store.remove(before)) << "as an engine does that deletes after its commit";
  }
  ASSERT_TRUE(commit.outcome()) << commit.outcome().error().text;
  expect_files(2, {foreign});
}

TEST_F(Append, ABusyCatalogIsToBeTriedAgainAndNotRebasedUpon) {
  ASSERT_TRUE(run(append(0)));
  const auto request = append(1);
  catalog->next_swap = SwapFault::kRetry;
  EXPECT_EQ(run(request).error().kind, ErrorKind::kRetry);
  expect_files(1);
  EXPECT_TRUE(run(request));
  expect_files(2);

  catalog->next_swap = SwapFault::kRetry;
  AppendRequest other = append(0);
  other.table = "u";
  other.location_key = "evodb/u";
  EXPECT_EQ(run(other).error().kind, ErrorKind::kRetry) << "the same for a create";
  EXPECT_TRUE(run(other));
}

TEST_F(Append, ASwapWithoutAnAnswerIsLookedUpFirst) {
  for (int n = 0; n < 6; ++n) {
    SCOPED_TRACE(n);
    catalog->next_swap = n % 2 == 0 ? SwapFault::kUnknownAfter : SwapFault::kUnknownBefore;
    const auto after = run(append(n));
    ASSERT_TRUE(after) << after.error().text;
    EXPECT_EQ(after->watermark, at(static_cast<std::uint64_t>(n) + 1));
    expect_files(n + 1);
    EXPECT_EQ(metadata().snapshots().size(), static_cast<std::size_t>(n) + 1);
  }
}

TEST_F(Append, ALookUpThatFailsLeavesTheOutcomeUnknownUntilItIsResumed) {
  for (int n = 0; n < 4; ++n) {
    SCOPED_TRACE(n);
    AppendCommit commit(append(n), store, random);
    catalog->next_swap = n % 2 == 0 ? SwapFault::kUnknownAfter : SwapFault::kUnknownBefore;
    const auto unknown = [&]() -> Result<TableState> {
      while (auto io = commit.next()) {
        auto response = perform(store, *catalog, *io);
        if (std::holds_alternative<SwapTable>(*io)) catalog->failing_loads = 1;
        commit.on_response(std::move(response));
      }
      return commit.outcome();
    }();
    EXPECT_EQ(unknown.error().kind, ErrorKind::kOutcomeUnknown);
    catalog->failing_loads = 1;
    commit.resume();
    EXPECT_EQ(drive(commit).error().kind, ErrorKind::kOutcomeUnknown) << "still away";
    commit.resume();
    const auto after = drive(commit);
    ASSERT_TRUE(after) << after.error().text;
    expect_files(n + 1);
    EXPECT_EQ(metadata().snapshots().size(), static_cast<std::size_t>(n) + 1);
  }
}

TEST_F(Append, OursIsFoundUnderACommitOfAnotherEngine) {
  ASSERT_TRUE(run(append(0)));
  AppendCommit commit(append(1), store, random);
  std::string foreign;
  catalog->next_swap = SwapFault::kUnknownAfter;
  while (auto io = commit.next()) {
    auto response = perform(store, *catalog, *io);
    if (std::holds_alternative<SwapTable>(*io)) foreign = foreign_append("theirs");
    commit.on_response(std::move(response));
  }
  ASSERT_TRUE(commit.outcome());
  EXPECT_EQ(live().data.size(), 3u);
  EXPECT_EQ(metadata().snapshots().size(), 3u);
}

TEST_F(Append, DamagedMetadataIsCorruptAndSaysWhere) {
  const auto after = run(append(0));
  ASSERT_TRUE(after);
  const std::string key = *store.key_of(after->metadata_location);
  const std::string good = store.get(key).value();
  store.set_object(key, "{}");
  auto result = run(append(1));
  EXPECT_EQ(result.error().kind, ErrorKind::kCorrupt);
  EXPECT_NE(result.error().text.find(after->metadata_location), std::string::npos);

  ASSERT_TRUE(store.remove(key));
  EXPECT_EQ(run(append(1)).error().kind, ErrorKind::kCorrupt) << "missing";

  store.set_object(key, good);
  ASSERT_TRUE(store.remove(*store.key_of(metadata().current_snapshot()->manifest_list)));
  EXPECT_EQ(run(append(1)).error().kind, ErrorKind::kCorrupt) << "the manifest list is missing";
}

TEST_F(Append, AnOldManifestThatCannotBeReadDoesNotStopTheStream) {
  for (int n = 0; n < 31; ++n) ASSERT_TRUE(run(append(n)));
  const std::string damaged = lines()[5].location;
  store.set_object(*store.key_of(damaged), "damaged");
  for (int n = 31; n < 34; ++n) ASSERT_TRUE(run(append(n)));
  const auto now = lines();
  EXPECT_LE(now.size(), 4u);
  EXPECT_EQ(std::count_if(now.begin(), now.end(),
                          [&](const ManifestFile& line) { return line.location == damaged; }),
            1);
}

TEST_F(Append, AStoreThatGoesAwayAfterTheSwapHoldsUpNothing) {
  for (int n = 0; n < 40; ++n) {
    auto request = append(n);
    request.snapshots_max = 50;
    request.metadata_log_max = 50;
    ASSERT_TRUE(run(std::move(request)));
  }
  int removes = 0;
  store.fail_if([&](const sim::FakeStore::Call& call) -> std::optional<sim::FakeStore::Fault> {
    if (call.kind != sim::FakeStore::Kind::kRemove) return std::nullopt;
    ++removes;
    return sim::FakeStore::Fault::kRetry;
  });
  auto request = append(40);
  request.snapshots_max = 1;
  request.metadata_log_max = 1;
  EXPECT_TRUE(run(std::move(request))) << "the commit is in all the same";
  EXPECT_EQ(removes, 1) << "and not one time-out a file";
  expect_files(41);
}

TEST_F(Append, AStoreThatIsAwayIsTriedAgainWithNothingHalfDone) {
  ASSERT_TRUE(run(append(0)));
  const auto request = append(1);
  store.set_away(true);
  EXPECT_EQ(run(request).error().kind, ErrorKind::kRetry);
  store.set_away(false);
  EXPECT_TRUE(run(request));
  expect_files(2);
}

}  // namespace
}  // namespace evodb::table
