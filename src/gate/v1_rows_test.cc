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
    wire::TableDef def;
    UnixMillis committed_at;
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

// All bodies one after the other; definitions stay from one to the next, as in ingest.
Read read(const V1Batch& batch, std::map<std::uint32_t, wire::TableDef> tables = {}) {
  Read r;
  r.tables = std::move(tables);
  std::uint32_t count = 0;
  for (const std::string& body : batch.bodies) {
    wire::BatchReader reader(body);
    std::uint32_t ref;
    wire::TableDef def;
    while (reader.next_table(&ref, &def)) r.tables[ref] = def;
    wire::ChangeView c;
    while (reader.next(&c)) {
      ++count;
      const auto table = r.tables.find(c.table_ref);
      EXPECT_NE(table, r.tables.end()) << "a change before its definition";
      if (table == r.tables.end()) continue;
      r.changes.push_back({c.op, c.table_ref, c.lsn.value, values(c.key), values(c.before),
                           values(c.after), c.before.present, c.after.present,
                           std::string(c.reason), table->second, c.committed_at});
    }
    EXPECT_TRUE(reader.status());
  }
  EXPECT_EQ(count, batch.entries);
  return r;
}

std::size_t definitions_in(const std::string& body) {
  wire::BatchReader reader(body);
  std::uint32_t ref;
  wire::TableDef def;
  std::size_t n = 0;
  while (reader.next_table(&ref, &def)) ++n;
  return n;
}

