// What a parent does for its tables' folders at each start: files of crashed flushes go (never
// anything young enough to belong to a live one), and it is seen whether somebody has removed what
// the tables refer to. Blocking.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "evodb/types.h"
#include "store/store.h"
#include "table/catalog.h"

namespace evodb::parent {

struct TableToTidy {
  std::string name;
  bool may_remove = false;  // where that is not sure, nothing is
};

struct TidiedTables {
  std::uint64_t removed = 0;
  std::map<std::string, std::string> incomplete;  // table: what of it is gone, for people
};

// What cannot be asked just now is left to the next start.
TidiedTables tidy_tables(store::ObjectStore& store, table::Catalog& catalog,
                         const std::vector<TableToTidy>& tables, std::int64_t min_age_ms,
                         UnixMillis now);

}  // namespace evodb::parent
