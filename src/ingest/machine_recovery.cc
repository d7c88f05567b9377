// Checkpoint, replay, and what the lakehouse says when the journal was lost.
#include <algorithm>

#include "ingest/checkpoint_format.h"
#include "ingest/machine.h"

namespace evodb::ingest {

Result<Position> IngestMachine::restore_checkpoint(std::string_view bytes) {
  const CheckpointContents contents = EVODB_TRY(read_checkpoint(bytes));
  const bool ours = contents.journal == journal_.id();
  sources_.reserve(sources_.size() + contents.marks.size());
  for (const CheckpointMark& mark : contents.marks) {
    // Of a journal that is gone only what had reached the lakehouse is still there.
    if (!ours && mark.persisted.value == 0) continue;
    if (sources_.find(mark.source, mark.epoch) != SourceTable::none) {
      return fail(ErrorKind::kCorrupt,
                  "the checkpoint names source '" + std::string(mark.source) + "' twice");
    }
    const SourceIndex index = sources_.add(mark.source, mark.epoch);
    SourceState state = sources_.at(index);
    state.persisted = mark.persisted;
    state.rebuilt = !ours || mark.rebuilt;
    if (!state.rebuilt) {
      state.received = state.durable = mark.durable;
      state.chain = mark.chain;
      state.txn = mark.txn;
    }
    sources_.put(index, state);
  }
  for (const Lives::Copied& copied : contents.copied) lives_.restore(copied);
  if (!ours) return journal_.first();
  for (const CheckpointContents::Unordered& source : contents.unordered) {
    if (unordered_.find(source.source) != SourceTable::none) {
      return fail(ErrorKind::kCorrupt,
                  "the checkpoint names source '" + std::string(source.source) + "' twice");
    }
    unordered_.insert(unordered_.find_or_add_always(source.source), source.runs);
  }
  durable_end_ = contents.position;
  return contents.position;
}

Result<void> IngestMachine::restore_persisted() {
  // By source: the LSN before the oldest change of it that the journal still holds.
  std::unordered_map<SourceIndex, Lsn> before;
  const auto cursor = journal_.read_from(journal_.first());
  journal::Record record;
  while (EVODB_TRY(cursor->next(&record)) && record.end <= durable_end_) {
    if (record.type != journal::RecordType::kBatch) continue;
    const BatchRecord batch = EVODB_TRY(decode_batch_record(record.payload));
    if (!batch.ordered) continue;
    const SourceIndex index = sources_.find(batch.source, batch.epoch);
    const Lsn previous = wire::BatchReader(batch.body).header().previous_lsn;
    before.try_emplace(index, std::max(previous, batch.skip_through));
  }
  sources_.for_each([&](SourceIndex i) {
    SourceState state = sources_.at(i);
    if (state.rebuilt) return;
    const auto held = before.find(i);
    const Lsn landed = held == before.end() ? state.durable : std::min(held->second, state.durable);
    if (landed <= state.persisted) return;
    state.persisted = landed;
    sources_.put(i, state);
  });
  return {};
}

Result<void> IngestMachine::replay(const journal::Record& record) {
  // What a checkpoint already stands for: replaying it again changes nothing, so it is not an
  // error.
  if (record.end <= durable_end_) return {};
  durable_end_ = record.end;
  if (record.type != journal::RecordType::kBatch) return {};
  const BatchRecord batch = EVODB_TRY(decode_batch_record(record.payload));
  if (!batch.ordered) {
    wire::BatchReader reader(batch.body);
    std::uint32_t table_ref = 0;
    for (wire::TableDef def; reader.next_table(&table_ref, &def);) {
    }
    const SourceIndex index = unordered_.find_or_add_always(batch.source);
    Runs runs;
    wire::ChangeView change;
    while (reader.next(&change)) {
      if (unordered_.look(index, change.lsn) == UnorderedTable::Known::kNew) {
        DeduplicationTracker::add_to_runs(runs, change.lsn);
      }
    }
    if (auto status = reader.status(); !status) {
      return fail(ErrorKind::kCorrupt, "journal record at position " +
                                           std::to_string(record.position.value) + ": " +
                                           status.error().text);
    }
    unordered_.insert(index, runs);
    return {};
  }
  SourceIndex index = sources_.find(batch.source, batch.epoch);
  if (index == SourceTable::none) index = sources_.add(batch.source, batch.epoch);
  SourceState state = sources_.at(index);
  if (batch.last_lsn <= state.received) return {};
  if (state.rebuilt) {
    state.rebuilt = false;
    state.persisted = Lsn();  // of this journal's changes none is known to have landed
  }
  state.received = state.durable = batch.last_lsn;
  state.chain = batch.chain_after;
  state.txn = batch.last_txn;
  sources_.put(index, state);
  return {};
}

void IngestMachine::restore_landed(const std::vector<LandedMark>& marks) {
  for (const LandedMark& mark : marks) {
    if (!mark.runs.empty()) {
      unordered_.merge(unordered_.find_or_add_always(mark.source), mark.runs);
      continue;
    }
    if (mark.epoch.value == 0 || mark.highest_in_any_table.value == 0) continue;
    SourceIndex index = sources_.find(mark.source, mark.epoch);
    const bool known = index != SourceTable::none;
    if (!known) index = sources_.add(mark.source, mark.epoch);
    landed_[index] = mark.highest_in_any_table;
    SourceState state = sources_.at(index);
    if (known && !state.rebuilt) continue;
    state.rebuilt = true;
    state.persisted = std::max(state.persisted, mark.highest_in_any_table);
    sources_.put(index, state);
  }
}

std::unordered_map<SourceIndex, IngestMachine::DurablePoint> IngestMachine::durable_points() const {
  std::unordered_map<SourceIndex, DurablePoint> points;
  for (const InFlight& batch : inflight_) {
    if (batch.source == SourceTable::none) continue;
    points.try_emplace(batch.source, DurablePoint{batch.chain_before, batch.txn_before});
  }
  return points;
}

std::string IngestMachine::checkpoint() const {
  const auto points = durable_points();
  CheckpointWriter writer(journal_.id(), durable_end_, sources_.size());
  sources_.for_each([&](SourceIndex i) {
    const SourceState state = sources_.at(i);
    const auto point = points.find(i);
    writer.add_mark({.source = sources_.name_of(i),
                     .epoch = state.epoch,
                     .rebuilt = state.rebuilt,
                     .durable = state.durable,
                     .persisted = state.persisted,
                     .chain = point == points.end() ? state.chain : point->second.chain,
                     .txn = point == points.end() ? state.txn : point->second.txn});
  });
  writer.add_unordered(unordered_);
  writer.add_copied(lives_);
  return writer.finish();
}

void IngestMachine::for_each_source(const std::function<void(const SourceMark&)>& visit) const {
  const auto points = durable_points();
  SourceMark mark;
  sources_.for_each([&](SourceIndex i) {
    const SourceState state = sources_.at(i);
    const auto point = points.find(i);
    mark.source = sources_.name_of(i);
    mark.epoch = state.epoch;
    mark.ordered = true;
    mark.chain_known = !state.rebuilt;
    mark.received = state.received;
    mark.durable = state.durable;
    mark.persisted = state.persisted;
    mark.received_chain = state.chain;
    mark.durable_chain = point == points.end() ? state.chain : point->second.chain;
    mark.received_txn = state.txn;
    visit(mark);
  });
  unordered_.for_each([&](SourceIndex i, std::string_view name, std::uint64_t) {
    mark = SourceMark();
    mark.source = name;
    mark.ordered = false;
    mark.chain_known = false;
    mark.received = mark.durable = unordered_.highest_durable(i);
    visit(mark);
  });
}

}  // namespace evodb::ingest
