#include "bench/rows.h"

#include "base/bytes.h"

namespace evodb::bench {

namespace {

constexpr std::int64_t wide_groups = 5;  // of four columns, in a row of kTyped20

// SplitMix64 (Steele, Lea, Flood 2014): 64 bits that nothing repeats.
std::uint64_t mixed(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Sixteen letters of sixteen kinds from 64 bits: 4 bits a letter are left to a compressor. No row
// is like another, nor one source's like another's: else landing would write next to nothing.
void fill_with_noise(std::string& text, std::uint64_t lsn, std::uint64_t source) {
  constexpr std::uint64_t nibbles = 0x0f0f0f0f0f0f0f0fu, letters = 0x6161616161616161u;
  std::uint64_t state = lsn ^ source << 40;
  std::size_t at = 0;
  for (; at + 16 <= text.size(); at += 16) {
    const std::uint64_t noise = mixed(state);
    base::store_fixed(text.data() + at, (noise & nibbles) + letters);
    base::store_fixed(text.data() + at + 8, (noise >> 4 & nibbles) + letters);
  }
  std::uint64_t rest = mixed(state);
  for (; at < text.size(); ++at, rest >>= 4) text[at] = static_cast<char>('a' + (rest & 15));
}

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

wire::ValuesView RowMaker::row(std::uint64_t lsn, std::uint64_t source) {
  bytes_.clear();
  const auto n = static_cast<std::int64_t>(lsn);
  wire::put_value(bytes_, ValueView::of_integer(n));
  if (kind_ == RowKind::kPayload200) {
    fill_with_noise(text_, lsn, source);
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
