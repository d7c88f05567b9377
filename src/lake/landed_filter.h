// LandedFilter: what the tables already held when the journal was lost. Children resend from where
// they still hold changes; a change that its table has is skipped at landing.
//
// A source's changes reach a table in LSN order, so one number a (table, source, epoch) says it
// all; for unordered sources (epoch 0: wire v1 and v2 hellos that say so) it is a set of intervals.
// Built once by scanning the tables (`_source, _epoch, _lsn`), kept in a checksummed file beside
// the journal for that journal's life.
//
// A table is known by its location_key, for other engines may rename it in the catalog.
//
//   filter.add("evodb/orders_changes", "till-7", Epoch(1), Lsn(99));
//   const auto landed = filter.find("evodb/orders_changes", "till-7", Epoch(1));   // once a record
//   if (landed.contains(lsn)) ...                                                  // for each change
//
// Memory: one entry a (table, source, epoch); for unordered ones 48 bytes an interval. File:
// docs/formats/landed-filter.md. Threads: one; const calls from any.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "evodb/result.h"
#include "evodb/types.h"

namespace evodb::lake {

// Closed intervals of LSNs, disjoint and not adjacent: first to last.
using LsnIntervals = std::map<std::uint64_t, std::uint64_t>;

class LandedFilter {
 public:
  // What one table holds of one source. Valid until the filter changes.
  class Landed {
   public:
    bool contains(Lsn lsn) const;

   private:
    friend class LandedFilter;
    Lsn highest_;
    const LsnIntervals* exact_ = nullptr;
  };

  LandedFilter();
  ~LandedFilter();

  // One row of a table, in any order.
  void add(std::string_view location_key, std::string_view source, Epoch epoch, Lsn lsn);
  Landed find(std::string_view location_key, std::string_view source, Epoch epoch) const;
  bool contains(std::string_view location_key, std::string_view source, Epoch epoch,
                Lsn lsn) const {
    return find(location_key, source, epoch).contains(lsn);
  }
  bool empty() const;
  // Read from a file of the first version: what it says of all tables together holds, but a table
  // is known there by its name in the catalog of then. Scan them again before anything lands.
  bool is_by_name() const;

  // The highest LSN of each (source, epoch) in any table: what ingest is told.
  struct Highest {
    std::string source;
    Epoch epoch;
    Lsn lsn;
  };
  std::vector<Highest> highest() const;
  // What any table holds of each unordered source.
  std::map<std::string, LsnIntervals> unordered() const;

  // REQUIRES: !is_by_name().
  std::string encode() const;
  // Errors: kCorrupt.
  static Result<std::unique_ptr<LandedFilter>> decode(std::string_view bytes);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Reads the identity columns (field ids 1, 2, 3) of one of our Parquet files. Errors: kCorrupt (no
// Parquet, damaged, or without these columns).
Result<void> scan_identities(
    const std::string& parquet_bytes,
    const std::function<void(std::string_view source, Epoch epoch, Lsn lsn)>& row);

}  // namespace evodb::lake
