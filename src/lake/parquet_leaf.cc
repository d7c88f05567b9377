// Column buffers to Parquet's column writers: definition levels and values in runs that stay in the
// processor's cache; text is passed by pointer, never copied; names by their numbers.
#include "lake/parquet_leaf.h"

#include <array>
#include <bit>
#include <cmath>
#include <span>
#include <type_traits>

#include <arrow/array.h>
#include <arrow/memory_pool.h>
#include <parquet/exception.h>
#include <parquet/properties.h>

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

// A run of levels that are all the same.
const std::int16_t* same_levels(std::int16_t level) {
  static constexpr auto all = [] {
    std::array<std::array<std::int16_t, run_rows>, 3> levels{};
    for (std::size_t l = 0; l < levels.size(); ++l) {
      levels[l].fill(static_cast<std::int16_t>(l));
    }
    return levels;
  }();
  return all[static_cast<std::size_t>(level)].data();
}

template <class T>
std::int64_t count_nans(const T* values, std::uint32_t n) {
  std::int64_t nans = 0;
  if constexpr (std::is_same_v<T, double>) {
    for (std::uint32_t i = 0; i < n; ++i) nans += std::isnan(values[i]) ? 1 : 0;
  }
  return nans;
}

// Calls `write(from, n)` for each run of [range.from, range.to).
template <class Write>
void for_each_run(const RowRange& range, Write write) {
  for (std::uint32_t from = range.from; from < range.to; from += run_rows) {
    write(from, std::min(run_rows, range.to - from));
  }
}

// Every row has a value: `value(row)`. At level 0 the column is required.
template <class DType, class Value>
LeafCounts write_every(const RowRange& range, parquet::ColumnWriter& writer,
                       std::int16_t full_level, Value value) {
  std::array<typename DType::c_type, run_rows> values;
  const std::int16_t* const levels = full_level == 0 ? nullptr : same_levels(full_level);
  LeafCounts counts{.values = range.size()};
  for_each_run(range, [&](std::uint32_t from, std::uint32_t n) {
    if (range.order.empty()) {
      for (std::uint32_t i = 0; i < n; ++i) values[i] = value(from + i);
    } else {
      const std::uint32_t* const order = range.order.data() + from;
      for (std::uint32_t i = 0; i < n; ++i) values[i] = value(order[i]);
    }
    counts.nans += count_nans(values.data(), n);
    typed<DType>(writer).WriteBatch(n, levels, nullptr, values.data());
  });
  return counts;
}

// `level(row)` is the definition level of a row, `value(row)` is asked for those at `full_level`.
template <class DType, class Level, class Value>
LeafCounts write_some(const RowRange& range, parquet::ColumnWriter& writer, std::int16_t full_level,
                      Level level, Value value) {
  std::array<std::int16_t, run_rows> levels;
  std::array<typename DType::c_type, run_rows> values;
  LeafCounts counts;
  for_each_run(range, [&](std::uint32_t from, std::uint32_t n) {
    std::uint32_t filled = 0;
    for (std::uint32_t i = 0; i < n; ++i) {
      const std::uint32_t row = range.row(from + i);
      levels[i] = level(row);
      if (levels[i] == full_level) values[filled++] = value(row);
    }
    counts.nans += count_nans(values.data(), filled);
    counts.values += filled;
    typed<DType>(writer).WriteBatch(n, levels.data(), nullptr, values.data());
  });
  return counts;
}

// No row has a value; `level(row)` says how far down each is null.
template <class Level>
LeafCounts write_nulls(const RowRange& range, parquet::ColumnWriter& writer, Level level) {
  std::array<std::int16_t, run_rows> levels;
  for_each_run(range, [&](std::uint32_t from, std::uint32_t n) {
    for (std::uint32_t i = 0; i < n; ++i) levels[i] = level(range.row(from + i));
    const auto write = [&](auto& to) { to.WriteBatch(n, levels.data(), nullptr, nullptr); };
    switch (writer.type()) {
      case parquet::Type::BYTE_ARRAY: write(typed<parquet::ByteArrayType>(writer)); break;
      case parquet::Type::INT64: write(typed<parquet::Int64Type>(writer)); break;
      case parquet::Type::DOUBLE: write(typed<parquet::DoubleType>(writer)); break;
      default: write(typed<parquet::BooleanType>(writer));
    }
  });
  return {};
}

// Calls `write.template operator()<DType>(value)` with the column's Parquet type and what gives a
// row's value.
template <class Write>
LeafCounts with_values(table::Type type, const ColumnBuffer& column, Write write) {
  switch (type) {
    case table::Type::kLong:
      return write.template operator()<parquet::Int64Type>(
          [&column](std::uint32_t row) { return static_cast<std::int64_t>(column.fixed(row)); });
    case table::Type::kDouble:
      return write.template operator()<parquet::DoubleType>(
          [&column](std::uint32_t row) { return std::bit_cast<double>(column.fixed(row)); });
    case table::Type::kBoolean:
      return write.template operator()<parquet::BooleanType>(
          [&column](std::uint32_t row) { return column.fixed(row) != 0; });
    default:
      return write.template operator()<parquet::ByteArrayType>(
          [&column](std::uint32_t row) { return as_bytes(column.bytes(row)); });
  }
}

