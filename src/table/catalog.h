// Catalog: which metadata file is a table's current one, and the compare-and-swap that commits.
//
// The embedded one is SQLite in the JDBC layout (iceberg_tables, iceberg_namespace_properties), so
// that PyIceberg's SqlCatalog and Java's JdbcCatalog open it as it is.
//
// Fencing: a writer claims the namespace once at start and gets a writer epoch higher than any
// before; a swap by an older epoch is kFenced, inside the same catalog transaction.
//
// Calls block; used from several threads (one connection behind a mutex). Where the catalog is a
// file, each call first looks whether it is still the file under its path, and gives kStale where
// it is not: what was committed would be seen by nobody. reopen() goes on with what is there.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "evodb/result.h"
#include "evodb/types.h"

namespace evodb::table {

using WriterEpoch = Strong<struct WriterEpochTag, std::uint64_t>;

struct TableEntry {
  std::string name;  // within the namespace
  std::string metadata_location;
};

class Catalog {
 public:
  virtual ~Catalog() = default;
  // Creates the namespace if needed and fences every earlier writer. The epoch is higher than any
  // before, and at least `at_least`.
  virtual Result<WriterEpoch> claim(WriterEpoch at_least) = 0;
  Result<WriterEpoch> claim() { return claim(WriterEpoch()); }
  // The same for whoever holds `held`; kFenced where somebody else has claimed since. A claim made
  // through this object whose answer was lost (kOutcomeUnknown) is not somebody else's.
  virtual Result<WriterEpoch> claim_above(WriterEpoch held, WriterEpoch at_least) = 0;
  virtual Result<std::vector<TableEntry>> list() = 0;
  virtual Result<std::optional<std::string>> load(const std::string& table) = 0;
  // `expected` empty: create, the table must not exist. Errors: kStale (somebody else's commit came
  // first: reload), kRetry (busy or away: nothing happened), kFenced, kOutcomeUnknown.
  virtual Result<void> swap(WriterEpoch writer, const std::string& table,
                            const std::optional<std::string>& expected,
                            const std::string& metadata_location) = 0;
  // Namespace properties (journal id, ...). set is fenced like swap.
  virtual Result<std::optional<std::string>> property(const std::string& key) = 0;
  virtual Result<void> set_property(WriterEpoch writer, const std::string& key,
                                    const std::string& value) = 0;
  // After kStale: opens what is under the path now, or makes it anew. Everything that was known of
  // the catalog must be asked again, the claim first.
  virtual Result<void> reopen() { return {}; }
};

// SQLite file in the JDBC layout. `vfs` names a registered sqlite3_vfs; "": the machine's files.
Result<std::unique_ptr<Catalog>> open_sqlite_catalog(const std::string& path,
                                                     const std::string& catalog_name,
                                                     const std::string& name_space,
                                                     const std::string& vfs = "");

}  // namespace evodb::table
