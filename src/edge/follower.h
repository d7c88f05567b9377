// Follower: notices that a database was changed by others, soon, at next to no cost while idle.
//
//   Follower follower(loop, {.changed = [&] { return outbox.changed(); },
//                            .refresh = [&] { ... }, .notify = [&] { uplink.notify(); }, ...}, {});
//   follower.start(/*has_events=*/true);
//   follower.file_event();               // whenever the FileWatch saw something
//
// An event leads to a look within `settle_ms`, and to more looks at growing distances, because the
// bytes of a commit are written before it can be seen (a WAL's index is updated after the sync of
// its frames). Without events it looks each `poll_ms`; with them each `slow_ms`, for what no event
// told.
//
// Threads: the loop's. What the hooks refer to outlives it.
#pragma once

#include <cstdint>
#include <functional>

#include "base/loop.h"
#include "base/timer.h"
#include "evodb/result.h"

namespace evodb::edge {

struct FollowerHooks {
  // True if the database may have changed since the last call. kRetry: ask again soon.
  std::function<Result<bool>()> changed;
  // Regenerates what depends on the schema; called after each change. May be empty.
  std::function<Result<void>()> refresh;
  std::function<void()> notify;
  // Events may be left in their queue for a moment (false: not any more). May be empty.
  std::function<void(bool paused)> pause_events;
  // Anything but kRetry; the follower goes on at `slow_ms`.
  std::function<void(const Error&)> on_error;
};

struct FollowerOptions {
  std::int64_t settle_ms = 2;  // events of so long cause one look
  std::int64_t poll_ms = 12;
  std::int64_t slow_ms = 1'000;
};

class Follower {
 public:
  Follower(base::Loop& loop, FollowerHooks hooks, FollowerOptions options);
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;

  // Looks at once, and from then on. Running: begins anew.
  void start(bool has_events);
  void stop();
  void file_event();
  std::uint64_t looks() const { return looks_; }

 private:
  void look();
  void look_after(std::int64_t ms);

  FollowerHooks hooks_;
  FollowerOptions options_;
  bool running_ = false, has_events_ = false, paused_ = false;
  bool refresh_due_ = false;      // the last one found the database locked
  std::int64_t distance_ms_ = 0;  // to the next look after an event; beyond slow_ms: none
  base::Timer timer_;
  std::uint64_t looks_ = 0;
};

}  // namespace evodb::edge
