#include "ingest/lsn_set.h"

#include <algorithm>

#include "base/assert.h"
#include "base/bytes.h"

namespace evodb::ingest {
namespace {

constexpr std::size_t chunk_runs_max = 128;
// A node of the map, and the allocation behind it and behind the string.
constexpr std::uint64_t chunk_overhead_bytes = 32 + sizeof(std::uint64_t) + 48 + 2 * 8;

// REQUIRES: p stands at a varint that this file wrote.
const char* read_varint(const char* p, std::uint64_t* value) {
  std::uint64_t v = 0;
  for (unsigned shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(*p++);
    v |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  *value = v;
  return p;
}

bool touch(const LsnRun& a, const LsnRun& b) {
  return a.last.value != UINT64_MAX && a.last.value + 1 == b.first.value;
}

// Behind the last run of `runs`, or as a part of it.
void append(std::vector<LsnRun>& runs, const LsnRun& run) {
  if (runs.empty() || !touch(runs.back(), run)) {
    EVODB_ASSERT(runs.empty() || runs.back().last < run.first, "only what is new may be added");
    runs.push_back(run);
  } else {
    runs.back().last = run.last;
  }
}

}  // namespace

LsnSet::Chunks::const_iterator LsnSet::chunk_of(std::uint64_t lsn) const {
  const auto next = chunks_.upper_bound(lsn);
  return next == chunks_.begin() ? next : std::prev(next);
}

bool LsnSet::contains(Lsn lsn) const {
  const auto chunk = chunk_of(lsn.value);
  if (chunk == chunks_.end() || lsn.value < chunk->first || lsn.value > chunk->second.last) {
    return false;
  }
  std::uint64_t more = 0, gap = 0;
  const char* p = read_varint(chunk->second.bytes.data(), &more);
  std::uint64_t first = chunk->first, last = first + more;
  while (last < lsn.value) {  // the chunk's own last is not
    p = read_varint(p, &gap);
    p = read_varint(p, &more);
    first = last + gap;
    last = first + more;
  }
  return first <= lsn.value;
}

void LsnSet::read(std::uint64_t first, const Chunk& chunk, std::vector<LsnRun>& runs) {
  std::uint64_t more = 0, gap = 0;
  const char* p = read_varint(chunk.bytes.data(), &more);
  std::uint64_t last = first + more;
  runs.push_back({Lsn(first), Lsn(last)});
  for (std::uint32_t i = 1; i < chunk.runs; ++i) {
    p = read_varint(p, &gap);
    p = read_varint(p, &more);
    first = last + gap;
    last = first + more;
    runs.push_back({Lsn(first), Lsn(last)});
  }
}

void LsnSet::forget(Chunks::iterator chunk) {
  runs_ -= chunk->second.runs;
  encoded_bytes_ -= chunk->second.bytes.capacity();
  chunks_.erase(chunk);
}

void LsnSet::put(std::span<const LsnRun> runs) {
  std::string encoded;
  base::put_varint(encoded, runs.front().last.value - runs.front().first.value);
  for (std::size_t i = 1; i < runs.size(); ++i) {
    base::put_varint(encoded, runs[i].first.value - runs[i - 1].last.value);
    base::put_varint(encoded, runs[i].last.value - runs[i].first.value);
  }
  Chunk chunk{runs.back().last.value, static_cast<std::uint32_t>(runs.size()), {}};
  chunk.bytes.assign(encoded.data(), encoded.size());  // no more than it needs
  runs_ += chunk.runs;
  encoded_bytes_ += chunk.bytes.capacity();
  chunks_.emplace(runs.front().first.value, std::move(chunk));
}

void LsnSet::add(std::span<const LsnRun> runs) {
  std::vector<LsnRun> held, merged;
  while (!runs.empty()) {
    // All that belongs into one chunk, which is written anew.
    const auto found = chunk_of(runs.front().first.value);
    held.clear();
    Chunks::iterator next = chunks_.end();
    if (found != chunks_.end()) {
      read(found->first, found->second, held);
      next = chunks_.erase(found, found);  // not const
      const auto chunk = next++;
      forget(chunk);
    }
    std::size_t taken = 0;
    while (taken < runs.size() &&
           (next == chunks_.end() || runs[taken].first.value < next->first)) {
      ++taken;
    }
    merged.clear();
    std::size_t h = 0;
    for (const LsnRun& run : runs.first(taken)) {
      while (h < held.size() && held[h].first < run.first) append(merged, held[h++]);
      append(merged, run);
    }
    while (h < held.size()) append(merged, held[h++]);
    runs = runs.subspan(taken);
    if (next != chunks_.end() && merged.back().last.value + 1 == next->first) {
      held.clear();
      read(next->first, next->second, held);
      for (const LsnRun& run : held) append(merged, run);
      const auto chunk = next++;
      forget(chunk);
    }
    // At the end chunks are filled, for what comes then lies behind them; elsewhere there is space.
    const std::size_t pieces = (merged.size() + chunk_runs_max - 1) / chunk_runs_max;
    const std::size_t piece =
        next == chunks_.end() ? chunk_runs_max : (merged.size() + pieces - 1) / pieces;
    for (std::span<const LsnRun> rest(merged); !rest.empty();) {
      const std::size_t n = std::min(piece, rest.size());
      put(rest.first(n));
      rest = rest.subspan(n);
    }
  }
}

std::uint64_t LsnSet::bytes() const {
  return encoded_bytes_ + chunks_.size() * chunk_overhead_bytes;
}

}  // namespace evodb::ingest
