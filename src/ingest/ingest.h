// Ingest: decides for every hello and batch whether it is new, in order, and affordable, and when
// its sender may be told that it is safe. A state machine: events in, effects out, no I/O.
//
//   HelloOutcome welcomed = ingest.on_hello(session, hello, now);
//   BatchOutcome outcome = ingest.on_batch(session, body, frame_bytes, now, effects);
//   ingest.on_durable(position, effects);                     // after Journal::commit
//   ingest.on_persisted(source, epoch, lsn, effects);         // after a lakehouse commit
//
// Marks a (source, epoch): received (appended), durable (synced), persisted (landed). Only durable
// ones answer "duplicate"; a duplicate that is received and not yet durable is answered when it is.
// Marks never expire. Of unordered sources (wire v1, or a hello that says so) the set of LSNs is
// kept, for ever too: unordered_table.h.
//
// Credit: a session may have so many bytes of batches not yet durable. It shrinks to 0 as the
// journal nears its cap or the pending bytes theirs, and returns (an ack to every starved session)
// when there is space. A batch beyond its credit is answered kOverCredit and not taken.
//
// A batch of an unordered session is acknowledged by itself: Ack.durable is then the last LSN of
// the newest batch that is safe, and says nothing about others.
//
// Views in an outcome (Nack.text, Welcome.text) are valid until the next call on this object.
//
// Threads: the loop's only. Memory: bounded by options; 44 bytes a (source, epoch), plus its name
// and about 8 bytes of index; 24 bytes a session that has nothing in the air; table definitions,
// and the numbers that sessions give to them, once each, however many sessions use them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "evodb/result.h"
#include "evodb/types.h"
#include "ingest/lives.h"
#include "ingest/lsn_set.h"
#include "wire/change.h"
#include "wire/frame.h"

namespace evodb::journal {
class Journal;
struct Record;
}  // namespace evodb::journal

namespace evodb::ingest {

// The gate's number of a connection that said hello: small and dense, as a StreamId's value is, for
// a table is indexed by it.
using SessionId = Strong<struct SessionTag, std::uint32_t>;

struct IngestOptions {
  std::uint64_t session_credit_bytes = 4u << 20;    // most that one session may have in the air
  std::uint64_t inflight_bytes_max = 64u << 20;     // all sessions, appended and not yet durable
  std::uint64_t journal_reserve_bytes = 16u << 20;  // credit ends this far before the journal's cap
  std::uint32_t batch_entries_max = 10'000;
  std::uint32_t sources_max = 8'000'000;  // (source, epoch) pairs
  std::uint32_t sessions_max = 4'000'000;
  std::uint64_t session_table_bytes_max = 8u << 20;  // definitions that one session may bring
  std::uint64_t table_bytes_max = 64u << 20;         // distinct definitions of all sessions
  // Unordered sources whose LSNs leave gaps: memory for these, of all together. One source may have
  // so many runs in any case, and more while half of the memory is free.
  std::uint64_t gap_bytes_max = 80'000'000;
  std::uint32_t gap_runs_per_source = 10'000;
};

struct HelloOutcome {
  bool accepted = false;
  wire::Welcome welcome;  // if accepted
  wire::Nack nack;        // if not
  SessionId superseded;   // an older session of this source that must be closed; 0 = none
  bool has_superseded = false;
  std::vector<SessionId>
      other_lives;  // sessions of this source under another life: to be closed too
};

// What must be told to a session now.
struct AckEffect {
  SessionId session;
  wire::Ack ack;
  bool at_rest = false;  // nothing of this session is in the air now
};

// One for each v1 batch whose LSNs have all become durable; `token` is what on_batch_unordered got.
struct BatchDurableEffect {
  SessionId session;
  std::uint64_t token = 0;
  bool duplicate = false;  // every entry was known before
};

struct Effects {
  std::vector<AckEffect> acks;
  std::vector<BatchDurableEffect> batches;
  void clear() {
    acks.clear();
    batches.clear();
  }
};

// What one body of a batch may have; a message of wire v1 may be several.
struct BatchLimits {
  std::uint32_t entries_max = 10'000;
  std::uint64_t bytes_max = 16u << 20;
};

enum class BatchVerdict : std::uint8_t {
  kAppended,   // in the journal's queue: commit() it; the ack follows on_durable
  kDuplicate,  // everything was here already; `effects` has the ack if it is durable
  kRefused,    // send `nack`; with close: then close the connection
};

struct BatchOutcome {
  BatchVerdict verdict = BatchVerdict::kRefused;
  wire::Nack nack;
  bool close = false;
};

// Marks of one (source, epoch), as status and the checkpoint see them.
struct SourceMark {
  std::string source;
  Epoch epoch;
  bool ordered = true;
  bool chain_known = true;
  Lsn received, durable, persisted;
  ChainHash received_chain, durable_chain;
  TxnId received_txn;
};

// A mark found in the lakehouse after the journal was lost: the child may resend from wherever it
// still holds changes, and landing filters what each table already has (see lake/landed_filter.h).
struct LandedMark {
  std::string source;
  Epoch epoch;
  Lsn highest_in_any_table;
  std::vector<LsnRun> runs;  // of an unordered source: all that any table has
};

struct IngestStats {
  std::uint64_t sources = 0, sessions = 0;
  std::uint64_t batches = 0, entries = 0, bytes = 0;
  std::uint64_t duplicate_entries = 0, gaps = 0, chain_mismatches = 0, new_epochs = 0,
                over_credit = 0, over_gap_limit = 0, malformed = 0, older_epochs = 0,
                superseded = 0;
  // Sources that a copy of theirs streamed as (lives.h): found, copies told so, and known now.
  std::uint64_t copies_found = 0, copies_told = 0, sources_with_copies = 0;
  std::uint64_t unordered_sources_with_gaps = 0, unordered_gap_bytes = 0;
  std::uint64_t inflight_bytes = 0;
};

class Ingest {
 public:
  static std::unique_ptr<Ingest> create(const IngestOptions& options, journal::Journal& journal);
  virtual ~Ingest() = default;

