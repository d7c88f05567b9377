#include "edge/edge_runner.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/timer.h"
#include "edge/file_watch.h"
#include "edge/follower.h"
#include "edge/path_outbox.h"

namespace evodb::edge {
namespace {

constexpr std::int64_t caught_up_check_ms = 10;
// What was acknowledged is trimmed before --until-caught-up ends, if a polite moment comes by then.
constexpr std::int64_t trim_before_end_ms = 2'000;
constexpr std::int64_t idle_before_end_ms = 20;
constexpr int open_tries_max = 30;

Result<FollowedOutbox> open_path(const EdgeOptions& options, base::Clock& clock) {
  capture::PoliteOptions polite = options.polite;
  if (options.until_caught_up) {
    // It has no later: a moment is taken where there is one.
    polite.trim_bytes = 1;
    polite.idle_ms = polite.long_idle_ms = std::min(polite.idle_ms, idle_before_end_ms);
  }
  // An application that writes without a pause to a rollback journal leaves no moment to look at it
  // unlocked: each try waits for one, for a second.
  const auto open = [&] {
    for (int i = 1;; ++i) {
      auto opened = PathOutbox::open(
          options.db, clock,
          {.on_event = options.on_event, .space = options.space, .polite = polite});
      if (opened || opened.error().kind != ErrorKind::kRetry || i == open_tries_max) return opened;
    }
  };
  auto outbox = EVODB_TRY(open());
  PathOutbox* const raw = outbox.get();
  FollowedOutbox followed;
  followed.changed = [raw] { return raw->changed(); };
  followed.refresh = [raw] { return raw->refresh(); };
  followed.resending = [raw] { return raw->resending(); };
  followed.opened = [raw] { return raw->opened(); };
  followed.polite_stats = [raw] { return raw->polite_stats(); };
  followed.outbox = std::move(outbox);
  return followed;
}

}  // namespace

// One run(): everything between the opened outbox and the report.
struct EdgeRunner::Running final : UplinkObserver {
  Running(const EdgeOptions& options_, base::PollLoop& loop_, base::Random& random,
          FollowedOutbox followed_)
      : options(options_),
        loop(loop_),
        followed(std::move(followed_)),
        uplink(loop, random, *followed.outbox, options.uplink, *this),
        follower(loop, hooks(), {}) {}
  ~Running() override {
    follower.stop();
    if (watch) loop.unwatch(watch->fd());
  }

  FollowerHooks hooks() {
    FollowerHooks h;
    h.changed = [this] {
      if (!followed.changed) return Result<bool>(true);
      auto changed = followed.changed();
      if (changed && followed.opened && followed.opened() != watched) make_watch();
      return changed;
    };
    h.refresh = followed.refresh;
    h.notify = [this] { uplink.notify(); };
    h.pause_events = [this](bool paused) {
      if (watch) loop.pause_watch(watch->fd(), paused);
    };
    h.on_error = [this](const Error& error) { on_fatal(error); };
    return h;
  }

  Result<void> begin() {
    // What the schema's change adds belongs to what --until-caught-up waits for.
    if (followed.refresh) {
      auto refreshed = followed.refresh();
      if (!refreshed && !capture::may_pass(refreshed.error().kind)) return refreshed;
    }
    // A log that must begin anew does so here: its snapshot is part of it, too.
    if (const auto state = followed.outbox->state()) {
      target = state->head;
    } else {
      if (!capture::may_pass(state.error().kind)) return fail(state.error());
      target_is_old = true;
    }
    if (followed.changed) make_watch();
    follower.start(watch != nullptr || !followed.changed);
    uplink.start();
    if (options.until_caught_up) check_caught_up();
    if (options.on_progress) tell_progress();
    return {};
  }

  // Of the directory in which the file lies now, which may be another one than before.
  void make_watch() {
    if (followed.opened) watched = followed.opened();
    auto made = FileWatch::create(options.db);
    if (!made) return;
    if (watch) loop.unwatch(watch->fd());
    watch = std::move(*made);
    loop.watch(watch->fd(), [this] {
      if (watch->drain()) follower.file_event();
    });
  }

