// Which columns a table has: of the row before a change, of names that nobody may keep, of tables
// that the first version made, and of JSON's numbers.
#include "lake/lake.h"
#include "lake/lake_world.h"
#include "lake/naming.h"
#include "table/bounds.h"

namespace evodb::lake {
namespace {

using table::Field;
using table::Type;

Value i(std::int64_t v) { return Value::integer(v); }
Value t(std::string v) { return Value::text(std::move(v)); }
Value r(double v) { return Value::real(v); }

class Columns : public LakeWorld {
 protected:
  const Field* field(const std::string& table, const std::string& name) {
    for (const Field& field : catalog.at(table).schema.fields) {
      if (field.name == name) return &field;
    }
    return nullptr;
  }
  std::int32_t id_of(const std::string& table, const std::string& name) {
    const Field* found = field(table, name);
    return found == nullptr ? 0 : found->id;
  }
};

wire::TableDef table_of(std::string name, std::vector<wire::ColumnDef> columns) {
  return {.name = std::move(name), .columns = std::move(columns)};
}

TEST_F(Columns, EachHasOneForTheRowBeforeWithItsTypeAndKeepsItOverRestarts) {
  const std::vector<Value> row = {i(1), t("tea"), r(2), Value()};
  send("s", 1, {insert(1, row)});
  flush_all();
  std::map<std::string, std::int32_t> ids;
  for (const char* name : {"id", "name", "price", "picture"}) {
    const Field* before = field("goods_changes", "_before_" + std::string(name));
    ASSERT_NE(before, nullptr) << name;
    EXPECT_EQ(before->type, field("goods_changes", name)->type);
    EXPECT_FALSE(before->required);
    ids[name] = before->id;
  }
  EXPECT_EQ(field("goods_changes", "_before"), nullptr);
  start();
  send("s", 1, {update(2, row, row)});
  flush_all();
  for (const auto& [name, id] : ids) EXPECT_EQ(id_of("goods_changes", "_before_" + name), id);
  EXPECT_EQ(rows("goods_changes").back().at("_before_name"), "tea");
}

TEST_F(Columns, AnIntOfAnotherEngineTakesWhatFitsAndTheRestIsUnfit) {
  const auto def = table_of(
      "k", {{.name = "id", .declared_type = "INTEGER"}, {.name = "n", .declared_type = "INTEGER"}});
  send("s", 1, {insert(1, {i(1)})}, table_of("k", {def.columns[0]}));
  flush_all();
  auto& state = catalog.at("k_changes");
  state.schema.fields.push_back({.id = ++state.last_column_id, .name = "n", .type = Type::kInt});
  start();
  const std::int64_t low = INT32_MIN, high = INT32_MAX;
  send("s", 1,
       {update(2, {i(1), i(high)}, {i(1), i(low)}), insert(3, {i(2), i(high + 1)}),
        insert(4, {i(3), i(low - 1)}), insert(5, {i(4), t("five")}), insert(6, {i(5), i(-7)})},
       def);
  flush_all();
  EXPECT_EQ(field("k_changes", "n")->type, Type::kInt);
  EXPECT_EQ(field("k_changes", "_before_n")->type, Type::kInt);
  const auto all = rows("k_changes");
  const auto& updated = all[1];
  EXPECT_EQ(updated.at("n"), "-2147483648");
  EXPECT_EQ(updated.at("_before_n"), "2147483647");
  EXPECT_FALSE(updated.contains("_unfit[n]"));
  EXPECT_FALSE(all[2].contains("n"));
  EXPECT_EQ(all[2].at("_unfit[n]"), "integer:2147483648");
  EXPECT_EQ(all[3].at("_unfit[n]"), "integer:-2147483649");
  EXPECT_EQ(all[4].at("_unfit[n]"), "text:five");
  EXPECT_EQ(all[5].at("n"), "-7");
  const auto& file = files.at("k_changes").back().metrics;
  const std::int32_t id = id_of("k_changes", "n");
  EXPECT_EQ(file.lower_bounds.at(id), table::bound_of_int(INT32_MIN));
  EXPECT_EQ(file.upper_bounds.at(id), table::bound_of_int(-7));
}

TEST_F(Columns, WhatComesForAColumnOfATypeThatIsNotWrittenLandsBesideIt) {
  send("s", 1, {insert(1, {i(1), Value(), Value(), Value()})});
  flush_all();
  auto& state = catalog.at("goods_changes");
  state.schema.fields.push_back(
      {.id = ++state.last_column_id, .name = "seen", .type = Type::kTimestampTz});
  for (const std::uint64_t lsn : {2, 3}) {
    start();
    send("s", 1, {insert(lsn, {t("monday")})},
         table_of("goods", {{.name = "seen", .declared_type = "TEXT"}}));
    flush_all();
    EXPECT_EQ(rows("goods_changes").back().at(renamed("seen", 8)), "monday");
  }
  EXPECT_EQ(id_of("goods_changes", "seen"), 0) << "it is not among those that are written";
}

TEST_F(Columns, ATableWhoseIdentityWasDroppedAndAddedAgainWaits) {
  send("s", 1, {insert(1, {i(1), Value(), Value(), Value()})});
  flush_all();
  auto& state = catalog.at("goods_changes");
  for (const char* name : {"_txn", "_lsn"}) {
    EXPECT_FALSE(lake->any_waits());
    std::ranges::find(state.schema.fields, name, &Field::name)->id = ++state.last_column_id;
    start();
  }
  EXPECT_TRUE(lake->any_waits());
}

TEST_F(Columns, AnUpdateWithoutTheRowBeforeSaysSoUnlessItIsOfWireV1) {
  const std::vector<Value> row = {i(1), Value(), Value(), Value()};
  SentChange alone = insert(1, row);
  alone.op = Op::kUpdate;
  send("s", 1, {alone});
  send("v1", 0, {alone});
  flush_all();
  EXPECT_EQ(rows("goods_changes")[0].at("_unfit[_before]"), "absent");
  EXPECT_FALSE(rows("goods_changes")[0].contains("_before_id"));
  EXPECT_FALSE(rows("goods_changes")[1].contains("_unfit[_before]"));
}

TEST_F(Columns, NamesThatEnginesUseThemselvesAreRenamedAndFoundAgain) {
  const std::vector<std::string> names = {"_file", "_ROW_ID", "$path", "_before_id", "ő",
                                          "Ő",     "ſ",       "s",     "_before.id"};
  wire::TableDef def{.name = "t"};
  std::vector<Value> row;
  for (const std::string& name : names) {
    def.columns.push_back({.name = name, .declared_type = "TEXT"});
    row.push_back(t("of " + name));
  }
  for (std::uint64_t life = 1; life <= 2; ++life) {
    send("s", 1, {update(life, row, row)}, def);
    flush_all();
    const Row& got = rows("t_changes").back();
    for (const std::string& name : names) {
      const bool kept = name == "ő" || name == "ſ";
      const std::string there = kept ? name : renamed(name);
      EXPECT_EQ(got.at(there), "of " + name);
      EXPECT_EQ(got.at("_before_" + there), "of " + name);
      EXPECT_EQ(field("t_changes", name) != nullptr, kept) << name;
    }
    start();
    ASSERT_TRUE(read_all());
  }
}

TEST_F(Columns, TablesWhoseNamesAnEngineTakesForTheSameAreTold) {
  for (const auto& [one, other] :
       {std::pair{"Ő", "ő"}, {"Kelvin", "\u212aelvin"}, {"a$b", "a@b"}}) {
    send("s", 1, {{.op = Op::kDrop, .lsn = 1, .reason = "dropped"}}, table_of(one, {}));
    send("s", 2, {{.op = Op::kDrop, .lsn = 1, .reason = "dropped"}}, table_of(other, {}));
    flush_all();
    EXPECT_EQ(rows(table_name_of(one, 0)).size(), 1u) << one;
    EXPECT_EQ(rows(table_name_of(other, 1)).size(), 1u) << other;
  }
}

// As the first version made it: a struct of the rows before, and names that are taken today.
TEST_F(Columns, ATableOfTheFirstVersionKeepsItsNamesAndItsStruct) {
  const auto def = table_of("t", {{.name = "id", .declared_type = "INTEGER"},
                                  {.name = "_file", .declared_type = "TEXT"},
                                  {.name = "_before_id", .declared_type = "TEXT"},
                                  {.name = "_before", .declared_type = "TEXT"}});
  const std::vector<Value> row = {i(7), t("a file"), t("an id"), t("odd")};
  const std::string odd = was_renamed("_before", 8);
  ASSERT_EQ(odd, "_" + renamed("_before", 8));
  send("s", 1, {insert(1, row)}, def);
  flush_all();
  table::TableState& old = catalog.at("t_changes");
  table::Schema schema;
  schema.fields.assign(old.schema.fields.begin(), old.schema.fields.begin() + 7);
  Field nested{.id = 20, .name = "_before", .type = Type::kStruct};
  std::int32_t id = 30;
  for (const std::string& name :
       {std::string("id"), std::string("_file"), std::string("_before_id"), odd}) {
    const Type type = name == "id" ? Type::kLong : Type::kString;
    schema.fields.push_back({.id = id++, .name = name, .type = type});
    nested.children.push_back({.id = id++, .name = name, .type = type});
  }
  schema.fields.push_back(nested);
  schema.fields.push_back(old.schema.fields.back());
  old.schema = schema;
  old.last_column_id = 40;
  for (std::uint64_t life = 2; life <= 3; ++life) {
    start();
    send("s", 1, {update(life, row, row)}, def);
    flush_all();
    const Row& got = rows("t_changes").back();
    EXPECT_EQ(got.at("_file"), "a file");
    EXPECT_EQ(got.at("_before_id"), "an id") << "the source's own";
    EXPECT_EQ(got.at(before_name_of("id", 8)), "7");
    EXPECT_EQ(got.at("_before__file"), "a file");
    EXPECT_EQ(got.at("_before__before_id"), "an id");
    EXPECT_EQ(got.at(odd), "odd");
    EXPECT_EQ(id_of("t_changes", "id"), 30);
    EXPECT_EQ(id_of("t_changes", "_file"), 32);
    EXPECT_EQ(id_of("t_changes", before_name_of("id", 8)), 41);
    EXPECT_EQ(id_of("t_changes", "_before__before_id"), 43);
    // The commit keeps what this schema lacks (table::evolve_schema).
    if (field("t_changes", "_before") == nullptr) {
      catalog.at("t_changes").schema.fields.push_back(nested);
    }
  }
}

TEST_F(Columns, OfAnotherTypeUnderTheNameOfARowBeforeIsLeftToWhoeverMadeIt) {
  const std::vector<Value> row = {i(1), t("tea"), Value(), Value()};
  send("s", 1, {insert(1, row)});
  flush_all();
  for (Field& field : catalog.at("goods_changes").schema.fields) {
    if (field.name == "_before_id") field.type = Type::kString;
  }
  start();
  send("s", 1, {update(2, row, row)});
  flush_all();
  EXPECT_EQ(rows("goods_changes").back().at(before_name_of("id", 8)), "1");
  EXPECT_FALSE(rows("goods_changes").back().contains("_before_id"));
}

TEST_F(Columns, NumbersOfJsonAreOneTypeWhateverCameFirst) {
  const auto def = table_of("t", {{.name = "price"}, {.name = "big"}});
  const std::int64_t odd = (std::int64_t{1} << 53) + 1;
  send("v1", 0,
       {insert(1, {i(20), i(odd)}), insert(2, {r(19.99), i(-odd)}), insert(3, {i(-3), r(1)})}, def);
  flush_all();
  EXPECT_EQ(field("t_changes", "price")->type, Type::kDouble);
  const auto& got = rows("t_changes");
  EXPECT_EQ(got[0].at("price"), "20");
  EXPECT_FALSE(got[0].contains("_unfit[price]")) << "20 and 20.0 are the same in JSON";
  EXPECT_EQ(got[1].at("price"), "19.99");
  EXPECT_EQ(got[2].at("price"), "-3");
  EXPECT_FALSE(got[0].contains("big"));
  EXPECT_EQ(got[0].at("_unfit[big]"), "integer:9007199254740993");
  EXPECT_EQ(got[1].at("_unfit[big]"), "integer:-9007199254740993");
  EXPECT_EQ(got[2].at("big"), "1");
}

TEST_F(Columns, ANumberOfSqliteKeepsItsClassBesideThoseOfJson) {
  const auto def = table_of("t", {{.name = "n"}});
  send("v1", 0, {insert(1, {i(1)})}, def);
  send("edge", 1, {insert(1, {i(1)})}, def);
  flush_all();
  EXPECT_EQ(rows("t_changes")[0].at("_source"), "edge");
  EXPECT_EQ(rows("t_changes")[0].at("n"), "1");
  EXPECT_EQ(rows("t_changes")[0].at("_unfit[n]"), "integer:1");
  EXPECT_FALSE(rows("t_changes")[1].contains("_unfit[n]"));
}

}  // namespace
}  // namespace evodb::lake
