// IngestMachine: the one implementation of Ingest. Its parts lie in
//   machine_session.cc    hellos, credit, acknowledgements
//   machine_batch.cc      ordered batches, table definitions, the way into the journal
//   machine_unordered.cc  batches of sources whose LSNs come in any order
//   machine_recovery.cc   checkpoint, replay, what the lakehouse says
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "evodb/dedup.h"
#include "ingest/batch_record.h"
#include "ingest/ingest.h"
#include "ingest/source_table.h"
#include "ingest/table_registry.h"
#include "journal/journal.h"

namespace evodb::ingest {

class IngestMachine final : public Ingest {
 public:
  IngestMachine(const IngestOptions& options, journal::Journal& journal);

  Result<Position> restore_checkpoint(std::string_view bytes) override;
  Result<void> replay(const journal::Record& record) override;
  void restore_landed(const std::vector<LandedMark>& marks) override;
  std::string checkpoint() const override;
  Position checkpoint_position() const override { return durable_end_; }

  HelloOutcome on_hello(SessionId session, const wire::Hello& hello, UnixMillis now) override;
  BatchOutcome on_batch(SessionId session, std::string_view body, std::size_t frame_bytes,
                        UnixMillis now, Effects& effects) override;
  Result<void> on_hello_unordered(SessionId session, std::string_view source) override;
  BatchOutcome on_batch_unordered(SessionId session, std::string_view body, std::size_t frame_bytes,
                                  std::uint64_t token, UnixMillis now, Effects& effects) override;
  void on_disconnect(SessionId session) override;
  void on_durable(Position durable_end, Effects& effects) override;
  void on_persisted(std::string_view source, Epoch epoch, Lsn lsn, Effects& effects) override;
  void on_room(Effects& effects) override { wake_starved(effects); }

  IngestStats stats() const override;
  void for_each_source(const std::function<void(const SourceMark&)>& visit) const override;

 private:
  using Runs = std::vector<DeduplicationTracker::Run>;
  static constexpr std::uint32_t no_slot = UINT32_MAX;

  enum class Kind : std::uint8_t { kFree, kOrdered, kUnordered, kUnorderedV1 };

  struct TableBinding {
    std::uint32_t table_ref = 0;
    TableIndex table = 0;
    bool used = false;  // by the batch at hand
  };

  struct Session {
    SessionId id;
    Kind kind = Kind::kFree;
    bool superseded = false;
    bool starved = false;    // was told 0 with nothing in the air: only we can wake it
    bool ack_due = false;    // within one call
    std::uint32_t life = 0;  // of the slot: ids and slots are used again
    SourceIndex source = SourceTable::none;
    std::string unordered_source;
    Lsn unordered_durable, unordered_persisted;
    std::uint64_t inflight_bytes = 0;
    // Told last, and before: a batch may have been sent while the larger one still held.
    std::uint64_t granted_bytes = 0, granted_before_bytes = 0;
    std::uint64_t table_bytes = 0;
    std::vector<TableBinding> tables;  // ascending by table_ref
  };

  // A batch in the journal's queue. What it is before it is durable: see on_durable.
  struct InFlight {
    Position end;
    SourceIndex source = SourceTable::none;
    std::uint32_t slot = no_slot, life = 0;
    std::uint64_t frame_bytes = 0;
    Lsn last;
    ChainHash chain_before;
    TxnId txn_before;
    std::uint64_t token = 0;
    std::string unordered_source;
    Runs runs;
  };

  // --- sessions
  Session* find_session(SessionId id);
  Session& open_session(SessionId id, Kind kind);
  void close_session(std::uint32_t slot);
  std::uint32_t slot_of(const Session& s) const {
    return static_cast<std::uint32_t>(&s - sessions_.data());
  }
  Session* session_of(const InFlight& batch);
  HelloOutcome refuse_hello(wire::NackReason reason, std::string text);
  HelloOutcome new_epoch(const wire::Hello& hello, std::string text);
  HelloOutcome welcome(Session& s, const SourceState& state, bool chain_known);
  // Empty: the two histories may be one. Otherwise why they are not.
  std::string divergence(const SourceState& state, const wire::Hello& hello) const;
  HelloOutcome hello_unordered(SessionId id, const wire::Hello& hello);

  // --- credit
  std::uint64_t room_bytes() const;  // for all sessions together
  std::uint64_t grant(Session& s);   // what the next ack says
  std::uint64_t extra_for(const Session& s) const;
  bool over_credit(const Session& s, std::size_t frame_bytes) const;
  void starve(Session& s);
  void wake_starved(Effects& effects);
  void push_ack(Session& s, Effects& effects);

  // --- batches
  BatchOutcome refuse(wire::NackReason reason, std::string text, Lsn resend_after = Lsn(),
                      std::uint32_t retry_after_ms = 0, bool close = false);
  BatchOutcome refuse_malformed(std::string text);
  Result<void> register_tables(Session& s, wire::BatchReader& reader);
  TableBinding* binding_of(Session& s, std::uint32_t table_ref);
  // Definitions (where this segment has them not) and the batch, together. Uses s.tables' marks.
  Result<Position> append_batch(Session& s, BatchRecord& record);
  BatchOutcome refuse_append(Session& s, const Error& error, Lsn resend_after);
  void track(Session& s, std::size_t frame_bytes, InFlight batch);
  // Both return the finished outcome, or nullopt to go on.
  std::optional<BatchOutcome> admit(Session* s, wire::BatchReader& reader, std::size_t frame_bytes);
  BatchOutcome take_ordered(Session& s, wire::BatchReader& reader, std::string_view body,
                            std::size_t frame_bytes, UnixMillis now, Effects& effects);
  BatchOutcome take_unordered(Session& s, wire::BatchReader& reader, std::string_view body,
                              std::size_t frame_bytes, std::uint64_t token, UnixMillis now,
                              Effects& effects);

  struct DurablePoint {
    ChainHash chain;
    TxnId txn;
  };
  // Chain and transaction at `durable` of the sources that have batches in flight.
  std::unordered_map<SourceIndex, DurablePoint> durable_points() const;

  const IngestOptions options_;
  journal::Journal& journal_;
  const std::uint64_t reserve_bytes_;

  SourceTable sources_;
  TableRegistry tables_;
  DeduplicationTracker unordered_;

  std::vector<Session> sessions_;
  std::vector<std::uint32_t> free_slots_;
  std::unordered_map<std::uint32_t, std::uint32_t> slots_;  // SessionId to slot
  std::deque<std::uint32_t> starved_;  // slots; may hold some that are starved no longer

  std::deque<InFlight> inflight_;     // oldest first; bounded by inflight_bytes_max
  std::uint64_t inflight_bytes_ = 0;  // with what each costs us in memory
  std::uint32_t busy_sessions_ = 0;   // with batches in flight
  Position durable_end_;

  IngestStats stats_;
  std::string text_;    // behind the views in outcomes
  std::string prefix_;  // scratch
};

}  // namespace evodb::ingest
