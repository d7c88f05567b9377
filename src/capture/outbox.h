// Outbox: where a child keeps its changes until the parent has acknowledged them.
//
// Three live behind this: the outbox table inside an application's database (capture), a SQLite
// file of the client library's own, and memory with a byte cap (both in edge). The uplink knows
// only this.
//
// Threads: one thread at a time. Calls may block on the disk for a short read transaction or one
// small trim; kRetry means the database was busy, call again after a moment.
//
// What a caller was told by state() holds for the calls that follow: where the stored log is not
// that one any more (restored, emptied, another process works on it), they do nothing and give
// kStale. Then the caller forgets what it knew, asks state() anew, and goes on from there.
#pragma once

#include <cstdint>
#include <string>

#include "evodb/result.h"
#include "evodb/types.h"
#include "wire/change.h"
#include "wire/table_def.h"

namespace evodb::capture {

// What a child says of itself in its hello.
struct OutboxState {
  std::string source;
  Epoch epoch;
  Lsn trimmed;                   // every change after this one is held
  ChainHash trimmed_chain;       // the chain hash at `trimmed`
  Lsn head;                      // newest change held, or `trimmed`
  std::uint64_t life = 0;        // random; differs between two copies of one outbox
  std::uint64_t held_bytes = 0;  // estimate, for caps and status
};

struct OutboxChange {
  Op op = Op::kInsert;
  const wire::TableDef* table = nullptr;  // owned by the outbox, valid until the next state()
  std::uint64_t table_fingerprint = 0;
  Lsn lsn;
  TxnId txn;
  UnixMillis committed_at;
  wire::ValuesView key, before, after;  // valid during take()
  std::string_view reason;              // carries_reason(op)
};

// The same call may succeed later, without the caller's doing anything but waiting.
constexpr bool may_pass(ErrorKind kind) {
  return kind == ErrorKind::kRetry || kind == ErrorKind::kNoSpace;
}

class ChangeSink {
 public:
  virtual ~ChangeSink() = default;
  // False: not taken, stop reading here.
  virtual bool take(const OutboxChange& change) = 0;
};

class Outbox {
 public:
  virtual ~Outbox() = default;

  // Looks anew, and repairs what must be repaired: a log that is not the one that was known goes on
  // as a new epoch.
  virtual Result<OutboxState> state() = 0;

  // The newest change held. Unlike state() no promise for the calls that follow.
  virtual Result<Lsn> head() { return EVODB_TRY(state()).head; }

  // Gives the changes after `after` in LSN order, from one snapshot of the database, until the sink
  // stops or there are no more. Changes that became visible together carry one TxnId.
  virtual Result<void> read(Lsn after, ChangeSink& sink) = 0;

  // The parent knows the change `label.value` as the end of a group: changes up to that LSN keep
  // this label, so that a restart cannot split a transaction over two labels.
  virtual void resume_group(TxnId label) = 0;

  // Whether it is time to trim what was acknowledged, all up to `acknowledged`. False: ask again
  // later; nothing but space is lost.
  virtual bool wants_trim(Lsn acknowledged) {
    static_cast<void>(acknowledged);
    return true;
  }

  // Forgets changes up to and including `through`, and remembers the chain there, atomically.
  // Works in small steps; a crash between steps leaves a consistent, partly trimmed outbox.
  // `epoch` and chain: under which they were acknowledged. Errors: kStale if the rows that would be
  // forgotten are not the ones that this chain is of, or another epoch has begun.
  virtual Result<void> trim(Epoch epoch, Lsn through, ChainHash chain_at_through) = 0;

  // A new life of this log, larger than any before and at least `at_least`: what is held stays
  // held (under the new epoch), then a snapshot of every captured row is appended where there is a
  // database behind it; the chain restarts at 0 from `trimmed` on. One transaction.
  virtual Result<Epoch> begin_epoch(Epoch at_least) = 0;

  // The same as another source: this is a copy, and the other one keeps its name. Errors: kInvalid
  // where the name is not the outbox's to choose.
  virtual Result<Epoch> begin_as(const std::string& source, Epoch at_least) {
    static_cast<void>(at_least);
    return fail(ErrorKind::kInvalid, "this outbox cannot take the name '" + source + "'");
  }
};

}  // namespace evodb::capture
