#include "table/schema_json.h"

#include <gtest/gtest.h>

namespace evodb::table {
namespace {

Schema sample() {
  return {2,
          {{.id = 1, .name = "a", .type = Type::kLong, .required = true},
           {.id = 2,
            .name = "s",
            .type = Type::kStruct,
            .children = {{.id = 4, .name = "x", .type = Type::kTimestampTz}}},
           {.id = 3, .name = "m", .type = Type::kMapStringString, .key_id = 5, .value_id = 6}}};
}

TEST(SchemaJson, WhatIsWrittenIsRead) {
  const auto read = schema_from_json(schema_to_json(sample()));
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(read->schema_id, 2);
  EXPECT_EQ(read->fields, sample().fields);
  EXPECT_EQ(read->last_column_id(), 6);
}

TEST(SchemaJson, TheNameMappingReachesIntoStructsAndMaps) {
  EXPECT_EQ(name_mapping(schema_to_json(sample())),
            R"([{"field-id":1,"names":["a"]},)"
            R"({"field-id":2,"fields":[{"field-id":4,"names":["x"]}],"names":["s"]},)"
            R"({"field-id":3,"fields":[{"field-id":5,"names":["key"]},)"
            R"({"field-id":6,"names":["value"]}],"names":["m"]}])");
}

TEST(EvolveSchema, NewColumnsGoBesideThoseTheyStandBesideAndNothingElseChanges) {
  Json current = schema_to_json(sample());
  current["fields"].push_back(
      {{"id", 7}, {"name", "theirs"}, {"required", false}, {"type", "uuid"}, {"doc", "kept"}});
  Schema wanted = sample();
  wanted.fields.insert(wanted.fields.begin() + 1, Field{.id = 8, .name = "b", .type = Type::kLong});
  wanted.fields[2].children.push_back({.id = 9, .name = "y"});
  const auto evolved = evolve_schema(current, wanted, 7);
  ASSERT_TRUE(evolved) << evolved.error().text;
  ASSERT_TRUE(*evolved);
  const Json& fields = (**evolved)["fields"];
  EXPECT_EQ(fields[1]["name"], "b");
  EXPECT_EQ(fields[2]["type"]["fields"][1]["name"], "y");
  EXPECT_EQ(fields[4]["doc"], "kept");
  EXPECT_FALSE(evolve_schema(**evolved, wanted, 9)->has_value()) << "it has them all";
}

TEST(EvolveSchema, WhatCannotBeIsRefusedWithTheColumnsName) {
  const auto error_of = [](Schema wanted) {
    const auto evolved = evolve_schema(schema_to_json(sample()), wanted, 6);
    EXPECT_FALSE(evolved);
    return evolved ? Error{} : evolved.error();
  };
  Schema wanted = sample();
  wanted.fields[0].type = Type::kString;
  EXPECT_NE(error_of(wanted).text.find("'a'"), std::string::npos);
  wanted = sample();
  wanted.fields[0].name = "called otherwise";
  EXPECT_EQ(error_of(wanted).kind, ErrorKind::kStale) << "somebody has renamed it";
  wanted = sample();
  wanted.fields.push_back({.id = 6, .name = "reused"});
  EXPECT_NE(error_of(wanted).text.find("reused"), std::string::npos);
  wanted = sample();
  wanted.fields.push_back({.id = 7, .name = "a"});
  EXPECT_EQ(error_of(wanted).kind, ErrorKind::kStale) << "a name that is taken";
  wanted = sample();
  wanted.fields.push_back({.id = 7, .name = "r", .required = true});
  EXPECT_EQ(error_of(wanted).kind, ErrorKind::kInvalid);
  wanted.fields.back().id = 6;
  EXPECT_EQ(error_of(wanted).kind, ErrorKind::kStale)
      << "it was there, and somebody has dropped it";
}

TEST(SchemaJson, ColumnsOfOtherTypesAreLeftOutUnlessRequired) {
  Json json = schema_to_json(sample());
  json["fields"].push_back({{"id", 7}, {"name", "d"}, {"required", false}, {"type", "date"}});
  EXPECT_EQ(schema_from_json(json)->fields, sample().fields);
  EXPECT_EQ(schema_from_json(json)->other_names, std::vector<std::string>{"d"}) << "taken";
  json["fields"].back()["required"] = true;
  EXPECT_EQ(schema_from_json(json).error().kind, ErrorKind::kInvalid);
}

}  // namespace
}  // namespace evodb::table
