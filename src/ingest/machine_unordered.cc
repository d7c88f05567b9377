// Batches of sources whose LSNs come in any order: wire v1, and v2 hellos that say so.
#include "base/limits.h"
#include "ingest/machine.h"

namespace evodb::ingest {

HelloOutcome IngestMachine::hello_unordered(SessionId id, const wire::Hello& hello) {
  Session& s = open_session(id, Kind::kUnordered);
  s.unordered_source = hello.source;
  HelloOutcome outcome;
  outcome.accepted = true;
  // Where the child's own log begins: it sends all that it holds, we drop what we know.
  outcome.welcome.received = outcome.welcome.durable = outcome.welcome.persisted = hello.trimmed;
  s.unordered_durable = s.unordered_persisted = hello.trimmed;
  outcome.welcome.received_chain = hello.trimmed_chain;
  outcome.welcome.chain_known = false;
  outcome.welcome.credit_bytes = grant(s);
  outcome.welcome.frame_bytes_max = base::frame_bytes_max;
  outcome.welcome.batch_entries_max = options_.batch_entries_max;
  return outcome;
}

Result<void> IngestMachine::on_hello_unordered(SessionId id, std::string_view source) {
  on_disconnect(id);
  if (source.empty() || source.size() > base::source_name_bytes_max) {
    return fail(ErrorKind::kInvalid, "a source's name has 1 to " +
                                         std::to_string(base::source_name_bytes_max) + " bytes");
  }
  if (slots_.size() >= options_.sessions_max) {
    return fail(ErrorKind::kOverLimit, "too many sessions; try again later");
  }
  open_session(id, Kind::kUnorderedV1).unordered_source = source;
  return {};
}

BatchOutcome IngestMachine::on_batch_unordered(SessionId id, std::string_view body,
                                               std::size_t frame_bytes, std::uint64_t token,
                                               UnixMillis now, Effects& effects) {
  Session* s = find_session(id);
  wire::BatchReader reader(body);
  if (auto refused = admit(s, reader, frame_bytes)) return *refused;
  if (s->kind == Kind::kOrdered)
    return refuse_malformed("an unordered batch in an ordered session");
  return take_unordered(*s, reader, body, frame_bytes, token, now, effects);
}

BatchOutcome IngestMachine::take_unordered(Session& s, wire::BatchReader& reader,
                                           std::string_view body, std::size_t frame_bytes,
                                           std::uint64_t token, UnixMillis now, Effects& effects) {
  using Known = DeduplicationTracker::Known;
  // First what is new, then, only if some is not, the same again to encode the rest.
  Runs runs;
  std::uint32_t known = 0;
  bool waits = false;
  wire::ChangeView change;
  wire::BatchReader again(body);
  const auto binding_for = [&](const wire::ChangeView& c) { return binding_of(s, c.table_ref); };
  while (reader.next(&change)) {
    TableBinding* binding = binding_for(change);
    if (binding == nullptr) {
      return refuse_malformed("a change refers to table number " +
                              std::to_string(change.table_ref) +
                              ", which this session has not defined");
    }
    const Known seen = unordered_.look(s.unordered_source, change.lsn);
    waits = waits || seen == Known::kReceived;
    if (seen != Known::kNew) {
      ++known;
      continue;
    }
    binding->used = true;
    DeduplicationTracker::add_to_runs(runs, change.lsn);
  }
  if (auto status = reader.status(); !status) return refuse_malformed(status.error().text);

  BatchOutcome outcome;
  if (runs.empty()) {
    stats_.duplicate_entries += known;
    outcome.verdict = BatchVerdict::kDuplicate;
    if (!waits) {
      effects.batches.push_back({s.id, token, true});
      if (s.kind == Kind::kUnordered) {
        s.unordered_durable = reader.header().last_lsn;
        push_ack(s, effects);
      }
      return outcome;
    }
    if (room_bytes() == 0) {
      ++stats_.over_credit;
      return refuse(wire::NackReason::kOverCredit, "the parent's queue is full; retry", Lsn(),
                    1'000);
    }
    // Answered when everything in the queue is safe, which is when what it repeats is.
    track(s, 0,
          {.end = journal_.appended_end(),
           .last = reader.header().last_lsn,
           .token = token,
           .unordered_source = s.unordered_source});
    return outcome;
  }
  if (over_credit(s, frame_bytes)) {
    ++stats_.over_credit;
    return refuse(wire::NackReason::kOverCredit, "the parent's queue is full; retry", Lsn(), 1'000);
  }

  BatchRecord record;
  record.source = s.unordered_source;
  record.ordered = false;
  record.received_at = now;
  record.last_lsn = reader.header().last_lsn;
  record.change_count = reader.header().change_count - known;
  record.body = body;
  std::string encoded;
  if (known > 0) {
    // Known LSNs may lie anywhere in it, so one mark cannot say which to skip.
    wire::BatchWriter writer;
    writer.reset(Lsn(), ChainHash());
    std::uint32_t table_ref = 0;
    for (wire::TableDef def; again.next_table(&table_ref, &def);) {
    }
    while (again.next(&change)) {
      if (unordered_.look(s.unordered_source, change.lsn) != Known::kNew) continue;
      writer.add_change(change.op, change.table_ref,
                        tables_.at(binding_for(change)->table).fingerprint, change.lsn, change.txn,
                        change.committed_at, change.key, change.before, change.after,
                        change.reason);
    }
    record.last_lsn = writer.last_lsn();
    encoded = writer.finish();
    record.body = encoded;
  }
  if (auto received = unordered_.receive(s.unordered_source, runs, now); !received) {
    return refuse(wire::NackReason::kOverLimit, received.error().text, Lsn(), 10'000);
  }
  const auto appended = append_batch(s, record);
  if (!appended) {
    unordered_.take_back(s.unordered_source, runs);
    return refuse_append(s, appended.error(), Lsn());
  }
  track(s, frame_bytes,
        {.end = *appended,
         .last = reader.header().last_lsn,
         .token = token,
         .unordered_source = s.unordered_source,
         .runs = std::move(runs)});
  ++stats_.batches;
  stats_.entries += record.change_count;
  stats_.duplicate_entries += known;
  stats_.bytes += frame_bytes;
  outcome.verdict = BatchVerdict::kAppended;
  return outcome;
}

}  // namespace evodb::ingest
