#include "bench/rows.h"

namespace evodb::bench {

namespace {

constexpr std::int64_t wide_groups = 5;  // of four columns, in a row of kTyped20

}  // namespace

wire::TableDef load_table(RowKind rows) {
  wire::TableDef table;
  table.columns = {{"id", "INTEGER", 1}};
  if (rows == RowKind::kPayload200) {
    table.name = "payload";
    table.columns.push_back({"body", "TEXT", 0});
  } else {
    table.name = rows == RowKind::kTyped4 ? "typed" : "wide";
    const std::int64_t groups = rows == RowKind::kTyped4 ? 1 : wide_groups;
    for (std::int64_t group = 0; group < groups; ++group) {
      const std::string suffix = group == 0 ? "" : "_" + std::to_string(group);
      if (group > 0) table.columns.push_back({"number" + suffix, "INTEGER", 0});
      table.columns.push_back({"amount" + suffix, "REAL", 0});
      table.columns.push_back({"customer" + suffix, "TEXT", 0});
      table.columns.push_back({"kind" + suffix, "INTEGER", 0});
    }
  }
  return table;
}

wire::ValuesView RowMaker::row(std::uint64_t lsn) {
  bytes_.clear();
  const auto n = static_cast<std::int64_t>(lsn);
  wire::put_value(bytes_, ValueView::of_integer(n));
  if (kind_ == RowKind::kPayload200) {
    // Not all the same, or compression would flatter the rest of the way.
    for (std::size_t i = 0; i < 64; i += 8) {
      const std::uint64_t noise = (lsn + i) * 0x9e3779b97f4a7c15u;
      for (std::size_t j = 0; j < 8; ++j) {
        text_[i + j] = static_cast<char>('a' + (noise >> (8 * j)) % 26);
      }
    }
    wire::put_value(bytes_, ValueView::of_text(text_));
    return {true, 2, bytes_};
  }
  put_three(n, 5000);
  if (kind_ == RowKind::kTyped4) return {true, 4, bytes_};
  for (std::int64_t group = 1; group < wide_groups; ++group) {
    wire::put_value(bytes_, ValueView::of_integer(n * group));
    put_three(n + group, 5000 / (group + 1));
  }
  return {true, static_cast<std::uint32_t>(4 * wide_groups), bytes_};
}

void RowMaker::put_three(std::int64_t n, std::int64_t customers) {
  wire::put_value(bytes_, ValueView::of_real(static_cast<double>(n) / 7));
  name_ = "customer-" + std::to_string(n % customers);
  wire::put_value(bytes_, ValueView::of_text(name_));
  wire::put_value(bytes_, ValueView::of_integer(n % 97));
}

}  // namespace evodb::bench
