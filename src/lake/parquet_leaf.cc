// Column buffers to Parquet's column writers: definition levels and values in runs that stay in the
// processor's cache; text is passed by pointer, never copied.
#include "lake/parquet_leaf.h"

#include <array>
#include <bit>
#include <cmath>
#include <span>
#include <type_traits>

#include "base/assert.h"

namespace evodb::lake {
namespace {

using parquet::ByteArray;

constexpr std::uint32_t run_rows = 2048;

constexpr std::array<std::string_view, 5> op_names = {"INSERT", "UPDATE", "DELETE", "SNAPSHOT",
                                                      "OVERSIZE"};

ByteArray as_bytes(std::string_view v) {
  return {static_cast<std::uint32_t>(v.size()), reinterpret_cast<const std::uint8_t*>(v.data())};
}

std::int64_t micros(UnixMillis t) { return t.value * 1000; }

template <class DType>
auto& typed(parquet::ColumnWriter& writer) {
  return static_cast<parquet::TypedColumnWriter<DType>&>(writer);
}

// `level(row)` is the definition level of a row, `value(row)` is asked for those at `full_level`.
template <class DType, class Level, class Value>
LeafCounts write_rows(const RowRange& range, parquet::ColumnWriter& writer, std::int16_t full_level,
                      Level level, Value value) {
  std::array<std::int16_t, run_rows> levels;
  std::array<typename DType::c_type, run_rows> values;
  LeafCounts counts;
  for (std::uint32_t from = range.from; from < range.to; from += run_rows) {
    const std::uint32_t n = std::min(run_rows, range.to - from);
    std::uint32_t filled = 0;
    for (std::uint32_t i = 0; i < n; ++i) {
      const std::uint32_t row = range.row(from + i);
      levels[i] = level(row);
      if (levels[i] != full_level) continue;
      values[filled] = value(row);
      if constexpr (std::is_same_v<DType, parquet::DoubleType>) {
        counts.nans += std::isnan(values[filled]) ? 1 : 0;
      }
      ++filled;
    }
    typed<DType>(writer).WriteBatch(n, full_level == 0 ? nullptr : levels.data(), nullptr,
                                    values.data());
    counts.values += filled;
  }
  return counts;
}

template <class Level>
LeafCounts write_column(const ParquetLeaf& leaf, const RowRange& range,
                        parquet::ColumnWriter& writer, std::int16_t full_level, Level level) {
  const ColumnBuffer* column = range.rows.column(leaf.column);
  const auto fixed = [&](std::uint32_t row) { return column->fixed(row); };
  switch (leaf.type) {
    case table::Type::kLong:
      return write_rows<parquet::Int64Type>(
          range, writer, full_level, level,
          [&](std::uint32_t row) { return static_cast<std::int64_t>(fixed(row)); });
    case table::Type::kDouble:
      return write_rows<parquet::DoubleType>(
          range, writer, full_level, level,
          [&](std::uint32_t row) { return std::bit_cast<double>(fixed(row)); });
    case table::Type::kBoolean:
      return write_rows<parquet::BooleanType>(range, writer, full_level, level,
                                              [&](std::uint32_t row) { return fixed(row) != 0; });
    default:
      return write_rows<parquet::ByteArrayType>(
          range, writer, full_level, level,
          [&](std::uint32_t row) { return as_bytes(column->bytes(row)); });
  }
}

// The two leaves of `_unfit`: levels of a map (null, or entries; none is empty).
LeafCounts write_unfit(const ParquetLeaf& leaf, const RowRange& range,
                       parquet::ColumnWriter& writer) {
  const bool is_key = leaf.part == ParquetLeaf::Part::kMapKey;
  const std::int16_t full_level = is_key ? 2 : 3;
  std::vector<std::int16_t> levels, repeats;
  std::vector<ByteArray> values;
  LeafCounts counts;
  const auto write = [&] {
    if (levels.empty()) return;
    typed<parquet::ByteArrayType>(writer).WriteBatch(static_cast<std::int64_t>(levels.size()),
                                                     levels.data(), repeats.data(), values.data());
    counts.values += static_cast<std::int64_t>(values.size());
    levels.clear();
    repeats.clear();
    values.clear();
  };
  for (std::uint32_t i = range.from; i < range.to; ++i) {
    const std::uint32_t row = range.row(i);
    const std::uint32_t from = range.first_unfit.empty() ? 0 : range.first_unfit[row];
    const std::uint32_t to = range.first_unfit.empty() ? 0 : range.first_unfit[row + 1];
    if (from == to) {
      levels.push_back(0);
      repeats.push_back(0);
    }
    for (std::uint32_t u = from; u < to; ++u) {
      const RowBuffer::Unfit& unfit = range.rows.unfit()[u];
      levels.push_back(full_level);
      repeats.push_back(u == from ? 0 : 1);
      values.push_back(
          as_bytes(is_key ? range.rows.unfit_key_name(unfit.key) : range.rows.unfit_value(unfit)));
    }
    if (levels.size() >= run_rows) write();
  }
  write();
  return counts;
}

LeafCounts write_nulls(const RowRange& range, parquet::ColumnWriter& writer) {
  static constexpr std::array<std::int16_t, run_rows> none{};
  for (std::uint32_t from = range.from; from < range.to; from += run_rows) {
    const std::uint32_t n = std::min(run_rows, range.to - from);
    if (writer.type() == parquet::Type::BYTE_ARRAY) {
      typed<parquet::ByteArrayType>(writer).WriteBatch(n, none.data(), nullptr, nullptr);
    } else if (writer.type() == parquet::Type::INT64) {
      typed<parquet::Int64Type>(writer).WriteBatch(n, none.data(), nullptr, nullptr);
    } else if (writer.type() == parquet::Type::DOUBLE) {
      typed<parquet::DoubleType>(writer).WriteBatch(n, none.data(), nullptr, nullptr);
    } else {
      typed<parquet::BooleanType>(writer).WriteBatch(n, none.data(), nullptr, nullptr);
    }
  }
  return {};
}

}  // namespace

LeafCounts write_leaf(const ParquetLeaf& leaf, const RowRange& range,
                      parquet::ColumnWriter& writer) {
  const RowBuffer& rows = range.rows;
  // System columns are required, unless the catalog says that somebody made them optional.
  const std::int16_t full = leaf.required ? 0 : 1;
  const auto always = [full](std::uint32_t) { return full; };
  const auto write_number = [&](auto value) {
    return write_rows<parquet::Int64Type>(range, writer, full, always, [&](std::uint32_t row) {
      return static_cast<std::int64_t>(value(rows.head(row)).value);
    });
  };
  const auto write_time = [&](std::uint8_t missing, auto value) {
    EVODB_ASSERT(!leaf.required, "a time may be missing");
    return write_rows<parquet::Int64Type>(
        range, writer, 1,
        [&](std::uint32_t row) -> std::int16_t { return (rows.head(row).flags & missing) ? 0 : 1; },
        [&](std::uint32_t row) { return micros(value(rows.head(row))); });
  };
  switch (leaf.origin) {
    case FieldOrigin::kSource:
      return write_rows<parquet::ByteArrayType>(
          range, writer, full, always,
          [&](std::uint32_t row) { return as_bytes(rows.source(rows.head(row).source)); });
    case FieldOrigin::kOp:
      return write_rows<parquet::ByteArrayType>(
          range, writer, full, always, [&](std::uint32_t row) {
            return as_bytes(op_names[static_cast<std::size_t>(rows.head(row).op)]);
          });
    case FieldOrigin::kEpoch: return write_number([](const RowHead& h) { return h.epoch; });
    case FieldOrigin::kLsn: return write_number([](const RowHead& h) { return h.lsn; });
    case FieldOrigin::kTxn: return write_number([](const RowHead& h) { return h.txn; });
    case FieldOrigin::kCommittedAt:
      return write_time(kNoCommittedAt, [](const RowHead& h) { return h.committed_at; });
    case FieldOrigin::kReceivedAt:
      return write_time(kNoReceivedAt, [](const RowHead& h) { return h.received_at; });
    case FieldOrigin::kUnfit: return write_unfit(leaf, range, writer);
    case FieldOrigin::kColumn: {
      const ColumnBuffer* column = rows.column(leaf.column);
      EVODB_ASSERT(!leaf.required, "a row's column may be null");
      if (column == nullptr || column->values() == 0) return write_nulls(range, writer);
      return write_column(leaf, range, writer, 1, [&](std::uint32_t row) -> std::int16_t {
        return column->has(row) ? 1 : 0;
      });
    }
    case FieldOrigin::kBefore: {
      const ColumnBuffer* column = rows.column(leaf.column);
      return write_column(leaf, range, writer, 2, [&](std::uint32_t row) -> std::int16_t {
        if (column != nullptr && column->has(row)) return 2;
        return (rows.head(row).flags & kHasBefore) ? 1 : 0;
      });
    }
  }
  return {};
}

}  // namespace evodb::lake
