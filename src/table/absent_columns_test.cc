#include "table/absent_columns.h"

#include <gtest/gtest.h>

namespace evodb::table {
namespace {

const Schema schema{
    .fields = {
        {.id = 1, .name = "_source", .required = true},
        {.id = 2, .name = "id", .type = Type::kLong},
        {.id = 3, .name = "late"},
        {.id = 4, .name = "_unfit", .type = Type::kMapStringString, .key_id = 5, .value_id = 6},
        {.id = 7,
         .name = "_before",
         .type = Type::kStruct,
         .children = {{.id = 8, .name = "id", .type = Type::kLong}}}}};

DataFile file_at(std::string location) {
  DataFile file;
  file.location = std::move(location);
  file.record_count = 9;
  file.column_bytes = {{1, 50}, {2, 80}, {5, 7}, {6, 7}};
  file.value_counts = {{1, 9}, {2, 9}};
  file.null_counts = {{1, 0}, {2, 3}};
  return file;
}

TEST(AbsentColumns, AreAllNullInFilesThatAreOlder) {
  DataFile file =
      file_at("file:///w/evodb/t_changes/data/00000000000004d2-0123456789abcdef-0.parquet");
  EXPECT_TRUE(is_flushed_file(file));
  count_absent_columns(schema, file);
  EXPECT_EQ(file.value_counts, (std::map<std::int32_t, std::int64_t>{{1, 9}, {2, 9}, {3, 9}}));
  EXPECT_EQ(file.null_counts, (std::map<std::int32_t, std::int64_t>{{1, 0}, {2, 3}, {3, 9}}));
  const DataFile once = file;
  count_absent_columns(schema, file);
  EXPECT_EQ(file.value_counts, once.value_counts);
}

TEST(AbsentColumns, OfFilesOfOthersNothingIsSaid) {
  for (const char* name :
       {"00000-0-0b1e4e3c-5a4a-4f4c-9e6e-0d6f1f9c5b4b-00001.parquet", "x.parquet", ".parquet", "",
        "00000000000004d2-0123456789abcdef-.parquet", "00000000000004d2-0123456789abcdef-0.avro",
        "00000000000004d2-0123456789abcdeF-0.parquet",
        "00000000000004d2_0123456789abcdef-0.parquet",
        "00000000000004d2-0123456789abcdef-0x.parquet"}) {
    for (const char* folder : {"", "s3://b/evodb/t_changes/data/"}) {
      DataFile file = file_at(std::string(folder) + name);
      const DataFile before = file;
      EXPECT_FALSE(is_flushed_file(file)) << name;
      count_absent_columns(schema, file);
      EXPECT_EQ(file.value_counts, before.value_counts) << name;
    }
  }
  DataFile file = file_at("00000000000004d2-0123456789abcdef-0.parquet");
  file.value_counts.clear();
  count_absent_columns(schema, file);
  EXPECT_TRUE(file.value_counts.empty()) << "somebody left the counts out";
}

}  // namespace
}  // namespace evodb::table
