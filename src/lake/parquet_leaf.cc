// Column buffers to Parquet's columns: levels and values in runs that stay in the processor's
// cache; text goes from the buffer into the page; names by their numbers.
#include "lake/parquet_leaf.h"

#include <array>
#include <bit>

#include "base/assert.h"

namespace evodb::lake {
namespace {

using parquet::ByteArray;

constexpr std::uint32_t run_rows = 2048;

constexpr std::array<std::string_view, 7> op_names = {"INSERT",   "UPDATE", "DELETE", "SNAPSHOT",
                                                      "OVERSIZE", "RESET",  "DROP"};

ByteArray as_bytes(std::string_view v) {
  return {static_cast<std::uint32_t>(v.size()), reinterpret_cast<const std::uint8_t*>(v.data())};
}

std::int64_t micros(UnixMillis t) { return t.value * 1000; }

// Calls `write(from, n)` for each run of [range.from, range.to).
template <class Write>
void for_each_run(const RowRange& range, Write write) {
  for (std::uint32_t from = range.from; from < range.to; from += run_rows) {
    write(from, std::min(run_rows, range.to - from));
  }
}

// Every row has a value: `value(row)`.
template <class T, class Value>
void write_every(const RowRange& range, ColumnChunk& chunk, Value value) {
  std::array<T, run_rows> values;
  for_each_run(range, [&](std::uint32_t from, std::uint32_t n) {
    if (range.order.empty()) {
      for (std::uint32_t i = 0; i < n; ++i) values[i] = value(from + i);
    } else {
      const std::uint32_t* const order = range.order.data() + from;
      for (std::uint32_t i = 0; i < n; ++i) values[i] = value(order[i]);
    }
    chunk.put(values.data(), n);
    chunk.end_rows(n);
  });
}

// `level(row)` is the definition level of a row, `value(row)` is asked for those at `full`.
template <class T, class Level, class Value>
void write_some(const RowRange& range, ColumnChunk& chunk, std::int16_t full, Level level,
                Value value) {
  std::array<std::int16_t, run_rows> levels;
  std::array<T, run_rows> values;
  for_each_run(range, [&](std::uint32_t from, std::uint32_t n) {
    std::uint32_t filled = 0;
    for (std::uint32_t i = 0; i < n; ++i) {
      const std::uint32_t row = range.row(from + i);
      levels[i] = level(row);
      if (levels[i] == full) values[filled++] = value(row);
    }
    chunk.put(values.data(), filled);
    chunk.end_rows(levels.data(), n);
  });
}

// The same two for text and bytes, whose pages may be full within a run.
void write_every_bytes(const RowRange& range, ColumnChunk& chunk, const ColumnBuffer& column) {
  std::uint32_t from = range.from;
  for (std::uint32_t i = range.from; i < range.to; ++i) {
    chunk.put(column.bytes(range.row(i)));
    if (!chunk.full()) continue;
    chunk.end_rows(i + 1 - from);
    from = i + 1;
  }
  chunk.end_rows(range.to - from);
}

template <class Level>
void write_some_bytes(const RowRange& range, ColumnChunk& chunk, const ColumnBuffer& column,
                      std::int16_t full, Level level) {
  std::array<std::int16_t, run_rows> levels;
  std::uint32_t n = 0;
  for (std::uint32_t i = range.from; i < range.to; ++i) {
    const std::uint32_t row = range.row(i);
    levels[n++] = level(row);
    if (levels[n - 1] == full) chunk.put(column.bytes(row));
    if (n < run_rows && !chunk.full()) continue;
    chunk.end_rows(levels.data(), n);
    n = 0;
  }
  chunk.end_rows(levels.data(), n);
}

// No row has a value.
void write_nulls(const RowRange& range, ColumnChunk& chunk) {
  constexpr std::array<std::int16_t, run_rows> levels{};
  for_each_run(range, [&](std::uint32_t, std::uint32_t n) { chunk.end_rows(levels.data(), n); });
}

// A column of the source's, after the change or before it.
void write_column(const ParquetLeaf& leaf, const RowRange& range, ColumnChunk& chunk) {
  EVODB_ASSERT(!leaf.required, "a row's column may be null");
  const ColumnBuffer* const some = range.rows.column(leaf.column);
  if (some == nullptr || some->values() == 0) return write_nulls(range, chunk);
  const ColumnBuffer& column = *some;
  const bool every = column.values() == range.rows.rows();
  const std::int16_t full = full_level(leaf);
  const auto level_of = [&](std::uint32_t row) -> std::int16_t {
    return column.has(row) ? full : 0;
  };
  const auto write = [&]<class T>(auto value) {
    if (every) return write_every<T>(range, chunk, value);
    write_some<T>(range, chunk, full, level_of, value);
  };
  switch (leaf.type) {
    case table::Type::kInt:
      return write.template operator()<std::int32_t>(
          [&](std::uint32_t row) { return static_cast<std::int32_t>(column.fixed(row)); });
    case table::Type::kLong:
      return write.template operator()<std::int64_t>(
          [&](std::uint32_t row) { return static_cast<std::int64_t>(column.fixed(row)); });
    case table::Type::kDouble:
      return write.template operator()<double>(
          [&](std::uint32_t row) { return std::bit_cast<double>(column.fixed(row)); });
    case table::Type::kBoolean:
      return write.template operator()<bool>(
          [&](std::uint32_t row) { return column.fixed(row) != 0; });
    default:
      if (every) return write_every_bytes(range, chunk, column);
      write_some_bytes(range, chunk, column, full, level_of);
  }
}

// `number(row)` is below `names`, `name(number)` its text.
template <class Number, class Name>
void write_numbered(const RowRange& range, DictionaryChunk& chunk, std::uint32_t names,
                    Number number, Name name) {
  // Only names that occur: the dictionary goes into the file, and its bounds into the metadata.
  constexpr std::uint32_t unused = UINT32_MAX;
  std::vector<std::uint32_t> index_of(names, unused);
  for (std::uint32_t i = range.from; i < range.to;) {
    const std::uint32_t of_run = number(range.row(i));
    const std::uint32_t from = i++;
    while (i < range.to && number(range.row(i)) == of_run) ++i;
    std::uint32_t& index = index_of[of_run];
    if (index == unused) index = chunk.add_name(name(of_run));
    chunk.put(index, i - from);
  }
}

}  // namespace

// The two leaves of `_unfit`: levels of a map (null, or entries; none is empty).
std::int64_t write_unfit(const ParquetLeaf& leaf, const RowRange& range,
                         parquet::ColumnWriter& writer) {
  const bool is_key = leaf.part == ParquetLeaf::Part::kMapKey;
  const std::int16_t full = full_level(leaf);
  auto& texts = static_cast<parquet::TypedColumnWriter<parquet::ByteArrayType>&>(writer);
  std::vector<std::int16_t> levels, repeats;
  std::vector<ByteArray> values;
  std::int64_t count = 0;
  const auto write = [&] {
    if (levels.empty()) return;
    texts.WriteBatch(static_cast<std::int64_t>(levels.size()), levels.data(), repeats.data(),
                     values.data());
    count += static_cast<std::int64_t>(values.size());
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
      levels.push_back(full);
      repeats.push_back(u == from ? 0 : 1);
      values.push_back(
          as_bytes(is_key ? range.rows.unfit_key_name(unfit.key) : range.rows.unfit_value(unfit)));
    }
    if (levels.size() >= run_rows) write();
  }
  write();
  return count;
}

