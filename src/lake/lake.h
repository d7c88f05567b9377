// Lake: turns durable journal records into data files of the right tables. Bounded column buffers,
// flush triggers, the watermark of every flush, and what became persisted. A state machine: no
// thread, no syscall, no Arrow in sight.
//
//   std::unique_ptr<Lake> lake = Lake::create(options, identity);
//   lake->add_table(state);                   // every table of the catalog, at start
//   while (lake->has_room() && EVODB_TRY(cursor.next(&record))) {
//     EVODB_TRY(lake->on_record(record, wall, now));
//   }
//   while (auto job = lake->next_flush(now)) flush_elsewhere(std::move(job));  // flush_machine.h
//   lake->on_flush_done(id, result, now);     // a TableState, or an error that is final
//   lake->take_persisted(&marks);             // acknowledge these
//   EVODB_TRY(journal.trim(lake->landed_through()));
//
// One table, one flush at a time; meanwhile its buffer fills on. A table whose watermark lies
// beyond a record skips it: so replay after a crash lands nothing twice.
//
// A change that can never land (a row over the limit, too many columns, undecodable) becomes a row
// of the rejects table with its reason, and counts as landed once that is committed.
//
// Threads: one at a time (the landing executor). A FlushJob is handed to another thread whole.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "evodb/result.h"
#include "evodb/types.h"
#include "journal/journal.h"
#include "table/append.h"

namespace evodb::lake {

class LandedFilter;  // landed_filter.h

struct LakeOptions {
  std::uint64_t buffer_bytes_max = 50'000'000;
  std::uint64_t buffer_entries_max = 100'000;
  // No sooner than 250 ms (or a quarter of buffer_age_ms_max) after the table's last flush began.
  std::uint64_t flush_threshold_entries = 10'000;
  std::int64_t buffer_age_ms_max = 1'000;
  std::uint64_t file_bytes_max = 128u << 20;  // a flush is cut into files of about this size
  std::uint32_t flushes_max = 4;              // running at once, over all tables
  std::string rejects_table = "rejects";
  // At least journal.segment_bytes: no record refers to a table definition further back than this.
  std::uint64_t definition_reach_bytes = 1u << 30;
};

using FlushId = Strong<struct FlushTag, std::uint64_t>;

// Everything that one flush needs, sealed: columns, schema, watermark. Owned by whoever flushes.
struct FlushJob;  // flush_job.h

struct PersistedMark {
  std::string source;
  Epoch epoch;
  Lsn lsn;  // every change of this source and epoch up to here is in committed snapshots
};

// The field's name and shape: LakehouseParent.get_buffer_stats of the first generation.
struct BufferStats {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;
  std::int64_t oldest_entry_age_ms = 0;
};

struct TableStats {
  std::string name;
  std::uint64_t buffered_entries = 0, buffered_bytes = 0;
  std::int64_t oldest_entry_age_ms = 0;
  bool flushing = false;
  std::uint64_t entries_landed = 0, entries_skipped = 0, files = 0, commits = 0;
  std::uint64_t unfit_values = 0;
  Position watermark;
  UnixMillis last_commit_at;        // 0: none in this life
  std::optional<Error> last_error;  // of the latest flush, if it failed
  std::optional<Error> waits;       // why nothing lands in it; its changes are set aside
  std::string note;                 // a warning, such as why its name has a suffix; mostly ""
};

struct LakeStats {
  BufferStats buffers;
  std::uint64_t entries_landed = 0, entries_rejected = 0, entries_skipped = 0;
  std::uint64_t flushes = 0, flush_failures = 0;
  Position read_through, landed_through;
  std::vector<TableStats> tables;
};

class Lake {
 public:
  struct Identity {  // goes into every watermark
    std::string parent;
    table::WriterEpoch writer;
    journal::JournalId journal;
    std::shared_ptr<table::Claim> claim = nullptr;  // of the lakehouse: table/claim.h
  };
  static std::unique_ptr<Lake> create(const LakeOptions& options, const Identity& identity);
  virtual ~Lake() = default;

  virtual void add_table(table::TableState state) = 0;
  // One that cannot be written just now, and why: nothing lands in it. A record with changes of it
  // must be kept elsewhere by whoever feeds us (see last_is_aside()), and is not persisted.
  virtual void add_waiting_table(const std::string& name, const std::string& location_key,
                                 const Error& why) = 0;
  // After the loss of a journal: what each table already holds. REQUIRES: !filter->is_by_name().
  virtual void set_landed_filter(std::unique_ptr<LandedFilter> filter) = 0;

  virtual bool has_room() const = 0;
  // Records come in position order, each once.  Errors: kCorrupt only for a record that ingest
  // could never have written.
  virtual Result<void> on_record(const journal::Record& record, UnixMillis wall,
                                 base::MonotonicMillis now) = 0;

  virtual bool any_waits() const = 0;
  // Did the last record hold changes of a table that waits? Then these are the definitions that it
  // refers to, encoded.
  virtual bool last_is_aside() const = 0;
  virtual std::vector<std::string> last_definitions() const = 0;
  // All such records so far are kept elsewhere: they need not hold up the journal any more.
  virtual void release_aside() = 0;

  // A sealed flush that is due: threshold, age, memory pressure, or asked for.
  virtual std::unique_ptr<FlushJob> next_flush(base::MonotonicMillis now) = 0;
  // When next_flush should be asked again if nothing else happens; nothing is due earlier.
  virtual std::optional<base::MonotonicMillis> next_deadline() const = 0;
  virtual void on_flush_done(FlushId flush, Result<table::TableState> result,
                             base::MonotonicMillis now) = 0;
  // Everything read so far becomes due; returns the position at which that is fulfilled:
  // landed_through() >= it.
  virtual Position request_flush() = 0;

  // Every record that begins before this has landed in full. Where the journal may be trimmed.
  virtual Position landed_through() const = 0;
  virtual void take_persisted(std::vector<PersistedMark>* marks) = 0;
  virtual LakeStats stats(base::MonotonicMillis now) const = 0;
};

// What the first generation called it.
using CdcBufferManager = Lake;

}  // namespace evodb::lake
