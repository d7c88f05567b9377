#include "table/open_lakehouse.h"

#include <algorithm>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sqlite3.h>

#include "table/append_world.h"

namespace evodb::table {
namespace {

// A parent in one process: opens the lakehouse and commits to table "t".
class OpenLakehouse : public AppendWorld {
 protected:
  struct Parent {
    std::unique_ptr<Catalog> catalog;
    WriterEpoch writer;
    OpenedLakehouse opened;
  };

  std::unique_ptr<Catalog> catalog_file(const std::string& name) {
    return std::move(*open_sqlite_catalog(folder.path() + "/" + name, "evodb", "evodb"));
  }
  Result<Parent> open(const std::string& catalog_name) {
    Parent parent;
    parent.catalog = catalog_file(catalog_name);
    parent.writer = *parent.catalog->claim();
    auto opened = open_lakehouse(store, *parent.catalog, random, parent.writer);
    if (!opened) return fail(opened.error());
    parent.opened = *std::move(opened);
    return parent;
  }
  const TableState* find(const Parent& parent, const std::string& location_key = "evodb/t") {
    for (const FoundTable& table : parent.opened.tables) {
      if (table.state.location_key == location_key && !table.sick) return &table.state;
    }
    return nullptr;
  }
  AppendRequest request_of(Parent& parent, int n) {
    AppendRequest request = append(n);
    const TableState* there = find(parent);
    request.create = there == nullptr && n == 0;
    if (n > 0 && there != nullptr && next_of_.empty()) request.expected = there->watermark;
    if (!next_of_.empty()) request.expected = next_of_.back();
    request.watermark = {"parent-1", parent.writer, 99,
                         Position(static_cast<std::uint64_t>(n) + 1)};
    request.claim = parent.opened.claim;
    return request;
  }
  Result<TableState> commit(Parent& parent, int n) {
    put_data(n);
    AppendRequest request = request_of(parent, n);
    const Watermark after = request.watermark;
    AppendCommit machine(std::move(request), store, random);
    while (auto io = machine.next()) {
      if (before_io) before_io(*io);
      machine.on_response(perform(store, *parent.catalog, *io));
    }
    auto done = machine.outcome();
    if (done) next_of_ = {after};
    return done;
  }
  void put_data(int n) {
    const std::string key = "evodb/t/data/" + std::to_string(n) + ".parquet";
    (void)store.put(key, "rows", store::PutMode::kIfAbsent);
  }
  // A new process: nothing is remembered.
  void forget() { next_of_.clear(); }
  void remove(const std::string& name) {
    for (const char* suffix : {"", "-wal", "-shm"}) {
      ::unlink((folder.path() + "/" + name + suffix).c_str());
    }
  }
  void copy(const std::string& from, const std::string& to) {
    std::system(
        ("cp '" + folder.path() + "/" + from + "' '" + folder.path() + "/" + to + "'").c_str());
  }
  std::size_t count(std::string_view prefix) {
    return static_cast<std::size_t>(std::ranges::count_if(
        store.objects(), [&](const auto& object) { return object.first.starts_with(prefix); }));
  }

  std::function<void(const IoRequest&)> before_io;

