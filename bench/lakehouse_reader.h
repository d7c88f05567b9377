// LakehouseReader: a plain reader of a parent's local lakehouse: catalog, metadata, manifests, data
// files, from disk, as often as it likes. It shares no state with the parent.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "evodb/result.h"
#include "evodb/types.h"
#include "store/store.h"
#include "table/catalog.h"

namespace evodb::bench {

class LakehouseReader {
 public:
  using Row = std::function<void(std::string_view source, Epoch epoch, Lsn lsn)>;

  // `data` is a parent's data directory whose warehouse is local.
  static Result<LakehouseReader> open(const std::string& data);

  // Gives every row of the table's current snapshot that lies in a file not read before.
  Result<void> read_new(const std::string& table, const Row& row);

  // Reads the whole table and compares: source "<prefix>-<i>" must have each of the LSNs 1 .. its
  // share exactly once, nothing else. kCorrupt: says what is missing or twice.
  Result<void> expect(const std::string& table, const std::string& prefix,
                      std::uint32_t connections, std::uint64_t entries) {
    return expect(std::vector<std::string>{table}, prefix, connections, entries);
  }
  // The same of several tables that share the changes.
  Result<void> expect(const std::vector<std::string>& tables, const std::string& prefix,
                      std::uint32_t connections, std::uint64_t entries);

 private:
  std::unique_ptr<store::ObjectStore> store_;
  std::unique_ptr<table::Catalog> catalog_;
  std::string last_location_;
  std::set<std::string> seen_;
};

}  // namespace evodb::bench
