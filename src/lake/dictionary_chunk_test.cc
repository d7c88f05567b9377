// Chunks of random runs, read back by Arrow.
#include "lake/dictionary_chunk.h"

#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <vector>

#include <arrow/buffer.h>
#include <arrow/io/memory.h>
#include <gtest/gtest.h>
#include <parquet/column_reader.h>
#include <parquet/file_reader.h>
#include <parquet/file_writer.h>
#include <parquet/statistics.h>

namespace evodb::lake {
namespace {

using parquet::Repetition;
using parquet::schema::GroupNode;
using parquet::schema::PrimitiveNode;

struct Written {
  std::vector<std::string> names;  // by number
  std::vector<std::uint32_t> rows;
  bool required = true;
};

std::string write(const Written& column) {
  const auto leaf =
      PrimitiveNode::Make("v", column.required ? Repetition::REQUIRED : Repetition::OPTIONAL,
                          parquet::Type::BYTE_ARRAY);
  parquet::SchemaDescriptor schema;
  schema.Init(
      std::static_pointer_cast<GroupNode>(GroupNode::Make("root", Repetition::REQUIRED, {leaf})));
  const auto metadata = parquet::FileMetaDataBuilder::Make(
      &schema,
      parquet::WriterProperties::Builder().compression(parquet::Compression::ZSTD)->build());
  std::string file = "PAR1";
  auto* const group = metadata->AppendRowGroup();
  group->set_num_rows(static_cast<std::int64_t>(column.rows.size()));
  PageWorkspace workspace(3);
  DictionaryChunk chunk(file, workspace, *group->NextColumnChunk(), column.required ? 0 : 1);
  for (std::uint32_t i = 0; i < column.names.size(); ++i) {
    EXPECT_EQ(chunk.add_name(column.names[i]), i);
  }
  for (const std::uint32_t name : column.rows) chunk.put(name, 1);
  group->Finish(chunk.close(), 0);
  auto sink = arrow::io::BufferOutputStream::Create().ValueOrDie();
  EXPECT_TRUE(sink->Write(file).ok());
  parquet::WriteFileMetaData(*metadata->Finish(), sink.get());
  return sink->Finish().ValueOrDie()->ToString();
}

void expect_read_back(const Written& column) {
  const auto reader = parquet::ParquetFileReader::Open(
      std::make_shared<arrow::io::BufferReader>(arrow::Buffer::FromString(write(column))));
  const auto untyped = reader->RowGroup(0)->Column(0);
  auto& values = static_cast<parquet::ByteArrayReader&>(*untyped);
  constexpr std::int64_t batch = 1000;
  std::array<std::int16_t, batch> levels{};
  std::array<parquet::ByteArray, batch> got;
  std::size_t row = 0;
  while (values.HasNext()) {
    std::int64_t n = 0;
    values.ReadBatch(batch, levels.data(), nullptr, got.data(), &n);
    for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i, ++row) {
      ASSERT_LT(row, column.rows.size());
      ASSERT_EQ(std::string_view(got[i]), column.names[column.rows[row]]) << "row " << row;
    }
  }
  EXPECT_EQ(row, column.rows.size());
  const auto chunk = reader->metadata()->RowGroup(0)->ColumnChunk(0);
  EXPECT_TRUE(chunk->has_dictionary_page());
  const auto statistics = chunk->encoded_statistics();
  ASSERT_NE(statistics, nullptr);
  EXPECT_EQ(statistics->null_count, 0);
  const auto [low, high] = std::ranges::minmax(column.names);
  EXPECT_EQ(statistics->min(), low.size() > bound_bytes_max ? "" : low);
  EXPECT_EQ(statistics->max(), high.size() > bound_bytes_max ? "" : high);
}

TEST(DictionaryChunk, OfRandomRunsReadsBackAlike) {
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    Written column;
    column.required = random() % 2 == 0;
    const std::size_t names = 1 + random() % (round % 4 == 0 ? 3'000 : 6);
    for (std::size_t i = 0; i < names; ++i) {
      column.names.push_back(std::string(random() % 5, 'n') + std::to_string(i));
    }
    if (random() % 20 == 0) column.names.back() = std::string(bound_bytes_max + 1, 'z');
    // Each occurs, as those of a file do; then runs of all lengths around eight, or noise.
    for (std::uint32_t i = 0; i < names; ++i) column.rows.push_back(i);
    const std::size_t longest = 1 + random() % (round % 3 == 0 ? 2 : 40);
    for (std::size_t n = random() % 400; n > 0; --n) {
      column.rows.insert(column.rows.end(), 1 + random() % longest, random() % names);
    }
    expect_read_back(column);
    if (HasFatalFailure()) FAIL() << "round " << round;
  }
}

TEST(DictionaryChunk, OfOneNameIsOneRun) {
  const Written column{.names = {"only"}, .rows = std::vector<std::uint32_t>(100'000, 0)};
  expect_read_back(column);
  EXPECT_LT(write(column).size(), 400u);
}

}  // namespace
}  // namespace evodb::lake
