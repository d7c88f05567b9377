#include "evodb/dedup.h"

#include <algorithm>

#include "base/assert.h"

namespace evodb {
namespace {

constexpr std::int64_t step_ms_max = 30'000;

// The entry of `map` (first LSN to something with an end) at or before `lsn`, or end().
template <class Map>
auto at_or_before(Map& map, std::uint64_t lsn) {
  auto next = map.upper_bound(lsn);
  return next == map.begin() ? map.end() : std::prev(next);
}

}  // namespace

void DeduplicationTracker::advance(UnixMillis now) {
  if (started_) elapsed_ms_ += std::clamp<std::int64_t>(now.value - last_now_ms_, 0, step_ms_max);
  started_ = true;
  last_now_ms_ = now.value;
}

DeduplicationTracker::Known DeduplicationTracker::look(std::string_view source, Lsn lsn) const {
  const auto found = sources_.find(source);
  if (found == sources_.end()) return Known::kNew;
  const auto seen = at_or_before(found->second.seen, lsn.value);
  if (seen == found->second.seen.end() || seen->second.last < lsn.value) return Known::kNew;
  const auto received = at_or_before(found->second.received, lsn.value);
  const bool waits = received != found->second.received.end() && received->second >= lsn.value;
  return waits ? Known::kReceived : Known::kDurable;
}

void DeduplicationTracker::add_to_runs(std::vector<Run>& runs, Lsn lsn) {
  if (!runs.empty() && runs.back().last.value + 1 == lsn.value) {
    runs.back().last = lsn;
  } else {
    runs.push_back({lsn, lsn});
  }
}

bool DeduplicationTracker::touches_received(const Source& source, std::uint64_t first,
                                            std::uint64_t last) {
  const auto received = at_or_before(source.received, last);
  return received != source.received.end() && received->second >= first;
}

std::size_t DeduplicationTracker::forget_old(Source& source) const {
  return std::erase_if(source.seen, [&](const auto& entry) {
    return elapsed_ms_ - entry.second.stamp_ms > options_.window_ms &&
           !touches_received(source, entry.first, entry.second.last);
  });
}

Result<void> DeduplicationTracker::make_space_for_source() {
  if (sources_.size() < options_.max_sources) return {};
  for (auto it = sources_.begin(); it != sources_.end();) {
    forget_old(it->second);
    it = it->second.seen.empty() ? sources_.erase(it) : std::next(it);
  }
  if (sources_.size() < options_.max_sources) return {};
  return fail(ErrorKind::kOverLimit,
              "dedup.max_sources (" + std::to_string(options_.max_sources) +
                  ") unordered sources were active within the window; retry later or raise it");
}

Result<void> DeduplicationTracker::receive(std::string_view name, std::span<const Run> runs,
                                           UnixMillis now) {
  advance(now);
  auto found = sources_.find(name);
  if (found == sources_.end()) {
    EVODB_TRY(make_space_for_source());
    found = sources_.emplace(std::string(name), Source()).first;
  }
  Source& source = found->second;
  // How many entries there will be: a run that closes a gap joins two.
  const auto growth = [&] {
    std::size_t plus = runs.size(), minus = 0;
    for (const Run& run : runs) {
      const auto before = at_or_before(source.seen, run.first.value);
      EVODB_ASSERT(before == source.seen.end() || before->second.last < run.first.value,
                   "only what is new may be received");
      if (before != source.seen.end() && before->second.last + 1 == run.first.value) ++minus;
      if (run.last.value != UINT64_MAX && source.seen.contains(run.last.value + 1)) ++minus;
    }
    return static_cast<std::ptrdiff_t>(plus) - static_cast<std::ptrdiff_t>(minus);
  };
  const auto fits = [&] {
    return static_cast<std::ptrdiff_t>(source.seen.size()) + growth() <=
           static_cast<std::ptrdiff_t>(options_.max_entries_per_source);
  };
  if (!fits() && (forget_old(source) == 0 || !fits())) {
    const bool empty = source.seen.empty();
    if (empty) sources_.erase(found);
    return fail(ErrorKind::kOverLimit,
                "dedup.max_entries_per_source (" + std::to_string(options_.max_entries_per_source) +
                    ") is reached within the window; retry later, or send LSNs without gaps");
  }
  insert(source, runs, elapsed_ms_);
  return {};
}

Result<void> DeduplicationTracker::receive_always(std::string_view name, std::span<const Run> runs,
                                                  UnixMillis now) {
  if (receive(name, runs, now)) return {};
  // Limits may be tighter now than they were; what was accepted under the old ones stays known.
  insert(sources_[std::string(name)], runs, elapsed_ms_);
  return {};
}

void DeduplicationTracker::take_back(std::string_view name, std::span<const Run> runs) {
  make_durable(name, runs);
  const auto found = sources_.find(name);
  for (const Run& run : runs) {
    const auto holder = at_or_before(found->second.seen, run.first.value);
    const std::uint64_t first = holder->first;
    const Interval interval = holder->second;
    found->second.seen.erase(holder);
    if (first < run.first.value) {
      found->second.seen[first] = {.last = run.first.value - 1, .stamp_ms = interval.stamp_ms};
    }
    if (interval.last > run.last.value) {
      found->second.seen[run.last.value + 1] = interval;
    }
  }
  if (found->second.seen.empty()) sources_.erase(found);
}

void DeduplicationTracker::insert(Source& source, std::span<const Run> runs,
                                  std::int64_t stamp_ms) {
  for (const Run& run : runs) {
    std::uint64_t first = run.first.value, last = run.last.value;
    source.received.emplace(first, last);
    if (const auto after = last == UINT64_MAX ? source.seen.end() : source.seen.find(last + 1);
        after != source.seen.end()) {
      last = after->second.last;
      source.seen.erase(after);
    }
    if (const auto before = at_or_before(source.seen, first);
        before != source.seen.end() && before->second.last + 1 == first) {
      first = before->first;
    }
    source.seen[first] = {.last = last, .stamp_ms = stamp_ms};
  }
}

void DeduplicationTracker::make_durable(std::string_view name, std::span<const Run> runs) {
  const auto found = sources_.find(name);
  EVODB_ASSERT(found != sources_.end(), "a source with received LSNs is never forgotten");
  for (const Run& run : runs) {
    const auto received = found->second.received.find(run.first.value);
    EVODB_ASSERT(received != found->second.received.end() && received->second == run.last.value,
                 "only what was received becomes durable");
    found->second.received.erase(received);
  }
}

void DeduplicationTracker::for_each_durable(
    const std::function<void(const std::string&, const std::vector<AgedRun>&)>& visit) const {
  std::vector<AgedRun> runs;
  for (const auto& [name, source] : sources_) {
    runs.clear();
    for (const auto& [first, interval] : source.seen) {
      const std::int64_t age = elapsed_ms_ - interval.stamp_ms;
      std::uint64_t from = first;
      bool more = true;
      for (auto r = source.received.lower_bound(first);
           r != source.received.end() && r->first <= interval.last; ++r) {
        if (r->first > from) runs.push_back({{Lsn(from), Lsn(r->first - 1)}, age});
        more = r->second < interval.last;
        from = r->second + 1;
      }
      if (more) runs.push_back({{Lsn(from), Lsn(interval.last)}, age});
    }
    if (!runs.empty()) visit(name, runs);
  }
}

Result<void> DeduplicationTracker::restore(std::string_view name, std::span<const AgedRun> runs) {
  if (sources_.size() >= options_.max_sources && !sources_.contains(name)) {
    // Fewer are allowed than there were when this was written. Forgetting would be a lie.
    options_.max_sources = static_cast<std::uint32_t>(sources_.size() + 1);
  }
  Source& source = sources_[std::string(name)];
  if (!source.seen.empty()) return fail(ErrorKind::kInvalid, "a source that is named twice");
  bool first = true;
  std::uint64_t last = 0;
  for (const AgedRun& aged : runs) {
    if (aged.run.last < aged.run.first || (!first && aged.run.first.value <= last)) {
      return fail(ErrorKind::kInvalid, "runs that do not ascend");
    }
    source.seen[aged.run.first.value] = {
        .last = aged.run.last.value,
        .stamp_ms = elapsed_ms_ - std::max<std::int64_t>(aged.age_ms, 0)};
    last = aged.run.last.value;
    first = false;
  }
  return {};
}

std::size_t DeduplicationTracker::entry_count(std::string_view source) const {
  const auto found = sources_.find(source);
  return found == sources_.end() ? 0 : found->second.seen.size();
}

Lsn DeduplicationTracker::highest(std::string_view source) const {
  const auto found = sources_.find(source);
  if (found == sources_.end() || found->second.seen.empty()) return Lsn();
  return Lsn(found->second.seen.rbegin()->second.last);
}

}  // namespace evodb
