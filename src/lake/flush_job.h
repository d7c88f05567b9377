// FlushJob: everything that one flush needs, sealed: columns, schema, watermark. Made by Lake,
// carried to another thread by a FlushMachine, read by a FileEncoder.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lake/lake.h"
#include "lake/row_buffer.h"
#include "lake/table_columns.h"
#include "table/append.h"

namespace evodb::lake {

struct FlushJob {
  FlushId id;
  std::string table;
  bool create = false;  // the table is not in the catalog yet
  std::string location_key;
  table::Schema schema;
  std::vector<FieldSource> sources;  // of schema.fields, one for one
  std::vector<std::int32_t> sort_by;
  std::optional<table::Watermark> expected;
  table::Watermark watermark;
  std::shared_ptr<table::Claim> claim;
  // Shared: the lake keeps the rows until they are committed, so that a flush that failed for good
  // can be begun anew. Nobody changes them any more.
  std::shared_ptr<const RowBuffer> rows;
};

}  // namespace evodb::lake