 private:
  std::vector<Watermark> next_of_;
};

TEST_F(OpenLakehouse, EachCommitLeavesOnePointer) {
  auto parent = *open("a.db");
  for (int n = 0; n < 3; ++n) ASSERT_TRUE(commit(parent, n));
  EXPECT_EQ(count(pointers_prefix), 1u);
  EXPECT_EQ(count(claims_prefix), 1u);
}

TEST_F(OpenLakehouse, LostCatalogIsRebuiltFromTheStore) {
  auto parent = *open("a.db");
  std::string newest;
  for (int n = 0; n < 3; ++n) newest = commit(parent, n)->metadata_location;
  parent.catalog.reset();
  remove("a.db");
  forget();
  auto next = *open("a.db");
  ASSERT_NE(find(next), nullptr);
  EXPECT_EQ(find(next)->metadata_location, newest);
  EXPECT_EQ(*next.catalog->load("t"), newest);
  EXPECT_GT(next.writer, parent.writer) << "epochs grow, whatever catalog gives them";
  EXPECT_EQ(next.opened.claim->record().parent, parent.opened.claim->record().parent);
  EXPECT_TRUE(commit(next, 3));
}

TEST_F(OpenLakehouse, UncommittedMetadataOfAHigherNumberIsNotTaken) {
  auto parent = *open("a.db");
  const std::string newest = commit(parent, 0)->metadata_location;
  // A commit whose process ends before its swap.
  put_data(1);
  AppendCommit machine(request_of(parent, 1), store, random);
  while (auto io = machine.next()) {
    if (std::holds_alternative<SwapTable>(*io)) break;
    machine.on_response(perform(store, *parent.catalog, *io));
  }
  parent.catalog.reset();
  remove("a.db");
  forget();
  auto next = *open("a.db");
  ASSERT_NE(find(next), nullptr);
  EXPECT_EQ(find(next)->metadata_location, newest);
}

TEST_F(OpenLakehouse, OlderCatalogIsBroughtForward) {
  auto parent = *open("a.db");
  ASSERT_TRUE(commit(parent, 0));
  parent.catalog.reset();
  copy("a.db", "backup.db");
  forget();
  auto later = *open("a.db");
  std::string newest;
  for (int n = 1; n < 4; ++n) newest = commit(later, n)->metadata_location;
  later.catalog.reset();
  forget();
  auto restored = *open("backup.db");
  ASSERT_NE(find(restored), nullptr);
  EXPECT_EQ(find(restored)->metadata_location, newest);
  EXPECT_EQ(*restored.catalog->load("t"), newest);
  EXPECT_TRUE(commit(restored, 4));
}

TEST_F(OpenLakehouse, ACrashBetweenSwapAndPointerKeepsTheCommit) {
  auto parent = *open("a.db");
  ASSERT_TRUE(commit(parent, 0));
  put_data(1);
  AppendCommit machine(request_of(parent, 1), store, random);
  while (auto io = machine.next()) {
    const bool swap = std::holds_alternative<SwapTable>(*io);
    machine.on_response(perform(store, *parent.catalog, *io));
    if (swap) break;
  }
  const std::string swapped = **parent.catalog->load("t");
  parent.catalog.reset();
  forget();
  auto next = *open("a.db");
  EXPECT_EQ(find(next)->metadata_location, swapped);
  next.catalog.reset();
  remove("a.db");
  forget();
  auto after = *open("a.db");
  EXPECT_EQ(find(after)->metadata_location, swapped) << "it has a pointer since the start";
}

TEST_F(OpenLakehouse, WhoeverWasReplacedSaysNothing) {
  auto first = *open("a.db");
  ASSERT_TRUE(commit(first, 0));
  // Another catalog: the first one's swaps are not refused there.
  auto second = *open("b.db");
  const auto late = commit(first, 1);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().kind, ErrorKind::kFenced);
  EXPECT_NE(late.error().text.find("another parent"), std::string::npos) << late.error().text;
  forget();
  EXPECT_TRUE(commit(second, 1));
}

// It may still be reading the tables, and try again after an error, when the next one has come.
TEST_F(OpenLakehouse, WhoeverWasReplacedTakesNothingBackByTryingAgain) {
  auto old = *open("a.db");
  auto next = *open("a.db");
  const auto again = open_lakehouse(store, *old.catalog, random, old.writer);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().kind, ErrorKind::kFenced) << again.error().text;
  EXPECT_TRUE(still_claimed(store, *next.opened.claim));
  EXPECT_TRUE(commit(next, 0));
}

// Where nobody came, it goes on as often as it must.
TEST_F(OpenLakehouse, MayBeOpenedAgainByWhoeverHasOpenedIt) {
  auto parent = *open("a.db");
  for (int i = 0; i < 2; ++i) {
    auto again = open_lakehouse(store, *parent.catalog, random, parent.writer);
    ASSERT_TRUE(again) << again.error().text;
    parent.opened = *std::move(again);
  }
  EXPECT_TRUE(commit(parent, 0));
}

