// EdgeRunner: what `evodb edge` runs: the outbox in an application's database, a follower, an
// uplink, on a loop of its own.
//
//   auto runner = EVODB_TRY(EdgeRunner::create(
//       {.db = "app.db", .uplink = {.link = {.parent = {.host = "127.0.0.1"}}},
//        .until_caught_up = true}));
//   EdgeReport report = EVODB_TRY(runner->run());   // on this thread, until it is done
//   runner->stop();                                 // elsewhere; allowed in a signal handler
//
// Capture must be installed already (capture/install.h). run() ends
// - with a report, after stop(), or with until_caught_up once everything that was in the outbox
//   when it began (and what a new epoch added) is acknowledged at the level and trimmed
// - with an error that waiting does not repair: kInvalid (not an EvoDB parent, no common version,
//   refused; capture removed), kOverLimit (a change or table the parent does not take), kCorrupt
//   (the database). A parent that is away is no error: it is dialled again for ever, and
//   EdgeProgress::uplink.last_error says so.
// Nothing is lost in any case: what is not acknowledged stays in the outbox.
//
// Threads: create() and run() one thread's; stop() any thread's. Name lookups block that thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/posix/poll_loop.h"
#include "base/posix/system_clock.h"
#include "capture/outbox.h"
#include "capture/polite_writer.h"
#include "capture/sqlite_outbox.h"
#include "edge/uplink.h"
#include "evodb/result.h"
#include "evodb/types.h"

namespace evodb::edge {

// An outbox, and how to notice that others wrote to it. The functions may be empty: then it is
// looked at each slow_ms only.
struct FollowedOutbox {
  std::unique_ptr<capture::Outbox> outbox;
  std::function<Result<bool>()> changed;
  std::function<Result<void>()> refresh;
  // Rows that are there already are still being put into it, or may have to be, as its schema was not
  // compared yet: it is not caught up.
  std::function<bool()> resending;
  // Counts the files that were opened one after the other; may be empty: there is only one.
  std::function<std::uint64_t()> opened;
  std::function<capture::PoliteStats()> polite_stats;
};

// All counts are of this run.
struct EdgeProgress {
  UplinkStats uplink;
  Lsn head;  // newest change in the outbox; behind uplink.trimmed it holds, about
  capture::PoliteStats polite;  // transactions of ours in the application's database
};

struct EdgeOptions {
  std::string db;
  UplinkOptions uplink;           // where to, and how
  capture::PoliteOptions polite;  // when it may write to the database
  capture::OutboxSpace space;     // what the outbox may take of the disk
  bool until_caught_up = false;

  // Called on run()'s thread each progress_ms, and once more before run() returns.
  std::function<void(const EdgeProgress&)> on_progress;
  std::int64_t progress_ms = 1'000;
  // Told in one line, in plain English, what was found at the database and done about it. May be
  // empty.
  std::function<void(const std::string&)> on_event;
  // For tests and other kinds of outbox; empty: the PathOutbox of `db`.
  std::function<Result<FollowedOutbox>()> open_outbox;
};

struct EdgeReport {
  EdgeProgress progress;  // the last one
  bool caught_up = false;
  std::optional<std::string> renamed_to;  // it is a copy, and has this source's name now
};

class EdgeRunner {
 public:
  static Result<std::unique_ptr<EdgeRunner>> create(EdgeOptions options);
  ~EdgeRunner();

  Result<EdgeReport> run();
  // run() returns soon; if it has not begun, at once when it does.
  void stop();

 private:
  EdgeRunner(EdgeOptions options, std::unique_ptr<base::PollLoop> loop);
  struct Running;

  const EdgeOptions options_;
  base::SystemRandom random_;
  base::SystemClock clock_;
  std::unique_ptr<base::PollLoop> loop_;
};

}  // namespace evodb::edge
