// Ordered batches, table definitions, and the way into the journal.
#include <algorithm>
#include <array>

#include "base/limits.h"
#include "ingest/machine.h"

namespace evodb::ingest {

BatchOutcome IngestMachine::refuse(wire::NackReason reason, std::string text, Lsn resend_after,
                                   std::uint32_t retry_after_ms, bool close) {
  text_ = std::move(text);
  BatchOutcome outcome;
  outcome.verdict = BatchVerdict::kRefused;
  outcome.nack = {.reason = reason,
                  .resend_after = resend_after,
                  .retry_after_ms = retry_after_ms,
                  .text = text_};
  outcome.close = close;
  return outcome;
}

BatchOutcome IngestMachine::refuse_malformed(std::string text) {
  ++stats_.malformed;
  return refuse(wire::NackReason::kMalformed, std::move(text), Lsn(), 0, true);
}

BatchOutcome IngestMachine::refuse_undefined_table(std::uint32_t table_ref) {
  return refuse_malformed("a change refers to table number " + std::to_string(table_ref) +
                          ", which this session has not defined");
}

// --- table definitions ---------------------------------------------------------------------------

Result<void> IngestMachine::register_tables(Session& s, wire::BatchReader& reader) {
  // Definitions that this batch brings, until a set holds them.
  struct Brought {
    TableRegistry& tables;
    std::vector<TableIndex> list;
    ~Brought() {
      for (const TableIndex table : list) tables.release(table);
    }
  } brought{tables_, {}};
  TableSets::Bindings bindings;
  std::uint64_t session_bytes = 0;
  std::uint32_t table_ref = 0;
  wire::TableDef def;
  while (reader.next_table(&table_ref, &def)) {
    if (brought.list.empty()) {
      bindings = table_sets_.bindings(s.tables);
      session_bytes = table_sets_.definition_bytes(s.tables);
    }
    std::string encoded;
    wire::encode_table_def(encoded, def);
    const std::uint64_t bytes = encoded.size();
    const TableBinding* known = TableSets::find(bindings, table_ref);
    const std::uint64_t before = known != nullptr ? tables_.at(known->table).encoded.size() : 0;
    if (session_bytes - before + bytes > options_.session_table_bytes_max ||
        (known == nullptr && bindings.size() >= base::table_defs_per_session_max)) {
      return fail(ErrorKind::kOverLimit,
                  "this session defines too many tables; at most " +
                      std::to_string(base::table_defs_per_session_max) + " with " +
                      std::to_string(options_.session_table_bytes_max) + " bytes");
    }
    brought.list.push_back(EVODB_TRY(tables_.acquire(std::move(encoded), def.fingerprint())));
    session_bytes += bytes - before;
    if (known != nullptr) {
      bindings[static_cast<std::size_t>(known - bindings.data())].table = brought.list.back();
    } else {
      const auto at = std::lower_bound(
          bindings.begin(), bindings.end(), table_ref,
          [](const TableBinding& b, std::uint32_t ref) { return b.table_ref < ref; });
      bindings.insert(at, {.table_ref = table_ref, .table = brought.list.back()});
    }
  }
  if (!brought.list.empty()) {
    const TableSets::Handle set = table_sets_.intern(std::move(bindings));
    table_sets_.release(s.tables);
    s.tables = set;
  }
  return reader.status();
}

// --- into the journal ----------------------------------------------------------------------------

Result<Position> IngestMachine::append_batch(const Session& s, BatchRecord& record) {
  const TableSets::Bindings& bindings = table_sets_.bindings(s.tables);
  record.tables.clear();
  for (std::size_t i = 0; i < bindings.size(); ++i) {
    if (!used_[i]) continue;
    record.tables.push_back({bindings[i].table_ref, tables_.at(bindings[i].table).fingerprint});
  }
  prefix_.clear();
  encode_batch_record_prefix(prefix_, record);
  const std::size_t batch_bytes =
      journal::Journal::record_bytes(prefix_.size() + record.body.size());

  // Which definitions the segment lacks decides how much is appended, and how much is appended
  // decides the segment. A new segment lacks all of them, so the second try is the last.
  std::uint64_t segment = journal_.segment_of_next(batch_bytes);
  std::vector<TableIndex> missing;
  for (int attempt = 0;; ++attempt) {
    missing.clear();
    std::size_t bytes = batch_bytes;
    for (std::size_t i = 0; i < bindings.size(); ++i) {
      const TableIndex table = bindings[i].table;
      const TableRegistry::Entry& entry = tables_.at(table);
      if (!used_[i] || entry.segments == segment + 1) continue;
      if (std::find(missing.begin(), missing.end(), table) != missing.end()) continue;
      missing.push_back(table);
      bytes += journal::Journal::record_bytes(entry.encoded.size());
    }
    const std::uint64_t really = journal_.segment_of_next(bytes);
    if (really == segment || attempt == 1) break;
    segment = really;
  }

  std::vector<std::string_view> definitions;
  for (const TableIndex table : missing) definitions.push_back(tables_.at(table).encoded);
  std::vector<journal::RecordParts> records;
  for (const std::string_view& definition : definitions) {
    records.push_back({journal::RecordType::kTableDef, {&definition, 1}});
  }
  const std::array<std::string_view, 2> batch{prefix_, record.body};
  records.push_back({journal::RecordType::kBatch, batch});
  const auto appended = EVODB_TRY(journal_.append_together(records));
  for (const TableIndex table : missing) tables_.at(table).segments = segment + 1;
  return appended.end;
}

BatchOutcome IngestMachine::refuse_append(SessionId id, const Error& error, Lsn resend_after) {
  if (error.kind != ErrorKind::kOverLimit) {
    return refuse(wire::NackReason::kUnavailable, error.text, resend_after, 5'000);
  }
  ++stats_.over_credit;
  starve(id);
  return refuse(wire::NackReason::kOverCredit, error.text, resend_after, 1'000);
}

// The common end of both ways: into the journal, and counted.
Result<Position> IngestMachine::append_counted(const Session& s, BatchRecord& record,
                                               std::uint32_t known, std::size_t frame_bytes) {
  const Position end = EVODB_TRY(append_batch(s, record));
  ++stats_.batches;
  stats_.entries += record.change_count;
  stats_.duplicate_entries += known;
  stats_.bytes += frame_bytes;
  return end;
}

void IngestMachine::track(SessionId id, std::size_t frame_bytes, InFlight batch) {
  InAir& air = ensure_air(id, SessionKind::kOrdered);
  batch.air = session(id).air;
  batch.frame_bytes = frame_bytes;
  ++air.batches;
  if (frame_bytes > 0 && air.bytes == 0) ++busy_sessions_;
  air.bytes += frame_bytes;
  inflight_bytes_ += frame_bytes + sizeof(InFlight);
  inflight_.push_back(std::move(batch));
}

// --- batches -------------------------------------------------------------------------------------

std::optional<BatchOutcome> IngestMachine::admit(Session* s, wire::BatchReader& reader,
                                                 std::size_t frame_bytes) {
  if (s == nullptr) return refuse_malformed("a batch came before a hello");
  if (s->superseded) {
    return refuse(wire::NackReason::kUnavailable,
                  "another session of this source and epoch took over", Lsn(), 0, true);
  }
  if (auto registered = register_tables(*s, reader); !registered) {
    if (registered.error().kind != ErrorKind::kOverLimit) {
      return refuse_malformed(registered.error().text);
    }
    return refuse(wire::NackReason::kOverLimit, registered.error().text, Lsn(), 0, true);
  }
  used_.assign(table_sets_.bindings(s->tables).size(), false);
  const Lsn resend = s->source != SourceTable::none ? sources_.at(s->source).received : Lsn();
  if (reader.header().change_count > options_.batch_entries_max) {
    return refuse(wire::NackReason::kOverLimit,
                  "a batch of " + std::to_string(reader.header().change_count) +
                      " changes; at most " + std::to_string(options_.batch_entries_max),
                  resend);
  }
  if (frame_bytes > journal_.segment_space_bytes() / 2) {
    return refuse(wire::NackReason::kOverLimit,
                  "a batch of " + std::to_string(frame_bytes) +
                      " bytes; this parent's journal "
                      "takes at most " +
                      std::to_string(journal_.segment_space_bytes() / 2) +
                      " (raise fallback.max_local_bytes)",
                  resend);
  }
  if (journal_.poisoned()) {
    return refuse(wire::NackReason::kUnavailable,
                  "the parent's journal has failed; it must be restarted", resend, 5'000);
  }
  return std::nullopt;
}

BatchOutcome IngestMachine::on_batch(SessionId id, std::string_view body, std::size_t frame_bytes,
                                     UnixMillis now, Effects& effects) {
  Session* s = sessions_.find(id);
  wire::BatchReader reader(body);
  if (auto refused = admit(s, reader, frame_bytes)) return *refused;
  if (s->source != SourceTable::none) {
    return take_ordered(id, reader, body, frame_bytes, now, effects);
  }
  Taken taken;
  if (auto refused = take_unordered(id, reader, body, frame_bytes, now, taken)) return *refused;
  return answer_unordered(id, reader.header().last_lsn.value, taken, effects);
}

// What the changes of an ordered batch are beside those received before.
struct IngestMachine::Compared {
  ChainHash chain;  // of what was received, with what is new folded in
  TxnId txn;
  std::uint32_t known = 0, fresh = 0;
  // It goes on from `received`, or contains that change.
  bool meets_received = false;
};

// Empty: compared. Otherwise it was refused.
std::optional<BatchOutcome> IngestMachine::compare(const Session& s, const SourceState& state,
                                                   wire::BatchReader& reader, Compared& compared) {
  compared.chain = state.chain;
  compared.txn = state.txn;
  compared.meets_received = reader.header().previous_lsn == state.received;
  wire::ChangeView change;
  const TableBinding* binding = nullptr;
  while (reader.next(&change)) {
    if (binding == nullptr || binding->table_ref != change.table_ref) {
      binding = binding_of(s, change.table_ref);
      if (binding == nullptr) return refuse_undefined_table(change.table_ref);
      mark_used(s, binding);
    }
    if (change.lsn <= state.received) {
      ++compared.known;
      compared.meets_received = compared.meets_received || change.lsn == state.received;
      continue;
    }
    compared.chain = wire::fold(compared.chain, tables_.at(binding->table).fingerprint, change);
    compared.txn = change.txn;
    ++compared.fresh;
  }
  if (auto status = reader.status(); !status) return refuse_malformed(status.error().text);
  return std::nullopt;
}

// Example: changes up to LSN 7 were received. A batch names the LSN before its first change, and:
//
//   after 7: 8, 9        all new                            appended; 9 is received now
//   after 4: 5, 7, 8     5 and 7 are known                  appended, readers skip through 7
//   after 4: 5, 7        all known                          a duplicate: acknowledged at once if 7
//                                                           is durable, else when it becomes so
//   after 9: 10          8 and 9 are missing                kGap: resend after 7
//   after 4: 5, 8        jumps over 7: another history      kChainMismatch: a new epoch is needed
//   after 7: 8, 9        another chain than the header's    kChainMismatch
BatchOutcome IngestMachine::take_ordered(SessionId id, wire::BatchReader& reader,
                                         std::string_view body, std::size_t frame_bytes,
                                         UnixMillis now, Effects& effects) {
  const Session& s = session(id);
  SourceState state = sources_.at(s.source);
  const wire::BatchHeader header = reader.header();
  const Lsn received = state.received;
  if (header.previous_lsn > received) {
    ++stats_.gaps;
    return refuse(wire::NackReason::kGap,
                  "changes between LSN " + std::to_string(received.value) + " and " +
                      std::to_string(header.first_lsn.value) + " are missing",
                  received);
  }
  const bool all_known = header.last_lsn <= received;
  if (!all_known && over_credit(s, frame_bytes)) {
    ++stats_.over_credit;
    starve(id);
    return refuse(wire::NackReason::kOverCredit, "more than the credit that was granted", received,
                  200);
  }
  Compared compared;
  if (auto refused = compare(s, state, reader, compared)) return *refused;

  const auto mismatch = [&](const std::string& what) {
    ++stats_.chain_mismatches;
    return refuse(wire::NackReason::kChainMismatch, what + "; a new epoch is needed", received);
  };
  if (all_known) {
    if (header.last_lsn == received && header.chain_after != state.chain) {
      return mismatch("these changes differ from those received under the same LSNs");
    }
    stats_.duplicate_entries += compared.known;
    BatchOutcome outcome;
    outcome.verdict = BatchVerdict::kDuplicate;
    // Otherwise its acknowledgement comes with the sync of what it repeats.
    if (header.last_lsn <= state.durable) push_ack(id, effects);
    return outcome;
  }
  // Every log that goes through `received` has that change; one that jumps over it is another log.
  if (!compared.meets_received || compared.chain != header.chain_after) {
    return mismatch("the changes after LSN " + std::to_string(received.value) +
                    " do not continue those received before");
  }

  BatchRecord record;
  record.source = sources_.name_of(s.source);
  record.epoch = state.epoch;
  record.ordered = true;
  record.received_at = now;
  record.skip_through = compared.known > 0 ? received : Lsn();
  record.last_lsn = header.last_lsn;
  record.chain_after = compared.chain;
  record.last_txn = compared.txn;
  record.change_count = compared.fresh;
  record.body = body;
  const auto appended = append_counted(s, record, compared.known, frame_bytes);
  if (!appended) return refuse_append(id, appended.error(), received);

  track(id, frame_bytes,
        {.end = *appended,
         .source = s.source,
         .last = header.last_lsn,
         .chain_before = state.chain,
         .txn_before = state.txn});
  state.received = header.last_lsn;
  state.chain = compared.chain;
  state.txn = compared.txn;
  sources_.put(s.source, state);
  BatchOutcome outcome;
  outcome.verdict = BatchVerdict::kAppended;
  return outcome;
}

}  // namespace evodb::ingest
