#include "table/commit_cache.h"

#include <utility>

#include "base/assert.h"

namespace evodb::table {
namespace {

// Beside what it holds: its name twice, nodes of list and map.
constexpr std::uint64_t entry_bytes = 512;
// Memory over text: a snapshot's is there as it is and in a map, all else as a tree of JSON.
constexpr std::uint64_t bytes_per_text_byte = 8;

std::uint64_t bytes_of(const std::string& table, const CommitBase& base) {
  std::uint64_t bytes = entry_bytes + 2 * table.size() + base.metadata_location.size() +
                        bytes_per_text_byte * base.metadata_bytes;
  for (const ManifestFile& line : base.lines) bytes += sizeof(line) + line.location.size() + 32;
  return bytes;
}

}  // namespace

std::optional<CommitBase> CommitCache::take(const std::string& table,
                                            std::string_view metadata_location) {
  const std::lock_guard lock(mutex_);
  const auto it = by_table_.find(table);
  if (it == by_table_.end()) return std::nullopt;
  std::optional<CommitBase> base;
  if (it->second->base.metadata_location == metadata_location) base = std::move(it->second->base);
  drop(it->second);
  return base;
}

void CommitCache::put(const std::string& table, CommitBase base) {
  EVODB_ASSERT(base.metadata.has_value(), "a commit leaves a table");
  const std::uint64_t bytes = bytes_of(table, base);
  const std::lock_guard lock(mutex_);
  if (const auto it = by_table_.find(table); it != by_table_.end()) drop(it->second);
  if (bytes > bytes_max_) return;
  while (bytes_ + bytes > bytes_max_) drop(std::prev(list_.end()));
  list_.push_front({table, std::move(base), bytes});
  by_table_.emplace(table, list_.begin());
  bytes_ += bytes;
}

std::uint64_t CommitCache::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

void CommitCache::drop(List::iterator kept) {
  bytes_ -= kept->bytes;
  by_table_.erase(kept->table);
  list_.erase(kept);
}

}  // namespace evodb::table
