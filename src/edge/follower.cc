#include "edge/follower.h"

#include <algorithm>
#include <utility>

#include "capture/outbox.h"

namespace evodb::edge {

Follower::Follower(base::Loop& loop, FollowerHooks hooks, FollowerOptions options)
    : hooks_(std::move(hooks)), options_(options), timer_(loop) {}

void Follower::start(bool has_events) {
  stop();
  running_ = true;
  has_events_ = has_events;
  distance_ms_ = options_.settle_ms;
  look_after(0);
}

void Follower::stop() {
  running_ = false;
  timer_.cancel();
}

void Follower::file_event() {
  if (!running_ || paused_) return;
  // One look for all that comes within a moment: a busy writer causes hundreds of events.
  paused_ = true;
  if (hooks_.pause_events) hooks_.pause_events(true);
  distance_ms_ = options_.settle_ms;
  look_after(options_.settle_ms);
}

void Follower::look_after(std::int64_t ms) {
  timer_.set(ms, [this] { look(); });
}

void Follower::look() {
  ++looks_;
  if (paused_) {
    paused_ = false;
    if (hooks_.pause_events) hooks_.pause_events(false);
  }
  std::int64_t next_ms = has_events_ ? options_.slow_ms : options_.poll_ms;
  if (has_events_ && distance_ms_ < options_.slow_ms) {
    next_ms = distance_ms_;
    distance_ms_ *= 2;
  }
  look_after(next_ms);

  const auto changed = hooks_.changed();
  if (changed && *changed) refresh_due_ = true;
  if (changed && !refresh_due_) return;
  Result<void> refreshed;
  if (changed && hooks_.refresh) refreshed = hooks_.refresh();
  refresh_due_ = !changed ? refresh_due_ : !refreshed;
  if (changed) hooks_.notify();
  const Error* error = !changed ? &changed.error() : !refreshed ? &refreshed.error() : nullptr;
  if (error == nullptr || !running_) return;
  if (!capture::may_pass(error->kind)) {
    look_after(options_.slow_ms);
    if (hooks_.on_error) hooks_.on_error(*error);
  } else {
    look_after(std::min(next_ms, options_.poll_ms));  // locked: it is being written
  }
}

}  // namespace evodb::edge
