#include "ingest/unordered_table.h"

#include <algorithm>
#include <vector>

#include "base/assert.h"

namespace evodb::ingest {
namespace {

// What a set costs before it holds anything, and a run that is in the air or has still to find its
// place in a set.
constexpr std::uint64_t set_overhead_bytes = sizeof(LsnSet) + 32;
constexpr std::uint64_t run_in_air_bytes = 96;

}  // namespace

LsnRun UnorderedTable::range(SourceIndex id) const {
  const SourceState state = sources_.at(id);
  return {Lsn(state.chain.value), state.received};
}

void UnorderedTable::put_range(SourceIndex id, const LsnRun& range) {
  SourceState state = sources_.at(id);
  state.received = state.durable = state.persisted = range.last;
  state.txn = TxnId(range.last.value);  // costs nothing if it is near
  state.chain = ChainHash(range.first.value);
  sources_.put(id, state);
}

SourceIndex UnorderedTable::find_or_add_always(std::string_view source) {
  const SourceIndex known = find(source);
  if (known != SourceTable::none) return known;
  const SourceIndex id = sources_.add(source, Epoch(0));
  put_range(id, {Lsn(1), Lsn(0)});
  return id;
}

Result<SourceIndex> UnorderedTable::find_or_add(std::string_view source) {
  const SourceIndex known = find(source);
  if (known != SourceTable::none) return known;
  if (sources_.size() >= limits_.sources_max) {
    return fail(ErrorKind::kOverLimit, "this parent holds as many sources as it may (sources_max)");
  }
  return find_or_add_always(source);
}

bool UnorderedTable::is_durable(SourceIndex id, std::uint64_t lsn) const {
  const LsnRun all = range(id);
  if (lsn < all.first.value || lsn > all.last.value) return false;
  const auto set = sets_.find(id);
  return set == sets_.end() || set->second.contains(Lsn(lsn));
}

UnorderedTable::Known UnorderedTable::look(SourceIndex id, Lsn lsn) const {
  if (id == SourceTable::none) return Known::kNew;
  if (const auto air = in_air_.find(id); air != in_air_.end()) {
    const auto next = air->second.upper_bound(lsn.value);
    if (next != air->second.begin() && std::prev(next)->second >= lsn.value) {
      return Known::kReceived;
    }
  }
  return is_durable(id, lsn.value) ? Known::kDurable : Known::kNew;
}

bool UnorderedTable::is_known(SourceIndex id, std::uint64_t lsn) const {
  return look(id, Lsn(lsn)) != Known::kNew;
}

std::uint64_t UnorderedTable::runs_of(SourceIndex id) const {
  const auto set = sets_.find(id);
  const auto air = in_air_.find(id);
  const LsnRun all = range(id);
  return (set != sets_.end()      ? set->second.run_count()
          : all.first <= all.last ? 1
                                  : 0) +
         (air != in_air_.end() ? air->second.size() : 0);
}

Result<void> UnorderedTable::receive(SourceIndex id, std::span<const LsnRun> runs) {
  // How many runs more there will be: one that touches another adds none, one between two takes one
  // away. So a source without gaps is never refused, nor is what closes a gap.
  std::int64_t growth = 0;
  for (const LsnRun& run : runs) {
    ++growth;
    if (run.first.value != 0 && is_known(id, run.first.value - 1)) --growth;
    if (run.last.value != UINT64_MAX && is_known(id, run.last.value + 1)) --growth;
  }
  const std::uint64_t before = runs_of(id);
  if (growth > 0 && before + static_cast<std::uint64_t>(growth) > 1) {
    const std::uint64_t after = before + static_cast<std::uint64_t>(growth);
    const std::uint64_t limit =
        after <= limits_.runs_per_source ? limits_.gap_bytes_max : limits_.gap_bytes_max / 2;
    const std::uint64_t bytes = gap_bytes() + (sets_.contains(id) ? 0 : set_overhead_bytes) +
                                static_cast<std::uint64_t>(growth) * run_in_air_bytes;
    if (bytes > limit) {
      return fail(
          ErrorKind::kOverLimit,
          "the memory for gaps between LSNs is used up (dedup.max_sources times "
          "dedup.max_entries_per_source bounds it); nothing that was acknowledged is forgotten to "
          "make space: raise one of them, or send LSNs without gaps");
    }
  }
  InAir& air = in_air_[id];
  for (const LsnRun& run : runs) {
    EVODB_ASSERT(!is_known(id, run.first.value) && !is_known(id, run.last.value),
                 "only what is new may be received");
    air.emplace(run.first.value, run.last.value);
  }
  in_air_runs_ += runs.size();
  return {};
}

void UnorderedTable::take_back(SourceIndex id, std::span<const LsnRun> runs) {
  const auto air = in_air_.find(id);
  EVODB_ASSERT(air != in_air_.end(), "only what was received is taken back or becomes durable");
  for (const LsnRun& run : runs) {
    const auto received = air->second.find(run.first.value);
    EVODB_ASSERT(received != air->second.end() && received->second == run.last.value,
                 "only what was received is taken back or becomes durable");
    air->second.erase(received);
  }
  in_air_runs_ -= runs.size();
  if (air->second.empty()) in_air_.erase(air);
}

void UnorderedTable::make_durable(SourceIndex id, std::span<const LsnRun> runs) {
  take_back(id, runs);
  insert(id, runs);
}

void UnorderedTable::insert(SourceIndex id, std::span<const LsnRun> runs) {
  if (runs.empty()) return;
  LsnRun all = range(id);
  const bool empty = all.first > all.last;
  auto set = sets_.find(id);
  if (set == sets_.end() && runs.size() == 1) {
    const LsnRun& run = runs.front();
    if (empty) return put_range(id, run);
    if (run.last.value + 1 == all.first.value) return put_range(id, {run.first, all.last});
    if (all.last.value + 1 == run.first.value) return put_range(id, {all.first, run.last});
  }
  std::uint64_t before = 0;
  if (set == sets_.end()) {
    set = sets_.emplace(id, LsnSet()).first;
    if (!empty) set->second.add({&all, 1});
  } else {
    before = set->second.bytes() + set_overhead_bytes;
  }
  set->second.add(runs);
  all = empty
            ? LsnRun{runs.front().first, runs.back().last}
            : LsnRun{std::min(all.first, runs.front().first), std::max(all.last, runs.back().last)};
  put_range(id, all);
  set_bytes_ -= before;
  if (set->second.run_count() == 1) {
    sets_.erase(set);  // the last gap has closed
  } else {
    set_bytes_ += set->second.bytes() + set_overhead_bytes;
  }
}

void UnorderedTable::merge(SourceIndex id, std::span<const LsnRun> runs) {
  // What is durable already is cut out.
  std::vector<LsnRun> held;
  for_each_run(id, [&](const LsnRun& run) { held.push_back(run); });
  std::vector<LsnRun> fresh;
  std::size_t h = 0;
  for (LsnRun run : runs) {
    while (h < held.size() && held[h].last < run.first) ++h;
    bool rest = true;
    for (std::size_t at = h; at < held.size() && held[at].first <= run.last; ++at) {
      if (run.first < held[at].first) {
        fresh.push_back({run.first, Lsn(held[at].first.value - 1)});
      }
      if (held[at].last >= run.last) {
        rest = false;
        break;
      }
      run.first = Lsn(held[at].last.value + 1);
    }
    if (rest) fresh.push_back(run);
  }
  insert(id, fresh);
}

void UnorderedTable::for_each(
    const std::function<void(SourceIndex, std::string_view, std::uint64_t)>& visit) const {
  sources_.for_each([&](SourceIndex id) {
    const LsnRun all = range(id);
    if (all.first > all.last) return;
    const auto set = sets_.find(id);
    visit(id, sources_.name_of(id), set == sets_.end() ? 1 : set->second.run_count());
  });
}

void UnorderedTable::for_each_run(SourceIndex id,
                                  const std::function<void(const LsnRun&)>& visit) const {
  const LsnRun all = range(id);
  if (all.first > all.last) return;
  const auto set = sets_.find(id);
  if (set == sets_.end()) return visit(all);
  set->second.for_each(visit);
}

std::uint64_t UnorderedTable::gap_bytes() const {
  return set_bytes_ + in_air_runs_ * run_in_air_bytes;
}

}  // namespace evodb::ingest
