// Landing: the lake's side of a parent. Reads the journal behind the durable end, feeds the lake,
// starts flushes, and says what became persisted. Everything here runs on the landing executor.
//
//   loop:    journal commit ─▶ landing.wake()
//   landing: cursor ─▶ lake ─▶ FlushMachine on the StoreRunner ─▶ lake.on_flush_done
//   landing ─▶ Events::on_persisted, on_landed ─▶ (posted by the parent to its loop)
//
// While changes come, it looks for more every look_again_ms by itself: the loop wakes it for the
// first group after a pause, not for each.
//
// There is no queue between journal and lake: while the lake has no room the journal simply holds
// the rest, on disk, within its own bound.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/loop.h"
#include "evodb/result.h"
#include "evodb/types.h"
#include "journal/journal.h"
#include "lake/flush_machine.h"
#include "lake/lake.h"
#include "parent/set_aside.h"
#include "parent/store_runner.h"

namespace evodb::parent {

struct LandingStats {
  bool started = false;
  std::optional<Error> halted;                 // why landing stopped for good
  std::optional<Error> store_error;            // what the running flushes are waiting for
  std::optional<lake::StoreCall> oldest_call;  // of the running flushes
  std::uint64_t flushes_running = 0;
  std::uint64_t set_aside_bytes = 0;
  std::optional<Error> set_aside_error;  // why no more is set aside
  lake::LakeStats lake;
};

class Landing {
 public:
  class Events {
   public:
    virtual ~Events() = default;
    virtual void on_persisted(std::vector<lake::PersistedMark> marks) = 0;
    // `all`: no table waits, so nothing before that position is set aside.
    virtual void on_landed(Position landed_through, bool all) = 0;
    // A flush found catalog or table otherwise than we know them: what is known must be read anew,
    // and landing started again with it. Nothing of that table lands before.
    virtual void on_stale(std::string table, Error why) = 0;
    // The store has refused this table for refused_after_ms, and let another one commit meanwhile:
    // it fills the buffers that all share.
    virtual void on_refused(std::string table, Error why) = 0;
    // The first commit of such a table since.
    virtual void on_well(std::string table) = 0;
  };

  struct Seams {
    base::Executor& executor;  // the landing executor
    StoreRunner& store;
    base::Clock& clock;
    base::Random& random;  // used from flushing threads too: must be thread-safe there
    lake::FileEncoder& encoder;
  };
  static constexpr std::int64_t refused_after_ms = 60'000;

  Landing(const Seams& seams, journal::Journal& journal, std::unique_ptr<SetAside> aside,
          const lake::FlushOptions& flush_options, Events& events);
  ~Landing();

  // --- on the landing executor ---------------------------------------------------------------
  // Also instead of an earlier lake, once stop() is done: reads the journal from its beginning;
  // what has landed is passed over.
  void start(std::unique_ptr<lake::Lake> lake);
  void pump();
  // Calls `done` once every record that is durable now has landed; false: it did not within
  // `timeout_ms`, or landing halted.
  void flush(std::int64_t timeout_ms, std::function<void(bool landed)> done);
  // No new flushes; running ones give up. `done` when none runs any more.
  void stop(std::function<void()> done);
  // Takes stop() back, whether its `done` was called or not.
  void resume();
  LandingStats stats() const;

  // --- any thread ------------------------------------------------------------------------------
  // Asks for one pump() soon; many calls make one, and none while it looks again by itself.
  void wake();

 private:
  struct PendingFlush {
    Position target;
    bool requested = false;  // all up to the target was read, and the lake told to flush it
    base::MonotonicMillis deadline;
    std::function<void(bool)> done;
  };

  // A table whose flushes fail, since its last commit.
  struct Failing {
    // The first commit of another table since it fails: from then on it is not the store that is
    // away.
    std::optional<base::MonotonicMillis> alone_since;
  };

  enum class Read { kNothing, kAll, kHasMore };
  Read read_some();
  void set_aside(const journal::Record& record);
  void settle_aside();
  void start_flushes();
  void on_committed(const std::string& table);
  void on_failed(const std::string& table, const Error& why);
  bool is_refused(const std::string& table) const;
  void give_up_refused();
  void report();
  void settle_pending_flushes();
  void look_again();
  void schedule_wake();
  void wake_at(base::MonotonicMillis when);

  Seams seams_;
  journal::Journal& journal_;
  lake::FlushOptions flush_options_;
  std::shared_ptr<table::CommitCache> commits_;  // with the flushes that run, which may outlive us
  Events& events_;

  std::unique_ptr<SetAside> aside_;
  bool any_waits_ = false;
  std::set<std::string> stale_;  // tables that events_ was told of, without a commit since
  std::map<std::string, Failing> failing_;  // by table
  std::optional<Error> aside_error_;

  std::unique_ptr<lake::Lake> lake_;
  std::unique_ptr<journal::JournalCursor> cursor_;
  std::map<std::uint64_t, std::shared_ptr<lake::FlushMachine>> running_;  // by FlushId
  std::vector<PendingFlush> pending_flushes_;
  std::function<void()> stopped_;
  bool stopping_ = false;
  std::optional<Error> halted_;
  Position read_end_;  // of the newest record that the lake was given
  Position reported_landed_;
  std::optional<base::MonotonicMillis> wake_scheduled_;
  std::shared_ptr<struct LandingLife> life_;  // lets late timers and flushes find us gone
};

}  // namespace evodb::parent
