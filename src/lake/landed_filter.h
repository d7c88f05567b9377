// LandedFilter: what the tables already held when the journal was lost. Children resend from where
// they still hold changes; a change that its table has is skipped at landing.
//
// A source's changes reach a table in LSN order, so one number a (table, source, epoch) says it all;
// for unordered sources (wire v1) it is a set of intervals. Built once by scanning the tables
// (`_source, _epoch, _lsn`), kept in a checksummed file beside the journal for that journal's life.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "evodb/result.h"
#include "evodb/types.h"

namespace evodb::lake {

class LandedFilter {
 public:
  LandedFilter();
  ~LandedFilter();

  // One row of a table, in any order.
  void add(std::string_view table, std::string_view source, Epoch epoch, Lsn lsn);
  bool contains(std::string_view table, std::string_view source, Epoch epoch, Lsn lsn) const;
  bool empty() const;

  // The highest LSN of each (source, epoch) in any table: what ingest is told.
  struct Highest { std::string source; Epoch epoch; Lsn lsn; };
  std::vector<Highest> highest() const;

  std::string encode() const;
  static Result<std::unique_ptr<LandedFilter>> decode(std::string_view bytes);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Reads the identity columns of one of our Parquet files.
Result<void> scan_identities(
    const std::string& parquet_bytes,
    const std::function<void(std::string_view source, Epoch epoch, Lsn lsn)>& row);

}  // namespace evodb::lake
