#include "parent/iceberg_request.h"

#include <gtest/gtest.h>

namespace evodb::parent {
namespace {

using enum IcebergRequest::What;
using Levels = std::vector<std::string>;

auto parse(std::string_view path, std::string_view query = "", std::string_view method = "GET") {
  return parse_iceberg_request(method, "/iceberg" + std::string(path), query);
}
IcebergRefusal refused(std::string_view path, std::string_view query = "",
                       std::string_view method = "GET") {
  const auto request = parse(path, query, method);
  EXPECT_FALSE(request) << path << "?" << query;
  return request ? IcebergRefusal{.status = 0} : request.error();
}
bool says(const IcebergRefusal& refusal, std::string_view word) {
  return refusal.message.find(word) != std::string::npos;
}

TEST(IcebergRequestTest, OnlyWhatLiesBelowItsFolderIsTheCatalogs) {
  EXPECT_TRUE(is_iceberg_path("/iceberg"));
  EXPECT_TRUE(is_iceberg_path("/iceberg/"));
  EXPECT_TRUE(is_iceberg_path("/iceberg/v1/config"));
  EXPECT_FALSE(is_iceberg_path("/icebergs"));
  EXPECT_FALSE(is_iceberg_path("/"));
  EXPECT_FALSE(is_iceberg_path("/status"));
}

TEST(IcebergRequestTest, TheRoutesOfTheProtocol) {
  EXPECT_EQ(parse("/v1/config")->what, kConfig);
  EXPECT_EQ(parse("/v1/config", "warehouse=any&x")->what, kConfig);
  EXPECT_EQ(parse("/v1/namespaces")->what, kNamespaces);
  EXPECT_EQ(parse("/v1/namespaces", "parent=a%1Fb")->name_space, (Levels{"a", "b"}));
  EXPECT_EQ(parse("/v1/namespaces", "parent=")->name_space, Levels{});
  const auto space = parse("/v1/namespaces/evodb", "", "HEAD");
  EXPECT_EQ(space->what, kNamespace);
  EXPECT_TRUE(space->exists);
  EXPECT_EQ(space->name_space, Levels{"evodb"});
  EXPECT_EQ(parse("/v1/namespaces/evodb/tables")->what, kTables);
  EXPECT_FALSE(parse("/v1/namespaces/evodb/tables", "", "HEAD")->exists);  // a GET without its body
  const auto table = parse("/v1/namespaces/evodb/tables/users_changes", "snapshots=refs");
  EXPECT_EQ(table->what, kTable);
  EXPECT_EQ(table->table, "users_changes");
  EXPECT_EQ(table->snapshots, table::SnapshotsServed::kRefs);
  EXPECT_FALSE(table->exists);
}

TEST(IcebergRequestTest, NamesAreDecodedAsEachClientWritesThem) {
  const auto named = [](std::string_view text) {
    const auto request = parse("/v1/namespaces/evodb/tables/" + std::string(text));
    return request ? request->table : request.error().message;
  };
  EXPECT_EQ(named("two%20words"), "two words");
  EXPECT_EQ(named("two+words"), "two words");  // Java
  EXPECT_EQ(named("a%2Bb"), "a+b");
  EXPECT_EQ(named("a%2Fb%2f%25%3F%23"), "a/b/%?#");
  EXPECT_EQ(named("%C3%A9t%C3%A9"), "\u00e9t\u00e9");
  EXPECT_EQ(named("a.b..c"), "a.b..c");
  EXPECT_EQ(named(".."), "..");  // a name, not a way up
  EXPECT_EQ(named("a%1Fb"),
            "a\x1f"
            "b");  // levels are a namespace's
  EXPECT_EQ(named("%00").size(), 1u);
}

TEST(IcebergRequestTest, BadNamesAreRefusedWithTheirReason) {
  const std::string tables = "/v1/namespaces/evodb/tables/";
  for (const char* name : {"%", "a%2", "%zz", "%%41", "100%"}) {
    EXPECT_TRUE(says(refused(tables + name), "'%'")) << name;
  }
  EXPECT_TRUE(says(refused(tables + "%ff"), "UTF-8"));
  EXPECT_TRUE(says(refused(tables + "%ED%A0%80"), "UTF-8"));
  EXPECT_TRUE(says(refused(tables), "name is empty"));
  EXPECT_TRUE(says(refused("/v1/namespaces//tables"), "namespace is empty"));
  EXPECT_TRUE(says(refused("/v1/namespaces/a%1F%1Fb"), "empty level"));
  EXPECT_TRUE(says(refused("/v1/namespaces/%1Fa/tables/t"), "empty level"));
  EXPECT_EQ(refused(tables).status, 400);
  EXPECT_STREQ(refused(tables).type, "BadRequestException");
}

TEST(IcebergRequestTest, PagesByTheNameBefore) {
  const auto first = parse("/v1/namespaces/evodb/tables", "pageToken=&pageSize=2");
  EXPECT_EQ(first->page_size, 2u);
  EXPECT_EQ(first->after, "");
  EXPECT_FALSE(parse("/v1/namespaces/evodb/tables")->after);
  for (const std::string name : {"users_changes", "\u00e9 +&=/", "x"}) {
    const auto next =
        parse("/v1/namespaces/evodb/tables", "pageToken=" + page_token_of(name) + "&pageSize=9");
    EXPECT_EQ(next->after, name);
  }
  const std::string list = "/v1/namespaces/evodb/tables";
  for (const char* size : {"0", "-1", "x", "1.5", "99999999999999999999", "", "%201"}) {
    EXPECT_TRUE(says(refused(list, "pageSize=" + std::string(size)), "pageSize")) << size;
  }
  for (const char* token : {"x", "7", "zz", "7A", "75736572730"}) {
    EXPECT_TRUE(says(refused(list, "pageToken=" + std::string(token)), "next-page-token")) << token;
  }
}

TEST(IcebergRequestTest, BadQueriesAreRefusedWithTheirReason) {
  const std::string table = "/v1/namespaces/evodb/tables/t";
  EXPECT_TRUE(says(refused(table, "snapshots=some"), "all or refs"));
  EXPECT_TRUE(says(refused(table, "snapshots"), "all or refs"));
  EXPECT_TRUE(says(refused(table, "snapshots=all&snapshots=refs"), "twice"));
  EXPECT_TRUE(says(refused("/v1/namespaces", "parent=%"), "'%'"));
  std::string many;
  for (int i = 0; i < 40; ++i) many += "x=1&";
  EXPECT_TRUE(says(refused(table, many), "parameters"));
  EXPECT_TRUE(parse(table, "&&snapshots=all&"));
  EXPECT_TRUE(parse(table, "unknown=%zz")) << "somebody's extension is none of ours";
}

TEST(IcebergRequestTest, WhatWouldWriteIsToldThatTheCatalogIsReadOnly) {
  for (const char* path :
       {"/v1/namespaces", "/v1/namespaces/evodb", "/v1/namespaces/evodb/tables",
        "/v1/namespaces/evodb/tables/t", "/v1/tables/rename", "/v1/transactions/commit",
        "/v1/namespaces/evodb/register", "/v1/namespaces/evodb/properties"}) {
    for (const char* method : {"POST", "DELETE", "PUT", "PATCH"}) {
      const auto refusal = refused(path, "", method);
      EXPECT_EQ(refusal.status, 405) << path;
      EXPECT_STREQ(refusal.type, "UnsupportedOperationException");
      EXPECT_STREQ(refusal.headers, "Allow: GET, HEAD\r\n");
      EXPECT_TRUE(says(refusal, "read-only"));
    }
  }
  EXPECT_TRUE(says(refused("/v1/oauth/tokens", "", "POST"), "no tokens"));
}

TEST(IcebergRequestTest, AnythingElseIsNotThere) {
  for (const char* path :
       {"", "/", "/v1", "/v1/", "/v2/config", "/config", "/v1/config/x", "/v1/namespaces/evodb/",
        "/v1/namespaces/evodb/tables/t/x", "/v1/namespaces/evodb/functions", "/v1/tables",
        "//v1/config", "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r"}) {
    EXPECT_EQ(refused(path).status, 404) << path;
    EXPECT_STREQ(refused(path).type, "NotFoundException");
  }
  EXPECT_STREQ(refused("/v1/namespaces/evodb/views/v").type, "NoSuchViewException");
  EXPECT_LT(refused("/v1/" + std::string(5000, 'x')).message.size(), 500u);
}

}  // namespace
}  // namespace evodb::parent
