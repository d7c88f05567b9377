#include "gate/v1_rows.h"

#include <limits>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/limits.h"

namespace evodb::gate {
namespace {

V1RowEntry entry(std::uint64_t sequence, std::string_view after, std::string_view before = {}) {
  V1RowEntry e;
  e.sequence = sequence;
  e.timestamp = UnixMillis(1'700'000'000'000);
  e.op = before.empty() ? Op::kInsert : Op::kUpdate;
  e.table = "users";
  e.row_id = "r1";
  e.before = before;
  e.after = after;
  e.number = static_cast<std::uint32_t>(sequence);
  return e;
}

struct Read {
  std::map<std::uint32_t, wire::TableDef> tables;
  struct Change {
    Op op;
    std::uint32_t table;
    std::uint64_t lsn;
    std::vector<Value> key, before, after;
    bool has_before, has_after;
    std::string reason;
  };
  std::vector<Change> changes;
};

std::vector<Value> values(const wire::ValuesView& view) {
  std::vector<Value> result;
  wire::ValuesReader reader(view);
  ValueView v;
  while (reader.next(&v)) result.emplace_back(v);
  return result;
}

Read read(const V1Batch& batch) {
  Read r;
  wire::BatchReader reader(batch.body);
  std::uint32_t ref;
  wire::TableDef def;
  while (reader.next_table(&ref, &def)) r.tables[ref] = def;
  wire::ChangeView c;
  while (reader.next(&c)) {
    r.changes.push_back({c.op, c.table_ref, c.lsn.value, values(c.key), values(c.before),
                         values(c.after), c.before.present, c.after.present,
                         std::string(c.reason)});
  }
  EXPECT_TRUE(reader.status());
  return r;
}

class V1Rows : public testing::Test {
 protected:
  Result<V1Batch> translate(std::vector<V1RowEntry> entries) {
    auto batch = translator.translate(entries, tables);
    return batch;
  }
  // The values of one row, by column.
  std::map<std::string, Value> row(std::string_view json) {
    tables = {};
    auto batch = translate({entry(1, json)});
    if (!batch) {
      ADD_FAILURE() << batch.error().text << " in " << json;
      return {};
    }
    const Read r = read(*batch);
    std::map<std::string, Value> result;
    for (std::size_t i = 0; i < r.changes[0].after.size(); ++i) {
      result[r.tables.at(r.changes[0].table).columns[i].name] = r.changes[0].after[i];
    }
    return result;
  }
  std::string error(std::string_view json) {
    tables = {};
    auto batch = translate({entry(1, json)});
    return batch ? "" : batch.error().text;
  }
  V1Tables tables;
  V1RowTranslator translator;
};

TEST_F(V1Rows, EachKindOfJsonBecomesItsStorageClass) {
  const auto r = row(R"( {"i":1,"neg":-7,"max":9223372036854775807,"min":-9223372036854775808,
      "big":9223372036854775808,"huge":123456789012345678901234567890,"d":1.5,"e":1e3,"z":0,
      "inf":1e999,"t":true,"f":false,"n":null,"s":"h\u00e9\n\"","o":{"a":[1, 2.50,{"b":null}]},
      "a":[ ],"pair":"\ud83d\ude00","lone":"\ud800x","":"empty name","k\u0065y":5} )");
  EXPECT_EQ(r.at("i"), Value::integer(1));
  EXPECT_EQ(r.at("neg"), Value::integer(-7));
  EXPECT_EQ(r.at("max"), Value::integer(std::numeric_limits<std::int64_t>::max()));
  EXPECT_EQ(r.at("min"), Value::integer(std::numeric_limits<std::int64_t>::min()));
  EXPECT_EQ(r.at("big"), Value::text("9223372036854775808"));
  EXPECT_EQ(r.at("huge"), Value::text("123456789012345678901234567890"));
  EXPECT_EQ(r.at("d"), Value::real(1.5));
  EXPECT_EQ(r.at("e"), Value::real(1000));
  EXPECT_EQ(r.at("z"), Value::integer(0));
  EXPECT_EQ(r.at("inf"), Value::text("1e999"));
  EXPECT_EQ(r.at("t"), Value::boolean(true));
  EXPECT_EQ(r.at("f"), Value::boolean(false));
  EXPECT_EQ(r.at("n"), Value::null());
  EXPECT_EQ(r.at("s"), Value::text("h\xc3\xa9\n\""));
  EXPECT_EQ(r.at("o"), Value::text(R"({"a":[1, 2.50,{"b":null}]})"));
  EXPECT_EQ(r.at("a"), Value::text("[ ]"));
  EXPECT_EQ(r.at("pair"), Value::text("\xf0\x9f\x98\x80"));
  EXPECT_EQ(r.at("lone"), Value::text("\xed\xa0\x80x"));
  EXPECT_EQ(r.at(""), Value::text("empty name"));
  EXPECT_EQ(r.at("key"), Value::integer(5));
}

TEST_F(V1Rows, ARowThatIsNoObjectIsOneColumn) {
  EXPECT_EQ(row("5").at("value"), Value::integer(5));
  EXPECT_EQ(row(" \"x\" ").at("value"), Value::text("x"));
  EXPECT_EQ(row("[1,[2]]").at("value"), Value::text("[1,[2]]"));
  EXPECT_EQ(row("true").at("value"), Value::boolean(true));
  EXPECT_EQ(row("null").at("value"), Value::null());
  EXPECT_TRUE(row("{}").empty());
}

TEST_F(V1Rows, TheLastOfTwoEqualNamesCounts) {
  const auto r = row(R"({"a":1,"b":2,"a":3})");
  EXPECT_EQ(r.size(), 2u);
  EXPECT_EQ(r.at("a"), Value::integer(3));
}

TEST_F(V1Rows, WhatIsNotJsonNamesTheEntry) {
  for (const char* bad : {"{",
                          "}",
                          "{\"a\"}",
                          "{\"a\":}",
                          "{\"a\":1,}",
                          "{\"a\":1}x",
                          "{\"a\":1}{",
                          "{\"a\":{\"b\\h\":1}}",
                          "[{\"b\\ud8\":1}]",
                          "[1,]",
                          "[1",
                          "{\"a\":tru}",
                          "{\"a\":01}",
                          "{\"a\":1.}",
                          "{\"a\":.5}",
                          "{\"a\":+1}",
                          "{\"a\":1e}",
                          "{\"a\":NaN}",
                          "{\"a\":\"\\x\"}",
                          "{\"a\":\"\\u12\"}",
                          "{\"a\":\"x}",
                          "{\"a\":\"\xff\"}",
                          "{'a':1}",
                          "{a:1}",
                          "nul",
                          "\"x",
                          "\"x\"y",
                          "1 2",
                          "{\"o\":{\"x\":tru}}",
                          "{\"o\":[1,{\"x\":01}]}",
                          "{\"o\":[1 2]}",
                          "{\"o\":[1,,2]}",
                          "{\"o\":{\"x\" 1}}",
                          " ",
                          "{\"a\":1 \"b\":2}",
                          "\xef\xbb\xbf",
                          "-",
                          "{\"a\":--1}"}) {
    const std::string text = error(bad);
    EXPECT_NE(text.find("entry 1 (sequence 1): its after row"), std::string::npos)
        << bad << " -> " << text;
  }
  EXPECT_NE(error("{\"a\":" + std::string(5000, '[') + std::string(5000, ']') + "}").find("JSON"),
            std::string::npos);
}

TEST_F(V1Rows, BothRowsShareOneDefinition) {
  auto batch = translate({entry(1, R"({"a":1,"b":2})", R"({"b":1,"c":0})")});
  ASSERT_TRUE(batch);
  const Read r = read(*batch);
  ASSERT_EQ(r.tables.size(), 1u);
  EXPECT_EQ(r.tables.at(0).name, "users");
  ASSERT_EQ(r.tables.at(0).columns.size(), 3u);
  EXPECT_EQ(r.tables.at(0).columns[2].name, "c");
  EXPECT_EQ(r.changes[0].op, Op::kUpdate);
  EXPECT_EQ(r.changes[0].after,
            (std::vector<Value>{Value::integer(1), Value::integer(2), Value::null()}));
  EXPECT_EQ(r.changes[0].before,
            (std::vector<Value>{Value::null(), Value::integer(1), Value::integer(0)}));
  EXPECT_EQ(r.changes[0].key, (std::vector<Value>{Value::text("r1")}));
}

TEST_F(V1Rows, DefinitionsAreSentOnce) {
  auto first = translate({entry(1, R"({"a":1})"), entry(2, R"({"a":2})"), entry(3, R"({"b":2})")});
  ASSERT_TRUE(first);
  EXPECT_EQ(read(*first).tables.size(), 2u);
  tables.mark_sent();
  auto second = translate({entry(4, R"({"b":1})"), entry(5, R"({"c":1})")});
  ASSERT_TRUE(second);
  const Read r = read(*second);
  EXPECT_EQ(r.tables.size(), 1u);
  EXPECT_TRUE(r.tables.contains(2));
  EXPECT_EQ(r.changes[0].table, 1u);
}

TEST_F(V1Rows, EntriesAreSortedAndRepeatsLeftOut) {
  auto batch = translate({entry(9, "{}"), entry(2, "{}"), entry(9, "{}"), entry(5, "{}")});
  ASSERT_TRUE(batch);
  const Read r = read(*batch);
  ASSERT_EQ(r.changes.size(), 3u);
  EXPECT_EQ(r.changes[0].lsn, 2u);
  EXPECT_EQ(r.changes[2].lsn, 9u);
  EXPECT_EQ(batch->repeated, 1u);
  EXPECT_EQ(batch->last, Lsn(9));
  auto different = translate({entry(9, "{}"), entry(9, "{\"a\":1}")});
  ASSERT_FALSE(different);
  EXPECT_NE(different.error().text.find("same sequence"), std::string::npos);
  EXPECT_FALSE(translate({entry(0, "{}")}));
}

TEST_F(V1Rows, ADeleteMayHaveNoRows) {
  V1RowEntry e = entry(1, "");
  e.op = Op::kDelete;
  auto batch = translate({e});
  ASSERT_TRUE(batch);
  const Read r = read(*batch);
  EXPECT_EQ(r.changes[0].op, Op::kDelete);
  EXPECT_FALSE(r.changes[0].has_before);
  EXPECT_FALSE(r.changes[0].has_after);
}

TEST_F(V1Rows, ARowOverTheLimitGoesToTheRejectsAndTheOthersGoOn) {
  const std::string big = "{\"a\":\"" + std::string(base::row_bytes_max, 'x') + "\"}";
  auto batch = translate({entry(1, "{}"), entry(2, big), entry(3, "{}")});
  ASSERT_TRUE(batch);
  const Read r = read(*batch);
  ASSERT_EQ(r.changes.size(), 3u);
  EXPECT_EQ(r.changes[1].op, Op::kOversize);
  EXPECT_FALSE(r.changes[1].reason.empty());
  EXPECT_EQ(r.changes[1].key, (std::vector<Value>{Value::text("r1")}));
}

TEST_F(V1Rows, ManyColumnsAreFoundByName) {
  std::string after = "{", before = "{";
  for (int i = 0; i < 500; ++i) {
    after += (i ? ",\"c" : "\"c") + std::to_string(i) + "\":" + std::to_string(i);
    before += (i ? ",\"c" : "\"c") + std::to_string(499 - i) + "\":" + std::to_string(499 - i);
  }
  auto batch = translate({entry(1, after + "}", before + "}")});
  ASSERT_TRUE(batch);
  const Read r = read(*batch);
  EXPECT_EQ(r.tables.at(0).columns.size(), 500u);
  EXPECT_EQ(r.changes[0].after, r.changes[0].before);
}

TEST_F(V1Rows, DefinitionsASessionAreBounded) {
  std::string text;
  for (int i = 0; i < 2000 && text.empty(); ++i) {
    auto batch = translate({entry(1, "{\"c" + std::to_string(i) + "\":1}")});
    if (!batch) text = batch.error().text;
  }
  EXPECT_NE(text.find("reconnect"), std::string::npos);
}

}  // namespace
}  // namespace evodb::gate