// A column of the source's, or one of `_before`. `level(row)` is that of a row without a value.
template <class Level>
LeafCounts write_column(const ParquetLeaf& leaf, const RowRange& range,
                        parquet::ColumnWriter& writer, std::int16_t full_level, Level level) {
  const ColumnBuffer* const some = range.rows.column(leaf.column);
  if (some == nullptr || some->values() == 0) return write_nulls(range, writer, level);
  const ColumnBuffer& column = *some;
  return with_values(leaf.type, column, [&]<class DType>(auto value) {
    if (column.values() == range.rows.rows()) {
      return write_every<DType>(range, writer, full_level, value);
    }
    return write_some<DType>(
        range, writer, full_level,
        [&](std::uint32_t row) { return column.has(row) ? full_level : level(row); }, value);
  });
}

// A text that few strings make up, by their numbers: neither hashed nor compared row by row.
// `number(row)` is below `names`, `name(number)` its text.
template <class Number, class Name>
LeafCounts write_names(const RowRange& range, parquet::ColumnWriter& writer,
                       std::int16_t full_level, std::uint32_t names, Number number, Name name) {
  // Only names that occur: the dictionary goes into the file, and its bounds into the metadata.
  constexpr std::int32_t unused = -1;
  std::vector<std::int32_t> index_of(names, unused);
  std::vector<std::int32_t> indices(range.size());
  std::vector<std::int32_t> ends{0};
  std::string text;
  for (std::uint32_t i = 0; i < range.size(); ++i) {
    std::int32_t& index = index_of[number(range.row(range.from + i))];
    if (index == unused) {
      index = static_cast<std::int32_t>(ends.size()) - 1;
      text += name(number(range.row(range.from + i)));
      ends.push_back(static_cast<std::int32_t>(text.size()));
    }
    indices[i] = index;
  }
  const auto dictionary = std::make_shared<arrow::StringArray>(
      static_cast<std::int64_t>(ends.size()) - 1, arrow::Buffer::Wrap(ends),
      std::make_shared<arrow::Buffer>(text));
  const auto numbers = std::make_shared<arrow::Int32Array>(
      static_cast<std::int64_t>(indices.size()), arrow::Buffer::Wrap(indices));
  const arrow::DictionaryArray array(arrow::dictionary(arrow::int32(), arrow::utf8()), numbers,
                                     dictionary);
  const std::vector<std::int16_t> levels(full_level == 0 ? 0 : range.size(), full_level);
  const auto arrow_properties = parquet::default_arrow_writer_properties();
  parquet::ArrowWriteContext context(arrow::system_memory_pool(), arrow_properties.get());
  PARQUET_THROW_NOT_OK(writer.WriteArrow(levels.empty() ? nullptr : levels.data(), nullptr,
                                         range.size(), array, &context,
                                         /*leaf_field_nullable=*/full_level != 0));
  return {.values = range.size()};
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

}  // namespace

LeafCounts write_leaf(const ParquetLeaf& leaf, const RowRange& range,
                      parquet::ColumnWriter& writer) {
  const RowBuffer& rows = range.rows;
  // System columns are required, unless the catalog says that somebody made them optional.
  const std::int16_t full = leaf.required ? 0 : 1;
  const auto no_level = [](std::uint32_t) -> std::int16_t { return 0; };
  const auto write_number = [&](auto value) {
    return write_every<parquet::Int64Type>(range, writer, full, [&](std::uint32_t row) {
      return static_cast<std::int64_t>(value(rows.head(row)).value);
    });
  };
  const auto write_time = [&](std::uint8_t missing, auto time) {
    EVODB_ASSERT(!leaf.required, "a time may be missing");
    const auto value = [&](std::uint32_t row) { return micros(time(rows.head(row))); };
    if (!rows.has_flag(missing)) return write_every<parquet::Int64Type>(range, writer, 1, value);
    return write_some<parquet::Int64Type>(
        range, writer, 1,
        [&](std::uint32_t row) -> std::int16_t { return (rows.head(row).flags & missing) ? 0 : 1; },
        value);
  };
  switch (leaf.origin) {
    case FieldOrigin::kSource:
      return write_names(
          range, writer, full, rows.sources(),
          [&](std::uint32_t row) { return rows.head(row).source; },
          [&](std::uint32_t source) { return rows.source(source); });
    case FieldOrigin::kOp:
      return write_names(
          range, writer, full, op_names.size(),
          [&](std::uint32_t row) { return static_cast<std::uint32_t>(rows.head(row).op); },
          [&](std::uint32_t op) { return op_names[op]; });
    case FieldOrigin::kEpoch: return write_number([](const RowHead& h) { return h.epoch; });
    case FieldOrigin::kLsn: return write_number([](const RowHead& h) { return h.lsn; });
    case FieldOrigin::kTxn: return write_number([](const RowHead& h) { return h.txn; });
    case FieldOrigin::kCommittedAt:
      return write_time(kNoCommittedAt, [](const RowHead& h) { return h.committed_at; });
    case FieldOrigin::kReceivedAt:
      return write_time(kNoReceivedAt, [](const RowHead& h) { return h.received_at; });
    case FieldOrigin::kUnfit: return write_unfit(leaf, range, writer);
    case FieldOrigin::kColumn:
      EVODB_ASSERT(!leaf.required, "a row's column may be null");
      return write_column(leaf, range, writer, 1, no_level);
    case FieldOrigin::kBefore:
      // Of insert-only tables, which would otherwise look at every row's head for each column.
      if (!rows.has_flag(kHasBefore)) return write_column(leaf, range, writer, 2, no_level);
      return write_column(leaf, range, writer, 2, [&](std::uint32_t row) -> std::int16_t {
        return (rows.head(row).flags & kHasBefore) ? 1 : 0;
      });
  }
  return {};
}

}  // namespace evodb::lake
