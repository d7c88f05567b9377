// What we land, read by PyIceberg and DuckDB, with the SQL of docs/formats/tables.md.
#include <unistd.h>

#include <array>
#include <cstdio>

#include "lake/flush_machine.h"
#include "lake/lake_world.h"
#include "sim/seams/fake_clock.h"
#include "store/local_store.h"
#include "table/catalog.h"
#include "table/json.h"

namespace evodb::lake {
namespace {

const std::string python = EVODB_SOURCE_DIR "/.deps/venv/bin/python";

class Readers : public LakeWorld {
 protected:
  void SetUp() override {
    if (::access(python.c_str(), X_OK) != 0) {
      GTEST_SKIP() << "PyIceberg and DuckDB are not here (.deps/venv): run scripts/setup";
    }
    std::string pattern = testing::TempDir() + "evodb_lake_XXXXXX";
    folder = ::mkdtemp(pattern.data());
    store = std::move(*store::LocalStore::open(folder + "/warehouse"));
    real = std::move(*table::open_sqlite_catalog(folder + "/catalog.db", "evodb", "evodb"));
    identity.writer = *real->claim();
    identity.writer.value -= 1;
    start();
  }
  void TearDown() override {
    if (!folder.empty()) std::system(("rm -rf '" + folder + "'").c_str());
  }

  void land() {
    lake->request_flush();
    while (auto job = lake->next_flush(now)) {
      FlushMachine machine(std::move(job), encoder, *store, clock, random, {});
      for (FlushStep step = machine.next(); step.io; step = machine.next()) {
        machine.on_response(table::perform(*store, *real, *step.io));
      }
      ASSERT_TRUE(machine.outcome()) << machine.outcome().error().text;
      lake->on_flush_done(machine.id(), machine.outcome(), now);
    }
  }
  table::Json read(const std::string& table_name) {
    const std::string line = "'" + python + "' '" EVODB_SOURCE_DIR "/src/lake/read_changes.py' '" +
                             folder + "' " + table_name +
                             " '" EVODB_SOURCE_DIR "/docs/formats/tables.md' 2>&1";
    FILE* pipe = ::popen(line.c_str(), "r");
    std::string output;
    std::array<char, 4096> chunk;
    while (const std::size_t n = std::fread(chunk.data(), 1, chunk.size(), pipe)) {
      output.append(chunk.data(), n);
    }
    EXPECT_EQ(::pclose(pipe), 0) << output;
    // Warnings of the libraries may come first.
    const auto json = table::parse_json(output.substr(output.find("{\"rows\"")));
    EXPECT_TRUE(json) << output;
    return json ? *json : table::Json();
  }

  std::string folder;
  std::unique_ptr<store::ObjectStore> store;
  std::unique_ptr<table::Catalog> real;
  sim::FakeClock clock;
  sim::SeededRandom random{5};
};

std::vector<Value> row(std::int64_t id, const std::string& name, Value price) {
  return {Value::integer(id), Value::text(name), std::move(price)};
}

TEST_F(Readers, SeeEveryValueAndTheSqlOfTheDocumentationGivesTheRowsOfTheSources) {
  wire::TableDef def = goods();
  def.columns.pop_back();
  send("a", 1,
       {insert(1, row(1, "tea", Value::real(2.5))), insert(2, row(2, "cup", Value::integer(5))),
        insert(3, row(3, "pot", Value::text("dear")))},
       def);
  land();
  send("b", 1, {insert(1, row(1, "old life", Value::real(0)))}, def);
  send("a", 1,
       {update(4, row(1, "tea", Value::real(2.5)), row(9, "tea", Value::real(3))),
        erase(5, row(2, "cup", Value::integer(5)))},
       def);
  land();
  def.columns.push_back({.name = "naïve \"x\" y", .declared_type = "BLOB"});
  std::vector<Value> wide = row(1, "new", Value::real(7));
  wide.push_back(Value::blob(std::string("\0\xff", 2)));
  wide[0] = Value::text("one");
  SentChange kept{.op = Op::kSnapshot, .lsn = 2, .after = wide};
  std::vector<Value> numbered = wide;
  numbered[0] = Value::integer(4);
  send("b", 2, {kept, insert(3, numbered)}, def);
  // A table that begins anew, and goes on; one that is gone; one that is back again.
  wide[0] = Value::integer(1);
  numbered[0] = Value::integer(2);
  const SentChange again{.op = Op::kSnapshot, .lsn = 3, .after = numbered};
  send("c", 1,
       {insert(1, wide),
        {.op = Op::kReset, .lsn = 2, .reason = "rebuilt"},
        again,
        erase(4, wide),
        update(5, numbered, numbered)},
       def);
  const SentChange gone{.op = Op::kDrop, .lsn = 2, .reason = "dropped"};
  send("d", 1, {insert(1, wide), gone}, def);
  send("e", 1, {insert(1, wide), gone, insert(3, numbered)}, def);
  land();

  const table::Json seen = read("goods_changes");
  const auto& rows = seen["rows"];
  ASSERT_EQ(rows.size(), 18u);
  EXPECT_EQ(rows[0]["_source"], "a");
  EXPECT_EQ(rows[0]["_op"], "INSERT");
  EXPECT_EQ(rows[0]["price"], 2.5);
  EXPECT_EQ(rows[0]["_before_id"], nullptr);
  EXPECT_EQ(rows[0]["_committed_at"], "2023-11-14 22:13:20.123000+00:00");
  EXPECT_EQ(rows[0]["_unfit"], table::Json::object());
  EXPECT_EQ(rows[1]["price"], 5.0);
  EXPECT_EQ(rows[1]["_unfit"], (table::Json{{"price", "integer:5"}}));
  EXPECT_EQ(rows[2]["price"], nullptr);
  EXPECT_EQ(rows[2]["_unfit"], (table::Json{{"price", "text:dear"}}));
  EXPECT_EQ(rows[3]["_before_id"], 1);
  EXPECT_EQ(rows[3]["id"], 9);
  EXPECT_EQ(rows[4]["_op"], "DELETE");
  EXPECT_EQ(rows[4]["_unfit"]["_before.price"], "integer:5");
  EXPECT_EQ(rows[6]["_op"], "SNAPSHOT");
  EXPECT_EQ(rows[6]["naïve \"x\" y"], "x'00ff'");
  EXPECT_EQ(rows[0]["naïve \"x\" y"], nullptr) << "the column is younger than the row";
  EXPECT_EQ(rows[3]["_before_naïve \"x\" y"], nullptr);
  EXPECT_EQ(seen["one_source"], 2) << "a filter that prunes by bounds loses nothing";
  EXPECT_EQ(rows[9]["_op"], "RESET");
  EXPECT_EQ(rows[9]["id"], nullptr);
  EXPECT_EQ(rows[9]["_unfit"], (table::Json{{"_reason", "text:rebuilt"}}));
  EXPECT_EQ(rows[14]["_op"], "DROP");
  EXPECT_EQ(seen["keys"], (table::Json{"1", "2", "3", "9", "2", "1", "text:one", "4", "1", nullptr,
                                       "2", "1", "2", "1", nullptr, "1", nullptr, "2"}));
  EXPECT_EQ(seen["state"], (table::Json{{"a", 3, "pot", nullptr},
                                        {"a", 9, "tea", 3.0},
                                        {"b", 4, "new", 7.0},
                                        {"b", nullptr, "new", 7.0},
                                        {"c", 2, "new", 7.0},
                                        {"e", 2, "new", 7.0}}));
}

}  // namespace
}  // namespace evodb::lake
