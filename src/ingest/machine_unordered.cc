// Batches of sources whose LSNs come in any order: wire v1, and v2 hellos that say so.
#include <algorithm>

#include "base/limits.h"
#include "ingest/machine.h"

namespace evodb::ingest {

HelloOutcome IngestMachine::hello_unordered(SessionId id, const wire::Hello& hello) {
  InAir& air = airs_[open_session(id, SessionKind::kUnordered).air];
  air.unordered_source = hello.source;
  HelloOutcome outcome;
  outcome.accepted = true;
  // Where the child's own log begins: it sends all that it holds, we drop what we know.
  outcome.welcome.received = outcome.welcome.durable = outcome.welcome.persisted = hello.trimmed;
  air.unordered_durable = air.unordered_persisted = hello.trimmed;
  outcome.welcome.received_chain = hello.trimmed_chain;
  outcome.welcome.chain_known = false;
  outcome.welcome.credit_bytes = grant(id);
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
  if (open_sessions_ >= options_.sessions_max) {
    return fail(ErrorKind::kOverLimit, "too many sessions; try again later");
  }
  airs_[open_session(id, SessionKind::kUnorderedV1).air].unordered_source = source;
  return {};
}

BatchLimits IngestMachine::batch_limits() const {
  return {.entries_max = options_.batch_entries_max,
          .bytes_max =
              std::min<std::uint64_t>(base::frame_bytes_max, journal_.segment_space_bytes() / 2)};
}

BatchOutcome IngestMachine::on_batch_unordered(SessionId id, std::span<const std::string> bodies,
                                               std::size_t frame_bytes, std::uint64_t token,
                                               UnixMillis now, Effects& effects) {
  Taken taken;
  for (const std::string& body : bodies) {
    Session* s = sessions_.find(id);
    wire::BatchReader reader(body);
    if (auto refused = admit(s, reader, body.size())) return *refused;
    if (s->source != SourceTable::none)
      return refuse_malformed("an unordered batch in an ordered session");
    // All of it counts against the credit when the first of it is taken.
    const std::size_t charge = taken.appended ? 0 : frame_bytes;
    if (auto refused = take_unordered(id, reader, body, charge, now, taken)) return *refused;
  }
  return answer_unordered(id, token, taken, effects);
}

BatchOutcome IngestMachine::answer_unordered(SessionId id, std::uint64_t token, const Taken& taken,
                                             Effects& effects) {
  BatchOutcome outcome;
  if (taken.appended) {
    InFlight& newest = inflight_.back();  // the last of it
    newest.answers = true;
    newest.token = token;
    newest.last = taken.last;
    outcome.verdict = BatchVerdict::kAppended;
    return outcome;
  }
  outcome.verdict = BatchVerdict::kDuplicate;
  if (!taken.waits) {
    effects.batches.push_back({id, token, true});
    InAir& air = airs_[session(id).air];
    if (air.kind == SessionKind::kUnordered) {
      air.unordered_durable = taken.last;
      push_ack(id, effects);
    }
    return outcome;
  }
  if (space_bytes() == 0) return refuse_full_queue();
  // Answered when everything in the queue is safe, which is when what it repeats is.
  track(id, 0,
        {.end = journal_.appended_end(),
         .last = taken.last,
         .token = token,
         .answers = true,
         .duplicate = true});
  return outcome;
}

BatchOutcome IngestMachine::refuse_full_queue() {
  ++stats_.over_credit;
  return refuse(wire::NackReason::kOverCredit, "the parent's queue is full; retry", Lsn(), 1'000);
}

// What is new in a batch, written anew: known LSNs may lie anywhere in it, so one mark cannot say
// which to skip.
std::string IngestMachine::only_new(const Session& s, SourceIndex source, std::string_view body,
                                    Lsn* last) {
  wire::BatchReader reader(body);
  wire::BatchWriter writer;
  writer.reset(Lsn(), ChainHash());
  std::uint32_t table_ref = 0;
  for (wire::TableDef def; reader.next_table(&table_ref, &def);) {
  }
  wire::ChangeView change;
  while (reader.next(&change)) {
    if (unordered_.look(source, change.lsn) != UnorderedTable::Known::kNew) continue;
    const TableIndex table = binding_of(s, change.table_ref)->table;
    writer.add_change(change.op, change.table_ref, tables_.at(table).fingerprint, change.lsn,
                      change.txn, change.committed_at, change.key, change.before, change.after,
                      change.reason);
  }
  *last = writer.last_lsn();
  return writer.finish();
}

// Example: of this source LSN 4 is durable, and 5 was received and is in the journal's queue.
//
//   3, 8, 9     all new: appended as it is, runs 3 and 8-9; durable, and answered, with its sync
//   3, 4, 8     4 is known: appended without it, runs 3 and 8
//   4           all known and durable: a duplicate, answered at once
//   4, 5        all known, 5 not durable yet: a duplicate, answered once the queue is durable
std::optional<BatchOutcome> IngestMachine::take_unordered(SessionId id, wire::BatchReader& reader,
                                                          std::string_view body,
                                                          std::size_t frame_bytes, UnixMillis now,
                                                          Taken& taken) {
  using Known = UnorderedTable::Known;
  const Session& s = session(id);
  InAir& air = airs_[s.air];  // such a session always has one
  SourceIndex source = unordered_.find(air.unordered_source);
  Runs runs;
  std::uint32_t known = 0;
  wire::ChangeView change;
  while (reader.next(&change)) {
    const TableBinding* binding = binding_of(s, change.table_ref);
    if (binding == nullptr) return refuse_undefined_table(change.table_ref);
    const Known seen = unordered_.look(source, change.lsn);
    taken.waits = taken.waits || seen == Known::kReceived;
    if (seen != Known::kNew) {
      ++known;
      continue;
    }
    mark_used(s, binding);
    DeduplicationTracker::add_to_runs(runs, change.lsn);
  }
  if (auto status = reader.status(); !status) return refuse_malformed(status.error().text);

  taken.last = reader.header().last_lsn;
  if (runs.empty()) {
    stats_.duplicate_entries += known;
    return std::nullopt;
  }
  if (!taken.appended && over_credit(s, frame_bytes)) return refuse_full_queue();

  BatchRecord record;
  record.source = air.unordered_source;
  record.ordered = false;
  record.received_at = now;
  record.last_lsn = reader.header().last_lsn;
  record.change_count = reader.header().change_count - known;
  record.body = body;
  std::string rest;
  if (known > 0) record.body = rest = only_new(s, source, body, &record.last_lsn);
  const auto found = unordered_.find_or_add(air.unordered_source);
  const auto received =
      found ? unordered_.receive(*found, runs) : Result<void>(std::unexpected(found.error()));
  if (!received) {
    ++stats_.over_gap_limit;
    return refuse(wire::NackReason::kOverLimit, received.error().text, Lsn(), 10'000);
  }
  source = *found;
  const auto appended = append_counted(s, record, known, frame_bytes);
  if (!appended) {
    unordered_.take_back(source, runs);
    return refuse_append(id, appended.error(), Lsn());
  }
  track(id, frame_bytes,
        {.end = *appended, .last = taken.last, .unordered = source, .runs = std::move(runs)});
  taken.appended = true;
  return std::nullopt;
}

}  // namespace evodb::ingest
