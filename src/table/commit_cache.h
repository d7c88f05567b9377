// CommitCache: what the last commits left of their tables, so that the next ones need not read it
// back: two objects fewer from the store, and no document to parse.
//
//   if (auto base = cache.take("orders_changes", location_in_the_catalog)) ...
//   cache.put("orders_changes", std::move(left));
//
// What it has is good for one metadata file, by its location, and those never change: whoever asks
// names the one that the catalog has just given, and gets nothing if another commit came since.
// Bounded by bytes; who committed longest ago goes first. Threads: any.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "table/append_snapshot.h"

namespace evodb::table {

class CommitCache {
 public:
  explicit CommitCache(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

  // Takes it out, so that it may be changed: put() brings its successor.
  std::optional<CommitBase> take(const std::string& table, std::string_view metadata_location);
  // REQUIRES: base.metadata. One over the bound is not kept.
  void put(const std::string& table, CommitBase base);
  std::uint64_t bytes() const;  // an estimate from above

 private:
  struct Kept {
    std::string table;
    CommitBase base;
    std::uint64_t bytes;
  };
  using List = std::list<Kept>;
  void drop(List::iterator kept);

  const std::uint64_t bytes_max_;
  mutable std::mutex mutex_;
  List list_;  // the newest first
  std::unordered_map<std::string, List::iterator> by_table_;
  std::uint64_t bytes_ = 0;
};

}  // namespace evodb::table
