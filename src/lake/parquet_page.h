// Pages of a Parquet file: their headers, their levels where all are the same, their compression.
//
// Format: parquet-format's README ("Data Pages"), Encodings.md ("RLE/Bit-Packing Hybrid") and
// parquet.thrift (PageHeader, in Thrift's compact protocol). Data pages of version 1, which every
// reader knows. Inside the encoder only: it includes Arrow.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <parquet/types.h>
#include <zstd.h>

namespace evodb::lake {

// What the chunks of a file use one after the other: a compressor, whose context costs as much as
// a small page to make, and memory for a page.
class PageWorkspace {
 public:
  explicit PageWorkspace(int zstd_level);
  ~PageWorkspace();
  PageWorkspace(const PageWorkspace&) = delete;
  PageWorkspace& operator=(const PageWorkspace&) = delete;

  struct Bytes {
    std::unique_ptr<char[]> data;
    std::size_t capacity = 0;
  };
  // Valid until the next call. Throws parquet::ParquetException, also of more than 2 GiB.
  std::string_view compress(std::string_view page);
  // Memory of a page, whoever fills one; taken and given back.
  Bytes page;

 private:
  ZSTD_CCtx* context_;
  Bytes compressed_;
};

// The pages of one chunk, compressed and appended to the file one by one, and their bytes with
// headers, as the chunk's metadata wants them. All that is given must outlive it.
class ChunkPages {
 public:
  ChunkPages(std::string& file, PageWorkspace& workspace) : file_(file), workspace_(workspace) {}

  // Each returns where the page begins in the file.
  std::int64_t put_data(std::string_view page, std::uint32_t rows,
                        parquet::Encoding::type encoding);
  std::int64_t put_dictionary(std::string_view page, std::uint32_t names);

  std::int64_t compressed_bytes() const { return compressed_; }
  std::int64_t uncompressed_bytes() const { return uncompressed_; }

 private:
  std::int64_t append(std::string_view page, std::string_view compressed,
                      const std::string& header);

  std::string& file_;
  PageWorkspace& workspace_;
  std::int64_t compressed_ = 0, uncompressed_ = 0;
};

// The levels of a page whose `rows` all have a value at `level`, as they stand in front of its
// values. Nothing for level 0. At most 10 bytes.
std::string same_levels(std::int16_t level, std::uint32_t rows);

// Bounds that are longer are left out, as Arrow leaves them out: readers may take them for values.
inline constexpr std::size_t bound_bytes_max = 4096;

}  // namespace evodb::lake