TEST_F(OpenLakehouse, APointerThatIsPutLateIsNotTheNewest) {
  auto first = *open("a.db");
  ASSERT_TRUE(commit(first, 0));
  std::optional<Parent> second;
  before_io = [&](const IoRequest& io) {
    const auto* put = std::get_if<PutObjects>(&io);
    if (put == nullptr || second || !put->objects.front().key.starts_with(pointers_prefix)) return;
    second = *open("b.db");
  };
  EXPECT_EQ(commit(first, 1).error().kind, ErrorKind::kFenced);
  ASSERT_TRUE(second);
  second->catalog.reset();
  remove("b.db");
  auto third = *open("c.db");
  EXPECT_EQ(find(third)->metadata_location, find(*second)->metadata_location);
}

TEST_F(OpenLakehouse, TablesOfAVersionWithoutPointersAreAdopted) {
  for (int n = 0; n < 3; ++n) {
    put_data(n);
    AppendCommit machine(append(n), store, random);
    while (auto io = machine.next()) machine.on_response(perform(store, *catalog, *io));
    ASSERT_TRUE(machine.outcome());
  }
  const std::string newest = **catalog->load("t");
  // And a commit that put its metadata, but not its data, when its process ended.
  AppendCommit machine(append(3), store, random);
  ASSERT_TRUE(store.remove("evodb/t/data/3.parquet"));
  while (auto io = machine.next()) {
    if (std::holds_alternative<SwapTable>(*io)) break;
    machine.on_response(perform(store, *catalog, *io));
  }
  auto parent = *open("new.db");
  ASSERT_NE(find(parent), nullptr);
  EXPECT_EQ(find(parent)->metadata_location, newest);
  EXPECT_FALSE(parent.opened.claim->may_remove("evodb/t"));
  EXPECT_FALSE(parent.opened.claim->may_sweep());
}

TEST_F(OpenLakehouse, NothingIsRemovedWhereAnotherCatalogWroteUntilThisOneHas) {
  auto parent = *open("a.db");
  EXPECT_TRUE(parent.opened.claim->may_remove("evodb/t"));
  for (int n = 0; n < 2; ++n) ASSERT_TRUE(commit(parent, n));
  parent.catalog.reset();
  remove("a.db");
  forget();
  for (int life = 0; life < 2; ++life) {
    auto next = *open("a.db");
    EXPECT_FALSE(next.opened.claim->may_remove("evodb/t")) << "it has not written there yet";
    EXPECT_EQ(next.opened.claim->may_sweep(), life > 0);
  }
  auto next = *open("a.db");
  ASSERT_TRUE(commit(next, 2));
  EXPECT_FALSE(next.opened.claim->may_remove("evodb/t"));
  auto later = *open("a.db");
  EXPECT_TRUE(later.opened.claim->may_remove("evodb/t"));
}

// evodb-sim, profile other-engines, seeds 940040 and 940081: it made the table a second time, in the
// same folder.
TEST_F(OpenLakehouse, ATableThatIsRenamedBehindTheCommitThatMadeItIsNotMadeAgain) {
  auto parent = *open("a.db");
  put_data(0);
  AppendCommit machine(request_of(parent, 0), store, random);
  bool fails = false;
  while (auto io = machine.next()) {
    const auto* put = std::get_if<PutObjects>(&*io);
    fails = put != nullptr && put->objects.front().key.starts_with(pointers_prefix);
    machine.on_response(fails ? IoResponse(fail(ErrorKind::kRetry, "the store is away"))
                              : perform(store, *parent.catalog, *io));
  }
  ASSERT_TRUE(fails);
  ASSERT_EQ(machine.outcome().error().kind, ErrorKind::kOutcomeUnknown);
  const std::string location = parent.catalog->load("t").value().value();
  parent.catalog.reset();
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open((folder.path() + "/a.db").c_str(), &db), SQLITE_OK);
  ASSERT_EQ(
      sqlite3_exec(db, "UPDATE iceberg_tables SET table_name = 'other'", nullptr, nullptr, nullptr),
      SQLITE_OK);
  sqlite3_close(db);
  parent.catalog = catalog_file("a.db");
  machine.resume();
  while (auto io = machine.next()) machine.on_response(perform(store, *parent.catalog, *io));
  ASSERT_FALSE(machine.outcome());
  EXPECT_EQ(machine.outcome().error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(parent.catalog->load("other").value(), location);
  EXPECT_EQ(parent.catalog->load("t").value(), std::nullopt);
}