class V1Rows : public testing::Test {
 protected:
  V1Batch translate(std::vector<V1RowEntry> entries, const V1BodyLimits& limits = {}) {
    for (std::size_t i = 0; i < entries.size(); ++i) {
      entries[i].number = static_cast<std::uint32_t>(i + 1);
    }
    return translator.translate(entries, tables, limits);
  }
  // The values of one row, by column.
  std::map<std::string, Value> row(std::string_view json) {
    tables = {};
    const V1Batch batch = translate({entry(1, json)});
    const Read r = read(batch);
    if (batch.rejected != 0) ADD_FAILURE() << r.changes[0].reason << " in " << json;
    std::map<std::string, Value> result;
    for (std::size_t i = 0; i < r.changes[0].after.size(); ++i) {
      result[r.tables.at(r.changes[0].table).columns[i].name] = r.changes[0].after[i];
    }
    return result;
  }
  std::string error(std::string_view json) {
    tables = {};
    const V1Batch batch = translate({entry(1, json)});
    return batch.rejected == 0 ? "" : read(batch).changes[0].reason;
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
  const Read r = read(batch);
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
  EXPECT_EQ(read(first).tables.size(), 2u);
  auto second = translate({entry(4, R"({"b":1})"), entry(5, R"({"c":1})")});
  const Read r = read(second, read(first).tables);
  EXPECT_EQ(r.tables.size(), 3u);
  EXPECT_EQ(r.changes[0].table, 1u);
  EXPECT_EQ(definitions_in(second.bodies[0]), 1u);
  // Refused: those that are used again.
  tables.forget_sent();
  EXPECT_EQ(definitions_in(translate({entry(4, R"({"b":1})")}).bodies[0]), 1u);
}

TEST_F(V1Rows, EntriesAreSortedAndRepeatsLeftOut) {
  auto batch = translate({entry(9, "{}"), entry(2, "{}"), entry(9, "{}"), entry(5, "{}")});
  const Read r = read(batch);
  ASSERT_EQ(r.changes.size(), 3u);
  EXPECT_EQ(r.changes[0].lsn, 2u);
  EXPECT_EQ(r.changes[2].lsn, 9u);
  EXPECT_EQ(batch.repeated, 1u);
}

// Each of these took its batch along, and was sent again for ever.
TEST_F(V1Rows, AWrongEntryIsRejectedByItselfWithItsContent) {
  struct Case {
    const char* why;
    V1RowEntry entry;
    bool own_lsn;
  };
  std::vector<Case> cases = {
      {"sequences begin at 1", entry(0, "{}"), true},
      {"2^62", entry(std::uint64_t{1} << 62, "{}"), true},
      {"its after row is not JSON", entry(5, "{nonsense"), false},
      {"its before row is not JSON", entry(5, "{}", "nonsense}"), false},
      {"the table's name", entry(5, "{}"), false},
      {"the table's name", entry(5, "{}"), false},
      {"the table's name", entry(5, "{}"), false},
      {"no number", entry(5, "{\"whole\": 1}"), false},
      {"nested too deeply", entry(5, ""), false},
  };
  cases[4].entry.table = "";
  const std::string long_name(2'000, 'x');
  cases[5].entry.table = long_name;
  cases[6].entry.table = "\xff";
  cases[7].entry.fault = "the entry: 'x' is no number";
  const std::string deep = "{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}";
  cases[8].entry.after = deep;
  for (const Case& c : cases) {
    SCOPED_TRACE(c.why);
    tables = {};
    const V1Batch batch = translate({entry(4, R"({"a":1})"), c.entry, entry(6, R"({"a":2})")});
    const Read r = read(batch);
    ASSERT_EQ(r.changes.size(), 3u);
    EXPECT_EQ(batch.rejected, 1u);
    const Read::Change* rejected = nullptr;
    for (const Read::Change& change : r.changes) {
      if (change.op == Op::kOversize) rejected = &change;
    }
    ASSERT_NE(rejected, nullptr);
    EXPECT_NE(rejected->reason.find(c.why), std::string::npos) << rejected->reason;
    EXPECT_NE(rejected->reason.find("entry "), std::string::npos) << rejected->reason;
    EXPECT_EQ(rejected->lsn >= v1_own_lsn_min, c.own_lsn);
    ASSERT_EQ(rejected->key.size(), 4u);
    EXPECT_EQ(rejected->key[0], Value::text("r1"));
    EXPECT_EQ(rejected->key[3], Value::text(std::string(c.entry.after)));
    // It is known when it comes again.
    const Read again = read(translate({c.entry}), r.tables);
    EXPECT_EQ(again.changes[0].lsn, rejected->lsn);
  }
}

TEST_F(V1Rows, TwoEntriesOfOneSequenceAreBothKept) {
  const V1Batch batch = translate({entry(9, R"({"a":1})"), entry(9, R"({"a":2})"),
                                   entry(9, R"({"a":2})"), entry(9, R"({"a":1})")});
  const Read r = read(batch);
  ASSERT_EQ(r.changes.size(), 2u);
  EXPECT_EQ(batch.repeated, 2u);
  EXPECT_EQ(r.changes[0].lsn, 9u);
  EXPECT_EQ(r.changes[0].after[0], Value::integer(1));
  EXPECT_EQ(r.changes[1].op, Op::kOversize);
  EXPECT_NE(r.changes[1].reason.find("same sequence"), std::string::npos);
  EXPECT_EQ(r.changes[1].key[3], Value::text(R"({"a":2})"));
}

TEST_F(V1Rows, EveryTimeIsHandedOn) {
  for (const std::int64_t time :
       {INT64_MIN, std::int64_t{-1}, std::int64_t{253'402'300'800'000}, INT64_MAX}) {
    tables = {};
    V1RowEntry e = entry(1, "{}");
    e.timestamp = UnixMillis(time);
    const V1Batch batch = translate({e});
    EXPECT_EQ(batch.rejected, 0u);
    EXPECT_EQ(read(batch).changes[0].committed_at, UnixMillis(time));
  }
}

TEST_F(V1Rows, ALargeBatchBecomesBodiesThatIngestTakes) {
  std::vector<V1RowEntry> entries;
  for (std::uint64_t i = 1; i <= 25'000; ++i) entries.push_back(entry(i, R"({"a":1})"));
  const V1Batch batch = translate(entries, {.entries_max = 10'000, .bytes_max = 1u << 20});
  EXPECT_EQ(batch.entries, 25'000u);
  EXPECT_GE(batch.bodies.size(), 3u);
  for (const std::string& body : batch.bodies) {
    EXPECT_LE(body.size(), std::size_t{1} << 20);
    EXPECT_LE(wire::BatchReader(body).header().change_count, 10'000u);
  }
  const Read r = read(batch);
  ASSERT_EQ(r.changes.size(), 25'000u);
  for (std::size_t i = 0; i < r.changes.size(); ++i) ASSERT_EQ(r.changes[i].lsn, i + 1);
}

TEST_F(V1Rows, ARowThatTheJournalCannotTakeIsRejected) {
  const std::string big = R"({"a":")" + std::string(50'000, 'x') + "\"}";
  const V1Batch batch =
      translate({entry(1, "{}"), entry(2, big)}, {.entries_max = 100, .bytes_max = 20'000});
  const Read r = read(batch);
  ASSERT_EQ(r.changes.size(), 2u);
  EXPECT_EQ(r.changes[1].op, Op::kOversize);
  EXPECT_NE(r.changes[1].reason.find("journal"), std::string::npos) << r.changes[1].reason;
  for (const std::string& body : batch.bodies) EXPECT_LE(body.size(), 20'000u);
}

TEST_F(V1Rows, ADeleteMayHaveNoRows) {
  V1RowEntry e = entry(1, "");
  e.op = Op::kDelete;
  auto batch = translate({e});
  const Read r = read(batch);
  EXPECT_EQ(r.changes[0].op, Op::kDelete);
  EXPECT_FALSE(r.changes[0].has_before);
  EXPECT_FALSE(r.changes[0].has_after);
}

TEST_F(V1Rows, ARowOverTheLimitGoesToTheRejectsAndTheOthersGoOn) {
  const std::string big = "{\"a\":\"" + std::string(base::row_bytes_max, 'x') + "\"}";
  auto batch = translate({entry(1, "{}"), entry(2, big), entry(3, "{}")});
  const Read r = read(batch);
  ASSERT_EQ(r.changes.size(), 3u);
  EXPECT_EQ(r.changes[1].op, Op::kOversize);
  EXPECT_FALSE(r.changes[1].reason.empty());
  EXPECT_EQ(r.changes[1].key, (std::vector<Value>{Value::text("r1")}));
  EXPECT_EQ(batch.rejected, 1u);
}

TEST_F(V1Rows, ManyColumnsAreFoundByName) {
  std::string after = "{", before = "{";
  for (int i = 0; i < 500; ++i) {
    after += (i ? ",\"c" : "\"c") + std::to_string(i) + "\":" + std::to_string(i);
    before += (i ? ",\"c" : "\"c") + std::to_string(499 - i) + "\":" + std::to_string(499 - i);
  }
  auto batch = translate({entry(1, after + "}", before + "}")});
  const Read r = read(batch);
  EXPECT_EQ(r.tables.at(0).columns.size(), 500u);
  EXPECT_EQ(r.changes[0].after, r.changes[0].before);
}

// The 1,001st was refused for good.
TEST_F(V1Rows, DefinitionsASessionAreBoundedAndTheOldestMakesPlace) {
  std::map<std::uint32_t, wire::TableDef> known;
  std::uint64_t sequence = 0;
  const auto check = [&](const std::vector<std::string>& rows) {
    std::vector<V1RowEntry> entries;
    for (const std::string& row : rows) entries.push_back(entry(++sequence, row));
    const V1Batch batch = translate(entries);
    ASSERT_EQ(batch.rejected, 0u);
    const Read r = read(batch, known);
    known = r.tables;
    ASSERT_EQ(r.changes.size(), rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      ASSERT_EQ(r.changes[i].def.columns.size(), 1u);
      ASSERT_EQ("{\"" + r.changes[i].def.columns[0].name + "\":1}", rows[i]);
    }
    ASSERT_LE(known.size(), v1_tables_max);
    ASSERT_LE(tables.held_bytes(), v1_table_bytes_max);
  };
  const auto row = [](int i, std::size_t bytes = 1) {
    return "{\"" + std::string(bytes, 'c') + std::to_string(i) + "\":1}";
  };
  for (int i = 0; i < 2'500; ++i) check({row(i), row(0)});
  std::vector<std::string> many;
  for (int i = 0; i < 3'000; ++i) many.push_back(row(i % 1'700));
  check(many);
  std::vector<std::string> wide;
  for (int i = 0; i < 3'000; ++i) wide.push_back(row(i, 1'000));
  check(wide);
  std::string names = "{";
  for (int i = 0; i < 1'500; ++i) {
    names += (i ? ",\"" : "\"") + std::string(900, 'n') + std::to_string(i) + "\":1";
  }
  names += "}";
  const Read r = read(translate({entry(++sequence, names)}), known);
  EXPECT_EQ(r.changes[0].op, Op::kOversize);
  EXPECT_NE(r.changes[0].reason.find("names"), std::string::npos);
}

}  // namespace
}  // namespace evodb::gate
