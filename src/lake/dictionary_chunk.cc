#include "lake/dictionary_chunk.h"

#include <algorithm>
#include <bit>

#include <parquet/statistics.h>

#include "base/bytes.h"

namespace evodb::lake {
namespace {

// Of the hybrid encoding. Shorter runs cost less among literals, which come in groups of eight.
constexpr std::uint32_t run_rows_min = 8;
constexpr std::size_t group = 8;
constexpr std::size_t literals_max = 63 * group;  // as others write: some readers expect it

// Runs, and between them numbers of `width` bits each, packed from the lowest bit on.
class HybridEncoder {
 public:
  HybridEncoder(std::string& out, unsigned width) : out_(out), width_(width) {}

  void put(std::uint32_t number, std::uint32_t rows) {
    for (; rows > 0 && literals_.size() % group != 0; --rows) literals_.push_back(number);
    if (rows >= run_rows_min) {
      flush_literals();
      base::put_varint(out_, std::uint64_t{rows} << 1);
      for (unsigned bits = 0; bits < width_; bits += 8) out_ += static_cast<char>(number >> bits);
      return;
    }
    if (literals_.size() == literals_max) flush_literals();
    literals_.insert(literals_.end(), rows, number);
  }
  void finish() {
    literals_.resize((literals_.size() + group - 1) / group * group);
    flush_literals();
  }

 private:
  void flush_literals() {
    if (literals_.empty()) return;
    base::put_varint(out_, (literals_.size() / group) << 1 | 1);
    std::uint64_t word = 0;
    unsigned filled = 0;
    for (const std::uint32_t number : literals_) {
      word |= std::uint64_t{number} << filled;
      for (filled += width_; filled >= 8; filled -= 8, word >>= 8) out_ += static_cast<char>(word);
    }
    literals_.clear();
  }

  std::string& out_;
  const unsigned width_;
  std::vector<std::uint32_t> literals_;
};

}  // namespace

DictionaryChunk::DictionaryChunk(std::string& file, PageWorkspace& workspace,
                                 parquet::ColumnChunkMetaDataBuilder& metadata,
                                 std::int16_t full_level)
    : pages_(file, workspace), metadata_(metadata), full_level_(full_level) {}

std::uint32_t DictionaryChunk::add_name(std::string_view name) {
  names_.push_back(name);
  return static_cast<std::uint32_t>(names_.size() - 1);
}

std::string DictionaryChunk::encoded_runs() const {
  std::string page = same_levels(full_level_, rows_);
  const auto width =
      std::max<unsigned>(1, static_cast<unsigned>(std::bit_width(names_.size() - 1)));
  page += static_cast<char>(width);
  HybridEncoder encoder(page, width);
  for (const Run& run : runs_) encoder.put(run.name, run.rows);
  encoder.finish();
  return page;
}

std::int64_t DictionaryChunk::close() {
  std::string page;
  for (const std::string_view name : names_) {
    base::put_u32(page, static_cast<std::uint32_t>(name.size()));
    page += name;
  }
  const std::int64_t dictionary_at =
      pages_.put_dictionary(page, static_cast<std::uint32_t>(names_.size()));
  const std::int64_t data_at =
      pages_.put_data(encoded_runs(), rows_, parquet::Encoding::RLE_DICTIONARY);

  parquet::EncodedStatistics statistics;
  statistics.set_null_count(0);
  const auto [low, high] = std::ranges::minmax(names_);
  statistics.set_min(std::string(low)).set_max(std::string(high));
  statistics.ApplyStatSizeLimits(bound_bytes_max);
  metadata_.SetStatistics(statistics);
  metadata_.Finish(rows_, dictionary_at, /*index_page_offset=*/-1, data_at,
                   pages_.compressed_bytes(), pages_.uncompressed_bytes(), /*has_dictionary=*/true,
                   /*dictionary_fallback=*/false, {{parquet::Encoding::PLAIN, 1}},
                   {{parquet::Encoding::RLE_DICTIONARY, 1}});
  return pages_.uncompressed_bytes();
}

}  // namespace evodb::lake
