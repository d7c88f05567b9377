// relocate: a warehouse that was moved or copied becomes a lakehouse again where it is now. Iceberg
// metadata names every file by its absolute location, so metadata, manifest lists and manifests are
// written anew, as new files, with the data files' new locations; then each table is swapped.
//
//   Relocated done = EVODB_TRY(relocate_lakehouse(store, catalog, random, writer));
//
// In what order, so that a crash anywhere leaves a lakehouse that is refused as before, and the
// same call goes on with it: the new files of a table, its swap; when all are done, the warehouse's
// record. Nothing is removed: the old metadata files become orphans.
//
// Every snapshot is kept, and its data files are shared; the log of former metadata files is not,
// for they name the old place. Blocking; no parent may run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "evodb/result.h"
#include "store/store.h"
#include "table/catalog.h"

namespace evodb::table {

struct Relocated {
  std::string from, to;             // the same: nothing was to be done
  std::vector<std::string> tables;  // written anew
  std::vector<std::string> left;    // "name: why": they are not in this warehouse
  struct Refused {
    std::string table;
    Error why;
  };
  // They stay as they were, and wait once a parent runs: all others are relocated. Another call
  // that names the old place tries them again.
  std::vector<Refused> refused;
};

// `from`: where the warehouse was, if its record does not say (older versions wrote none) or was
// changed by an earlier call that refused a table; else "". `writer` as in open_lakehouse. Errors:
// kInvalid (cannot be done: says why; nothing was changed), kRetry, kOutcomeUnknown, kFenced,
// kCorrupt (the warehouse's record).
Result<Relocated> relocate_lakehouse(store::ObjectStore& store, Catalog& catalog,
                                     base::Random& random, WriterEpoch& writer,
                                     std::string from = "");

}  // namespace evodb::table
