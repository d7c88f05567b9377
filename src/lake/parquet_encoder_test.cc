// The files themselves: what they hold, and what their metrics promise to readers.
#include "lake/parquet_encoder.h"

#include <cmath>
#include <limits>

#include <parquet/file_reader.h>

#include "lake/lake_world.h"
#include "table/bounds.h"

namespace evodb::lake {
namespace {

class Encoder : public LakeWorld {
 protected:
  const EncodedFile& only_file() {
    EXPECT_EQ(files["goods_changes"].size(), 1u);
    return files["goods_changes"][0];
  }
  std::int32_t id_of(const std::string& name) {
    for (const auto& field : catalog["goods_changes"].schema.fields) {
      if (field.name == name) return field.id;
    }
    return 0;
  }
  static std::shared_ptr<parquet::FileMetaData> metadata(const std::string& bytes) {
    return parquet::ParquetFileReader::Open(
               std::make_shared<arrow::io::BufferReader>(std::make_shared<arrow::Buffer>(bytes)))
        ->metadata();
  }
};

TEST_F(Encoder, EveryColumnHasItsIcebergFieldIdAndTimesAreMicrosInUtc) {
  const std::vector<Value> row = {Value::integer(1), Value::text("tea"), Value::text("much"),
                                  Value()};
  send("s", 1, {update(1, row, row)});
  flush_all();
  const auto file = metadata(only_file().bytes);
  const auto* schema = file->schema();
  std::map<std::string, int> ids;
  for (int i = 0; i < schema->num_columns(); ++i) {
    ids[schema->Column(i)->path()->ToDotString()] = schema->Column(i)->schema_node()->field_id();
  }
  EXPECT_EQ(ids["_source"], 1);
  EXPECT_EQ(ids["_epoch"], 2);
  EXPECT_EQ(ids["_lsn"], 3);
  EXPECT_EQ(ids["name"], id_of("name"));
  EXPECT_EQ(ids["_before_name"], id_of("_before_name"));
  EXPECT_GT(ids["_unfit.key_value.key"], 0);
  EXPECT_GT(ids["_unfit.key_value.value"], 0);
  const auto* group = schema->group_node();
  EXPECT_EQ(group->field(group->FieldIndex("_unfit"))->field_id(), id_of("_unfit"));
  const auto* time = schema->Column(schema->ColumnIndex("_committed_at"));
  EXPECT_EQ(time->physical_type(), parquet::Type::INT64);
  EXPECT_EQ(
      time->logical_type()->ToString(),
      parquet::LogicalType::Timestamp(true, parquet::LogicalType::TimeUnit::MICROS)->ToString());
  EXPECT_TRUE(schema->Column(schema->ColumnIndex("name"))->logical_type()->is_string());
  EXPECT_TRUE(schema->Column(schema->ColumnIndex("picture"))->logical_type()->is_none());
}

TEST_F(Encoder, WhatNoRowHasIsNotInTheFileAndCountedAsNull) {
  send("s", 1, {insert(1, {Value::integer(1), Value::text("tea"), Value(), Value()})});
  flush_all();
  const auto file = metadata(only_file().bytes);
  const auto* group = file->schema()->group_node();
  EXPECT_EQ(group->FieldIndex("_before_id"), -1);
  EXPECT_EQ(group->FieldIndex("_unfit"), -1);
  EXPECT_GE(group->FieldIndex("price"), 0) << "a column of the source's own is in every file";
  const table::DataFile& m = only_file().metrics;
  EXPECT_EQ(m.value_counts.at(id_of("_before_id")), 1);
  EXPECT_EQ(m.null_counts.at(id_of("_before_id")), 1);
  EXPECT_FALSE(m.column_bytes.contains(id_of("_before_id")));
}

TEST_F(Encoder, MetricsSayWhatTheFileHolds) {
  const std::string prefix(100, 'x');
  send("b", 1,
       {insert(1, {Value::integer(-5), Value::text(prefix + "1"), Value::real(std::nan("")),
                   Value::blob(std::string(100, '\xff'))}),
        insert(2, {Value::integer(7), Value::text(prefix + "2"), Value::real(-0.5), Value()}),
        update(3, {Value(), Value(), Value(), Value()},
               {Value(), Value::text("a"), Value(), Value::blob("a")})});
  send("a", 1, {insert(9, {Value(), Value(), Value(), Value()})});
  flush_all();
  const table::DataFile& m = only_file().metrics;
  EXPECT_EQ(m.record_count, 4);
  EXPECT_EQ(m.file_bytes, static_cast<std::int64_t>(only_file().bytes.size()));
  EXPECT_EQ(m.split_offsets, std::vector<std::int64_t>{4});
  EXPECT_EQ(m.value_counts.at(id_of("id")), 4);
  EXPECT_EQ(m.null_counts.at(id_of("id")), 2);
  EXPECT_EQ(m.null_counts.at(id_of("_source")), 0);
  EXPECT_EQ(m.null_counts.at(id_of("_before_id")), 4);
  EXPECT_EQ(m.nan_counts.at(id_of("price")), 1);
  EXPECT_EQ(m.nan_counts.at(id_of("_before_price")), 0);
  EXPECT_FALSE(m.nan_counts.contains(id_of("id")));
  EXPECT_EQ(m.lower_bounds.at(1), "a");
  EXPECT_EQ(m.upper_bounds.at(1), "b");
  EXPECT_EQ(m.lower_bounds.at(id_of("id")), table::bound_of_long(-5));
  EXPECT_EQ(m.upper_bounds.at(id_of("id")), table::bound_of_long(7));
  EXPECT_EQ(m.lower_bounds.at(id_of("name")), "a");
  EXPECT_EQ(m.upper_bounds.at(id_of("name")), std::string(63, 'x') + "y");
  EXPECT_EQ(m.lower_bounds.at(id_of("price")), table::lower_bound_of_double(-0.5));
  EXPECT_EQ(m.upper_bounds.at(id_of("price")), table::upper_bound_of_double(-0.5));
  EXPECT_EQ(m.lower_bounds.at(id_of("picture")), "a");
  EXPECT_FALSE(m.upper_bounds.contains(id_of("picture")))
      << "nothing is greater than 0xff for ever";
  EXPECT_FALSE(m.lower_bounds.contains(id_of("_before_id"))) << "all null";
  std::int64_t bytes = 0;
  for (const auto& [id, n] : m.column_bytes) bytes += n;
  EXPECT_GT(bytes, 0);
  EXPECT_LT(bytes, m.file_bytes);
}

TEST_F(Encoder, AColumnOfOnlyNaNHasNoBounds) {
  send("s", 1, {insert(1, {Value(), Value(), Value::real(std::nan("")), Value()})});
  flush_all();
  EXPECT_FALSE(only_file().metrics.lower_bounds.contains(id_of("price")));
  EXPECT_EQ(only_file().metrics.nan_counts.at(id_of("price")), 1);
}

TEST_F(Encoder, RowGroupsAreCutAndMetricsCoverThemAll) {
  encoder = ParquetEncoder({.row_group_rows_max = 300});
  std::vector<SentChange> changes;
  for (std::uint64_t lsn = 1; lsn <= 1'000; ++lsn) {
    changes.push_back(insert(lsn, {Value::integer(static_cast<std::int64_t>(lsn)), Value::text("x"),
                                   lsn % 2 == 0 ? Value::text("unfit") : Value::real(1), Value()}));
  }
  send("s", 1, changes);
  flush_all();
  const auto file = metadata(only_file().bytes);
  EXPECT_EQ(file->num_row_groups(), 4);
  EXPECT_EQ(only_file().metrics.split_offsets.size(), 4u);
  EXPECT_EQ(only_file().metrics.lower_bounds.at(id_of("id")), table::bound_of_long(1));
  EXPECT_EQ(only_file().metrics.upper_bounds.at(id_of("id")), table::bound_of_long(1'000));
  EXPECT_EQ(only_file().metrics.null_counts.at(id_of("price")), 500);
  const auto& got = rows("goods_changes");
  ASSERT_EQ(got.size(), 1'000u);
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].at("id"), std::to_string(i + 1));
    EXPECT_EQ(got[i].contains("_unfit[price]"), i % 2 == 1);
  }
}

TEST_F(Encoder, TheSameJobGivesTheSameBytes) {
  send("s", 1, {insert(1, {Value::integer(1), Value::text("tea"), Value::real(1), Value()})});
  lake->request_flush();
  const auto job = lake->next_flush(now);
  EXPECT_EQ((*encoder.encode(*job, 1u << 20))[0].bytes, (*encoder.encode(*job, 1u << 20))[0].bytes);
}

TEST_F(Encoder, HugeValuesAndManySourcesSurvive) {
  std::vector<std::uint64_t> next(50);
  for (std::uint64_t n = 0; n < 3'000; ++n) {
    const std::uint64_t source = n * 7 % 50;
    send("source-" + std::to_string(source), 1,
         {insert(++next[source],
                 {Value::integer(std::numeric_limits<std::int64_t>::max()),
                  Value::text(std::string(n % 100 == 0 ? 100'000 : 3, 'x')), Value(), Value()})});
  }
  flush_all();
  std::map<std::string, std::uint64_t> seen;
  std::string before;
  std::size_t large = 0;
  for (const Row& row : rows("goods_changes")) {
    EXPECT_GE(row.at("_source"), before);
    before = row.at("_source");
    EXPECT_EQ(row.at("_lsn"), std::to_string(++seen[before]));
    large += row.at("name").size() == 100'000 ? 1 : 0;
  }
  EXPECT_EQ(seen.size(), 50u);
  EXPECT_EQ(large, 30u);
}

}  // namespace
}  // namespace evodb::lake
