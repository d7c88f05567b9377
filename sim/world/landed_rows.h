// Every row of a data file as text, by column: what a reader of the lakehouse sees, for the oracle
// to compare with what an application wrote.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "evodb/result.h"
#include "evodb/types.h"
#include "table/schema.h"

namespace evodb::sim {

// "price" -> "12", "_before.price" -> "11" (column `_before_price`); NULL: absent. INTEGER as
// digits, REAL with 17 digits, TEXT and BLOB as they are. What stands in `_unfit` under "price" is
// "_unfit:price". A column that had to take another name than the source's, with a hash behind it
// (tables.md, "Names"), is called by the source's.
using Columns = std::map<std::string, std::string>;

struct LandedRow {
  std::string source;
  Epoch epoch;
  Lsn lsn;
  TxnId txn;
  std::string op;
  Columns columns;
};

// Who wrote a source's changes, and remembers each of them.
class Application {
 public:
  virtual ~Application() = default;
  // Whether it wrote just this: operation, values, classes, times, under this LSN.
  virtual bool wrote(const std::string& table, const LandedRow& row) const = 0;
  // Whether it gave that change this transaction. (A copy of a database may have given it another.)
  virtual bool labelled(const LandedRow& row) const = 0;
};

std::string show_real(double value);
// In the file's order, as a reader sees them who knows the table's present schema: columns are found
// by field id and called by the schema's names; what the schema has no more is not seen. kCorrupt:
// it is no Parquet file of a changes table or of the rejects.
Result<std::vector<LandedRow>> read_landed_rows(const std::string& parquet_bytes,
                                                const table::Schema& schema);

}  // namespace evodb::sim
