// open_lakehouse: what a parent does before anything lands: it claims the lakehouse in catalog and
// store, and brings the two together. The store is enough: tables that the catalog lacks are
// registered, and those of which it names an older metadata file are brought forward.
//
//   OpenedLakehouse opened = EVODB_TRY(open_lakehouse(store, catalog, random, writer, options));
//   for (const FoundTable& table : opened.tables) ...
//   commit.claim = opened.claim;
//
// What stands in the catalog (C) and what the newest pointer names (H), and what is done:
//
//   no H                       C stays, and gets a pointer (older versions wrote none)
//   no C                       H is registered
//   C is H, or descends of it  C stays, and gets a pointer: a crash came between swap and pointer,
//                              or another engine has committed
//   otherwise                  H: the catalog is older (restored from a backup), or what it has was
//                              never said to be persisted
//   neither                    the folder's newest complete metadata file (adopt.h), which only a
//                              catalog that knows no table makes necessary
//
// Blocking. May be called again after any error, and by a process that has done it before.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "evodb/result.h"
#include "table/append.h"
#include "table/catalog.h"
#include "table/claim.h"

namespace evodb::table {

struct FoundTable {
  // Of a table of somebody else: no more than its name. Of a sick one: name and location_key.
  TableState state;
  std::optional<Error> sick;  // why it cannot be read; its rows must wait
};

struct OpenedLakehouse {
  std::shared_ptr<Claim> claim;
  std::vector<FoundTable> tables;
  std::vector<std::string> notes;  // what was found otherwise than expected, and what was done
};

struct OpenOptions {
  // Where tables of ours lie.
  std::string tables_prefix = "evodb/";
};

// `writer` is what catalog.claim() gave, and then the epoch that was claimed since, after an error
// too. Errors: kRetry, kOutcomeUnknown (store or catalog away), kFenced (another parent came
// meanwhile), kInvalid (this is another warehouse than the catalog's: says what to do), kCorrupt.
Result<OpenedLakehouse> open_lakehouse(store::ObjectStore& store, Catalog& catalog,
                                       base::Random& random, WriterEpoch& writer,
                                       const OpenOptions& options = {});

// Does the store give what every warehouse has? Then an object that it does not give is that
// object's own fault, and concerns only the table that needs it.
bool store_answers(store::ObjectStore& store);

// Would opening find this sick table well? Errors: kRetry and the like.
Result<bool> is_well(store::ObjectStore& store, Catalog& catalog, const FoundTable& table);

// Now and then, while a parent runs: is the catalog still the one that we know, with our tables in
// it? And what other engines committed gets its pointers. Errors: kStale (a table was dropped,
// renamed or set back, a column of it renamed, dropped or re-typed, or the catalog's file replaced:
// open the lakehouse again), kFenced (another parent has claimed it), kRetry.
Result<void> tend_lakehouse(store::ObjectStore& store, Catalog& catalog, Claim& claim);

// Whether nobody has taken over since. Errors: kFenced (another parent has), kRetry and the like.
Result<void> still_claimed(store::ObjectStore& store, const Claim& claim);

inline constexpr char catalog_id_property[] = "evodb.catalog-id";
inline constexpr char warehouse_id_property[] = "evodb.warehouse-id";
inline constexpr char parent_id_property[] = "evodb.parent-id";

}  // namespace evodb::table
