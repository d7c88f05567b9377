#include "edge/edge_runner.h"

#include <optional>
#include <utility>

#include "capture/sqlite_outbox.h"
#include "edge/file_watch.h"
#include "edge/follower.h"

namespace evodb::edge {
namespace {

constexpr std::int64_t caught_up_check_ms = 10;

Result<FollowedOutbox> open_sqlite_outbox(const std::string& db, base::Clock& clock) {
  auto outbox = EVODB_TRY(capture::SqliteOutbox::open(db, {.clock = &clock}));
  capture::SqliteOutbox* const raw = outbox.get();
  FollowedOutbox followed;
  followed.changed = [raw] { return raw->changed(); };
  followed.refresh = [raw]() -> Result<void> {
    EVODB_TRY(raw->refresh_if_schema_changed());
    return {};
  };
  followed.resending = [raw] { return raw->resending(); };
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
        uplink(loop, random, *followed.outbox,
               {.host = options.host,
                .port = options.port,
                .path = options.path,
                .token = options.token,
                .agent = options.agent,
                .wait = options.wait,
                .batch_entries = options.batch_entries,
                .batch_bytes = options.batch_bytes,
                .batch_delay_ms = options.batch_delay_ms},
               *this),
        follower(loop, hooks(), {}) {}
  ~Running() override {
    follower.stop();
    if (watch) loop.unwatch(watch->fd());
    loop.cancel(progress_timer);
    loop.cancel(caught_up_timer);
  }

  FollowerHooks hooks() {
    FollowerHooks h;
    h.changed = followed.changed ? followed.changed : [] { return Result<bool>(true); };
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
      if (!refreshed && refreshed.error().kind != ErrorKind::kRetry) return refreshed;
    }
    if (auto taken = take_head(); !taken) {
      if (taken.error().kind != ErrorKind::kRetry) return taken;
      target_is_old = true;
    }
    if (auto made = FileWatch::create(options.db); made && followed.changed) {
      watch = std::move(*made);
      loop.watch(watch->fd(), [this] {
        if (watch->drain()) follower.file_event();
      });
    }
    follower.start(watch != nullptr || !followed.changed);
    uplink.start();
    if (options.until_caught_up) check_caught_up();
    if (options.on_progress) tell_progress();
    return {};
  }

  Result<void> take_head() {
    const auto state = EVODB_TRY(followed.outbox->state());
    target = state.head;
    return {};
  }

  void check_caught_up() {
    const bool resending = followed.resending && followed.resending();
    if (resending) target_is_old = true;
    if (!resending && target_is_old && take_head()) target_is_old = false;  // busy: the next time
    if (!target_is_old && uplink.caught_up(target)) {
      caught_up = true;
      return loop.stop();
    }
    caught_up_timer = loop.after(caught_up_check_ms, [this] { check_caught_up(); });
  }

  void tell_progress() {
    options.on_progress(progress());
    progress_timer = loop.after(options.progress_ms, [this] { tell_progress(); });
  }

  EdgeProgress progress() {
    const UplinkStats s = uplink.stats();
    if (const auto state = followed.outbox->state()) last_head = state->head;
    return {.connected = s.connected,
            .head = last_head,
            .durable = s.last_ack_lsn,
            .persisted = s.last_persisted_lsn,
            .trimmed = s.trimmed,
            .changes_sent = s.changes_sent,
            .batches_sent = s.messages_sent,
            .bytes_sent = s.bytes_sent,
            .reconnects = s.reconnects,
            .new_epochs = s.new_epochs,
            .last_error = s.last_error};
  }

  void on_new_epoch(Epoch, std::string_view) override { target_is_old = true; }
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
  base::TimerId progress_timer, caught_up_timer;
  Lsn target, last_head;
  bool target_is_old = false;
  bool caught_up = false;
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
  FollowedOutbox followed = EVODB_TRY(
      options_.open_outbox ? options_.open_outbox() : open_sqlite_outbox(options_.db, clock_));
  Running running(options_, *loop_, random_, std::move(followed));
  EVODB_CHECK(running.begin());
  loop_->run();
  EdgeReport report{running.progress(), running.caught_up};
  running.uplink.stop();
  if (options_.on_progress) options_.on_progress(report.progress);
  if (running.fatal) return fail(*running.fatal);
  return report;
}

}  // namespace evodb::edge
