#include "lake/parquet_page.h"

#include <cstring>
#include <new>

#include <parquet/exception.h>

#include "base/bytes.h"

namespace evodb::lake {
namespace {

// Of parquet.thrift's PageType.
enum class PageType : std::int32_t { kData = 0, kDictionary = 2 };

// Thrift's compact protocol: field ids as steps from the one before, zigzag varints.
constexpr char i32_field = 0x15;     // one on
constexpr char struct_field = 0x0C;  // the step is in the upper half
constexpr char stop = 0;

void put_i32(std::string& out, std::int64_t v) {
  out += i32_field;
  base::put_zigzag(out, v);
}

// PageHeader's first three fields; its struct for this type of page follows.
std::string begin_header(PageType type, std::size_t uncompressed, std::size_t compressed) {
  std::string out;
  put_i32(out, static_cast<std::int32_t>(type));
  put_i32(out, static_cast<std::int64_t>(uncompressed));
  put_i32(out, static_cast<std::int64_t>(compressed));
  return out;
}

std::string data_page_header(std::size_t uncompressed, std::size_t compressed, std::uint32_t rows,
                             parquet::Encoding::type encoding) {
  std::string out = begin_header(PageType::kData, uncompressed, compressed);
  out += static_cast<char>(struct_field | (2 << 4));  // field 5, DataPageHeader
  put_i32(out, rows);
  put_i32(out, encoding);
  put_i32(out, parquet::Encoding::RLE);  // of definition levels
  put_i32(out, parquet::Encoding::RLE);  // of repetition levels
  out += stop;
  out += stop;
  return out;
}

std::string dictionary_page_header(std::size_t uncompressed, std::size_t compressed,
                                   std::uint32_t names) {
  std::string out = begin_header(PageType::kDictionary, uncompressed, compressed);
  out += static_cast<char>(struct_field | (4 << 4));  // field 7, DictionaryPageHeader
  put_i32(out, names);
  put_i32(out, parquet::Encoding::PLAIN);
  out += stop;
  out += stop;
  return out;
}

}  // namespace

PageWorkspace::PageWorkspace(int zstd_level) : context_(ZSTD_createCCtx()) {
  if (context_ == nullptr) throw std::bad_alloc();
  ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, zstd_level);
}

PageWorkspace::~PageWorkspace() { ZSTD_freeCCtx(context_); }

std::string_view PageWorkspace::compress(std::string_view page) {
  const std::size_t bound = ZSTD_compressBound(page.size());
  if (bound > INT32_MAX) throw parquet::ParquetException("a page of about 2 GiB or more");
  if (bound > compressed_.capacity) {
    compressed_ = {std::make_unique_for_overwrite<char[]>(bound), bound};
  }
  const std::size_t size = ZSTD_compress2(context_, compressed_.data.get(), compressed_.capacity,
                                          page.data(), page.size());
  if (ZSTD_isError(size)) {
    throw parquet::ParquetException(std::string("zstd: ") + ZSTD_getErrorName(size));
  }
  return {compressed_.data.get(), size};
}

std::int64_t ChunkPages::append(std::string_view page, std::string_view compressed,
                                const std::string& header) {
  const auto at = static_cast<std::int64_t>(file_.size());
  file_.append(header).append(compressed);
  uncompressed_ += static_cast<std::int64_t>(header.size() + page.size());
  compressed_ += static_cast<std::int64_t>(header.size() + compressed.size());
  return at;
}

std::int64_t ChunkPages::put_data(std::string_view page, std::uint32_t rows,
                                  parquet::Encoding::type encoding) {
  const std::string_view compressed = workspace_.compress(page);
  return append(page, compressed, data_page_header(page.size(), compressed.size(), rows, encoding));
}

std::int64_t ChunkPages::put_dictionary(std::string_view page, std::uint32_t names) {
  const std::string_view compressed = workspace_.compress(page);
  return append(page, compressed, dictionary_page_header(page.size(), compressed.size(), names));
}

std::string same_levels(std::int16_t level, std::uint32_t rows) {
  if (level == 0) return {};
  std::string run;
  base::put_varint(run, std::uint64_t{rows} << 1);
  run += static_cast<char>(level);
  std::string out;
  base::put_u32(out, static_cast<std::uint32_t>(run.size()));
  return out + run;
}

}  // namespace evodb::lake
