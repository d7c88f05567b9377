// IngestMachine: the one implementation of Ingest. Its parts lie in
//   machine_session.cc    hellos, credit, acknowledgements
//   machine_batch.cc      ordered batches, table definitions, the way into the journal
//   machine_unordered.cc  batches of sources whose LSNs come in any order
//   machine_recovery.cc   checkpoint, replay, what the lakehouse says
//   machine_hand_over.cc  sessions that go on in another process
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "ingest/batch_record.h"
#include "ingest/ingest.h"
#include "ingest/session.h"
#include "ingest/source_table.h"
#include "ingest/table_registry.h"
#include "ingest/table_sets.h"
#include "ingest/unordered_table.h"
#include "journal/journal.h"

namespace evodb::ingest {

class IngestMachine final : public Ingest {
 public:
  IngestMachine(const IngestOptions& options, journal::Journal& journal);

  Result<Position> restore_checkpoint(std::string_view bytes) override;
  Result<void> restore_persisted() override;
  Result<void> replay(const journal::Record& record) override;
  void restore_landed(const std::vector<LandedMark>& marks) override;
  std::string checkpoint() const override;
  Position checkpoint_position() const override { return durable_end_; }

  HelloOutcome on_hello(SessionId session, const wire::Hello& hello, UnixMillis now) override;
  BatchOutcome on_batch(SessionId session, std::string_view body, std::size_t frame_bytes,
                        UnixMillis now, Effects& effects) override;
  Result<void> on_hello_unordered(SessionId session, std::string_view source) override;
  BatchOutcome on_batch_unordered(SessionId session, std::span<const std::string> bodies,
                                  std::size_t frame_bytes, std::uint64_t token, UnixMillis now,
                                  Effects& effects) override;
  BatchLimits batch_limits() const override;
  void on_disconnect(SessionId session) override;
  void on_durable(Position durable_end, Effects& effects) override;
  void on_persisted(std::string_view source, Epoch epoch, Lsn lsn, Effects& effects) override;
  void on_landing_begins() override;
  void on_all_landed(Position landed_through, Effects& effects) override;
  void on_space(Effects& effects) override { wake_starved(effects); }

  std::string save_sessions() override;
  Result<void> restore_sessions(std::string_view saved, const NewSessionId& new_id) override;

  IngestStats stats() const override;
  void for_each_copied(const std::function<void(const Lives::Copied&)>& visit) const override {
    lives_.for_each_copied(visit);
  }
  void for_each_source(const std::function<void(const SourceMark&)>& visit) const override;

 private:
  using Runs = std::vector<LsnRun>;
  static constexpr std::uint32_t no_session = UINT32_MAX;

  // A batch in the journal's queue. What it is before it is durable: see on_durable.
  struct InFlight {
    Position end;
    SourceIndex source = SourceTable::none;
    std::uint32_t air = Session::none;  // its session's InAir, which stays until this is gone
    std::uint64_t frame_bytes = 0;
    Lsn last;
    ChainHash chain_before;
    TxnId txn_before;
    std::uint64_t token = 0;
    SourceIndex unordered = SourceTable::none;  // its `runs` become durable
    Runs runs;
    bool answers = false;    // an unordered batch, whose last body this is
    bool duplicate = false;  // all of it was here before
  };

  // --- sessions. An id here is one of an open session, unless it is looked for with find().
  Session& session(SessionId id) { return sessions_[id]; }
  // nullptr: nothing of it is in the air.
  const InAir* air_of(const Session& s) const {
    return s.air == Session::none ? nullptr : &airs_[s.air];
  }
  std::uint64_t bytes_in_air(const Session& s) const {
    return s.air == Session::none ? 0 : airs_[s.air].bytes;
  }
  Session& open_session(SessionId id, SessionKind kind);
  InAir& ensure_air(SessionId id, SessionKind kind);  // makes its InAir if there is none
  void release_air(std::uint32_t air);  // an InAir without batches goes, if nobody needs it
  HelloOutcome refuse_hello(wire::NackReason reason, std::string text);
  HelloOutcome new_epoch(const wire::Hello& hello, std::string text);
  // nullopt: it goes on. Closes no session: `other_lives` says which are to be.
  std::optional<HelloOutcome> look_at_life(const wire::Hello& hello, UnixMillis now,
                                           std::vector<SessionId>* other_lives);
  HelloOutcome welcome(SessionId id, const SourceState& state, bool chain_known);
  // Empty: the two histories may be one. Otherwise why they are not.
  std::optional<std::string> divergence(const SourceState& state, const wire::Hello& hello) const;
  // Whether the tables have what the child has trimmed, and we have not.
  bool landed_before_us(SourceIndex index, const wire::Hello& hello) const;
  bool has_inflight(SourceIndex index) const;
  HelloOutcome hello_unordered(SessionId id, const wire::Hello& hello);

