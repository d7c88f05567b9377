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

// --- table definitions
// ----------------------------------------------------------------------------

IngestMachine::TableBinding* IngestMachine::binding_of(Session& s, std::uint32_t table_ref) {
  // Children number their tables 0, 1, 2, ...: nearly always the index itself.
  if (table_ref < s.tables.size() && s.tables[table_ref].table_ref == table_ref) {
    return &s.tables[table_ref];
  }
  const auto found =
      std::lower_bound(s.tables.begin(), s.tables.end(), table_ref,
                       [](const TableBinding& b, std::uint32_t ref) { return b.table_ref < ref; });
  return found != s.tables.end() && found->table_ref == table_ref ? &*found : nullptr;
}

Result<void> IngestMachine::register_tables(Session& s, wire::BatchReader& reader) {
  std::uint32_t table_ref = 0;
  wire::TableDef def;
  while (reader.next_table(&table_ref, &def)) {
    std::string encoded;
    wire::encode_table_def(encoded, def);
    const std::uint64_t bytes = encoded.size();
    TableBinding* binding = binding_of(s, table_ref);
    const std::uint64_t before = binding != nullptr ? tables_.at(binding->table).encoded.size() : 0;
    if (s.table_bytes - before + bytes > options_.session_table_bytes_max ||
        (binding == nullptr && s.tables.size() >= base::table_defs_per_session_max)) {
      return fail(ErrorKind::kOverLimit,
                  "this session defines too many tables; at most " +
                      std::to_string(base::table_defs_per_session_max) + " with " +
                      std::to_string(options_.session_table_bytes_max) + " bytes");
    }
    const TableIndex table = EVODB_TRY(tables_.acquire(std::move(encoded), def.fingerprint()));
    s.table_bytes += bytes - before;
    if (binding != nullptr) {
      tables_.release(binding->table);
      binding->table = table;
    } else {
      const auto at = std::lower_bound(
          s.tables.begin(), s.tables.end(), table_ref,
          [](const TableBinding& b, std::uint32_t ref) { return b.table_ref < ref; });
      s.tables.insert(at, {.table_ref = table_ref, .table = table});
    }
  }
  return reader.status();
}

// --- into the journal
// -----------------------------------------------------------------------------

