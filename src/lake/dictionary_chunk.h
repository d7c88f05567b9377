// DictionaryChunk: one text column of a row group that few strings make up, by their numbers. Rows
// come in runs: a file is sorted by source, and operations repeat.
//
//   DictionaryChunk chunk(file, workspace, metadata, 0);
//   const std::uint32_t tea = chunk.add_name("tea");    // stays where it is until close()
//   chunk.put(tea, rows);
//   chunk.close();
//
// Format: parquet_page.h, and Encodings.md (PLAIN of the names, then RLE_DICTIONARY). Memory: 8
// bytes a run. One thread. Throws what PageWorkspace throws.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <parquet/metadata.h>

#include "lake/parquet_page.h"

namespace evodb::lake {

class DictionaryChunk {
 public:
  // Appends to `file`. `full_level`: 0 for a required column, else 1. All that is given must
  // outlive this.
  DictionaryChunk(std::string& file, PageWorkspace& workspace,
                  parquet::ColumnChunkMetaDataBuilder& metadata, std::int16_t full_level);

  // Returns its number: 0, 1, 2, ... REQUIRES: a name that was not added before.
  std::uint32_t add_name(std::string_view name);
  // The next `rows` rows have this name.
  void put(std::uint32_t name, std::uint32_t rows) {
    if (!runs_.empty() && runs_.back().name == name) {
      runs_.back().rows += rows;
    } else {
      runs_.push_back({name, rows});
    }
    rows_ += rows;
  }

  // Call once, at the end. Returns the chunk's uncompressed bytes.
  std::int64_t close();

 private:
  struct Run {
    std::uint32_t name = 0, rows = 0;
  };
  std::string encoded_runs() const;

  ChunkPages pages_;
  parquet::ColumnChunkMetaDataBuilder& metadata_;
  const std::int16_t full_level_;
  std::vector<std::string_view> names_;
  std::vector<Run> runs_;
  std::uint32_t rows_ = 0;
};

}  // namespace evodb::lake