  // --- credit
  std::uint64_t space_bytes() const;  // for batches of all sessions together
  std::uint64_t grant(SessionId id);  // what the next ack says
  std::uint64_t grant_step_bytes() const;
  std::uint64_t extra_for(const Session& s) const;
  bool over_credit(const Session& s, std::size_t frame_bytes) const;
  void starve(SessionId id);
  void wake_starved(Effects& effects);
  void push_ack(SessionId id, Effects& effects);
  // `state` is what the table holds of `index`. Nothing where it is no news.
  void set_persisted(SourceIndex index, SourceState state, Lsn lsn, Effects& effects);

  // --- batches
  BatchOutcome refuse(wire::NackReason reason, std::string text, Lsn resend_after = Lsn(),
                      std::uint32_t retry_after_ms = 0, bool close = false);
  BatchOutcome refuse_malformed(std::string text);
  BatchOutcome refuse_undefined_table(std::uint32_t table_ref);
  Result<void> register_tables(Session& s, wire::BatchReader& reader);
  const TableBinding* binding_of(const Session& s, std::uint32_t table_ref) const {
    return table_sets_.find(s.tables, table_ref);
  }
  void mark_used(const Session& s, const TableBinding* binding) {
    used_[static_cast<std::size_t>(binding - table_sets_.bindings(s.tables).data())] = true;
  }
  // Definitions (where this segment has them not) and the batch, together. Uses the marks in used_.
  Result<Position> append_batch(const Session& s, BatchRecord& record);
  Result<Position> append_counted(const Session& s, BatchRecord& record, std::uint32_t known,
                                  std::size_t frame_bytes);
  BatchOutcome refuse_append(SessionId id, const Error& error, Lsn resend_after);
  void track(SessionId id, std::size_t frame_bytes, InFlight batch);
  // Both return the finished outcome, or nullopt to go on.
  std::optional<BatchOutcome> admit(Session* s, wire::BatchReader& reader, std::size_t frame_bytes);
  struct Compared;
  std::optional<BatchOutcome> compare(const Session& s, const SourceState& state,
                                      wire::BatchReader& reader, Compared& compared);
  BatchOutcome take_ordered(SessionId id, wire::BatchReader& reader, std::string_view body,
                            std::size_t frame_bytes, UnixMillis now, Effects& effects);
  // What was found in the bodies of one unordered batch.
  struct Taken {
    bool appended = false;
    bool waits = false;  // some of it was received before, and is not durable
    Lsn last;
  };
  BatchOutcome refuse_full_queue();
  std::string only_new(const Session& s, SourceIndex source, std::string_view body, Lsn* last);
  // Empty: it was taken, or known.
  std::optional<BatchOutcome> take_unordered(SessionId id, wire::BatchReader& reader,
                                             std::string_view body, std::size_t frame_bytes,
                                             UnixMillis now, Taken& taken);
  BatchOutcome answer_unordered(SessionId id, std::uint64_t token, const Taken& taken,
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
  UnorderedTable unordered_;
  Lives lives_{{}};
  // The highest LSN in any table when an earlier journal was lost; empty if none was.
  std::unordered_map<SourceIndex, Lsn> landed_;

  TableSets table_sets_{tables_};
  std::vector<bool> used_;  // of the session's bindings, by the batch at hand

  SessionSlab sessions_;
  std::uint32_t open_sessions_ = 0;
  InAirTable airs_;
  std::deque<SessionId> starved_;  // may hold some that are starved no longer

  std::deque<InFlight> inflight_;     // oldest first; bounded by inflight_bytes_max
  std::uint64_t inflight_bytes_ = 0;  // with what each costs us in memory
  std::uint32_t busy_sessions_ = 0;   // with batches in flight
  Position durable_end_;

  // What was durable, and not called persisted, when landing last began, and the position of then.
  struct Unpersisted {
    SourceIndex source = SourceTable::none;
    Lsn durable;
  };
  std::vector<Unpersisted> unpersisted_;
  Position unpersisted_end_;

  IngestStats stats_;
  std::string text_;    // behind the views in outcomes
  std::string prefix_;  // scratch
};

}  // namespace evodb::ingest
