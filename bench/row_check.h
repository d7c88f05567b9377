// check_rows: every row of a data file against what its child sent: each value, read by Arrow.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "bench/rows.h"
#include "evodb/result.h"
#include "evodb/types.h"

namespace evodb::bench {

// Calls `row` for each. Errors: kCorrupt: a value is not the one that RowMaker makes for this
// source and LSN (says which), or the file is no readable Parquet.
Result<void> check_rows(
    const std::string& parquet_bytes, RowKind rows,
    const std::function<void(std::string_view source, Epoch epoch, Lsn lsn)>& row);

}  // namespace evodb::bench
