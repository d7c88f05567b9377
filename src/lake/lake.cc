#include "lake/lake.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "ingest/batch_record.h"
#include "lake/definitions.h"
#include "lake/flush_job.h"
#include "lake/lake_table.h"
#include "lake/landed_filter.h"
#include "lake/landing_progress.h"
#include "lake/table_set.h"
#include "wire/change.h"

namespace evodb::lake {
namespace {

using base::MonotonicMillis;

// The least time between the beginnings of two flushes of one table, where its number of buffered
// changes makes them due (or a quarter of buffer_age_ms_max, if that is less). Without it a busy
// table would commit many times a second, and each commit's syncs delay the journal's.
constexpr std::int64_t threshold_pace_ms_max = 250;

// The reason why a change can never be a row of its table; nothing: it can be one. A change whose
// values were not read to their end yet (BatchReader::next_open) has no `content`, so its length is
// not judged here.
std::optional<std::string> why_no_row(const wire::ChangeView& change, const wire::TableDef& def) {
  if (change.op == Op::kOversize) return std::string(change.reason);
  if (carries_reason(change.op)) return std::nullopt;
  if (change.content.size() > base::row_bytes_max) {
    return "the change has " + std::to_string(change.content.size()) + " bytes; at most " +
           std::to_string(base::row_bytes_max) + " are landed as a row";
  }
  for (const wire::ValuesView* values : {&change.before, &change.after}) {
    if (values->present && values->count != def.columns.size()) {
      return "the change has " + std::to_string(values->count) +
             " values, and the table's definition " + std::to_string(def.columns.size()) +
             " columns";
    }
  }
  return std::nullopt;
}

class LakeImpl final : public Lake {
 public:
  LakeImpl(const LakeOptions& options, const Identity& identity)
      : options_(options),
        identity_(identity),
        definitions_(options.definition_reach_bytes),
        tables_(options.rejects_table) {}

  void add_table(table::TableState state) override { tables_.add(std::move(state)); }
  void add_waiting_table(const std::string& name, const std::string& location_key,
                         const Error& why) override {
    tables_.add_waiting(name, location_key, why);
  }
  void set_landed_filter(std::unique_ptr<LandedFilter> filter) override {
    filter_ = std::move(filter);
  }

  bool has_room() const override {
    // Once the lake has stopped, on_record() gives the error to whoever offers the next record.
    return stopped_.has_value() ||
           (bytes_ < options_.buffer_bytes_max && entries_ < options_.buffer_entries_max);
  }
  Result<void> on_record(const journal::Record& record, UnixMillis wall,
                         MonotonicMillis now) override;

  bool any_waits() const override {
    return std::ranges::any_of(tables_.all(), [](const auto& of) { return of.second->waits(); });
  }
  bool last_is_aside() const override { return last_is_aside_; }
  std::vector<std::string> last_definitions() const override;
  void release_aside() override {
    for (const LandingProgress::Ticket ticket : std::exchange(aside_, {})) {
      progress_.set_aside(ticket);
    }
  }

  std::unique_ptr<FlushJob> next_flush(MonotonicMillis now) override;
  std::optional<MonotonicMillis> next_deadline() const override;
  void on_flush_done(FlushId flush, Result<table::TableState> result, MonotonicMillis now) override;
  Position request_flush() override;

  Position landed_through() const override { return progress_.landed_through(); }
  void take_persisted(std::vector<PersistedMark>* marks) override { progress_.take(marks); }
  LakeStats stats(MonotonicMillis now) const override;

 private:
  struct BoundTable {
    std::uint32_t ref = 0;
    Definition* definition = nullptr;
    bool filter_known = false;
    LandedFilter::Landed landed;
  };

  Result<void> on_batch(const journal::Record& record, MonotonicMillis now);
  Result<void> bind_tables(const ingest::BatchRecord& batch);
  BoundTable* find_bound(std::uint32_t table_ref);
  bool on_change(const RecordContext& record, BoundTable& bound, wire::BatchReader& reader,
                 wire::ChangeView& change, MonotonicMillis now);
  void reject(const RecordContext& record, const wire::ChangeView& change, std::string_view table,
              std::string_view reason, MonotonicMillis now);
  void put_aside();
  void touch(LakeTable& table, Position record);
  void settle();
  bool is_due(const LakeTable& table, MonotonicMillis now) const;
  MonotonicMillis due_at(const LakeTable& table) const;
  LakeTable* most_urgent(MonotonicMillis now);
  std::unexpected<Error> stop(Error error);

