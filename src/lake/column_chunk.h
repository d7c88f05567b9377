// ColumnChunk: one flat column of a row group, as Parquet's pages, straight from a RowBuffer.
//
//   ColumnChunk chunk(file, workspace, metadata, ColumnChunk::Encoding::kPlain, 1);
//   chunk.put(values, n);              // the values of some rows,
//   chunk.end_rows(n);                 // which all have one; or end_rows(levels, n)
//   const ColumnChunk::Totals totals = chunk.close();
//
// Format: parquet_page.h, and Encodings.md (PLAIN, DELTA_BINARY_PACKED).
//
// Why not Arrow's column writer, which writes the map of misfits: it copies a definition level for
// every row even where all are the same, makes its compressor anew for every page, and compares
// whole strings for the bounds. What that saves: docs/PERFORMANCE.md, "Landing". The schema, the
// footer and the levels of columns with gaps are Arrow's here, too.
//
// One thread. Throws parquet::ParquetException (a page beyond 2 GiB) or std::bad_alloc.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <parquet/encoding.h>
#include <parquet/metadata.h>
#include <parquet/types.h>

#include "lake/parquet_page.h"

namespace evodb::lake {

class ColumnChunk {
 public:
  enum class Encoding : std::uint8_t { kPlain, kDelta };  // kDelta: of int64 only
  struct Totals {
    std::int64_t values = 0;  // that are not null
    std::int64_t nans = 0;
    std::int64_t uncompressed_bytes = 0;  // with the pages' headers
  };
  // A page is cut when its values, before they are packed, have as many bytes; its last row may go
  // beyond.
  static constexpr std::size_t page_bytes_max = 1u << 20;

  // Appends to `file`, which begins with the file's magic. `full_level`: the definition level of a
  // value; 0 for a required column. All that is given must outlive this.
  ColumnChunk(std::string& file, PageWorkspace& workspace,
              parquet::ColumnChunkMetaDataBuilder& metadata, Encoding encoding,
              std::int16_t full_level);
  ~ColumnChunk();

  // Values of the column's own type only.
  void put(const std::int32_t* values, std::uint32_t n);
  void put(const std::int64_t* values, std::uint32_t n);
  void put(const double* values, std::uint32_t n);
  void put(const bool* values, std::uint32_t n);
  // The bytes must stay where they are until close(): the bounds point at them. Call end_rows as
  // soon as the page is full().
  void put(std::string_view value) {
    char* const out = room(sizeof(std::uint32_t) + value.size());
    const auto size = static_cast<std::uint32_t>(value.size());
    static_assert(std::endian::native == std::endian::little, "as Parquet is");
    std::memcpy(out, &size, sizeof size);
    if (size != 0) std::memcpy(out + sizeof size, value.data(), size);
    ++values_;
    widen(value);
  }
  bool full() const { return used_ - front >= page_bytes_max; }

  // What has been put since the last call are the values of the next `n` rows, one each.
  void end_rows(std::uint32_t n);
  // The same, where only rows at the full level have a value.
  void end_rows(const std::int16_t* levels, std::uint32_t n);

  // Call once, at the end.
  Totals close();

 private:
  // Room before the values for the levels of a page without gaps, so that both lie together.
  static constexpr std::size_t front = 16;

  char* room(std::size_t bytes) {
    if (used_ + bytes > page_.capacity) grow(used_ + bytes);
    char* const out = page_.data.get() + used_;
    used_ += bytes;
    return out;
  }
  void grow(std::size_t capacity_min);
  void widen(std::string_view value) {
    const std::uint64_t head = head_of(value);
    if (values_ == 1 || head < low_head_ || (head == low_head_ && value < low_bytes_)) {
      low_head_ = head;
      low_bytes_ = value;
    }
    if (head > high_head_ || (head == high_head_ && value >= high_bytes_)) {
      high_head_ = head;
      high_bytes_ = value;
    }
  }
  // The first eight bytes as a number that sorts as they do, zeros behind a shorter value.
  static std::uint64_t head_of(std::string_view value) {
    std::uint64_t head = 0;
    if (value.size() >= sizeof head) {
      std::memcpy(&head, value.data(), sizeof head);
    } else if (!value.empty()) {
      std::memcpy(&head, value.data(), value.size());
    }
    return __builtin_bswap64(head);
  }
  void cut_if_full();
  parquet::Encoding::type encoding() const;
  void flush_page();
  std::string_view page_with_levels();
  void put_statistics();

  ChunkPages pages_;
  PageWorkspace& workspace_;
  parquet::ColumnChunkMetaDataBuilder& metadata_;
  const std::int16_t full_level_;
  const bool delta_;
  std::unique_ptr<parquet::TypedEncoder<parquet::BooleanType>> bits_;

  // The page of now.
  PageWorkspace::Bytes page_;
  std::size_t used_ = front;
  std::uint32_t rows_ = 0;
  std::vector<std::int16_t> levels_;  // of its rows; empty: all are full
  std::string joined_;

  // The chunk so far.
  std::int64_t chunk_rows_ = 0, values_ = 0, nans_ = 0;
  std::int64_t first_page_ = -1;
  std::int32_t page_count_ = 0;
  std::int64_t low_long_ = INT64_MAX, high_long_ = INT64_MIN;
  double low_double_ = std::numeric_limits<double>::infinity();
  double high_double_ = -std::numeric_limits<double>::infinity();
  std::uint64_t low_head_ = 0, high_head_ = 0;
  std::string_view low_bytes_, high_bytes_;
};

}  // namespace evodb::lake
