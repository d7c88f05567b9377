// Follower: notices that a database was changed by others, soon, at next to no cost while idle.
//
//   Follower follower(loop,
//                     {.changed = [&] { return outbox.changed(); },
//                      .refresh = [&] { return outbox.refresh(); },
//                      .notify = [&] { uplink.notify(); },
//                      .on_error = report},
//                     {});
//   follower.start(/*has_events=*/true);
//   follower.file_event();               // whenever the FileWatch saw something
//
// A look asks `changed`, and after a change calls `refresh` and `notify`. When there is a look:
//   after an event    after settle_ms, and then again and again at distances that double up to
//                     slow_ms, because the event is of the first bytes of a commit, which can only
//                     be seen after its last ones (a WAL's index is written after the sync of its
//                     frames)
//   with events       besides, each slow_ms, for changes that no event told of
//   without events    each poll_ms
//   after kRetry      after poll_ms at most: the database is locked, so somebody writes to it
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
  // True: a look is due anyhow, so events may be left in the system's queue; false: read them
  // again. May be empty.
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
