#include <algorithm>
#include <set>

#include "table/append.h"
#include "table/append_world.h"

namespace evodb::table {
namespace {

constexpr std::int64_t day_ms = 24 * 3600 * 1000;

class Orphans : public AppendWorld {
 protected:
  Result<std::uint64_t> remove() {
    return remove_orphans(store, *catalog, "t", day_ms, clock.wall());
  }
  bool has(const std::string& key) { return store.objects().contains(key); }
};

TEST_F(Orphans, OldFilesThatNothingRefersToGoAndNothingElse) {
  for (int n = 0; n < 40; ++n) ASSERT_TRUE(run(append(n)));
  ASSERT_TRUE(crash_after(append(40), 4)) << "behind its puts, before the swap";
  store.set_object("evodb/t/data/crashed.parquet", "rows");
  store.set_object("evodb/t2/data/other.parquet", "rows");
  clock.advance_ms(2 * day_ms);
  store.set_object("evodb/t/data/young.parquet", "rows");
  const auto before = live();
  const auto removed = remove();
  ASSERT_TRUE(removed) << removed.error().text;
  EXPECT_GE(*removed, 4u) << "the crashed flush, and its manifest, list and metadata";
  EXPECT_FALSE(has("evodb/t/data/crashed.parquet"));
  EXPECT_FALSE(has("evodb/t/data/40.parquet"));
  EXPECT_TRUE(has("evodb/t/data/young.parquet"));
  EXPECT_TRUE(has("evodb/t2/data/other.parquet")) << "another table's";
  for (const DataFile& file : before.data) EXPECT_TRUE(has(*store.key_of(file.location)));
  for (const std::string& key : before.metadata_keys) EXPECT_TRUE(has(key)) << key;
  expect_files(40);
  EXPECT_EQ(remove(), 0u) << "a second time there is nothing";
}

TEST_F(Orphans, WhatOnlyAnOlderSnapshotHoldsIsKept) {
  ASSERT_TRUE(run(append(0)));
  ASSERT_TRUE(run(append(1)));
  // Another engine rewrites the table: its snapshot lists nothing of ours any more.
  TableMetadata next = metadata();
  const std::string before = catalog->load("t").value().value();
  next.log_metadata(before, 10);
  Snapshot snapshot{.id = 77,
                    .parent = next.current_snapshot()->id,
                    .sequence_number = 3,
                    .timestamp_ms = clock.wall().value,
                    .manifest_list = store.location("evodb/t/metadata/empty.avro"),
                    .summary = {{"operation", "overwrite"}}};
  store.set_object("evodb/t/metadata/empty.avro", write_manifest_list({77, {}, 3}, {}));
  next.add_snapshot(snapshot);
  store.set_object("evodb/t/metadata/x.metadata.json", next.to_json());
  ASSERT_TRUE(
      catalog->swap(writer, "t", before, store.location("evodb/t/metadata/x.metadata.json")));
  clock.advance_ms(2 * day_ms);
  store.set_object("evodb/t/data/young.parquet", "rows");
  EXPECT_TRUE(live().data.empty());
  EXPECT_EQ(remove(), 0u);
  EXPECT_TRUE(has("evodb/t/data/0.parquet"));
}

TEST_F(Orphans, AClockAheadOfTheStoresMakesNoYoungFileOld) {
  ASSERT_TRUE(run(append(0)));
  store.set_object("evodb/t/data/in-flight.parquet", "rows");
  const auto removed =
      remove_orphans(store, *catalog, "t", day_ms, UnixMillis(clock.wall().value + 100 * day_ms));
  EXPECT_EQ(removed, 0u);
  EXPECT_TRUE(has("evodb/t/data/in-flight.parquet"));
}

TEST_F(Orphans, NothingIsRemovedWhereAReferenceCannotBeRead) {
  for (int n = 0; n < 3; ++n) ASSERT_TRUE(run(append(n)));
  store.set_object("evodb/t/data/crashed.parquet", "rows");
  clock.advance_ms(2 * day_ms);
  store.set_object("evodb/t/data/young.parquet", "rows");
  const std::string manifest = *store.key_of(lines()[1].location);
  const std::string bytes = store.get(manifest).value();
  store.set_object(manifest, "damaged");
  const auto objects = store.objects();
  EXPECT_FALSE(remove());
  EXPECT_EQ(store.objects(), objects);
  store.set_object(manifest, bytes);
  EXPECT_EQ(remove(), 1u);
}

TEST_F(Orphans, ATableInsideAnotherOnesFolderStopsIt) {
  ASSERT_TRUE(run(append(0)));
  auto inner = append(0);
  inner.table = "inner";
  inner.location_key = "evodb/t/inner";
  ASSERT_TRUE(run(std::move(inner)));
  clock.advance_ms(2 * day_ms);
  store.set_object("evodb/t/data/young.parquet", "rows");
  EXPECT_EQ(remove().error().kind, ErrorKind::kInvalid);
}

TEST_F(Orphans, ATableThatIsGoneHasNone) { EXPECT_EQ(remove(), 0u); }

TEST_F(Orphans, ADataFileThatIsGoneIsNamedAndNothingElseIs) {
  ASSERT_TRUE(run(append(0)));
  ASSERT_TRUE(run(append(1)));
  const auto whole = tidy_table(store, *catalog, "t", true, day_ms, clock.wall());
  ASSERT_TRUE(whole);
  EXPECT_TRUE(whole->missing.empty());
  ASSERT_TRUE(store.remove("evodb/t/data/0.parquet"));
  const auto objects = store.objects();
  const auto tidied = tidy_table(store, *catalog, "t", false, 0, clock.wall());
  ASSERT_TRUE(tidied);
  EXPECT_EQ(tidied->missing, std::vector<std::string>{data_file(0).location});
  EXPECT_EQ(store.objects(), objects) << "nothing is removed where that is not allowed";
}

}  // namespace
}  // namespace evodb::table
