// Chunks of random columns, read back by Arrow; their bounds and counts beside those of Arrow's own
// column writer over the same values.
#include "lake/column_chunk.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <random>
#include <set>

#include <arrow/io/memory.h>
#include <gtest/gtest.h>
#include <parquet/column_reader.h>
#include <parquet/column_writer.h>
#include <parquet/file_reader.h>
#include <parquet/file_writer.h>
#include <parquet/statistics.h>

namespace evodb::lake {
namespace {

using parquet::Repetition;
using parquet::schema::GroupNode;
using parquet::schema::NodePtr;
using parquet::schema::PrimitiveNode;

// What a column holds: a level a row, a value for each full one.
template <class T>
struct Column {
  parquet::Type::type type;
  ColumnChunk::Encoding encoding = ColumnChunk::Encoding::kPlain;
  std::int16_t full_level = 1;
  std::vector<std::int16_t> levels;
  std::vector<T> values;
};

// A column of level 2 lies in an optional group.
std::shared_ptr<GroupNode> schema_of(parquet::Type::type type, std::int16_t full_level) {
  const auto leaf =
      PrimitiveNode::Make("v", full_level == 0 ? Repetition::REQUIRED : Repetition::OPTIONAL, type);
  NodePtr top = leaf;
  if (full_level == 2) top = GroupNode::Make("outer", Repetition::OPTIONAL, {leaf});
  return std::static_pointer_cast<GroupNode>(GroupNode::Make("root", Repetition::REQUIRED, {top}));
}

std::shared_ptr<parquet::WriterProperties> properties() {
  return parquet::WriterProperties::Builder()
      .compression(parquet::Compression::ZSTD)
      ->disable_dictionary()
      ->build();
}

void put_values(ColumnChunk& chunk, const std::string* values, std::uint32_t n) {
  for (std::uint32_t i = 0; i < n; ++i) chunk.put(std::string_view(values[i]));
}
template <class T>
void put_values(ColumnChunk& chunk, const T* values, std::uint32_t n) {
  chunk.put(values, n);
}

// std::vector<bool> has no data().
template <class T>
using Stored = std::conditional_t<std::is_same_v<T, bool>, std::uint8_t, T>;
template <class T>
const T* pointer(const std::vector<Stored<T>>& values) {
  return reinterpret_cast<const T*>(values.data());
}

template <class T>
std::string write_ours(const Column<Stored<T>>& column, std::mt19937& random) {
  std::string file = "PAR1";
  parquet::SchemaDescriptor schema;
  schema.Init(schema_of(column.type, column.full_level));
  const auto metadata = parquet::FileMetaDataBuilder::Make(&schema, properties());
  auto* const group = metadata->AppendRowGroup();
  group->set_num_rows(static_cast<std::int64_t>(column.levels.size()));
  PageWorkspace workspace(3);
  ColumnChunk chunk(file, workspace, *group->NextColumnChunk(), column.encoding, column.full_level);
  std::size_t at = 0, value = 0;
  while (at < column.levels.size()) {
    const auto n = static_cast<std::uint32_t>(
        std::min<std::size_t>(column.levels.size() - at, 1 + random() % 2048));
    std::uint32_t filled = 0;
    for (std::uint32_t i = 0; i < n; ++i) filled += column.levels[at + i] == column.full_level;
    put_values(chunk, pointer<T>(column.values) + value, filled);
    if (filled == n) {
      chunk.end_rows(n);
    } else {
      chunk.end_rows(column.levels.data() + at, n);
    }
    at += n;
    value += filled;
  }
  const auto totals = chunk.close();
  EXPECT_EQ(totals.values, static_cast<std::int64_t>(column.values.size()));
  group->Finish(totals.uncompressed_bytes, 0);
  auto sink = arrow::io::BufferOutputStream::Create().ValueOrDie();
  EXPECT_TRUE(sink->Write(file).ok());
  parquet::WriteFileMetaData(*metadata->Finish(), sink.get());
  return sink->Finish().ValueOrDie()->ToString();
}

template <class DType, class T>
std::string write_arrows(const Column<T>& column) {
  auto sink = arrow::io::BufferOutputStream::Create().ValueOrDie();
  auto file = parquet::ParquetFileWriter::Open(sink, schema_of(column.type, column.full_level),
                                               properties());
  auto* const writer =
      static_cast<parquet::TypedColumnWriter<DType>*>(file->AppendRowGroup()->NextColumn());
  std::vector<typename DType::c_type> values;
  if constexpr (std::is_same_v<T, std::string>) {
    for (const std::string& v : column.values) values.emplace_back(std::string_view(v));
    writer->WriteBatch(static_cast<std::int64_t>(column.levels.size()), column.levels.data(),
                       nullptr, values.data());
  } else {
    writer->WriteBatch(static_cast<std::int64_t>(column.levels.size()), column.levels.data(),
                       nullptr, pointer<typename DType::c_type>(column.values));
  }
  writer->Close();
  file->Close();
  return sink->Finish().ValueOrDie()->ToString();
}

std::unique_ptr<parquet::ParquetFileReader> open(const std::string& file) {
  return parquet::ParquetFileReader::Open(
      std::make_shared<arrow::io::BufferReader>(std::make_shared<arrow::Buffer>(file)));
}

template <class DType, class T>
Column<T> read(const std::string& file, Column<T> like) {
  Column<T> got = std::move(like);
  got.levels.clear();
  got.values.clear();
  const auto reader = open(file);
  const auto untyped = reader->RowGroup(0)->Column(0);
  auto& column = static_cast<parquet::TypedColumnReader<DType>&>(*untyped);
  constexpr std::int64_t batch = 1000;
  std::array<std::int16_t, batch> levels{};
  std::array<typename DType::c_type, batch> values;
  while (column.HasNext()) {
    std::int64_t n_values = 0;
    const std::int64_t n =
        column.ReadBatch(batch, levels.data(), nullptr, values.data(), &n_values);
    if (got.full_level == 0) levels.fill(0);
    got.levels.insert(got.levels.end(), levels.begin(), levels.begin() + (n > 0 ? n : n_values));
    for (std::int64_t i = 0; i < n_values; ++i) {
      if constexpr (std::is_same_v<T, std::string>) {
        got.values.emplace_back(std::string_view(values[static_cast<std::size_t>(i)]));
      } else {
        got.values.push_back(static_cast<T>(values[static_cast<std::size_t>(i)]));
      }
    }
  }
  return got;
}

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  if constexpr (std::is_same_v<T, double>) {
    return std::ranges::equal(
        a, b, {}, [](T v) { return std::bit_cast<std::uint64_t>(v); },
        [](T v) { return std::bit_cast<std::uint64_t>(v); });
  } else {
    return a == b;
  }
}

template <class DType, class T>
void expect_same(const Column<T>& column, std::mt19937& random) {
  using Value = std::conditional_t<std::is_same_v<DType, parquet::BooleanType>, bool, T>;
  const std::string ours = write_ours<Value>(column, random);
  const Column<T> got = read<DType>(ours, column);
  EXPECT_EQ(got.levels, column.levels);
  EXPECT_TRUE(same(got.values, column.values));

  const auto our_file = open(ours)->metadata();
  const auto metadata = our_file->RowGroup(0)->ColumnChunk(0);
  const auto arrows_file = open(write_arrows<DType>(column))->metadata();
  const auto arrows = arrows_file->RowGroup(0)->ColumnChunk(0);
  EXPECT_EQ(metadata->num_values(), arrows->num_values());
  EXPECT_EQ(metadata->compression(), arrows->compression());
  ASSERT_TRUE(metadata->is_stats_set());
  const auto& a = metadata->encoded_statistics();
  const auto& b = arrows->encoded_statistics();
  EXPECT_EQ(a->null_count, b->null_count);
  EXPECT_EQ(a->has_min, b->has_min);
  EXPECT_EQ(a->has_max, b->has_max);
  EXPECT_EQ(a->min(), b->min());
  EXPECT_EQ(a->max(), b->max());
  if (column.encoding == ColumnChunk::Encoding::kPlain) {
    const auto listed = metadata->encodings();
    EXPECT_EQ(std::set(listed.begin(), listed.end()),
              (std::set{parquet::Encoding::PLAIN, parquet::Encoding::RLE}));
  }
}

template <class T>
void fill_levels(Column<T>& column, std::size_t rows, std::mt19937& random) {
  // All full, none, or gaps; long runs or noise.
  const std::uint32_t kind = column.full_level == 0 ? 0 : random() % 4;
  std::int16_t level = column.full_level;
  for (std::size_t i = 0; i < rows; ++i) {
    const auto any = static_cast<std::int16_t>(random() % (column.full_level + 1u));
    switch (kind) {
      case 0: level = column.full_level; break;
      case 1:
        level = static_cast<std::int16_t>(random() % std::max<unsigned>(column.full_level, 1));
        break;
      case 2: level = any; break;
      default:
        if (random() % 300 == 0) level = any;
    }
    column.levels.push_back(level);
  }
}

template <class T, class Make>
void fill_values(Column<T>& column, Make make) {
  for (const std::int16_t level : column.levels) {
    if (level == column.full_level) column.values.push_back(make());
  }
}

class Chunks : public testing::TestWithParam<unsigned> {
 protected:
  std::mt19937 random{GetParam()};
  std::size_t rows = random() % 5 == 0 ? 1 + random() % 5 : 1 + random() % 20'000;
  std::int16_t full_level = static_cast<std::int16_t>(random() % 3);
};

TEST_P(Chunks, OfLongsReadBackAlike) {
  Column<std::int64_t> column{.type = parquet::Type::INT64, .full_level = full_level};
  if (random() % 2 == 0) column.encoding = ColumnChunk::Encoding::kDelta;
  fill_levels(column, rows, random);
  const bool small = random() % 2 == 0;
  fill_values(column, [&] {
    return static_cast<std::int64_t>(small ? random() % 100
                                           : (std::uint64_t{random()} << 32) ^ random());
  });
  expect_same<parquet::Int64Type>(column, random);
}

TEST_P(Chunks, OfDoublesReadBackAlike) {
  Column<double> column{.type = parquet::Type::DOUBLE, .full_level = full_level};
  fill_levels(column, rows, random);
  const double special[] = {0.0, -0.0, std::nan(""), 1e308 * 10, -1e308 * 10, 1.5};
  const unsigned from = random() % 6, kinds = 1 + random() % (6 - from);
  fill_values(column, [&] { return special[from + random() % kinds]; });
  expect_same<parquet::DoubleType>(column, random);
}

TEST_P(Chunks, OfBooleansReadBackAlike) {
  Column<std::uint8_t> column{.type = parquet::Type::BOOLEAN, .full_level = full_level};
  fill_levels(column, rows, random);
  const unsigned kinds = 1 + random() % 2;
  fill_values(column, [&] { return static_cast<std::uint8_t>(random() % kinds); });
  expect_same<parquet::BooleanType>(column, random);
}

TEST_P(Chunks, OfTextsReadBackAlike) {
  Column<std::string> column{.type = parquet::Type::BYTE_ARRAY, .full_level = full_level};
  fill_levels(column, rows, random);
  // Short alphabets and common heads make ties; among the letters are the lowest and the highest.
  const std::string head(random() % 12, 'h');
  const std::string letters("\0\x01hz\xff", 5);
  const unsigned longest = random() % 3 == 0 ? 6'000 : 1 + random() % 20;
  fill_values(column, [&] {
    std::string value = random() % 50 == 0 ? std::string() : head;
    if (longest > 20)
      return value + std::string(random() % 10 == 0 ? longest : 3, letters[random() % 5]);
    for (unsigned n = random() % longest; n > 0; --n) value += letters[random() % 5];
    return value;
  });
  expect_same<parquet::ByteArrayType>(column, random);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Chunks, testing::Range(0u, 60u));

TEST(Chunk, OfLargeValuesIsCutIntoPages) {
  std::string file = "PAR1";
  parquet::SchemaDescriptor schema;
  schema.Init(schema_of(parquet::Type::BYTE_ARRAY, 1));
  const auto metadata = parquet::FileMetaDataBuilder::Make(&schema, properties());
  auto* const group = metadata->AppendRowGroup();
  PageWorkspace workspace(3);
  ColumnChunk chunk(file, workspace, *group->NextColumnChunk(), ColumnChunk::Encoding::kPlain, 1);
  const std::string value(400'000, 'x');
  int pages = 0;
  for (int i = 0; i < 10; ++i) {
    chunk.put(std::string_view(value));
    pages += chunk.full() ? 1 : 0;
    chunk.end_rows(1);
    EXPECT_FALSE(chunk.full());
  }
  EXPECT_EQ(pages, 3) << "of three values each; the tenth is in the last";
  EXPECT_EQ(chunk.close().values, 10);
}

}  // namespace
}  // namespace evodb::lake
