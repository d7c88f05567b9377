// RowBuffer: the rows of one table between two flushes, column by column.
//
//   RowBuffer rows;
//   head.source = rows.source_number("truck-7");
//   const std::uint32_t row = rows.add_row(head);
//   rows.column(0, table::Type::kLong).put_long(row, 42);
//   rows.note_unfit(row, rows.unfit_key("price"), "text:much");
//
// What every row has stands in a RowHead; a value column holds nothing behind its last value, so a
// column that no row of this buffer fills costs nothing (the rows before in insert-only tables,
// columns of other sources' versions of a table). Filled by one thread; once sealed it is const and
// may be read by another. Memory is counted in capacity: memory_bytes().
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/assert.h"
#include "evodb/types.h"
#include "lake/grow_buffer.h"
#include "table/schema.h"

namespace evodb::lake {

enum RowFlag : std::uint8_t {
  kHasBefore = 1,      // the change carries the row before
  kNoCommittedAt = 2,  // the time does not fit a timestamp; it is in `_unfit`
  kNoReceivedAt = 4,
};

struct RowHead {
  Epoch epoch;
  Lsn lsn;
  TxnId txn;
  UnixMillis committed_at, received_at;
  std::uint32_t source = 0;  // RowBuffer::source_number
  Op op = Op::kInsert;
  std::uint8_t flags = 0;
};
static_assert(sizeof(RowHead) == 48);

// Values by row; a row without one is null. kInt, kLong, kDouble, kBoolean lie in 8 bytes each,
// kString and kBinary behind each other. Which rows have one is written down from the first gap on:
// most columns never have any.
class ColumnBuffer {
 public:
  ColumnBuffer(table::Type type, MemoryMeter& meter);

  table::Type type() const { return type_; }
  // REQUIRES: `row` greater than that of every put before.
  void put_long(std::uint32_t row, std::int64_t v) {
    put_fixed(row, static_cast<std::uint64_t>(v));
  }
  void put_double(std::uint32_t row, double v) { put_fixed(row, std::bit_cast<std::uint64_t>(v)); }
  void put_boolean(std::uint32_t row, bool v) { put_fixed(row, v ? 1 : 0); }
  void put_bytes(std::uint32_t row, std::string_view v) {
    EVODB_ASSERT(v.size() <= std::numeric_limits<std::uint32_t>::max() - data_.size(),
                 "a buffer is sealed long before a column has 4 GiB");
    if (row != values_) [[unlikely]] {
      note_present(row);
      ends_.extend_to(row, static_cast<std::uint32_t>(data_.size()));
    }
    data_.append(v.data(), v.size());
    ends_.push_back(static_cast<std::uint32_t>(data_.size()));
    rows_ = row + 1;
    ++values_;
  }

  // Rows from here on are null.
  std::uint32_t rows() const { return rows_; }
  std::uint32_t values() const { return values_; }
  // None of rows() is null.
  bool dense() const { return values_ == rows_; }
  bool has(std::uint32_t row) const { return row < rows_ && (dense() || present_[row] != 0); }
  // REQUIRES: has(row), and a column of that type.
  std::uint64_t fixed(std::uint32_t row) const { return fixed_[row]; }
  std::string_view bytes(std::uint32_t row) const {
    const std::uint32_t from = row == 0 ? 0 : ends_[row - 1];
    return {data_.data() + from, ends_[row] - from};
  }

 private:
  void put_fixed(std::uint32_t row, std::uint64_t v) {
    if (row != values_) [[unlikely]] {
      note_present(row);
      fixed_.extend_to(row, 0);
    }
    fixed_.push_back(v);
    rows_ = row + 1;
    ++values_;
  }
  void note_present(std::uint32_t row);

  table::Type type_;
  std::uint32_t rows_ = 0, values_ = 0;
  GrowBuffer<std::uint8_t> present_;  // empty while dense
  GrowBuffer<std::uint64_t> fixed_;
  GrowBuffer<std::uint32_t> ends_;
  GrowBuffer<char> data_;
};

class RowBuffer {
 public:
  RowBuffer();
  RowBuffer(const RowBuffer&) = delete;
  RowBuffer& operator=(const RowBuffer&) = delete;

  std::uint32_t rows() const { return static_cast<std::uint32_t>(heads_.size()); }
  std::uint64_t memory_bytes() const { return meter_.bytes; }

  // A source's number in this buffer, for RowHead::source: asked once for many rows.
  std::uint32_t source_number(std::string_view source);
  // Returns the row's number. REQUIRES: head.source is a source_number() of this buffer.
  std::uint32_t add_row(const RowHead& head);
  // Some row has this flag.
  bool has_flag(std::uint8_t flag) const { return (flags_ & flag) != 0; }
  const RowHead& head(std::uint32_t row) const { return heads_[row]; }
  std::string_view source(std::uint32_t index) const { return sources_[index]; }
  std::uint32_t sources() const { return static_cast<std::uint32_t>(sources_.size()); }

  // The buffer of a column, made on first use. REQUIRES: always the same type.
  ColumnBuffer& column(std::uint32_t index, table::Type type);
  // Null where no row has a value.
  const ColumnBuffer* column(std::uint32_t index) const {
    return index < columns_.size() ? columns_[index].get() : nullptr;
  }

  struct Unfit {
    std::uint32_t row = 0, key = 0;
    std::uint32_t offset = 0, length = 0;
  };
  std::uint32_t unfit_key(std::string_view name);
  void note_unfit(std::uint32_t row, std::uint32_t key, std::string_view value);
  // In row order.
  const GrowBuffer<Unfit>& unfit() const { return unfit_; }
  std::string_view unfit_key_name(std::uint32_t key) const { return unfit_keys_[key]; }
  std::string_view unfit_value(const Unfit& u) const {
    return {unfit_data_.data() + u.offset, u.length};
  }

  // The rows in the order in which they go into a file: by source, epoch, LSN. Empty: as they are.
  std::vector<std::uint32_t> sorted_order() const;

 private:
  MemoryMeter meter_;
  GrowBuffer<RowHead> heads_;
  std::vector<std::string> sources_;
  std::unordered_map<std::string, std::uint32_t> source_index_;
  std::uint8_t flags_ = 0;  // of all rows
  bool ordered_ = true;     // rows have come in file order so far
  std::vector<std::unique_ptr<ColumnBuffer>> columns_;
  std::vector<std::string> unfit_keys_;
  std::unordered_map<std::string, std::uint32_t> unfit_key_index_;
  GrowBuffer<Unfit> unfit_;
  GrowBuffer<char> unfit_data_;
};

}  // namespace evodb::lake
