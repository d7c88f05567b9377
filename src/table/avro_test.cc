#include "table/avro.h"

#include <gtest/gtest.h>

#include "base/bytes.h"

namespace evodb::table {
namespace {

constexpr char schema[] = R"({"type":"record","name":"r","fields":[
  {"name":"n","type":"long","field-id":1},
  {"name":"s","type":["null","string"],"field-id":2},
  {"name":"l","type":{"type":"array","items":"int"},"field-id":3}]})";

void put_row(AvroWriter& out, std::int64_t n, const char* s) {
  put_avro_long(out.row(), n);
  if (s == nullptr) {
    put_avro_null(out.row());
  } else {
    put_avro_some(out.row());
    put_avro_bytes(out.row(), s);
  }
  put_avro_long(out.row(), 2);
  put_avro_long(out.row(), 7);
  put_avro_long(out.row(), -7);
  put_avro_long(out.row(), 0);
  out.end_row();
}

// A container file by hand: header, then one block.
std::string container(const std::string& schema_json, const std::string& codec, std::int64_t rows,
                      std::string_view block) {
  std::string out("Obj\1", 4);
  put_avro_long(out, 2);
  put_avro_bytes(out, "avro.schema");
  put_avro_bytes(out, schema_json);
  put_avro_bytes(out, "avro.codec");
  put_avro_bytes(out, codec);
  put_avro_long(out, 0);
  const std::string sync(16, 's');
  out += sync;
  put_avro_long(out, rows);
  put_avro_bytes(out, block);
  return out + sync;
}

TEST(Avro, WhatIsWrittenIsRead) {
  AvroWriter out(schema, {{"content", "data"}});
  put_row(out, INT64_MIN, "héllo");
  put_row(out, 5, nullptr);
  const auto file = read_avro(out.finish());
  ASSERT_TRUE(file) << file.error().text;
  EXPECT_EQ(file->metadata.at("content"), "data");
  ASSERT_EQ(file->rows.size(), 2u);
  EXPECT_EQ(file->field(file->rows[0], 1)->number, INT64_MIN);
  EXPECT_EQ(file->field(file->rows[0], 2)->bytes, "héllo");
  EXPECT_EQ(file->field(file->rows[0], 3)->items[1].number, -7);
  EXPECT_EQ(file->field(file->rows[1], 2), nullptr) << "null";
  EXPECT_EQ(file->field(file->rows[1], 9), nullptr) << "no such field";
}

TEST(Avro, ManyRowsBecomeSeveralBlocks) {
  AvroWriter out(schema, {});
  for (int i = 0; i < 20'000; ++i) put_row(out, i, "some text of a row");
  const auto file = read_avro(out.finish());
  ASSERT_TRUE(file);
  ASSERT_EQ(file->rows.size(), 20'000u);
  EXPECT_EQ(file->field(file->rows[19'999], 1)->number, 19'999);
}

// The bytes are the specification's own examples: -64 is 7f, 64 is 80 01, "foo" is 06 66 6f 6f.
TEST(Avro, NumbersAndTextAreTheSpecificationsExamples) {
  std::string out;
  put_avro_long(out, -64);
  put_avro_long(out, 64);
  put_avro_bytes(out, "foo");
  EXPECT_EQ(base::to_hex(out), "7f800106666f6f");
}

TEST(Avro, ArraysInSizedBlocksAreRead) {
  // -2 items of 2 bytes, then the end.
  const auto file = read_avro(
      container(R"({"type":"array","items":"int"})", "null", 1, std::string("\3\4\2\4\0", 5)));
  ASSERT_TRUE(file) << file.error().text;
  ASSERT_EQ(file->rows[0].items.size(), 2u);
  EXPECT_EQ(file->rows[0].items[0].number, 1);
  EXPECT_EQ(file->rows[0].items[1].number, 2);
}

TEST(Avro, ATypeThatIsNamedOnceMayBeUsedAgain) {
  const auto file = read_avro(container(
      R"({"type":"record","name":"a","fields":[
          {"name":"x","type":{"type":"fixed","name":"two","size":2},"field-id":1},
          {"name":"y","type":"two","field-id":2}]})",
      "null", 1, "abcd"));
  ASSERT_TRUE(file) << file.error().text;
  EXPECT_EQ(file->field(file->rows[0], 2)->bytes, "cd");
}

TEST(Avro, DeflatedBlocksAreReadAndOtherCodecsNamed) {
  const std::string stored(
      "\1\3\0\xfc\xff"
      "abc",
      8);
  const auto file =
      read_avro(container(R"({"type":"fixed","name":"f","size":3})", "deflate", 1, stored));
  ASSERT_TRUE(file) << file.error().text;
  EXPECT_EQ(file->rows[0].bytes, "abc");
  const auto other = read_avro(container("\"int\"", "zstandard", 1, "x"));
  EXPECT_EQ(other.error().kind, ErrorKind::kInvalid);
  EXPECT_NE(other.error().text.find("zstandard"), std::string::npos);
}

TEST(Avro, RowsWithoutBytesAreBounded) {
  EXPECT_EQ(read_avro(container("\"null\"", "null", INT64_MAX, "")).error().kind,
            ErrorKind::kCorrupt);
  EXPECT_EQ(read_avro(container(R"({"type":"array","items":"null"})", "null", 1,
                                std::string("\xfe\xff\xff\xff\xff\xff\xff\xff\xff\1\0", 11)))
                .error()
                .kind,
            ErrorKind::kCorrupt);
}

TEST(Avro, ATypeThatHoldsItselfIsRefused) {
  EXPECT_EQ(read_avro(container(R"({"type":"record","name":"a","fields":[
                                    {"name":"x","type":"a"}]})",
                                "null", 1, ""))
                .error()
                .kind,
            ErrorKind::kCorrupt);
}

TEST(Avro, EveryCutAndEveryFlippedBitIsHarmless) {
  AvroWriter out(schema, {});
  put_row(out, 1, "one");
  put_row(out, 2, nullptr);
  const std::string good = out.finish();
  std::size_t cut_refused = 0;
  for (std::size_t n = 0; n < good.size(); ++n) {
    if (!read_avro(std::string_view(good).substr(0, n))) ++cut_refused;
  }
  EXPECT_EQ(cut_refused, good.size() - 1) << "all but the header alone, which is a file of no rows";
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
    (void)read_avro(bad);
  }
}

}  // namespace
}  // namespace evodb::table
