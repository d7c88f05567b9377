// UnorderedTable: which LSNs of each unordered source (wire v1, or a hello that says so) are here,
// for ever. A source whose durable LSNs have no gap costs what an ordered one costs (SourceTable);
// one with gaps has an LsnSet beside it. Nothing is ever forgotten to make space: where the limit
// on memory is reached, LSNs that would leave another gap are refused, to be sent again later.
//
//   SourceIndex id = EVODB_TRY(table.find_or_add("shop-7"));
//   const LsnRun run{Lsn(42), Lsn(42)};
//   switch (table.look(id, Lsn(42))) {
//     case UnorderedTable::Known::kNew: EVODB_TRY(table.receive(id, {&run, 1})); break;
//     case UnorderedTable::Known::kReceived: break;   // not safe yet: no "duplicate" is said
//     case UnorderedTable::Known::kDurable: break;    // safe: this is a duplicate
//   }
//   table.make_durable(id, {&run, 1});                // after the sync
//
// Memory: all gaps of all sources together cost at most gap_bytes_max. One source may use
// runs_per_source of it in any case, and more only while half of it is free, so that a source with
// nothing but gaps does not take what others need.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string_view>
#include <unordered_map>

#include "evodb/result.h"
#include "evodb/types.h"
#include "ingest/lsn_set.h"
#include "ingest/source_table.h"

namespace evodb::ingest {

class UnorderedTable {
 public:
  enum class Known : std::uint8_t { kNew, kReceived, kDurable };
  struct Limits {
    std::uint64_t gap_bytes_max = 80'000'000;
    std::uint32_t runs_per_source = 10'000;
    std::uint32_t sources_max = 8'000'000;
  };

  explicit UnorderedTable(const Limits& limits) : limits_(limits) {}

  // SourceTable::none: unknown, so all of its LSNs are new.
  SourceIndex find(std::string_view source) const { return sources_.find(source, Epoch(0)); }
  // Errors: kOverLimit.
  Result<SourceIndex> find_or_add(std::string_view source);
  // The same where refusing is no choice: what is durable elsewhere already is read again.
  SourceIndex find_or_add_always(std::string_view source);
  Known look(SourceIndex id, Lsn lsn) const;

  // REQUIRES: ascending, not touching each other, nothing in them known.
  // Errors: kOverLimit (nothing was taken).
  Result<void> receive(SourceIndex id, std::span<const LsnRun> runs);
  // Undoes a receive() whose runs did not get any further; they are new again.
  void take_back(SourceIndex id, std::span<const LsnRun> runs);
  // REQUIRES: each run was given to receive() just so.
  void make_durable(SourceIndex id, std::span<const LsnRun> runs);

  // What is durable elsewhere already, whatever the limits. REQUIRES: as for receive().
  void insert(SourceIndex id, std::span<const LsnRun> runs);
  // The same, of which some may be known. REQUIRES: ascending, not touching each other.
  void merge(SourceIndex id, std::span<const LsnRun> runs);

  // Sources of which something is durable, with the number of its runs.
  void for_each(
      const std::function<void(SourceIndex, std::string_view, std::uint64_t)>& visit) const;
  // Ascending, not touching each other; only what is durable.
  void for_each_run(SourceIndex id, const std::function<void(const LsnRun&)>& visit) const;
  Lsn highest_durable(SourceIndex id) const { return range(id).last; }

  std::size_t size() const { return sources_.size(); }
  std::size_t with_gaps() const { return sets_.size(); }
  std::uint64_t gap_bytes() const;

 private:
  using InAir = std::map<std::uint64_t, std::uint64_t>;  // first to last, received and not durable

  // From the lowest durable LSN to the highest; first > last: there is none.
  LsnRun range(SourceIndex id) const;
  void put_range(SourceIndex id, const LsnRun& range);
  bool is_durable(SourceIndex id, std::uint64_t lsn) const;
  bool is_known(SourceIndex id, std::uint64_t lsn) const;
  std::uint64_t runs_of(SourceIndex id) const;

  Limits limits_;
  // Of a source: `received` is its highest durable LSN, the number in `chain` its lowest.
  SourceTable sources_;
  std::unordered_map<SourceIndex, LsnSet> sets_;  // of those with gaps: all that is durable
  std::unordered_map<SourceIndex, InAir> in_air_;
  std::uint64_t set_bytes_ = 0, in_air_runs_ = 0;
};

}  // namespace evodb::ingest
