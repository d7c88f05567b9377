// Journal: the parent's one append-only log. What is synced here is durable; everything downstream
// reads it from here, so it is also what the first generation called FallbackStorage: where changes
// wait while the object store is away.
//
//   auto journal = EVODB_TRY(Journal::open(disk, "evodb-data/journal", {}, random, nullptr));
//   const std::string_view parts[] = {header, body};
//   auto queued = EVODB_TRY(journal->append(RecordType::kBatch, parts));   // not durable yet
//   Position durable = EVODB_TRY(journal->commit());   // all that is queued, with one sync
//   std::unique_ptr<JournalCursor> cursor = journal->read_from(queued.position);
//   Record record;
//   while (EVODB_TRY(cursor->next(&record))) ...
//
// Group commit: whatever was appended while the last commit ran is written by the next one; no
// artificial delay. A failed write or sync poisons the journal: every later append and commit
// fails, and nothing more is acknowledged until a reopen has read what is really there. The
// exceptions are a full disk while writing (commit() says kNoSpace) and too many open
// files (kOverLimit): all stays queued, and a later commit() tries again. Format:
// docs/formats/journal.md.
//
// A Position is the byte offset at which a record begins; the position *after* a record is where
// the next one begins. Positions never go back within one journal id. A directory without a journal
// gets a new random id.
//
// Threads: append() on one thread (the loop), commit() and trim() beside it, one at a time (the
// loop's blocking work), cursors on a third (landing). Shared state is a small mutex and
// atomics inside. Destroying it when nothing is queued syncs the mark that proves the last group
// whole; what is queued then is lost.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/disk.h"
#include "evodb/result.h"
#include "evodb/types.h"

namespace evodb::journal {

using JournalId = Strong<struct JournalIdTag, std::uint64_t>;

enum class RecordType : std::uint8_t {
  kTableDef = 1,  // wire::encode_table_def; repeated once a segment in which it is used
  kBatch = 2,     // see ingest/batch_record.h
};

struct JournalOptions {
  std::uint64_t segment_bytes = 64u << 20;
  std::uint64_t max_bytes = 10ull << 30;        // all segments: fallback.max_local_bytes
  std::uint64_t pending_bytes_max = 64u << 20;  // queued or being written
  // What the caller knows from elsewhere (a checkpoint): if the journal found has this id and ends
  // before this position, it has lost acknowledged data, and open() refuses it. 0: nothing known.
  JournalId known_id;
  Position known_durable;
};

struct RecordParts {
  RecordType type = RecordType::kBatch;
  std::span<const std::string_view> parts;  // the payload, joined
};

struct Record {
  RecordType type = RecordType::kBatch;
  Position position;  // where it begins
  Position end;       // where the next one begins
  std::string_view payload;
};

struct RecoveryReport {
  bool created = false;  // there was no journal here
  std::uint64_t segments = 0;
  std::uint64_t records = 0;
  std::uint64_t torn_bytes = 0;  // discarded at the end of the last segment
  Position first, end;
};

class JournalCursor;

class Journal {
 public:
  // Recovers. Errors: kCorrupt when damage lies before data that may have been acknowledged
  // (anything but a torn tail of the last segment): says the file, the offset and what to do, and
  // changes nothing.
  static Result<std::unique_ptr<Journal>> open(base::Disk& disk, const std::string& directory,
                                               const JournalOptions& options, base::Random& random,
                                               RecoveryReport* report);
  virtual ~Journal() = default;

  virtual JournalId id() const = 0;

  // Queues one record of these parts, joined. Errors: kOverLimit (max_bytes or pending_bytes_max
  // would be exceeded: nothing was queued), kInternal (poisoned). Returns its position and end.
  struct Appended {
    Position position, end;
  };
  virtual Result<Appended> append(RecordType type, std::span<const std::string_view> parts) = 0;

  // Queues all of `records` next to each other in one segment, or none. Errors as append().
  // Returns where the first begins and the last ends.
  virtual Result<Appended> append_together(std::span<const RecordParts> records) = 0;

  // Number of the segment in which records of so many bytes together (see record_bytes) would lie
  // if they were appended together now. Where it differs from the last one, ingest repeats the
  // table definitions that it needs.
  virtual std::uint64_t segment_of_next(std::size_t bytes) const = 0;
  // What a payload costs in the log, header and padding included.
  static std::size_t record_bytes(std::size_t payload_bytes);
  // Most that segment_of_next may be asked for: what a segment holds.
  virtual std::size_t segment_space_bytes() const = 0;

  // Writes and syncs all that is queued; returns the end of what is durable now. Errors: kNoSpace
  // (the disk is full) and kOverLimit (no more files may be open): everything stays queued, call
  // again later; kInternal (poisoned).
  virtual Result<Position> commit() = 0;
  virtual bool has_pending() const = 0;

  virtual Position durable_end() const = 0;
  virtual Position appended_end() const = 0;
  virtual Position first() const = 0;            // of the oldest record still held
  virtual bool trimmed() const = 0;              // something before first() existed once
  virtual std::uint64_t held_bytes() const = 0;  // of records, on disk and queued
  virtual std::uint64_t free_bytes() const = 0;  // until max_bytes
  virtual bool poisoned() const = 0;

  // Reads durable records from `position` on. Its next() says kInvalid if that lies before first()
  // or is no record's position. The journal outlives its cursors.
  virtual std::unique_ptr<JournalCursor> read_from(Position position) = 0;

  // Removes (or recycles) every segment that ends at or before `position`. What a recovery needs
  // from them must have been checkpointed before (see ingest). The newest segment always stays. A
  // failure poisons the journal.
  virtual Result<void> trim(Position position) = 0;
};

class JournalCursor {
 public:
  virtual ~JournalCursor() = default;
  // The next durable record; false: none yet, call again later. The payload is valid until the
  // next call. Errors: kCorrupt (the checksum does not hold: never served; so does every later
  // call), kInvalid (trimmed away), or what the disk said.
  virtual Result<bool> next(Record* record) = 0;
  virtual Position position() const = 0;  // where the next record begins
};

}  // namespace evodb::journal
