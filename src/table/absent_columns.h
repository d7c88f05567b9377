// Counts for columns that a data file of ours lacks because it is older than they are, so that who
// looks for a value in one of them need not open the file.
//
//   count_absent_columns(schema, entry.file);     // while manifests are merged
//
// A reader of Iceberg shows null for an optional column that a file lacks (Column Projection in its
// specification), and skips a file for `c IS NOT NULL` where as many values are null as there are.
#pragma once

#include "table/data_file.h"
#include "table/schema.h"

namespace evodb::table {

// True for a file that a flush of ours wrote, by its name. Such an entry counts every column that
// its file has: what has neither counts nor bytes is not in it. Of files of others nothing is
// known.
bool is_flushed_file(const DataFile& file);

// Adds counts of optional columns that the file lacks. Others' files stay as they are.
void count_absent_columns(const Schema& schema, DataFile& file);

}  // namespace evodb::table
