// DeduplicationTracker: which LSNs of a source that sends them in any order have been seen.
//
//   DeduplicationTracker tracker;   // 5 minutes, 10,000 entries a source
//   const DeduplicationTracker::Run run{Lsn(42), Lsn(42)};
//   switch (tracker.look("shop-7", Lsn(42))) {
//     case DeduplicationTracker::Known::kNew:
//       EVODB_TRY(tracker.receive("shop-7", {&run, 1}, now));
//       break;
//     case DeduplicationTracker::Known::kReceived: break;   // not safe yet: no "duplicate" is said
//     case DeduplicationTracker::Known::kDurable: break;    // safe: this is a duplicate
//   }
//   tracker.make_durable("shop-7", {&run, 1});              // after the sync
//
// Sources whose LSNs only grow need none of this: a high-water mark answers for ever. This is the
// window for all others, with two promises that windows usually break: it never answers "duplicate"
// for something that it has forgotten or that is not safe, and it never forgets anything younger
// than the window to make space: it refuses new work instead.
//
// LSNs are kept as intervals: a run without a gap is one entry however long it is. An interval is
// as old as its youngest LSN. Older ones than the window are forgotten only when space is needed.
//
// Time is what the caller says it is, guarded: going back counts as standing still, and a step of
// more than 30 s as 30 s, so that a clock that jumps forward makes nothing old.
//
// Threads: one. Copyable. Memory: max_sources * max_entries_per_source * about 64 bytes at most.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "evodb/result.h"
#include "evodb/types.h"

namespace evodb {

struct DeduplicationOptions {
  std::int64_t window_ms = 300'000;
  std::uint32_t max_entries_per_source = 10'000;
  std::uint32_t max_sources = 1'000;
};

class DeduplicationTracker {
 public:
  enum class Known : std::uint8_t { kNew, kReceived, kDurable };

  // Both ends belong to it.
  struct Run {
    Lsn first, last;
    friend bool operator==(const Run&, const Run&) = default;
  };
  // A run with the time since its youngest LSN came.
  struct AgedRun {
    Run run;
    std::int64_t age_ms = 0;
  };

  explicit DeduplicationTracker(const DeduplicationOptions& options = {}) : options_(options) {}

  Known look(std::string_view source, Lsn lsn) const;

  // Marks runs as received. REQUIRES: ascending, not touching each other, nothing in them known.
  // Errors: kOverLimit (too much is younger than the window; nothing was taken).
  Result<void> receive(std::string_view source, std::span<const Run> runs, UnixMillis now);
  // The same where refusing is no choice: what is durable already and is read again at recovery.
  Result<void> receive_always(std::string_view source, std::span<const Run> runs, UnixMillis now);
  // Undoes a receive() whose runs did not get any further; they are new again.
  void take_back(std::string_view source, std::span<const Run> runs);
  // REQUIRES: each run was given to receive() just so.
  void make_durable(std::string_view source, std::span<const Run> runs);

  // Joins ascending LSNs to runs, for the two above.
  static void add_to_runs(std::vector<Run>& runs, Lsn lsn);

  // What is durable, for a checkpoint; and back, into an empty tracker.
  void for_each_durable(const std::function<void(const std::string& source,
                                                 const std::vector<AgedRun>&)>& visit) const;
  // Errors: kInvalid (a source twice, or runs not ascending).
  Result<void> restore(std::string_view source, std::span<const AgedRun> runs);

  std::size_t source_count() const { return sources_.size(); }
  std::size_t entry_count(std::string_view source) const;
  Lsn highest(std::string_view source) const;
  // The window's clock moves on.
  void advance(UnixMillis now);

 private:
  struct Interval {
    std::uint64_t last = 0;
    std::int64_t stamp_ms = 0;
  };
  struct Source {
    std::map<std::uint64_t, Interval> seen;           // by first LSN; never touching
    std::map<std::uint64_t, std::uint64_t> received;  // first to last; inside `seen`, not durable
  };
  static bool touches_received(const Source& source, std::uint64_t first, std::uint64_t last);
  std::size_t forget_old(Source& source) const;
  Result<void> make_space_for_source();
  static void insert(Source& source, std::span<const Run> runs, std::int64_t stamp_ms);

  DeduplicationOptions options_;
  std::map<std::string, Source, std::less<>> sources_;
  std::int64_t elapsed_ms_ = 0;
  std::int64_t last_now_ms_ = 0;
  bool started_ = false;
};

}  // namespace evodb
