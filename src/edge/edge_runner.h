// EdgeRunner: what `evodb edge` runs: the outbox in an application's database, a follower, an
// uplink, on a loop of its own.
//
//   auto runner = EVODB_TRY(EdgeRunner::create({.db = "app.db", .host = "127.0.0.1", .port = 8787,
//                                               .until_caught_up = true}));
//   on SIGTERM: runner->stop();                   // allowed in a signal handler
//   EdgeReport report = EVODB_TRY(runner->run()); // on this thread, until it is done
//
// Capture must be installed already (capture/install.h). run() ends
//   - with a report, after stop(), or with until_caught_up once everything that was in the outbox
//     when it began (and what a new epoch added) is acknowledged at the level and trimmed;
//   - with an error that waiting does not mend: kInvalid (not an EvoDB parent, no common version,
//     refused; capture removed), kOverLimit (a change or table the parent does not take), kCorrupt
//     (the database). A parent that is away is no error: it is dialled again for ever, and
//     EdgeProgress::last_error says so.
// Nothing is lost in any case: what is not acknowledged stays in the outbox.
//
// Threads: create() and run() one thread's; stop() any thread's. Name lookups block that thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
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
  // Rows that are there already are still being put into it: it is not caught up.
  std::function<bool()> resending;
  // Counts the files that were opened one after the other; may be empty: there is only one.
  std::function<std::uint64_t()> opened;
  std::function<capture::PoliteStats()> polite_stats;
};

struct EdgeProgress {
  bool connected = false;
  Lsn head;     // newest change in the outbox
  Lsn durable;  // acknowledged by the parent in this epoch
  Lsn persisted;
  Lsn trimmed;                     // gone from the outbox; head - trimmed is what it holds, about
  std::uint64_t changes_sent = 0;  // by this run, sent again ones too
  std::uint64_t batches_sent = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t reconnects = 0;
  std::uint64_t new_epochs = 0;     // after the first hello
  std::uint64_t writes = 0;         // transactions of ours in the application's database
  std::uint64_t anyway_writes = 0;  // of them: not in a polite moment, since none came
  std::string last_error;           // "" while all is well
};

struct EdgeOptions {
  std::string db;
  std::string host;
  std::uint16_t port = 0;
  std::string path = "/";
  std::string token;
  std::string agent = "evodb-edge/0.1.0";
  WaitLevel wait = WaitLevel::kPersisted;
  capture::PoliteOptions polite;  // when it may write to the database
  capture::OutboxRoom room;       // what the outbox may take of the disk
  CopyRule on_copy = CopyRule::kRename;
  bool until_caught_up = false;

  std::uint32_t batch_entries = base::batch_entries_default;
  std::size_t batch_bytes = base::batch_bytes_default;
  std::int64_t batch_delay_ms = base::batch_delay_ms_default;

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
  std::string renamed_to;  // not empty: it is a copy, and has this source's name now
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

// "ws://host:port[/path]" (port 8787 if absent) into its parts. Errors: kInvalid, saying what to
// write; wss is not spoken yet.
struct ParentUrl {
  std::string host;
  std::uint16_t port = 8787;
  std::string path = "/";
};
Result<ParentUrl> parse_parent_url(const std::string& url);

}  // namespace evodb::edge
