// HandOver: how a parent gives up everything but its sockets, so that another one goes on with
// them: in this process or in the next. docs/upgrade.md.
//
//   1. landing ends the flushes that run; children are served meanwhile
//   2. the sockets rest: from here on everybody waits
//   3. what was received is synced, and answered
//   4. checkpoint, then everything else as bytes; the rooms are empty shells
//
// Until 4 is done, everything can go on as it was; what fails or takes too long makes it so.
// Threads: the loop's. Lives until it has called `done`, by itself.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/disk.h"
#include "base/loop.h"
#include "evodb/result.h"
#include "gate/gate.h"
#include "ingest/ingest.h"
#include "journal/journal.h"
#include "parent/landing.h"
#include "parent/parent.h"

namespace evodb::parent {

class HandOver : public std::enable_shared_from_this<HandOver> {
 public:
  // Of the parent, which `owner` keeps alive.
  struct Rooms {
    std::shared_ptr<void> owner;
    base::Loop& loop;
    base::Executor& landing_executor;
    base::BlockingWork& journal_io;
    base::Clock& clock;
    base::Disk& disk;
    const std::string& journal_directory;
    journal::Journal& journal;
    ingest::Ingest& ingest;
    gate::Gate& gate;
    std::unique_ptr<Landing>& landing;                 // destroyed on its executor
    std::function<std::optional<std::string>()> busy;  // why the journal is not at rest
    std::function<void()> at_rest;  // everybody waits: no request may wait for long from here on
  };
  using Done = std::function<void(Result<HandedOver>)>;

  HandOver(Rooms rooms, const HandOverLimits& limits, Done done)
      : rooms_(std::move(rooms)), limits_(limits), done_(std::move(done)) {}
  void begin();

 private:
  void wait_for_landing(std::shared_ptr<bool> idle);
  void rest();
  void wait_for_answers();
  void write_checkpoint();
  void take();
  // Of what lasts so long, where too much time has passed since the sockets rest.
  bool too_late(const std::string& what);
  void give_up(Error why);
  base::MonotonicMillis now() { return rooms_.clock.monotonic(); }

  Rooms rooms_;
  HandOverLimits limits_;
  Done done_;
  base::MonotonicMillis deadline_;
  base::MonotonicMillis resting_since_;
  bool resting_ = false;
};

}  // namespace evodb::parent
