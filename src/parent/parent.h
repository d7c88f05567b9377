// Parent: the rooms of a parent put together over seams: gate, ingest, journal, lake, store, table.
//
//   Parent parent(seams, options);
//   EVODB_TRY(parent.start([](Result<std::string>) { ... }));
//   loop.run();                             // the journal was recovered; it works by events
//   parent.stop(deadline_ms, [] { ... });   // on the loop's thread
//
// Where a change goes, and on which executor:
//   loop         gate ▶ ingest ▶ Journal::append            bytes become a queued record
//   journal_io   Journal::commit                            queued becomes durable
//   loop         ingest.on_durable ▶ gate.deliver           "durable" leaves
//   landing      cursor ▶ lake ▶ flushes                    durable becomes a data file
//   store        FlushMachine                               data file becomes a snapshot
//   loop         ingest.on_persisted ▶ gate.deliver         "persisted" leaves
//
// Recovery: checkpoint and journal give every mark; the tables' own watermarks decide what lands
// again (nothing twice). If the catalog remembers another journal, ours was lost: then the tables
// are scanned for what they hold before the first child is admitted.
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
#include "lake/flush_machine.h"
#include "lake/lake.h"
#include "parent/iceberg_rest.h"
#include "parent/store_health.h"
#include "parent/store_runner.h"

namespace evodb::parent {

struct ParentOptions {
  std::string listen = "127.0.0.1:8787";
  std::string journal_directory = "evodb-data/journal";
  std::string version = "0";
  gate::GateOptions gate;
  ingest::IngestOptions ingest;
  journal::JournalOptions journal;
  lake::LakeOptions lake;
  lake::FlushOptions flush;
  std::int64_t orphan_age_ms_min = 24 * 3600 * 1000;  // younger files may belong to a live flush
  std::int64_t flush_timeout_ms = 30'000;             // how long POST /flush waits
  StoreHealthOptions store_health;
  IcebergRestOptions iceberg;
  // A line for the operator's log. On the loop; must not call the parent.
  std::function<void(const std::string& line)> say = [](const std::string&) {};
  std::int64_t tend_ms = 10'000;                 // how often the catalog is looked after
  std::int64_t sick_retry_ms = 30'000;           // how often a table that waits is looked at
  std::int64_t refused_retry_ms = 600'000;       // the same, where it only refuses to be written
  std::uint64_t set_aside_bytes_max = 1u << 30;  // on disk, for all tables that wait
};

// What a parent's rooms are wrapped in: nothing. The simulator plants known bugs around them here,
// to prove that its oracle would see them (sim/plants). What is given back is used in the room's
// place.
class RoomWraps {
 public:
  virtual ~RoomWraps() = default;
  virtual std::unique_ptr<journal::Journal> journal(std::unique_ptr<journal::Journal> room) {
    return room;
  }
  virtual std::unique_ptr<ingest::Ingest> ingest(std::unique_ptr<ingest::Ingest> room) {
    return room;
  }
  virtual std::unique_ptr<lake::Lake> lake(std::unique_ptr<lake::Lake> room) { return room; }
};

struct ParentSeams {
  base::Loop& loop;
  base::BlockingWork& journal_io;
  base::Executor& landing;
  StoreRunner& store;
  base::Disk& disk;
  base::Clock& clock;
  base::Random& random;  // thread-safe where the executors are threads
  lake::FileEncoder& encoder;
  RoomWraps* wraps = nullptr;  // none: the rooms as they are
};

// A source as which two databases streamed.
struct CopiedSource {
  std::string source;
  std::string original;  // who speaks for it now: its hello's agent
  std::int64_t since_ms = 0;
  std::uint64_t copies = 0;  // lives that are told to take another name
};

// What an operator sees; see docs/http.md for the JSON made of it.
struct ParentStatus {
  std::string version;
  std::string address;
  std::string phase;            // "starting", "recovering", "ready", "degraded", "stopping"
  std::vector<Error> degraded;  // every reason why it is not ready, the gravest first
  std::int64_t uptime_ms = 0;
  std::string parent_id;
  std::uint64_t writer_epoch = 0;
  std::uint64_t journal_id = 0;
  Position journal_first, journal_durable, journal_landed;
  std::uint64_t journal_bytes = 0, journal_bytes_max = 0, journal_commits = 0;
  gate::GateStats gate;
  ingest::IngestStats ingest;
  std::vector<CopiedSource> copies;  // at most 100, the newest first
  lake::LakeStats lake;
  std::optional<Error> landing_halted, store_error;  // see LandingStats
  std::optional<Error> probe_error;                  // see StoreHealth
  bool probed = false;
  std::uint64_t orphans_removed = 0;
  std::uint64_t set_aside_bytes = 0;
  // A line for each table that is not well, though all others are: "table x waits: why".
  std::vector<std::string> sick;
};

// What one Parent gives to the next: docs/upgrade.md.
struct HandedOver {
  std::string bytes;                    // docs/formats/hand-over.md
  std::vector<base::StreamId> streams;  // in the bytes' order
  base::MonotonicMillis resting_since;  // since when everybody waits
};

struct HandOverLimits {
  std::int64_t landing_ms_max = 10'000;  // until running flushes have ended; all are served
  std::int64_t answers_ms_max = 3'000;   // until all is synced and saved; everybody waits
};

class Parent {
 public:
  Parent(const ParentSeams& seams, const ParentOptions& options);
  ~Parent();

  // Recovers the journal and begins to work. Blocks only on the journal's disk. Errors: kCorrupt
  // (journal or checkpoint damaged; nothing was changed), kInvalid (address), kInternal.
  // `on_open(address or error)` is called on the loop once children are admitted, or when that is
  // impossible.
  Result<void> start(std::function<void(Result<std::string>)> on_open);

  // Closes the gate, syncs, lands what it can within `deadline_ms`, writes a checkpoint. Before the
  // tables' state is known it waits for that, too; what has not landed by then is durable in the
  // journal, and lands after the next start. `done` is called once on the loop; the Parent may be
  // destroyed after it. Loop thread.
  void stop(std::int64_t deadline_ms, std::function<void()> done);

  // Gives up journal, landing and connections, and leaves the loop's sockets open and at rest.
  // `done` is called on the loop. With an error (kRetry: not now, says why) this Parent goes on as
  // before; else it is only to be destroyed, and another one adopts what was handed over. REQUIRES:
  // stop() was not called, and is not until `done`. Loop thread.
  void hand_over(const HandOverLimits& limits, std::function<void(Result<HandedOver>)> done);
  // In place of start(), on the loop's thread or before it runs: goes on with connections of which
  // the loop has the sockets, at rest. `on_open` is called as by start(), when only resume() is
  // missing. Errors: as start(), and kInvalid, kCorrupt (what was handed over does not fit).
  Result<void> adopt(HandedOver handed, std::function<void(Result<std::string>)> on_open);
  void resume();  // loop thread

  // Loop thread. `with` gets a fresh status, later on the loop.
  void status(std::function<void(const ParentStatus&)> with);
  void flush(std::function<void(bool landed)> done);

  // The rooms, for tests and the simulator's oracle. Loop thread.
  const ingest::Ingest& ingest() const;
  const journal::Journal& journal() const;
  // For a room above (gate.h); nullptr before children are admitted and once it has stopped. Loop
  // thread.
  gate::Gate* gate();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace evodb::parent