// evodb-sim, profile other-engines, seeds 2010 and 2020: a table that waits for its columns commits
// nothing that would find them back.
TEST_F(OpenLakehouse, ColumnsThatAnotherEngineChangesAreNoticedWhenItIsTended) {
  auto parent = *open("a.db");
  ASSERT_TRUE(commit(parent, 0));
  int commits = 0;
  const auto change = [&](const std::function<void(nlohmann::json & fields)>& how) {
    const std::string current = parent.catalog->load("t").value().value();
    auto metadata = nlohmann::json::parse(store.get(store.key_of(current).value()).value());
    auto schema = metadata["schemas"].back();
    schema["schema-id"] = schema["schema-id"].get<int>() + 1;
    how(schema["fields"]);
    metadata["schemas"].push_back(schema);
    metadata["current-schema-id"] = schema["schema-id"];
    metadata["metadata-log"].push_back({{"metadata-file", current}, {"timestamp-ms", 1}});
    const std::string key =
        "evodb/t/metadata/other-" + std::to_string(commits++) + ".metadata.json";
    ASSERT_TRUE(store.put(key, metadata.dump(), store::PutMode::kIfAbsent));
    ASSERT_TRUE(parent.catalog->swap(parent.writer, "t", current, store.location(key)));
  };
  const auto tend = [&] { return tend_lakehouse(store, *parent.catalog, *parent.opened.claim); };
  const auto reopen = [&] {
    parent.writer = *parent.catalog->claim();
    parent.opened = *open_lakehouse(store, *parent.catalog, random, parent.writer);
  };
  change([](auto& fields) {
    fields.push_back({{"id", 90}, {"name", "more"}, {"required", false}, {"type", "int"}});
  });
  EXPECT_TRUE(tend()) << "what is added is seen by the commit that it concerns";
  change([](auto& fields) { std::swap(fields[0], fields[1]); });
  EXPECT_TRUE(tend());
  change([](auto& fields) { fields[0]["name"] = "other"; });
  EXPECT_EQ(tend().error().kind, ErrorKind::kStale);
  reopen();
  EXPECT_TRUE(tend());
  change([](auto& fields) { fields[0]["name"] = "and back"; });
  EXPECT_EQ(tend().error().kind, ErrorKind::kStale);
  reopen();
  change([](auto& fields) { fields.erase(0); });
  EXPECT_EQ(tend().error().kind, ErrorKind::kStale);
  reopen();
  EXPECT_TRUE(tend());
}

TEST_F(OpenLakehouse, AnotherWarehouseIsRefused) {
  auto parent = *open("a.db");
  ASSERT_TRUE(commit(parent, 0));
  parent.catalog.reset();
  for (const auto& [key, bytes] : store.objects()) (void)store.remove(key);
  const auto refused = open("a.db");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kInvalid);
  EXPECT_NE(refused.error().text.find("store.url"), std::string::npos);
}

TEST_F(OpenLakehouse, ATableWhoseMetadataIsMissingIsSickAlone) {
  auto parent = *open("a.db");
  const auto state = *commit(parent, 0);
  ASSERT_TRUE(store.remove(*store.key_of(state.metadata_location)));
  parent.catalog.reset();
  forget();
  auto next = *open("a.db");
  ASSERT_EQ(next.opened.tables.size(), 1u);
  ASSERT_TRUE(next.opened.tables[0].sick);
  EXPECT_EQ(next.opened.tables[0].sick->kind, ErrorKind::kCorrupt);
  EXPECT_EQ(next.opened.tables[0].state.location_key, "evodb/t");
}

TEST_F(OpenLakehouse, ATableThatWasDroppedWithItsFilesBeginsAnew) {
  auto parent = *open("a.db");
  ASSERT_TRUE(commit(parent, 0));
  parent.catalog.reset();
  remove("a.db");
  for (const auto& [key, bytes] : store.objects()) {
    if (key.starts_with("evodb/t/")) (void)store.remove(key);
  }
  forget();
  auto next = *open("a.db");
  EXPECT_TRUE(next.opened.tables.empty());
  EXPECT_TRUE(commit(next, 0));
}

}  // namespace
}  // namespace evodb::table