  LakeOptions options_;
  Identity identity_;
  Definitions definitions_;
  std::unique_ptr<LandedFilter> filter_;
  LandingProgress progress_;

  TableSet tables_;
  std::vector<LakeTable*> touched_;  // have got rows of the current record
  std::vector<BoundTable> bound_;
  bool last_is_aside_ = false;
  std::vector<LandingProgress::Ticket> aside_;  // of records that are not kept elsewhere yet

  std::map<std::uint64_t, LakeTable*> running_;  // by FlushId
  std::uint64_t next_flush_id_ = 1;
  std::uint64_t bytes_ = 0, entries_ = 0;  // over all tables, filling and sealed
  std::uint64_t rejected_ = 0, skipped_ = 0, flushes_ = 0, failures_ = 0;
  std::optional<Error> stopped_;  // why nothing goes on
};

// --- records ------------------------------------------------------------------------------------

std::unexpected<Error> LakeImpl::stop(Error error) {
  if (!stopped_) stopped_ = error;
  return fail(std::move(error));
}

Result<void> LakeImpl::on_record(const journal::Record& record, UnixMillis /*wall*/,
                                 MonotonicMillis now) {
  if (stopped_) return fail(*stopped_);
  last_is_aside_ = false;
  if (record.type == journal::RecordType::kTableDef) {
    if (auto added = definitions_.add(record.payload, record.position); !added) {
      return stop(std::move(added).error());
    }
    progress_.skip_to(record.end);
    return {};
  }
  if (auto taken = on_batch(record, now); !taken) return stop(std::move(taken).error());
  return {};
}

Result<void> LakeImpl::bind_tables(const ingest::BatchRecord& batch) {
  bound_.clear();
  for (const ingest::TableMapping& mapping : batch.tables) {
    Definition* definition = definitions_.find(mapping.fingerprint);
    if (definition == nullptr) {
      return fail(ErrorKind::kCorrupt, "a batch of source '" + std::string(batch.source) +
                                           "' refers to a table definition that the journal's "
                                           "segment does not hold");
    }
    bound_.push_back({.ref = mapping.table_ref, .definition = definition});
  }
  std::ranges::sort(bound_, {}, &BoundTable::ref);
  return {};
}

LakeImpl::BoundTable* LakeImpl::find_bound(std::uint32_t table_ref) {
  const auto it = std::ranges::lower_bound(bound_, table_ref, {}, &BoundTable::ref);
  return it == bound_.end() || it->ref != table_ref ? nullptr : &*it;
}

Result<void> LakeImpl::on_batch(const journal::Record& record, MonotonicMillis now) {
  const ingest::BatchRecord batch = EVODB_TRY(ingest::decode_batch_record(record.payload));
  EVODB_TRY(bind_tables(batch));
  wire::BatchReader reader(batch.body);
  std::uint32_t ignored_ref = 0;
  for (wire::TableDef ignored; reader.next_table(&ignored_ref, &ignored);) {
  }
  const RecordContext context{batch.source, batch.epoch, batch.received_at, record.position,
                              record.end};
  progress_.begin(record.position, batch.source, batch.epoch, batch.last_lsn);
  wire::ChangeView change;
  BoundTable* bound = nullptr;
  while (reader.next_open(&change)) {
    if (batch.ordered && change.lsn <= batch.skip_through) {
      if (!reader.close(&change)) break;
      continue;
    }
    if (bound == nullptr || bound->ref != change.table_ref) bound = find_bound(change.table_ref);
    if (bound == nullptr) {
      return fail(ErrorKind::kCorrupt,
                  "the journal's batch at " + std::to_string(record.position.value) +
                      " has a change of a table that the record does not name");
    }
    if (!on_change(context, *bound, reader, change, now)) break;
  }
  if (const auto status = reader.status(); !status) {
    return fail(ErrorKind::kCorrupt, "the journal's batch at " +
                                         std::to_string(record.position.value) + ": " +
                                         status.error().text);
  }
  progress_.end(record.end);
  settle();
  return {};
}

// Puts one change into its table, the rejects table, or aside. False if a value is malformed: then
// `reader` has the error, and the lake stops. In every case the change is closed (read to its end).
bool LakeImpl::on_change(const RecordContext& record, BoundTable& bound, wire::BatchReader& reader,
                         wire::ChangeView& change, MonotonicMillis now) {
  Definition& definition = *bound.definition;
  const wire::TableDef& def = definition.def;
  // Values are checked as they are put into their columns. They must be read here already where the
  // row may be too long, and for a DELETE, whose values are in `before`.
  if (reader.content_bytes_max() > base::row_bytes_max || change.op == Op::kDelete) {
    if (!reader.close(&change)) return false;
  }
  if (const auto why = why_no_row(change, def)) {
    if (!reader.close(&change)) return false;
    reject(record, change, def.name, *why, now);
    return true;
  }
  if (definition.table == nullptr) definition.table = &tables_.of(def.name);
  LakeTable& table = *definition.table;
  if (table.waits()) {
    put_aside();
    return reader.close(&change);
  }
  if (filter_ && !bound.filter_known) {
    bound.filter_known = true;
    bound.landed = filter_->find(table.location_key(), record.source, record.epoch);
  }
  if (table.has_landed(identity_.journal, record.end) ||
      (filter_ && bound.landed.contains(change.lsn))) {
    table.count_skipped();
    ++skipped_;
    return reader.close(&change);
  }
  if (definition.plan.empty() && !def.columns.empty()) definition.plan = table.plan(def);
  touch(table, record.position);
  const char* const end = table.append(record, change, def, definition.plan, now);
  return change.after.present ? reader.close_at(&change, end) : reader.close(&change);
}

void LakeImpl::reject(const RecordContext& record, const wire::ChangeView& change,
                      std::string_view table, std::string_view reason, MonotonicMillis now) {
  LakeTable& rejects = tables_.rejects();
  if (rejects.waits()) return put_aside();
  if (rejects.has_landed(identity_.journal, record.end) ||
      (filter_ &&
       filter_->contains(rejects.location_key(), record.source, record.epoch, change.lsn))) {
    rejects.count_skipped();
    ++skipped_;
    return;
  }
  touch(rejects, record.position);
  rejects.append_reject(record, change, table, reason, now);
  ++rejected_;
}

// The current record has a change of a table that waits.
void LakeImpl::put_aside() {
  if (std::exchange(last_is_aside_, true)) return;
  aside_.push_back(progress_.hold());
}

std::vector<std::string> LakeImpl::last_definitions() const {
  std::vector<std::string> encoded;
  for (const BoundTable& bound : bound_) {
    wire::encode_table_def(encoded.emplace_back(), bound.definition->def);
  }
  return encoded;
}

// To be called before a table gets rows of the current record: takes its old size out of the lake's
// totals (settle() adds the new one), and holds the record back from counting as landed.
void LakeImpl::touch(LakeTable& table, Position record) {
  if (std::ranges::find(touched_, &table) == touched_.end()) {
    touched_.push_back(&table);
    bytes_ -= table.bytes();
    entries_ -= table.entries();
  }
  table.hold(progress_, record);
}

void LakeImpl::settle() {
  for (const LakeTable* table : touched_) {
    bytes_ += table->bytes();
    entries_ += table->entries();
  }
  touched_.clear();
}

// --- flushes ------------------------------------------------------------------------------------

bool LakeImpl::is_due(const LakeTable& table, MonotonicMillis now) const {
  if (table.flushing()) return false;
  if (table.has_failed_flush()) return now >= table.retry_at();
  if (!table.has_rows()) return false;
  return table.asked() || table.filling_bytes() >= options_.file_bytes_max || now >= due_at(table);
}

// When its rows are due by their number or age. REQUIRES: it has rows.
MonotonicMillis LakeImpl::due_at(const LakeTable& table) const {
  const MonotonicMillis old(table.filling_since().value + options_.buffer_age_ms_max);
  if (table.filling_entries() < options_.flush_threshold_entries) return old;
  const std::int64_t pace = std::min(threshold_pace_ms_max, options_.buffer_age_ms_max / 4);
  return std::min(old, MonotonicMillis(table.flush_began().value + pace));
}

LakeTable* LakeImpl::most_urgent(MonotonicMillis now) {
  LakeTable* oldest = nullptr;
  LakeTable* largest = nullptr;
  std::uint64_t filling_bytes = 0, filling_entries = 0;
  for (const auto& [name, table] : tables_.all()) {
    filling_bytes += table->filling_bytes();
    filling_entries += table->filling_entries();
    if (is_due(*table, now) &&
        (oldest == nullptr || table->filling_since() < oldest->filling_since())) {
      oldest = table.get();
    }
    if (!table->flushing() && !table->has_failed_flush() && table->has_rows() &&
        (largest == nullptr || table->filling_bytes() > largest->filling_bytes())) {
      largest = table.get();
    }
  }
  // When buffers are half full, the table that frees most memory goes first; the other half lets
  // reading go on while it is flushed.
  const bool pressed = filling_bytes >= options_.buffer_bytes_max / 2 ||
                       filling_entries >= options_.buffer_entries_max / 2 || !has_room();
  return pressed && largest != nullptr ? largest : oldest;
}

std::unique_ptr<FlushJob> LakeImpl::next_flush(MonotonicMillis now) {
  if (stopped_ || running_.size() >= options_.flushes_max) return nullptr;
  LakeTable* table = most_urgent(now);
  if (table == nullptr) return nullptr;
  const FlushId id(next_flush_id_++);
  running_.emplace(id.value, table);
  ++flushes_;
  return table->start_flush(id, identity_, progress_.read_through(), now);
}

std::optional<MonotonicMillis> LakeImpl::next_deadline() const {
  if (stopped_ || running_.size() >= options_.flushes_max) return std::nullopt;
  std::optional<MonotonicMillis> earliest;
  for (const auto& [name, table] : tables_.all()) {
    MonotonicMillis at;
    if (table->flushing()) continue;
    if (table->has_failed_flush()) {
      at = table->retry_at();
    } else if (table->has_rows()) {
      at = due_at(*table);
    } else {
      continue;
    }
    if (!earliest || at < *earliest) earliest = at;
  }
  return earliest;
}

void LakeImpl::on_flush_done(FlushId flush, Result<table::TableState> result, MonotonicMillis now) {
  const auto it = running_.find(flush.value);
  EVODB_ASSERT(it != running_.end(), "a flush ends once");
  LakeTable& table = *it->second;
  running_.erase(it);
  if (!result) {
    ++failures_;
    if (result.error().kind == ErrorKind::kFenced) stopped_ = result.error();
    table.on_failed(result.error(), now);
    return;
  }
  bytes_ -= table.bytes();
  entries_ -= table.entries();
  table.on_committed(*std::move(result), progress_);
  bytes_ += table.bytes();
  entries_ += table.entries();
}

Position LakeImpl::request_flush() {
  for (const auto& [name, table] : tables_.all()) table->ask();
  return progress_.read_through();
}

LakeStats LakeImpl::stats(MonotonicMillis now) const {
  LakeStats stats;
  stats.buffers.entries = entries_;
  stats.buffers.bytes = bytes_;
  stats.entries_rejected = rejected_;
  stats.entries_skipped = skipped_;
  stats.flushes = flushes_;
  stats.flush_failures = failures_;
  stats.read_through = progress_.read_through();
  stats.landed_through = progress_.landed_through();
  for (const auto& [name, table] : tables_.all()) {
    stats.tables.push_back(table->stats(now));
    const TableStats& of = stats.tables.back();
    stats.entries_landed += of.entries_landed;
    stats.buffers.oldest_entry_age_ms =
        std::max(stats.buffers.oldest_entry_age_ms, of.oldest_entry_age_ms);
  }
  return stats;
}

}  // namespace

std::unique_ptr<Lake> Lake::create(const LakeOptions& options, const Identity& identity) {
  return std::make_unique<LakeImpl>(options, identity);
}

}  // namespace evodb::lake
