#include "capture/index_sql.h"

#include <gtest/gtest.h>

namespace evodb::capture {
namespace {

TEST(IndexSql, GivesPartsWithoutTheirOrderAndTheCondition) {
  const auto sql = parse_index_sql(
      "CREATE UNIQUE INDEX i ON t(a, lower(b) COLLATE nocase DESC, \"c asc\" ASC) WHERE c > 1");
  ASSERT_TRUE(sql.has_value());
  EXPECT_EQ(sql->parts, (std::vector<std::string>{"a", "lower(b) COLLATE nocase", "\"c asc\""}));
  EXPECT_EQ(sql->where, "c > 1");
}

TEST(IndexSql, IsNotMisledByWhatStandsInQuotesAndComments) {
  const auto sql = parse_index_sql(
      "CREATE UNIQUE INDEX \"i(,)\" ON [t(]( -- ) a comment, with a comma\n"
      "  coalesce(a, ',)''') /* DESC, */, `b``,`||'x')\nwhere\td IS 'WHERE ('");
  ASSERT_TRUE(sql.has_value());
  EXPECT_EQ(sql->parts, (std::vector<std::string>{"coalesce(a, ',)''')", "`b``,`||'x'"}));
  EXPECT_EQ(sql->where, "d IS 'WHERE ('");
}

TEST(IndexSql, AColumnThatEndsInDescKeepsItsName) {
  const auto sql = parse_index_sql(
      "CREATE UNIQUE INDEX i ON t(order_desc, \xc3\xbc"
      "DESC)");
  ASSERT_TRUE(sql.has_value());
  EXPECT_EQ(sql->parts, (std::vector<std::string>{"order_desc",
                                                  "\xc3\xbc"
                                                  "DESC"}));
}

TEST(IndexSql, WithoutAListItIsRefused) {
  EXPECT_FALSE(parse_index_sql("").has_value());
  EXPECT_FALSE(parse_index_sql("CREATE UNIQUE INDEX i ON t(a").has_value());
}

TEST(GeneratedSql, GivesTheExpressionOfGeneratedColumnsOnly) {
  const auto sql = parse_generated_sql(
      "CREATE TABLE t(a INT CHECK (a > 0), \"as\" TEXT, b GENERATED ALWAYS AS (a + (1)) STORED, "
      "c TEXT AS (a || ')') UNIQUE, CHECK (b > 1))",
      4);
  ASSERT_TRUE(sql.has_value()) << sql.error().text;
  EXPECT_EQ(*sql, (std::vector<std::string>{"", "", "(a + (1))", "(a || ')')"}));
}

}  // namespace
}  // namespace evodb::capture