bool is_names(const ParquetLeaf& leaf) {
  return leaf.origin == FieldOrigin::kSource || leaf.origin == FieldOrigin::kOp;
}

bool is_unfit(const ParquetLeaf& leaf) { return leaf.origin == FieldOrigin::kUnfit; }

std::int16_t full_level(const ParquetLeaf& leaf) {
  switch (leaf.part) {
    case ParquetLeaf::Part::kWhole: return leaf.required ? 0 : 1;
    case ParquetLeaf::Part::kMapKey: return 2;
    case ParquetLeaf::Part::kMapValue: return 3;
  }
  return 0;
}

void write_names(const ParquetLeaf& leaf, const RowRange& range, DictionaryChunk& chunk) {
  const RowBuffer& rows = range.rows;
  if (leaf.origin == FieldOrigin::kSource) {
    write_numbered(
        range, chunk, rows.sources(), [&](std::uint32_t row) { return rows.head(row).source; },
        [&](std::uint32_t source) { return rows.source(source); });
  } else {
    write_numbered(
        range, chunk, op_names.size(),
        [&](std::uint32_t row) { return static_cast<std::uint32_t>(rows.head(row).op); },
        [&](std::uint32_t op) { return op_names[op]; });
  }
}

void write_plain(const ParquetLeaf& leaf, const RowRange& range, ColumnChunk& chunk) {
  const RowBuffer& rows = range.rows;
  // System columns are required, unless the catalog says that somebody made them optional.
  const auto write_number = [&](auto value) {
    write_every<std::int64_t>(range, chunk, [&](std::uint32_t row) {
      return static_cast<std::int64_t>(value(rows.head(row)).value);
    });
  };
  const auto write_time = [&](std::uint8_t missing, auto time) {
    EVODB_ASSERT(!leaf.required, "a time may be missing");
    const auto value = [&](std::uint32_t row) { return micros(time(rows.head(row))); };
    if (!rows.has_flag(missing)) return write_every<std::int64_t>(range, chunk, value);
    write_some<std::int64_t>(
        range, chunk, full_level(leaf),
        [&](std::uint32_t row) -> std::int16_t { return (rows.head(row).flags & missing) ? 0 : 1; },
        value);
  };
  switch (leaf.origin) {
    case FieldOrigin::kEpoch: return write_number([](const RowHead& h) { return h.epoch; });
    case FieldOrigin::kLsn: return write_number([](const RowHead& h) { return h.lsn; });
    case FieldOrigin::kTxn: return write_number([](const RowHead& h) { return h.txn; });
    case FieldOrigin::kCommittedAt:
      return write_time(kNoCommittedAt, [](const RowHead& h) { return h.committed_at; });
    case FieldOrigin::kReceivedAt:
      return write_time(kNoReceivedAt, [](const RowHead& h) { return h.received_at; });
    case FieldOrigin::kColumn:
    case FieldOrigin::kBefore: return write_column(leaf, range, chunk);
    default: EVODB_ASSERT(false, "the others have functions of their own");
  }
}

}  // namespace evodb::lake
