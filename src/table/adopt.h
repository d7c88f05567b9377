// adopt: the newest metadata file of a folder that has neither a pointer nor an entry in the
// catalog: a table that a version without pointers wrote, whose catalog is lost.
//
//   auto found = EVODB_TRY(newest_metadata(store, "evodb/orders_changes", objects_of_the_folder));
//
// Candidates are the metadata files with our watermark, the highest number first, then the higher
// writer epoch and position. Taken is the first one whose newest snapshot's files are all there.
//
// Why that is safe. Whatever was said to be persisted was swapped in; a later commit was built on
// it and has a higher number; so no candidate that lacks it stands before one that has it, but for
// one: a commit of the same number that lost, or never came to its swap. If a process was replaced
// in between, the later writer began with all that was swapped before, and its epoch is higher.
// Within one process a commit that loses is written anew under the same watermark with the same
// data files. What was never swapped in brings rows that nobody was told of: they are rows of the
// stream all the same, and the marks are rebuilt from the table, so they do not land twice. A
// candidate with missing files never came to its swap (all is put before), or somebody has removed
// them: that one is passed over, and the one before it has every row that can still be read.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "evodb/result.h"
#include "store/store.h"

namespace evodb::table {

// The key of the metadata file; nothing: none of ours. `objects`: all of the folder, which ends
// with no slash. Errors: the store's.
Result<std::optional<std::string>> newest_metadata(store::ObjectStore& store,
                                                   const std::string& folder,
                                                   const std::vector<store::ObjectInfo>& objects);

}  // namespace evodb::table