Result<Position> IngestMachine::append_batch(Session& s, BatchRecord& record) {
  record.tables.clear();
  for (const TableBinding& binding : s.tables) {
    if (!binding.used) continue;
    record.tables.push_back({binding.table_ref, tables_.at(binding.table).fingerprint});
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
    for (const TableBinding& binding : s.tables) {
      const TableRegistry::Entry& entry = tables_.at(binding.table);
      if (!binding.used || entry.segments == segment + 1) continue;
      if (std::find(missing.begin(), missing.end(), binding.table) != missing.end()) continue;
      missing.push_back(binding.table);
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

BatchOutcome IngestMachine::refuse_append(Session& s, const Error& error, Lsn resend_after) {
  if (error.kind != ErrorKind::kOverLimit) {
    return refuse(wire::NackReason::kUnavailable, error.text, resend_after, 5'000);
  }
  ++stats_.over_credit;
  starve(s);
  return refuse(wire::NackReason::kOverCredit, error.text, resend_after, 1'000);
}

void IngestMachine::track(Session& s, std::size_t frame_bytes, InFlight batch) {
  batch.slot = slot_of(s);
  batch.life = s.life;
  batch.frame_bytes = frame_bytes;
  if (frame_bytes > 0 && s.inflight_bytes == 0) ++busy_sessions_;
  s.inflight_bytes += frame_bytes;
  inflight_bytes_ += frame_bytes + sizeof(InFlight);
  inflight_.push_back(std::move(batch));
}

// --- batches
// --------------------------------------------------------------------------------------

std::optional<BatchOutcome> IngestMachine::admit(Session* s, wire::BatchReader& reader,
                                                 std::size_t frame_bytes) {
  if (s == nullptr) return refuse_malformed("a batch came before a hello");
  if (s->superseded) {
    return refuse(wire::NackReason::kUnavailable,
                  "another session of this source and epoch took over", Lsn(), 0, true);
  }
  for (TableBinding& binding : s->tables) binding.used = false;
  if (auto registered = register_tables(*s, reader); !registered) {
    if (registered.error().kind != ErrorKind::kOverLimit) {
      return refuse_malformed(registered.error().text);
    }
    return refuse(wire::NackReason::kOverLimit, registered.error().text, Lsn(), 0, true);
  }
  const Lsn resend = s->kind == Kind::kOrdered ? sources_.at(s->source).received : Lsn();
  if (reader.header().change_count > options_.batch_entries_max) {
    return refuse(wire::NackReason::kOverLimit,
                  "a batch of " + std::to_string(reader.header().change_count) +
                      " changes; at most " + std::to_string(options_.batch_entries_max),
                  resend);
  }
  if (frame_bytes > journal_.segment_room_bytes() / 2) {
    return refuse(wire::NackReason::kOverLimit,
                  "a batch of " + std::to_string(frame_bytes) +
                      " bytes; this parent's journal "
                      "takes at most " +
                      std::to_string(journal_.segment_room_bytes() / 2) +
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
  Session* s = find_session(id);
  wire::BatchReader reader(body);
  if (auto refused = admit(s, reader, frame_bytes)) return *refused;
  if (s->kind == Kind::kOrdered) {
    return take_ordered(*s, reader, body, frame_bytes, now, effects);
  }
  return take_unordered(*s, reader, body, frame_bytes, reader.header().last_lsn.value, now,
                        effects);
}

BatchOutcome IngestMachine::take_ordered(Session& s, wire::BatchReader& reader,
                                         std::string_view body, std::size_t frame_bytes,
                                         UnixMillis now, Effects& effects) {
  SourceState& state = sources_.at(s.source);
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
    starve(s);
    return refuse(wire::NackReason::kOverCredit, "more than the credit that was granted", received,
                  200);
  }

  BatchRecord record;
  ChainHash chain = state.chain;
  TxnId txn = state.txn;
  wire::ChangeView change;
  TableBinding* binding = nullptr;
  std::uint32_t known = 0;
  bool meets_received = header.previous_lsn == received;
  while (reader.next(&change)) {
    if (binding == nullptr || binding->table_ref != change.table_ref) {
      binding = binding_of(s, change.table_ref);
      if (binding == nullptr) {
        return refuse_malformed("a change refers to table number " +
                                std::to_string(change.table_ref) +
                                ", which this session has not defined");
      }
      binding->used = true;
    }
    if (change.lsn <= received) {
      ++known;
      meets_received = meets_received || change.lsn == received;
      continue;
    }
    chain = wire::fold(chain, tables_.at(binding->table).fingerprint, change);
    txn = change.txn;
    ++record.change_count;
  }
  if (auto status = reader.status(); !status) return refuse_malformed(status.error().text);

  const auto mismatch = [&](const std::string& what) {
    ++stats_.chain_mismatches;
    return refuse(wire::NackReason::kChainMismatch, what + "; a new epoch is needed", received);
  };
  if (all_known) {
    if (header.last_lsn == received && header.chain_after != state.chain) {
      return mismatch("these changes differ from those received under the same LSNs");
    }
    stats_.duplicate_entries += known;
    BatchOutcome outcome;
    outcome.verdict = BatchVerdict::kDuplicate;
    // Otherwise its acknowledgement comes with the sync of what it repeats.
    if (header.last_lsn <= state.durable) push_ack(s, effects);
    return outcome;
  }
  // Every log that goes through `received` has that change; one that jumps over it is another log.
  if (!meets_received || chain != header.chain_after) {
    return mismatch("the changes after LSN " + std::to_string(received.value) +
                    " do not continue those received before");
  }

  record.source = sources_.name_of(s.source);
  record.epoch = state.epoch;
  record.ordered = true;
  record.received_at = now;
  record.skip_through = known > 0 ? received : Lsn();
  record.last_lsn = header.last_lsn;
  record.chain_after = chain;
  record.last_txn = txn;
  record.body = body;
  const auto appended = append_batch(s, record);
  if (!appended) return refuse_append(s, appended.error(), received);

  track(s, frame_bytes,
        {.end = *appended,
         .source = s.source,
         .last = header.last_lsn,
         .chain_before = state.chain,
         .txn_before = state.txn});
  state.received = header.last_lsn;
  state.chain = chain;
  state.txn = txn;
  ++stats_.batches;
  stats_.entries += record.change_count;
  stats_.duplicate_entries += known;
  stats_.bytes += frame_bytes;
  BatchOutcome outcome;
  outcome.verdict = BatchVerdict::kAppended;
  return outcome;
}

}  // namespace evodb::ingest
