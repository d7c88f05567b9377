// What a change becomes in its table: columns, types, what does not fit, names, rejects.
#include "lake/lake.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/limits.h"
#include "lake/lake_world.h"
#include "lake/naming.h"

namespace evodb::lake {
namespace {

using Lakes = LakeWorld;

Value i(std::int64_t v) { return Value::integer(v); }
Value t(std::string v) { return Value::text(std::move(v)); }
Value r(double v) { return Value::real(v); }
Value b(std::string v) { return Value::blob(std::move(v)); }

wire::TableDef table_of(std::string name, std::vector<wire::ColumnDef> columns) {
  return {.name = std::move(name), .columns = std::move(columns)};
}

TEST_F(Lakes, AChangeBecomesARowWithItsIdentityTimesAndTypedColumns) {
  send("till-7", 3, {insert(5, {i(1), t("tea"), r(2.5), b(std::string("\0\xff", 2))})});
  flush_all();
  const Row want = {{"_source", "till-7"},
                    {"_epoch", "3"},
                    {"_lsn", "5"},
                    {"_txn", "5"},
                    {"_op", "INSERT"},
                    {"_committed_at", "2023-11-14 22:13:20.123000Z"},
                    {"_received_at", "2023-11-14 22:13:20.456000Z"},
                    {"id", "1"},
                    {"name", "tea"},
                    {"price", "2.5"},
                    {"picture", std::string("\0\xff", 2)}};
  ASSERT_EQ(rows("goods_changes"), std::vector<Row>{want});
}

TEST_F(Lakes, UpdatesCarryBothRowsAndDeletesTheRowThatWent) {
  const std::vector<Value> one = {i(1), t("tea"), Value(), Value()};
  const std::vector<Value> two = {i(1), Value(), r(3), Value()};
  send("s", 1, {insert(1, one), update(2, one, two), erase(3, two)});
  flush_all();
  const auto& got = rows("goods_changes");
  ASSERT_EQ(got.size(), 3u);
  EXPECT_FALSE(got[0].contains("_before_id"));
  EXPECT_EQ(got[1].at("_op"), "UPDATE");
  EXPECT_FALSE(got[1].contains("name"));
  EXPECT_EQ(got[1].at("price"), "3");
  EXPECT_EQ(got[1].at("_before_name"), "tea");
  EXPECT_FALSE(got[1].contains("_before_price"));
  EXPECT_EQ(got[2].at("_op"), "DELETE");
  EXPECT_EQ(got[2].at("id"), "1");
  EXPECT_EQ(got[2].at("price"), "3");
  EXPECT_EQ(got[2].at("_before_id"), "1");
}

TEST_F(Lakes, AValueThatDoesNotFitLandsBesideItsColumnReadableAndExact) {
  const std::int64_t lowest = std::numeric_limits<std::int64_t>::min();
  send("s", 1,
       {insert(1, {t("one"), i(lowest), t("cheap"), t("no blob")}),
        insert(2, {r(0.1), t("\xff\xfe"), b("\x01"), r(-0.0)}),
        update(3, {b(""), Value(), Value(), Value()}, {i(3), Value(), Value(), Value()})});
  flush_all();
  const auto& got = rows("goods_changes");
  EXPECT_FALSE(got[0].contains("id"));
  EXPECT_EQ(got[0].at("_unfit[id]"), "text:one");
  EXPECT_FALSE(got[0].contains("name"));
  EXPECT_EQ(got[0].at("_unfit[name]"), "integer:-9223372036854775808");
  EXPECT_EQ(got[0].at("_unfit[price]"), "text:cheap");
  EXPECT_EQ(got[0].at("_unfit[picture]"), "text:no blob");
  EXPECT_EQ(got[1].at("_unfit[id]"), "real:0.1");
  EXPECT_EQ(got[1].at("_unfit[name]"), "text-hex:fffe");
  EXPECT_EQ(got[1].at("_unfit[price]"), "blob:01");
  EXPECT_EQ(got[1].at("_unfit[picture]"), "real:-0");
  EXPECT_EQ(got[2].at("id"), "3");
  EXPECT_EQ(got[2].at("_unfit[_before.id]"), "blob:");
  EXPECT_FALSE(got[2].contains("_before_id"));
  EXPECT_EQ(lake->stats(now).tables[0].unfit_values, 9u);
}

TEST_F(Lakes, AnIntegerInADoubleColumnIsShownAndItsClassNoted) {
  const auto def = table_of("t", {{.name = "amount", .declared_type = "DECIMAL(10,2)"}});
  const std::int64_t odd = (std::int64_t{1} << 53) + 1;
  send("s", 1, {insert(1, {r(0.99)}), insert(2, {i(5)}), insert(3, {i(odd)}), insert(4, {r(5)})},
       def);
  flush_all();
  const auto& got = rows("t_changes");
  EXPECT_EQ(got[0].at("amount"), "0.99");
  EXPECT_FALSE(got[0].contains("_unfit[amount]"));
  EXPECT_EQ(got[1].at("amount"), "5");
  EXPECT_EQ(got[1].at("_unfit[amount]"), "integer:5");
  EXPECT_FALSE(got[2].contains("amount"));
  EXPECT_EQ(got[2].at("_unfit[amount]"), "integer:9007199254740993");
  EXPECT_EQ(got[3].at("amount"), "5");
  EXPECT_FALSE(got[3].contains("_unfit[amount]"));
  EXPECT_EQ(lake->stats(now).tables[0].unfit_values, 1u) << "a value that is shown fits";
}

TEST_F(Lakes, DeclaredTypesFollowSqliteAndUndeclaredOnesTheFirstValue) {
  const std::vector<std::pair<std::string, Value>> cases = {{"BIGINT", i(1)},
                                                            {"VARCHAR(20)", t("x")},
                                                            {"DOUBLE", r(1)},
                                                            {"BLOB", b("x")},
                                                            {"NUMERIC", r(1)},
                                                            {"DATETIME", t("2024")},
                                                            {"", i(1)},
                                                            {"", t("x")},
                                                            {"", r(1)},
                                                            {"", b("x")},
                                                            {"BOOLEAN", i(1)},
                                                            {"UUID", t("x")},
                                                            {"MONEY", i(1)},
                                                            {"BOOLEAN", Value::boolean(true)},
                                                            {"", Value::boolean(true)}};
  const std::vector<table::Type> want = {
      table::Type::kLong,   table::Type::kString,  table::Type::kDouble, table::Type::kBinary,
      table::Type::kDouble, table::Type::kString,  table::Type::kLong,   table::Type::kString,
      table::Type::kDouble, table::Type::kBinary,  table::Type::kLong,   table::Type::kString,
      table::Type::kDouble, table::Type::kBoolean, table::Type::kBoolean};
  wire::TableDef def{.name = "t"};
  std::vector<Value> row;
  for (std::size_t n = 0; n < cases.size(); ++n) {
    def.columns.push_back({.name = "c" + std::to_string(n), .declared_type = cases[n].first});
    row.push_back(cases[n].second);
  }
  send("s", 1, {insert(1, row)}, def);
  flush_all();
  const table::Schema& schema = catalog.at("t_changes").schema;
  for (std::size_t n = 0; n < cases.size(); ++n) {
    const auto at = std::ranges::find(schema.fields, def.columns[n].name, &table::Field::name);
    ASSERT_NE(at, schema.fields.end());
    EXPECT_EQ(at->type, want[n]) << cases[n].first;
    EXPECT_TRUE(rows("t_changes")[0].contains(at->name)) << cases[n].first;
  }
}

TEST_F(Lakes, AnUndeclaredColumnAppearsWithItsFirstValue) {
  const auto def = table_of("t", {{.name = "a"}, {.name = "b", .declared_type = "INT"}});
  send("s", 1, {insert(1, {Value(), i(1)})}, def);
  flush_all();
  EXPECT_FALSE(rows("t_changes")[0].contains("a"));
  send("s", 1, {insert(2, {t("x"), i(2)}), insert(3, {i(9), i(3)})}, def);
  flush_all();
  EXPECT_EQ(rows("t_changes")[1].at("a"), "x");
  EXPECT_EQ(rows("t_changes")[2].at("_unfit[a]"), "integer:9");
}

TEST_F(Lakes, NewColumnsEvolveTheSchemaWithFreshIdsAndOldOnesKeepTheirs) {
  auto def = table_of("t", {{.name = "a", .declared_type = "INT"}});
  send("s", 1, {insert(1, {i(1)})}, def);
  flush_all();
  const table::Schema before = catalog.at("t_changes").schema;
  def.columns.insert(def.columns.begin(), {.name = "z", .declared_type = "TEXT"});
  send("s", 1, {insert(2, {t("new"), i(2)}), update(3, {t("old"), i(2)}, {t("new"), i(2)})}, def);
  flush_all();
  const table::Schema after = catalog.at("t_changes").schema;
  EXPECT_GT(after.last_column_id(), before.last_column_id());
  for (const table::Field& field : before.fields) {
    const auto same = std::ranges::find(after.fields, field.name, &table::Field::name);
    ASSERT_NE(same, after.fields.end());
    EXPECT_EQ(same->id, field.id) << field.name;
  }
  EXPECT_EQ(rows("t_changes")[1].at("z"), "new");
  EXPECT_EQ(rows("t_changes")[2].at("_before_z"), "old");
  EXPECT_EQ(rows("t_changes")[2].at("_before_a"), "2");

  start();  // ids and types come from the catalog then
  const auto done = read_all();
  ASSERT_TRUE(done);
  send("s", 1, {insert(4, {t("later"), i(4)})}, def);
  flush_all();
  EXPECT_TRUE(catalog.at("t_changes").schema.same_fields(after));
  EXPECT_EQ(rows("t_changes").size(), 4u);
}

TEST_F(Lakes, SystemColumnsKeepTheirNamesAndColumnsThatFoldTogetherStayApart) {
  const auto def = table_of("t", {{.name = "_LSN", .declared_type = "INT"},
                                  {.name = "Name", .declared_type = "TEXT"},
                                  {.name = "name", .declared_type = "TEXT"},
                                  {.name = "", .declared_type = "TEXT"},
                                  {.name = "_before.x", .declared_type = "TEXT"}});
  for (int life = 0; life < 2; ++life) {
    send(
        "s", 1,
        {insert(static_cast<std::uint64_t>(life) + 1, {i(7), t("A"), t("a"), t("none"), t("dot")})},
        def);
    flush_all();
    const Row& row = rows("t_changes").back();
    EXPECT_EQ(row.at("_lsn"), std::to_string(life + 1));
    EXPECT_EQ(row.at(renamed("_LSN")), "7");
    EXPECT_EQ(row.at("Name"), "A");
    EXPECT_EQ(row.at(renamed("name")), "a");
    EXPECT_EQ(row.at(renamed("")), "none");
    EXPECT_EQ(row.at(renamed("_before.x")), "dot");
    start();
    ASSERT_TRUE(read_all());
  }
  EXPECT_EQ(rows("t_changes").size(), 2u);
}

TEST_F(Lakes, SourcesShareATableOfTheSameNameAndOthersThatFoldTogetherDoNot) {
  const auto upper = table_of("Album", {{.name = "a", .declared_type = "INT"}});
  const auto lower = table_of("album", {{.name = "a", .declared_type = "INT"}});
  for (std::uint64_t life = 1; life <= 2; ++life) {
    send("one", 1, {insert(life, {i(1)})}, upper);
    send("two", 1, {insert(life, {i(2)})}, upper);
    send("three", 1, {insert(life, {i(3)})}, lower);
    flush_all();
    EXPECT_EQ(rows("album_changes").size(), 2 * life);
    EXPECT_EQ(rows(table_name_of("album", 1)).size(), life);
    EXPECT_EQ(lake->stats(now).tables.size(), 2u);
    EXPECT_EQ(catalog.at("album_changes").location_key, "evodb/Album_changes");
    start();
    ASSERT_TRUE(read_all());
  }
}

TEST_F(Lakes, ATableOfSomebodyElseIsLeftAlone) {
  table::TableState foreign;
  foreign.name = "goods_changes";
  foreign.location_key = "evodb/goods_changes";
  lake->add_table(foreign);
  send("s", 1, {insert(1, {i(1), Value(), Value(), Value()})});
  const auto job = (lake->request_flush(), lake->next_flush(now));
  ASSERT_TRUE(job);
  EXPECT_EQ(job->table, table_name_of("goods", 1));
  EXPECT_NE(job->location_key, foreign.location_key);
  catalog[foreign.name] = foreign;
  commit(*job);
  start();
  ASSERT_TRUE(read_all());
  EXPECT_EQ(lake->stats(now).entries_skipped, 1u) << "found again, beside the foreign one";
  EXPECT_EQ(lake->stats(now).tables.size(), 1u);
}

TEST_F(Lakes, WhoeverDoesNotGetTheNameThatItWantsIsToldWhy) {
  table::TableState foreign;
  foreign.name = "goods_changes";
  foreign.location_key = "elsewhere";
  lake->add_table(foreign);
  send("s", 1, {insert(1, {i(1), Value(), Value(), Value()})});
  EXPECT_NE(lake->stats(now).tables[0].note, "");
}

TEST_F(Lakes, TheRowIdOfWireV1LandsInKey) {
  SentChange gone{.op = Op::kDelete, .lsn = 9, .key = "row-9"};
  SentChange there = insert(8, {i(1), Value(), Value(), Value()});
  there.key = "row-8";
  send("v1", 0, {there, gone});
  flush_all();
  const auto& got = rows("goods_changes");
  EXPECT_EQ(got[0].at("_key"), "row-8");
  EXPECT_EQ(got[1].at("_key"), "row-9");
  EXPECT_EQ(got[1].at("_op"), "DELETE");
  EXPECT_FALSE(got[1].contains("id"));
}

TEST_F(Lakes, TimesThatNoEngineShowsAreNotedInstead) {
  SentChange change = insert(1, {i(1), Value(), Value(), Value()});
  change.committed_at = std::numeric_limits<std::int64_t>::max();
  send("s", 1, {change});
  flush_all();
  const Row& row = rows("goods_changes")[0];
  EXPECT_FALSE(row.contains("_committed_at"));
  EXPECT_EQ(row.at("_unfit[_committed_at]"), "integer:9223372036854775807");
  EXPECT_TRUE(row.contains("_received_at"));
}

TEST_F(Lakes, WhatCannotLandGoesToRejectsWithItsReasonAndTheStreamGoesOn) {
  SentChange oversize{.op = Op::kOversize, .lsn = 2, .reason = "too big for a frame"};
  const SentChange narrow = insert(3, {i(3)});
  const SentChange wide =
      insert(4, {i(4), t(std::string(base::row_bytes_max, 'x')), Value(), Value()});
  send("s", 1,
       {insert(1, {i(1), Value(), Value(), Value()}), oversize, narrow, wide,
        insert(5, {i(5), Value(), Value(), Value()})});
  flush_all();
  EXPECT_EQ(lsns("goods_changes"), (std::vector<std::string>{"s:1", "s:5"}));
  const auto& rejects = rows("rejects");
  ASSERT_EQ(rejects.size(), 3u);
  EXPECT_EQ(rejects[0].at("reason"), "too big for a frame");
  EXPECT_EQ(rejects[0].at("lsn"), "2");
  EXPECT_EQ(rejects[0].at("op"), "OVERSIZE");
  EXPECT_EQ(rejects[1].at("table"), "goods");
  EXPECT_EQ(rejects[1].at("source"), "s");
  EXPECT_EQ(rejects[1].at("epoch"), "1");
  EXPECT_NE(rejects[1].at("reason").find("1 values"), std::string::npos);
  EXPECT_GT(rejects[2].at("bytes").size(), base::row_bytes_max) << "nothing of it is lost";
  EXPECT_EQ(marks(), (std::map<std::string, std::uint64_t>{{"s", 5}}));
  EXPECT_EQ(lake->stats(now).entries_rejected, 3u);

  start();
  ASSERT_TRUE(read_all());
  flush_all();
  EXPECT_EQ(rows("rejects").size(), 3u) << "its watermark works like any other's";
}

TEST_F(Lakes, ResetAndDropLandAsRowsWithTheirReasonAndNothingElse) {
  SentChange reset{.op = Op::kReset, .lsn = 2, .reason = "rebuilt"};
  SentChange dropped{.op = Op::kDrop, .lsn = 4, .reason = "renamed to 'wares'"};
  const std::vector<Value> row = {i(1), t("tea"), Value(), Value()};
  send("s", 1, {insert(1, row), reset, {.op = Op::kSnapshot, .lsn = 3, .after = row}, dropped});
  flush_all();
  const auto& got = rows("goods_changes");
  ASSERT_EQ(lsns("goods_changes"), (std::vector<std::string>{"s:1", "s:2", "s:3", "s:4"}));
  EXPECT_EQ(got[1], (Row{{"_source", "s"},
                         {"_epoch", "1"},
                         {"_lsn", "2"},
                         {"_txn", "2"},
                         {"_op", "RESET"},
                         {"_committed_at", "2023-11-14 22:13:20.123000Z"},
                         {"_received_at", "2023-11-14 22:13:20.456000Z"},
                         {"_unfit[_reason]", "text:rebuilt"}}));
  EXPECT_EQ(got[3].at("_op"), "DROP");
  EXPECT_EQ(got[3].at("_unfit[_reason]"), "text:renamed to 'wares'");
  EXPECT_EQ(lake->stats(now).tables[0].unfit_values, 0u);
  EXPECT_EQ(marks(), (std::map<std::string, std::uint64_t>{{"s", 4}}));
}

TEST_F(Lakes, ATableMayBeginWithAResetAndEndWithoutEverHavingHadARow) {
  const auto def = table_of("t", {{.name = "id", .declared_type = "INTEGER"}, {.name = "any"}});
  send("s", 1, {{.op = Op::kReset, .lsn = 1, .reason = "first snapshot"}}, def);
  send("s", 1, {{.op = Op::kDrop, .lsn = 2, .reason = "dropped"}}, table_of("u", {}));
  flush_all();
  EXPECT_EQ(rows("t_changes").size(), 1u);
  EXPECT_EQ(rows("u_changes").at(0).at("_op"), "DROP");
  send("s", 1, {{.op = Op::kSnapshot, .lsn = 3, .after = std::vector<Value>{i(7), t("x")}}}, def);
  flush_all();
  EXPECT_EQ(rows("t_changes").at(1).at("any"), "x");
}

// Who folds changes must see it, so it never goes to the rejects.
TEST_F(Lakes, AResetLandsWhateverItsReasonLooksLike) {
  const std::string reason = std::string(999, 'x') + "\xc3\xa9" + std::string(9u << 20, 'x');
  send("s", 1,
       {{.op = Op::kReset, .lsn = 1, .reason = reason},
        {.op = Op::kReset, .lsn = 2, .reason = "\xff"},
        {.op = Op::kReset, .lsn = 3}});
  flush_all();
  const auto& got = rows("goods_changes");
  EXPECT_EQ(got.at(0).at("_unfit[_reason]"), "text:" + std::string(999, 'x'));
  EXPECT_EQ(got.at(1).at("_unfit[_reason]"), "text-hex:ff");
  EXPECT_EQ(got.at(2).at("_unfit[_reason]"), "text:");
  EXPECT_TRUE(rows("rejects").empty());
}

TEST_F(Lakes, MoreColumnsThanATableCanHaveLandBeside) {
  std::uint64_t lsn = 1;
  for (int part = 0; part < 2; ++part) {
    wire::TableDef def{.name = "t"};
    std::vector<Value> row;
    for (std::uint32_t n = 0; n < row_columns_max - 500; ++n) {
      def.columns.push_back(
          {.name = "c" + std::to_string(part) + "_" + std::to_string(n), .declared_type = "INT"});
      row.push_back(i(n));
    }
    send("s", 1, {insert(lsn++, row)}, def);
  }
  flush_all();
  const Row& row = rows("t_changes")[1];
  EXPECT_EQ(row.at("c1_499"), "499");
  EXPECT_EQ(row.at("_unfit[c1_500]"), "integer:500");
}

TEST_F(Lakes, RowsOfAFileAreSortedBySourceEpochAndLsn) {
  const std::vector<Value> row = {i(1), Value(), Value(), Value()};
  send("b", 2, {insert(1, row), insert(2, row)});
  send("a", 1, {insert(7, row)});
  send("b", 1, {insert(9, row)});
  send("v1", 0, {insert(5, row), insert(6, row)});
  send("v1", 0, {insert(2, row)});
  send("a", 1, {insert(8, row)});
  flush_all();
  EXPECT_EQ(lsns("goods_changes"),
            (std::vector<std::string>{"a:7", "a:8", "b:9", "b:1", "b:2", "v1:2", "v1:5", "v1:6"}));
}

TEST_F(Lakes, ARecordThatIngestCannotHaveWrittenStopsTheLakeWithoutLandingHalfOfIt) {
  const std::vector<Value> row = {i(1), Value(), Value(), Value()};
  append("s", 1, {goods()}, {insert(1, row), insert(2, row)});
  records.back().payload.pop_back();
  const auto done = read_all();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().kind, ErrorKind::kCorrupt);
  lake->request_flush();
  EXPECT_EQ(lake->next_flush(now), nullptr);
  EXPECT_FALSE(read_all());
}

TEST_F(Lakes, ABatchOfAnUndefinedTableIsCorrupt) {
  append("s", 1, {goods()}, {insert(1, {i(1), Value(), Value(), Value()})});
  records.erase(records.begin());
  EXPECT_EQ(read_all().error().kind, ErrorKind::kCorrupt);
}

}  // namespace
}  // namespace evodb::lake
