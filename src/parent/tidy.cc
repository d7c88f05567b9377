#include "parent/tidy.h"

#include "table/append.h"

namespace evodb::parent {
namespace {

std::string describe(const std::vector<std::string>& missing) {
  return std::to_string(missing.size()) + " of its data files " +
         (missing.size() == 1 ? "is" : "are") + " gone, such as " + missing.front() +
         ": put them back, or let an engine delete their rows; new changes land all the same";
}

}  // namespace

TidiedTables tidy_tables(store::ObjectStore& store, table::Catalog& catalog,
                         const std::vector<TableToTidy>& tables, std::int64_t min_age_ms,
                         UnixMillis now) {
  TidiedTables all;
  for (const TableToTidy& table : tables) {
    const auto tidied =
        table::tidy_table(store, catalog, table.name, table.may_remove, min_age_ms, now);
    if (tidied) {
      all.removed += tidied->removed;
      if (!tidied->missing.empty()) all.incomplete[table.name] = describe(tidied->missing);
    } else if (tidied.error().kind == ErrorKind::kNotFound ||
               tidied.error().kind == ErrorKind::kCorrupt) {
      all.incomplete[table.name] = tidied.error().text;
    }
  }
  return all;
}

}  // namespace evodb::parent
