// LakehouseReader: a plain reader of a parent's local lakehouse: catalog, metadata, manifests, data
// files, from disk, as often as it likes. It shares no state with the parent.
//
//   auto reader = EVODB_TRY(LakehouseReader::open(data));
//   EVODB_TRY(reader.expect(load));            // what run_load(load) has sent, every value
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "bench/load.h"
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

  // Reads the load's tables whole and compares: source "<prefix>-<i>" must have each of the LSNs 1
  // .. its share exactly once, nothing else; and of every row of every load each value must be the
  // one that was sent. kCorrupt: says what is missing, twice or another.
  Result<void> expect(const LoadOptions& load);

 private:
  using File = std::function<Result<void>(const std::string& parquet_bytes)>;
  Result<void> read_new_files(const std::string& table, const File& file);

  std::unique_ptr<store::ObjectStore> store_;
  std::unique_ptr<table::Catalog> catalog_;
  std::string last_location_;
  std::set<std::string> seen_;
};

}  // namespace evodb::bench
