// The rows that benchmarks send: known exactly, so that a reader can be asked for them afterwards.
#pragma once

#include <cstdint>
#include <string>

#include "wire/change.h"
#include "wire/table_def.h"

namespace evodb::bench {

// What a row looks like. All kinds are a pure function of LSN and source.
enum class RowKind : std::uint8_t {
  kPayload200,  // an INTEGER and a TEXT that make 200 encoded bytes; half of them are noise to zstd
  kTyped4,      // INTEGER, REAL, short TEXT, INTEGER
  kTyped20,     // those four, five times over: other numbers, other texts
};

wire::TableDef load_table(RowKind rows);

// Encodes rows; reuses its memory.
class RowMaker {
 public:
  explicit RowMaker(RowKind kind) : kind_(kind), text_(190, 'x') {}

  // Valid until the next call.
  wire::ValuesView row(std::uint64_t lsn, std::uint64_t source = 0);

 private:
  void put_three(std::int64_t n, std::int64_t customers);

  RowKind kind_;
  std::string text_, name_, bytes_;
};

}  // namespace evodb::bench
