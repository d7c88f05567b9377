// ServedTable: a table as a catalog tells its readers of it: where its current metadata file lies,
// and what is in that.
//
//   auto table = EVODB_TRY(read_served_table(
//       store, catalog, "users_changes", SnapshotsServed::kAll, 32u << 20));
//   if (!table) ...                       // there is no such table
//
// The document is given as it lies in the store, whatever engine wrote it and whatever EvoDB knows
// of it; that it is one JSON object was looked at.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "evodb/result.h"
#include "store/store.h"
#include "table/catalog.h"

namespace evodb::table {

enum class SnapshotsServed : std::uint8_t {
  kAll,
  kRefs,  // those that a branch or a tag names, and the current one
};

struct ServedTable {
  std::string metadata_location;
  std::string metadata;  // a JSON object
};

// Blocking. Nothing: there is no such table. Errors: kCorrupt (the file is no JSON object),
// kOverLimit (it has more than `bytes_max`), kNotFound (it is gone), and those of both calls.
Result<std::optional<ServedTable>> read_served_table(store::ObjectStore& store, Catalog& catalog,
                                                     const std::string& name,
                                                     SnapshotsServed snapshots,
                                                     std::uint64_t bytes_max);

}  // namespace evodb::table