  Result<void> take_head() {
    target = EVODB_TRY(followed.outbox->head());
    return {};
  }

  void check_caught_up() {
    const bool resending = followed.resending && followed.resending();
    if (resending) target_is_old = true;
    // Not before the outbox was asked anew for a session: until then more may have to be sent.
    if (!resending && target_is_old && uplink.stats().connected && take_head()) {
      target_is_old = false;
    }
    if (!target_is_old && uplink.acknowledged(target)) {
      const auto now = loop.clock().monotonic();
      // While it comes nearer it is waited for.
      const Lsn trimmed = uplink.stats().trimmed;
      if (!acknowledged_at || trimmed != trimmed_then) acknowledged_at = now;
      trimmed_then = trimmed;
      if (uplink.caught_up(target) || now.value - acknowledged_at->value >= trim_before_end_ms) {
        caught_up = true;
        return loop.stop();
      }
    } else {
      acknowledged_at.reset();
    }
    caught_up_timer.set(caught_up_check_ms, [this] { check_caught_up(); });
  }

  void tell_progress() {
    options.on_progress(progress());
    progress_timer.set(options.progress_ms, [this] { tell_progress(); });
  }

  EdgeProgress progress() {
    if (const auto head = followed.outbox->head()) last_head = *head;
    return {uplink.stats(), last_head,
            followed.polite_stats ? followed.polite_stats() : capture::PoliteStats()};
  }

  void on_new_epoch(Epoch epoch, std::optional<std::string_view> why) override {
    target_is_old = true;
    if (!why || !options.on_event) return;
    options.on_event(std::string(*why) + "; epoch " + std::to_string(epoch.value) +
                     " begins and every table is sent again");
  }
  void on_renamed(std::string_view source, std::string_view why) override {
    renamed_to = source;
    if (options.on_event) {
      options.on_event(std::string(why) + "; this copy goes on as '" + *renamed_to + "'");
    }
  }
  void on_fatal(const Error& error) override {
    fatal = error;
    loop.stop();
  }

  const EdgeOptions& options;
  base::PollLoop& loop;
  FollowedOutbox followed;
  Uplink uplink;
  Follower follower;
  std::unique_ptr<FileWatch> watch;
  base::Timer progress_timer{loop}, caught_up_timer{loop};
  std::uint64_t watched = 0;  // FollowedOutbox::opened() of the watch
  Lsn target, last_head;
  bool target_is_old = false;
  std::optional<base::MonotonicMillis> acknowledged_at;
  Lsn trimmed_then;
  bool caught_up = false;
  std::optional<std::string> renamed_to;
  std::optional<Error> fatal;
};

Result<std::unique_ptr<EdgeRunner>> EdgeRunner::create(EdgeOptions options) {
  auto loop = EVODB_TRY(base::PollLoop::create());
  return std::unique_ptr<EdgeRunner>(new EdgeRunner(std::move(options), std::move(loop)));
}

EdgeRunner::EdgeRunner(EdgeOptions options, std::unique_ptr<base::PollLoop> loop)
    : options_(std::move(options)), loop_(std::move(loop)) {}

EdgeRunner::~EdgeRunner() = default;

void EdgeRunner::stop() { loop_->stop(); }

Result<EdgeReport> EdgeRunner::run() {
  FollowedOutbox followed =
      EVODB_TRY(options_.open_outbox ? options_.open_outbox() : open_path(options_, clock_));
  Running running(options_, *loop_, random_, std::move(followed));
  EVODB_TRY(running.begin());
  loop_->run();
  EdgeReport report{running.progress(), running.caught_up, running.renamed_to};
  running.uplink.stop();
  if (options_.on_progress) options_.on_progress(report.progress);
  if (running.fatal) return fail(*running.fatal);
  return report;
}

}  // namespace evodb::edge
