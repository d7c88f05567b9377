// TableRegistry: table definitions, each once however many sessions use it, and in which segment of
// the journal each was written last.
//
// Bounded by the bytes of all definitions in use. A definition goes when its last session does.
// Threads: one.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "evodb/result.h"
#include "wire/table_def.h"

namespace evodb::ingest {

using TableIndex = std::uint32_t;

class TableRegistry {
 public:
  explicit TableRegistry(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

  struct Entry {
    std::string encoded;  // wire::encode_table_def
    std::uint64_t fingerprint = 0;
    std::uint64_t segments = 0;  // 1 + the number of the segment that holds it; 0: none yet
    std::uint32_t users = 0;
  };

  // One more user of this definition. Errors: kOverLimit (bytes_max), kInvalid (another definition
  // has this fingerprint).
  Result<TableIndex> acquire(std::string encoded, std::uint64_t fingerprint);
  void retain(TableIndex table) { ++entries_[table].users; }  // REQUIRES: it has a user
  void release(TableIndex table);
  const Entry& at(TableIndex table) const { return entries_[table]; }
  Entry& at(TableIndex table) { return entries_[table]; }

 private:
  std::uint64_t bytes_max_;
  std::uint64_t bytes_ = 0;
  std::vector<Entry> entries_;
  std::vector<TableIndex> free_;
  std::unordered_map<std::uint64_t, TableIndex> by_fingerprint_;
};

}  // namespace evodb::ingest
