#include "lake/naming.h"

#include <gtest/gtest.h>

#include "store/key.h"

namespace evodb::lake {
namespace {

TEST(Naming, TablesAreLowerCasedWithASuffixThatSaysWhatTheyAre) {
  EXPECT_EQ(table_name_of("Album", 0), "album_changes");
  EXPECT_EQ(table_name_of("ÄRGER Straße", 0), "ärger straße_changes");
  EXPECT_EQ(table_name_of("ЖУК", 0), "жук_changes");
  EXPECT_EQ(table_name_of("ΣΟΦΟΣ", 0), "σοφοσ_changes");
  EXPECT_EQ(table_name_of("表", 0), "表_changes");
  EXPECT_EQ(table_name_of("", 0), "unnamed_changes");
  EXPECT_EQ(table_name_of("a\nb", 0), "a_b_changes");
  EXPECT_EQ(table_name_of("ŐR Ա", 0), "őr ա_changes");
  EXPECT_EQ(table_name_of("a$b@c", 0), "a_b_c_changes") << "Trino reads on behind these";
}

TEST(Naming, LaterAttemptsDifferForNamesThatFoldTogether) {
  for (const int attempt : {1, 2}) {
    EXPECT_NE(table_name_of("Album", attempt), table_name_of("album", attempt));
    EXPECT_EQ(table_name_of("Album", attempt), table_name_of("Album", attempt));
  }
}

TEST(Naming, LongNamesAreCutAndStayApart) {
  const std::string a = std::string(1'000, 'x') + "a", b = std::string(1'000, 'x') + "b";
  EXPECT_LT(table_name_of(a, 0).size(), 255u);
  EXPECT_NE(table_name_of(a, 0), table_name_of(b, 0));
  EXPECT_NE(location_key_of(a), location_key_of(b));
}

TEST(Naming, LocationsAreKeysWhateverTheNameAndTellExactNamesApart) {
  std::string all;
  for (int c = 0; c < 256; ++c) all.push_back(static_cast<char>(c));
  const std::vector<std::string> names = {"",   ".",  "..",    "a/b", "a.2fb", "Album", "album",
                                          "..", "%2", "tab\t", "表",  all,     "a b"};
  for (const std::string& a : names) {
    EXPECT_TRUE(store::check_key(location_key_of(a) + "/data/" + std::string(60, 'f'))) << a;
    for (const std::string& b : names) {
      EXPECT_EQ(location_key_of(a) == location_key_of(b), a == b) << a << " and " << b;
    }
    EXPECT_NE(location_key_of(a), own_location_key("rejects"));
  }
  EXPECT_EQ(location_key_of("Order Details"), "evodb/Order.20Details_changes");
}

TEST(Naming, ColumnsKeepTheirNamesUnlessASystemColumnHasThem) {
  for (const char* name : {"id", "Name", "_private", "a.b", "_source2", "before", "schön",
                           "_before2", "file", "_files", "a$path", "_row_id2", "before_x"}) {
    EXPECT_FALSE(must_rename(name)) << name;
  }
  for (const char* name : {"",
                           "_source",
                           "_LSN",
                           "_Before",
                           "_unfit",
                           "_key",
                           "_before.id",
                           "_UNFIT.key",
                           "a\x01",
                           "\x11uNfit..",
                           "_file",
                           "_POS",
                           "_deleted",
                           "_spec_id",
                           "_partition",
                           "_row_id",
                           "_last_updated_sequence_number",
                           "_change_type",
                           "_change_ordinal",
                           "_commit_snapshot_id",
                           "$path",
                           "$",
                           "_ſource",
                           "_before_",
                           "_Before_id",
                           "$before_x",
                           "_before..",
                           "\x01"
                           "before.id"}) {
    EXPECT_TRUE(must_rename(name)) << name;
    EXPECT_FALSE(must_rename(renamed(name))) << name;
  }
  EXPECT_EQ(renamed("_lsn").size(), std::string("_lsn_").size() + 8);
  EXPECT_NE(renamed("_lsn"), renamed("_LSN"));
  EXPECT_TRUE(renamed("$path").starts_with("_path_"));
  EXPECT_TRUE(renamed("_before_id").starts_with("before_id_"));
  EXPECT_EQ(before_name_of("id"), "_before_id");
  EXPECT_EQ(before_name_of("id", 8).size(), std::string("_before_id_").size() + 8);
}

}  // namespace
}  // namespace evodb::lake
