// What we commit, read by those whom it is for: PyIceberg and DuckDB (tests/table/read_table.py),
// in a real warehouse directory and a real catalog file, with real Parquet files. And what
// PyIceberg commits, read by us.
#include <unistd.h>

#include <array>
#include <cstdio>
#include <sstream>

#include "store/local_store.h"
#include "table/append_world.h"
#include "table/bounds.h"

namespace evodb::table {
namespace {

const std::string python = EVODB_SOURCE_DIR "/.deps/venv/bin/python";

class Readers : public testing::Test {
 protected:
  void SetUp() override {
    if (::access(python.c_str(), X_OK) != 0) {
      GTEST_SKIP() << "PyIceberg and DuckDB are not here (.deps/venv): run scripts/setup";
    }
    store = std::move(*store::LocalStore::open(folder.path() + "/warehouse"));
    catalog = std::move(*open_sqlite_catalog(folder.path() + "/catalog.db", "evodb", "evodb"));
    writer = *catalog->claim();
    std::istringstream lines(call("write"));
    for (std::string line; std::getline(lines, line);) files.push_back(*parse_json(line));
    ASSERT_EQ(files.size(), 40u);
  }

  // The script's output; fails the test with what it said where it did not exit with 0.
  std::string call(const std::string& command, const Json& want = nullptr) {
    std::string line = "'" + python + "' '" EVODB_SOURCE_DIR "/tests/table/read_table.py' " +
                       command + " '" + folder.path() + "'";
    if (!want.is_null()) line += " '" + want.dump() + "'";
    FILE* pipe = ::popen((line + " 2>&1").c_str(), "r");
    std::string output;
    std::array<char, 4096> chunk;
    while (const std::size_t n = std::fread(chunk.data(), 1, chunk.size(), pipe)) {
      output.append(chunk.data(), n);
    }
    EXPECT_EQ(::pclose(pipe), 0) << line << "\n" << output;
    return output;
  }

  static Schema schema_of(bool evolved) {
    Schema schema{0,
                  {{.id = 1, .name = "_source", .type = Type::kString, .required = true},
                   {.id = 2, .name = "_lsn", .type = Type::kLong, .required = true},
                   {.id = 3, .name = "_at", .type = Type::kTimestampTz},
                   {.id = 4, .name = "name", .type = Type::kString},
                   {.id = 5, .name = "price", .type = Type::kDouble},
                   {.id = 6, .name = "raw", .type = Type::kBinary},
                   {.id = 7, .name = "ok", .type = Type::kBoolean},
                   {.id = 8,
                    .name = "_before",
                    .type = Type::kStruct,
                    .children = {{.id = 10, .name = "name", .type = Type::kString},
                                 {.id = 11, .name = "price", .type = Type::kDouble}}},
                   {.id = 9,
                    .name = "_unfit",
                    .type = Type::kMapStringString,
                    .key_id = 12,
                    .value_id = 13}}};
    if (evolved) {
      schema.fields.insert(schema.fields.begin() + 7,
                           Field{.id = 15, .name = "extra", .type = Type::kLong});
      schema.fields[8].children.push_back({.id = 16, .name = "extra", .type = Type::kLong});
    }
    return schema;
  }

  DataFile data_file(const Json& said) const {
    DataFile file;
    file.location = store->location(said["key"]);
    file.record_count = said["rows"];
    file.file_bytes = said["bytes"];
    for (const int id : {1, 2, 3, 4, 5, 6, 7}) file.value_counts[id] = file.record_count;
    file.null_counts = {{1, 0}, {2, 0}, {4, said["null_names"].get<std::int64_t>()}};
    file.nan_counts = {{5, 0}};
    file.lower_bounds = {{2, bound_of_long(said["lsn"][0])},
                         {4, *lower_bound_of_text(said["name"][0].get<std::string>(), 8)},
                         {5, lower_bound_of_double(said["price"][0])}};
    file.upper_bounds = {{2, bound_of_long(said["lsn"][1])},
                         {4, *upper_bound_of_text(said["name"][1].get<std::string>(), 8)},
                         {5, upper_bound_of_double(said["price"][1])}};
    file.split_offsets = {4};
    return file;
  }

  // Commits the next data file, or nothing but the watermark.
  Result<TableState> commit(bool with_file = true) {
    AppendRequest request;
    request.table = "t";
    request.create = position == 0;
    request.location_key = "evodb/t";
    request.schema = schema_of(next_file >= 20);
    request.sort_by = {1, 2};
    if (with_file) request.files = {data_file(files[next_file++])};
    if (position > 0) request.expected = at(position);
    request.watermark = at(++position);
    request.now = UnixMillis(1'780'000'000'000 + static_cast<std::int64_t>(position) * 1000);
    request.snapshots_max = 1000;
    AppendCommit machine(std::move(request), *store, random);
    while (auto io = machine.next()) machine.on_response(perform(*store, *catalog, *io));
    return machine.outcome();
  }
  Watermark at(std::uint64_t p) const { return {"parent-1", writer, 99, Position(p)}; }

  void check(Json want) {
    SCOPED_TRACE("after commit " + std::to_string(position));
    want["files"] = next_file;
    want["position"] = position;
    want["evolved"] = next_file > 20;
    call("check", want);
  }

  TemporaryFolder folder;
  std::unique_ptr<store::LocalStore> store;
  std::unique_ptr<Catalog> catalog;
  sim::SeededRandom random{11};
  WriterEpoch writer;
  std::vector<Json> files;
  std::size_t next_file = 0;
  std::uint64_t position = 0;
};

TEST_F(Readers, SeeEveryRowOfEveryCommitOnceThroughEvolutionAndMerges) {
  ASSERT_TRUE(commit(false));
  check({{"snapshots", 0}, {"manifests_max", 0}});
  ASSERT_TRUE(commit());
  check({{"snapshots", 1}, {"manifests_max", 1}});
  while (next_file < 40) {
    const auto after = commit();
    ASSERT_TRUE(after) << after.error().text;
  }
  check({{"snapshots", 40}, {"manifests_max", 33}});
}

TEST_F(Readers, MayCommitInBetweenAndNothingOfTheirsOrOursIsLost) {
  while (next_file < 3) ASSERT_TRUE(commit());
  call("append");
  check({{"snapshots", 4}, {"manifests_max", 4}, {"foreign", 5}});
  auto after = commit();
  ASSERT_TRUE(after) << after.error().text;
  EXPECT_EQ(after->total_records, 45);
  check({{"snapshots", 5}, {"manifests_max", 5}, {"foreign", 5}});
  call("delete");
  after = commit();
  ASSERT_TRUE(after) << after.error().text;
  EXPECT_EQ(after->total_records, 50);
  while (next_file < 40) {
    after = commit();
    ASSERT_TRUE(after) << after.error().text;
  }
  EXPECT_EQ(after->total_records, 400);
  check(
      {{"snapshots", after->snapshots}, {"manifests_max", 33}, {"foreign", 5}, {"deleted", true}});
  const auto live = list_live_files(*store, after->metadata_location);
  ASSERT_TRUE(live) << live.error().text;
  EXPECT_EQ(live->data.size(), 41u);
  EXPECT_EQ(remove_orphans(*store, *catalog, "t", 0, UnixMillis(4'000'000'000'000)), 0u);
}

}  // namespace
}  // namespace evodb::table
