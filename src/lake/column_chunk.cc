#include "lake/column_chunk.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include <arrow/buffer.h>
#include <arrow/memory_pool.h>
#include <parquet/column_writer.h>
#include <parquet/exception.h>
#include <parquet/statistics.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "lake/delta_packed.h"

namespace evodb::lake {
namespace {

template <class T>
std::string plain(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

// Levels as they stand in a page: how long they are, then runs.
std::string any_levels(const std::vector<std::int16_t>& levels, std::int16_t max_level) {
  const int rows = static_cast<int>(levels.size());
  const int room = parquet::LevelEncoder::MaxBufferSize(parquet::Encoding::RLE, max_level, rows);
  std::string out(sizeof(std::uint32_t) + static_cast<std::size_t>(room), 0);
  parquet::LevelEncoder encoder;
  encoder.Init(parquet::Encoding::RLE, max_level, rows,
               reinterpret_cast<std::uint8_t*>(out.data()) + sizeof(std::uint32_t), room);
  const int encoded = encoder.Encode(rows, levels.data());
  EVODB_ASSERT(encoded == rows, "MaxBufferSize is room for all levels");
  const auto size = static_cast<std::uint32_t>(encoder.len());
  std::memcpy(out.data(), &size, sizeof size);
  out.resize(sizeof size + size);
  return out;
}

}  // namespace

ColumnChunk::ColumnChunk(std::string& file, PageWorkspace& workspace,
                         parquet::ColumnChunkMetaDataBuilder& metadata, Encoding encoding,
                         std::int16_t full_level)
    : pages_(file, workspace),
      workspace_(workspace),
      metadata_(metadata),
      full_level_(full_level),
      delta_(encoding == Encoding::kDelta),
      page_(std::exchange(workspace.page, {})) {
  if (page_.capacity == 0) grow(page_bytes_max / 16);
  if (metadata.descr()->physical_type() == parquet::Type::BOOLEAN) {
    bits_ = parquet::MakeTypedEncoder<parquet::BooleanType>(
        parquet::Encoding::PLAIN, false, metadata.descr(), arrow::system_memory_pool());
  }
}

ColumnChunk::~ColumnChunk() { workspace_.page = std::move(page_); }

void ColumnChunk::grow(std::size_t capacity_min) {
  const std::size_t capacity = std::max(capacity_min, 2 * page_.capacity);
  auto larger = std::make_unique_for_overwrite<char[]>(capacity);
  if (page_.data) std::memcpy(larger.get() + front, page_.data.get() + front, used_ - front);
  page_ = {std::move(larger), capacity};
}

void ColumnChunk::put(const std::int32_t* values, std::uint32_t n) {
  if (n == 0) return;
  for (std::uint32_t i = 0; i < n; ++i) {
    low_long_ = std::min<std::int64_t>(low_long_, values[i]);
    high_long_ = std::max<std::int64_t>(high_long_, values[i]);
  }
  values_ += n;
  std::memcpy(room(n * sizeof *values), values, n * sizeof *values);
}

void ColumnChunk::put(const std::int64_t* values, std::uint32_t n) {
  if (n == 0) return;
  for (std::uint32_t i = 0; i < n; ++i) {
    low_long_ = std::min(low_long_, values[i]);
    high_long_ = std::max(high_long_, values[i]);
  }
  values_ += n;
  std::memcpy(room(n * sizeof *values), values, n * sizeof *values);
}

void ColumnChunk::put(const double* values, std::uint32_t n) {
  if (n == 0) return;
  for (std::uint32_t i = 0; i < n; ++i) {
    nans_ += std::isnan(values[i]) ? 1 : 0;
    // Of these two, one that compares with a NaN keeps what it had.
    low_double_ = values[i] < low_double_ ? values[i] : low_double_;
    high_double_ = values[i] > high_double_ ? values[i] : high_double_;
  }
  values_ += n;
  std::memcpy(room(n * sizeof *values), values, n * sizeof *values);
}

void ColumnChunk::put(const bool* values, std::uint32_t n) {
  if (n == 0) return;
  for (std::uint32_t i = 0; i < n; ++i) {
    low_long_ = std::min<std::int64_t>(low_long_, values[i]);
    high_long_ = std::max<std::int64_t>(high_long_, values[i]);
  }
  values_ += n;
  bits_->Put(values, static_cast<int>(n));
}

void ColumnChunk::end_rows(std::uint32_t n) {
  if (!levels_.empty()) levels_.insert(levels_.end(), n, full_level_);
  rows_ += n;
  cut_if_full();
}

void ColumnChunk::end_rows(const std::int16_t* levels, std::uint32_t n) {
  EVODB_ASSERT(full_level_ > 0, "a required column has no levels");
  if (levels_.empty()) levels_.assign(rows_, full_level_);
  levels_.insert(levels_.end(), levels, levels + n);
  rows_ += n;
  cut_if_full();
}

void ColumnChunk::cut_if_full() {
  if (full()) flush_page();
}

parquet::Encoding::type ColumnChunk::encoding() const {
  return delta_ ? parquet::Encoding::DELTA_BINARY_PACKED : parquet::Encoding::PLAIN;
}

// Levels and values of a page, one behind the other.
std::string_view ColumnChunk::page_with_levels() {
  if (bits_) {
    const auto packed = bits_->FlushValues();
    const auto size = static_cast<std::size_t>(packed->size());
    if (size != 0) std::memcpy(room(size), packed->data(), size);
  }
  const std::string levels =
      levels_.empty() ? same_levels(full_level_, rows_) : any_levels(levels_, full_level_);
  const char* const values = page_.data.get() + front;
  const std::size_t values_bytes = used_ - front;
  if (delta_) {
    joined_ = levels;
    append_delta_packed(joined_, reinterpret_cast<const std::int64_t*>(values),
                        values_bytes / sizeof(std::int64_t));
    return joined_;
  }
  if (levels.size() <= front) {
    char* const page = page_.data.get() + front - levels.size();
    std::memcpy(page, levels.data(), levels.size());
    return {page, levels.size() + values_bytes};
  }
  joined_ = levels;
  joined_.append(values, values_bytes);
  return joined_;
}

void ColumnChunk::flush_page() {
  if (rows_ == 0) return;
  const std::int64_t at = pages_.put_data(page_with_levels(), rows_, encoding());
  if (page_count_++ == 0) first_page_ = at;
  chunk_rows_ += rows_;
  rows_ = 0;
  used_ = front;
  levels_.clear();
}

void ColumnChunk::put_statistics() {
  parquet::EncodedStatistics statistics;
  statistics.set_null_count(chunk_rows_ - values_);
  const auto set = [&](std::string low, std::string high) {
    statistics.set_min(std::move(low)).set_max(std::move(high));
  };
  if (values_ > nans_) {
    switch (metadata_.descr()->physical_type()) {
      case parquet::Type::INT32:
        set(plain(static_cast<std::int32_t>(low_long_)),
            plain(static_cast<std::int32_t>(high_long_)));
        break;
      case parquet::Type::INT64: set(plain(low_long_), plain(high_long_)); break;
      case parquet::Type::BOOLEAN: set(plain(low_long_ != 0), plain(high_long_ != 0)); break;
      case parquet::Type::DOUBLE:
        // parquet.thrift, "ColumnOrder": zeros of either sign lie within the bounds.
        if (low_double_ == 0) low_double_ = -0.0;
        if (high_double_ == 0) high_double_ = 0.0;
        set(plain(low_double_), plain(high_double_));
        break;
      default: set(std::string(low_bytes_), std::string(high_bytes_));
    }
  }
  statistics.ApplyStatSizeLimits(bound_bytes_max);
  metadata_.SetStatistics(statistics);
}

ColumnChunk::Totals ColumnChunk::close() {
  flush_page();
  put_statistics();
  constexpr std::int64_t none = -1;
  metadata_.Finish(chunk_rows_, none, none, first_page_, pages_.compressed_bytes(),
                   pages_.uncompressed_bytes(), /*has_dictionary=*/false,
                   /*dictionary_fallback=*/false, {}, {{encoding(), page_count_}});
  return {.values = values_, .nans = nans_, .uncompressed_bytes = pages_.uncompressed_bytes()};
}

}  // namespace evodb::lake