  // --- recovery, before the first event -------------------------------------------------------
  // Newest checkpoint first (bytes of checkpoint(), kCorrupt if damaged), then every journal record
  // after the position that it returns, then what the lakehouse says if the journal was lost.
  // Bytes that another journal's ingest wrote (that journal was lost) count only for what was
  // persisted.
  virtual Result<Position> restore_checkpoint(std::string_view bytes) = 0;
  // After a checkpoint that is not the newest: what was trimmed from the journal since had landed,
  // and nobody will say so again. Reads the journal up to that position; the disk's errors.
  virtual Result<void> restore_persisted() = 0;
  virtual Result<void> replay(const journal::Record& record) = 0;
  // Of sources that are known already it only says what their children may have trimmed.
  virtual void restore_landed(const std::vector<LandedMark>& marks) = 0;
  // All marks as of everything durable, and the journal position that they stand for.
  virtual std::string checkpoint() const = 0;
  // That position. The journal must not be trimmed beyond what its newest checkpoint stands for.
  virtual Position checkpoint_position() const = 0;

  // --- events -----------------------------------------------------------------------------------
  virtual HelloOutcome on_hello(SessionId session, const wire::Hello& hello, UnixMillis now) = 0;
  // `frame_bytes`: what it costs against the session's credit. Table definitions inside are
  // registered for the session even if the batch is refused for credit or a gap.
  virtual BatchOutcome on_batch(SessionId session, std::string_view body, std::size_t frame_bytes,
                                UnixMillis now, Effects& effects) = 0;
  // A wire v1 batch, already translated to v2 bodies (chain fields unused, LSNs ascending within
  // each). The session is bound by on_hello_unordered. `token` comes back when all of it is
  // durable. Refused: of the bodies before the one that was refused what is new may have been
  // taken; it is known when it comes again.
  virtual Result<void> on_hello_unordered(SessionId session, std::string_view source) = 0;
  virtual BatchOutcome on_batch_unordered(SessionId session, std::span<const std::string> bodies,
                                          std::size_t frame_bytes, std::uint64_t token,
                                          UnixMillis now, Effects& effects) = 0;
  virtual BatchLimits batch_limits() const { return {}; }
  virtual void on_disconnect(SessionId session) = 0;
  virtual void on_durable(Position durable_end, Effects& effects) = 0;
  virtual void on_persisted(std::string_view source, Epoch epoch, Lsn lsn, Effects& effects) = 0;
  // Landing begins (again). Of a source whose last records were trimmed while older ones were set
  // aside for a table that waited, nobody may ever say again how far it has landed. So what is
  // durable now counts as persisted once all of it has landed.
  virtual void on_landing_begins() {}
  // REQUIRES: no table waits, and what was set aside has landed, too.
  virtual void on_all_landed(Position /*landed_through*/, Effects& /*effects*/) {}
  // Space came back (a trim): acks with credit for sessions that were starved.
  virtual void on_space(Effects& effects) = 0;

  // --- changing hands: docs/upgrade.md ----------------------------------------------------------
  // REQUIRES: everything appended is durable.
  virtual std::string save_sessions() = 0;
  // After the recovery, before the first event. `new_id`: under which number the connection of a
  // session goes on. Errors: kInvalid (damaged), kCorrupt (not of these marks), kOverLimit.
  using NewSessionId = std::function<std::optional<SessionId>(SessionId)>;
  virtual Result<void> restore_sessions(std::string_view saved, const NewSessionId& new_id) = 0;

  virtual IngestStats stats() const = 0;
  // A source of which a copy streamed, and who the original is.
  virtual void for_each_copied(const std::function<void(const Lives::Copied&)>& visit) const {
    (void)visit;
  }
  virtual void for_each_source(const std::function<void(const SourceMark&)>& visit) const = 0;
};

}  // namespace evodb::ingest
