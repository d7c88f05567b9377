// Catalog: which metadata file is a table's current one, and the compare-and-swap that commits.
//
// The embedded one is SQLite in the JDBC layout (iceberg_tables, iceberg_namespace_properties), so
// that PyIceberg's SqlCatalog and Java's JdbcCatalog open it as it is.
//
// Fencing: a writer claims the namespace once at start and gets a writer epoch higher than any
// before; a swap by an older epoch is kFenced, inside the same catalog transaction.
//
// Calls block; used from several threads (one connection behind a mutex).
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
  // Creates the namespace if needed and fences every earlier writer.
  virtual Result<WriterEpoch> claim() = 0;
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
};

// SQLite file in the JDBC layout. `vfs` names a registered sqlite3_vfs; "": the machine's files.
Result<std::unique_ptr<Catalog>> open_sqlite_catalog(const std::string& path,
                                                     const std::string& catalog_name,
                                                     const std::string& name_space,
                                                     const std::string& vfs = "");

}  // namespace evodb::table
