#include "lake/lake_table.h"

#include <algorithm>
#include <cmath>

#include "base/assert.h"
#include "lake/naming.h"
#include "lake/unfit.h"
#include "wire/utf8.h"
#include "wire/value_codec.h"

namespace evodb::lake {
namespace {

// The years 1 to 9999: what every engine's timestamp can show. Milliseconds.
constexpr std::int64_t timestamp_ms_min = -62'135'596'800'000;
constexpr std::int64_t timestamp_ms_max = 253'402'300'799'999;
bool is_timestamp(UnixMillis t) {
  return t.value >= timestamp_ms_min && t.value <= timestamp_ms_max;
}

// Up to here every integer has its own double.
constexpr std::int64_t exact_double_max = std::int64_t{1} << 53;

constexpr std::uint32_t no_key = UINT32_MAX;

// Of a RESET's or DROP's reason; the rest is cut. It lands whatever its length: who folds changes
// needs it.
constexpr std::size_t reason_bytes_max = 1'000;

// Puts a value whose class is just that of its column, as nearly all are. False: it is not. Inline,
// so that the value stays in registers: passed through memory it costs a fifth of the time in which
// rows are read.
inline bool put_fitting(ColumnBuffer& column, std::uint32_t row, const ValueView& value) {
  switch (column.type()) {
    case table::Type::kLong:
      if (value.storage_class != StorageClass::kInteger) return false;
      column.put_long(row, value.integer);
      return true;
    case table::Type::kInt:
      if (value.storage_class != StorageClass::kInteger || value.integer < INT32_MIN ||
          value.integer > INT32_MAX) {
        return false;
      }
      column.put_long(row, value.integer);
      return true;
    case table::Type::kDouble:
      if (value.storage_class != StorageClass::kReal) return false;
      column.put_double(row, value.real);
      return true;
    case table::Type::kString:
      if (value.storage_class != StorageClass::kText ||
          !(wire::is_ascii(value.bytes) || wire::is_valid_utf8(value.bytes))) {
        return false;
      }
      column.put_bytes(row, value.bytes);
      return true;
    case table::Type::kBinary:
      if (value.storage_class != StorageClass::kBlob) return false;
      column.put_bytes(row, value.bytes);
      return true;
    case table::Type::kBoolean:
      if (value.storage_class != StorageClass::kBoolean) return false;
      column.put_boolean(row, value.boolean);
      return true;
    default: return false;
  }
}

}  // namespace

LakeTable::LakeTable(std::string name, std::string location_key, TableColumns columns)
    : name_(std::move(name)), location_key_(std::move(location_key)), columns_(std::move(columns)) {
  counts_.name = name_;
}

LakeTable::LakeTable(table::TableState state, TableColumns columns)
    : name_(state.name),
      location_key_(state.location_key),
      exists_(true),
      columns_(std::move(columns)),
      watermark_(std::move(state.watermark)),
      watermark_is_ours_(state.watermark_is_ours) {
  counts_.name = name_;
  if (watermark_) counts_.watermark = watermark_->position;
}

LakeTable::LakeTable(std::string name, std::string location_key, Error waits)
    : name_(std::move(name)),
      location_key_(std::move(location_key)),
      columns_(TableColumns::for_changes()) {
  counts_.name = name_;
  counts_.waits = std::move(waits);
}

std::vector<std::uint32_t> LakeTable::plan(const wire::TableDef& def) {
  std::vector<std::uint32_t> plan;
  plan.reserve(def.columns.size());
  for (const wire::ColumnDef& column : def.columns) plan.push_back(columns_.find_or_add(column));
  return plan;
}

std::uint32_t LakeTable::add_row(const RecordContext& record, const wire::ChangeView& change,
                                 base::MonotonicMillis now) {
  if (!filling_) {
    filling_ = std::make_unique<RowBuffer>();
    unfit_keys_.clear();
    open_columns_.clear();
    source_record_ = Position(UINT64_MAX);
  }
  if (filling_->rows() == 0) filling_since_ = now;
  if (source_record_ != record.position) {
    source_record_ = record.position;
    source_number_ = filling_->source_number(record.source);
  }
  RowHead head{.epoch = record.epoch,
               .lsn = change.lsn,
               .txn = change.txn,
               .committed_at = change.committed_at,
               .received_at = record.received_at,
               .source = source_number_,
               .op = change.op};
  if (change.before.present) head.flags |= kHasBefore;
  if (!is_timestamp(change.committed_at)) head.flags |= kNoCommittedAt;
  if (!is_timestamp(record.received_at)) head.flags |= kNoReceivedAt;
  return filling_->add_row(head);
}

const char* LakeTable::append(const RecordContext& record, const wire::ChangeView& change,
                              const wire::TableDef& def, const std::vector<std::uint32_t>& plan,
                              base::MonotonicMillis now) {
  const std::uint32_t row = add_row(record, change, now);
  // What the columns show: the row after the change, or the one that went.
  const bool gone = change.op == Op::kDelete && change.before.present;
  const wire::ValuesView& shown = gone ? change.before : change.after;
  const char* end = shown.bytes.data();
  if (shown.present) {
    end = put_values(row, shown, def, plan, false);
    if (end == nullptr) return nullptr;
  }
  if (change.before.present) {
    EVODB_ASSERT(put_values(row, change.before, def, plan, true) != nullptr,
                 "the batch reader has checked every value but those of `after`");
  }
  if (change.key.present) put_key(row, change.key);
  if (carries_reason(change.op)) put_reason(row, change.reason);
  // Clients of wire v1 may leave it out, others do so only where it is too large.
  if (change.op == Op::kUpdate && !change.before.present && record.epoch.value != 0) {
    filling_->note_unfit(row, filling_->unfit_key("_before"), "absent");
  }
  if (!is_timestamp(change.committed_at)) {
    put_unfit(row, "_committed_at", false, ValueView::of_integer(change.committed_at.value));
  }
  if (!is_timestamp(record.received_at)) {
    put_unfit(row, "_received_at", false, ValueView::of_integer(record.received_at.value));
  }
  return end;
}

void LakeTable::append_reject(const RecordContext& record, const wire::ChangeView& change,
                              std::string_view table, std::string_view reason,
                              base::MonotonicMillis now) {
  const std::uint32_t row = add_row(record, change, now);
  const auto put = [&](const char* name, table::Type type, std::string_view bytes) {
    const std::uint32_t column = columns_.find_or_add({.name = name});
    filling_->column(TableColumns::after_buffer(column), type).put_bytes(row, bytes);
  };
  put("table", table::Type::kString, table);
  put("reason", table::Type::kString,
      wire::is_valid_utf8(reason) ? reason : std::string_view("(the reason given is no UTF-8)"));
  put("bytes", table::Type::kBinary, change.content);
}

void LakeTable::hold(LandingProgress& progress, Position record) {
  if (held_record_ == record) return;
  held_record_ = record;
  filling_holds_.push_back(progress.hold());
}

const char* LakeTable::put_values(std::uint32_t row, const wire::ValuesView& values,
                                  const wire::TableDef& def, const std::vector<std::uint32_t>& plan,
                                  bool before) {
  const char* p = values.bytes.data();
  const char* const end = p + values.bytes.size();
  ValueView value;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    p = wire::read_value(p, end, &value);
    if (p == nullptr) return nullptr;
    if (value.is_null()) continue;
    if (plan[i] == TableColumns::none) {
      const std::string& name = def.columns[i].name;
      put_unfit(row, must_rename(name) ? renamed(name) : name, before, ValueView(value));
      continue;
    }
    const std::uint32_t at =
        before ? TableColumns::before_buffer(plan[i]) : TableColumns::after_buffer(plan[i]);
    ColumnBuffer* const column = at < open_columns_.size() ? open_columns_[at] : nullptr;
    if (column != nullptr && put_fitting(*column, row, value)) [[likely]]
      continue;
    put_value(row, plan[i], before, ValueView(value));
  }
  return p;
}

void LakeTable::put_value(std::uint32_t row, std::uint32_t column, bool before,
                          const ValueView& value) {
  // JSON has numbers, not integers and reals.
  const bool json = filling_->head(row).epoch.value == 0;
  if (!columns_.at(column).typed) [[unlikely]]
    columns_.resolve(column, json && value.storage_class == StorageClass::kInteger
                                 ? StorageClass::kReal
                                 : value.storage_class);
  const TableColumns::Column& info = columns_.at(column);
  const std::uint32_t at =
      before ? TableColumns::before_buffer(column) : TableColumns::after_buffer(column);
  if (info.writable) {
    ColumnBuffer& buffer = filling_->column(at, info.type);
    if (at >= open_columns_.size()) open_columns_.resize(at + 1);
    open_columns_[at] = &buffer;
    if (put_fitting(buffer, row, value)) return;
    // The number is shown, so that sums hold; that it is an INTEGER is noted below.
    if (info.type == table::Type::kDouble && value.storage_class == StorageClass::kInteger &&
        value.integer <= exact_double_max && value.integer >= -exact_double_max) {
      buffer.put_double(row, static_cast<double>(value.integer));
      if (json) return;
      --counts_.unfit_values;
    }
  }
  if (at >= unfit_keys_.size()) unfit_keys_.resize(at + 1, no_key);
  std::uint32_t& key = unfit_keys_[at];
  if (key == no_key) key = filling_->unfit_key(before ? "_before." + info.name : info.name);
  render_unfit(value, &scratch_);
  filling_->note_unfit(row, key, scratch_);
  ++counts_.unfit_values;
}

void LakeTable::put_unfit(std::uint32_t row, std::string_view column, bool before,
                          const ValueView& value) {
  scratch_name_ = before ? "_before." : "";
  scratch_name_ += column;
  render_unfit(value, &scratch_);
  filling_->note_unfit(row, filling_->unfit_key(scratch_name_), scratch_);
  ++counts_.unfit_values;
}

void LakeTable::put_reason(std::uint32_t row, std::string_view reason) {
  render_unfit(ValueView::of_text(wire::utf8_prefix(reason, reason_bytes_max)), &scratch_);
  filling_->note_unfit(row, filling_->unfit_key("_reason"), scratch_);
}

void LakeTable::put_key(std::uint32_t row, const wire::ValuesView& key) {
  wire::ValuesReader values(key);
  ValueView value;
  if (key.count == 1 && values.next(&value) && value.storage_class == StorageClass::kText) {
    return put_value(row, columns_.key_column(), false, value);
  }
  // No client of ours sends such keys; they stay readable all the same.
  std::string all;
  wire::ValuesReader again(key);
  while (again.next(&value)) {
    render_unfit(value, &scratch_);
    all += (all.empty() ? "" : ",") + (value.is_null() ? std::string("null") : scratch_);
  }
  filling_->note_unfit(row, filling_->unfit_key("_key"), all);
  ++counts_.unfit_values;
}

void LakeTable::ask() {
  if (has_rows()) asked_ = true;
}

std::unique_ptr<FlushJob> LakeTable::start_flush(FlushId id, const Lake::Identity& identity,
                                                 Position read_through, base::MonotonicMillis now) {
  EVODB_ASSERT(!flushing_, "one flush of a table at a time");
  if (!sealed_) {
    EVODB_ASSERT(has_rows(), "there is nothing to flush");
    sealed_ = std::shared_ptr<const RowBuffer>(std::move(filling_));
    sealed_since_ = filling_since_;
    sealed_holds_ = std::move(filling_holds_);
    filling_holds_.clear();
    asked_ = false;
    FlushJob job;
    job.table = name_;
    job.create = !exists_;
    job.location_key = location_key_;
    job.schema = columns_.schema();
    job.sources = columns_.sources();
    job.sort_by = columns_.sort_by();
    job.expected = watermark_;
    job.watermark = {identity.parent, identity.writer, identity.journal.value, read_through};
    job.claim = identity.claim;
    job.rows = sealed_;
    sealed_job_ = std::move(job);
  }
  sealed_job_->id = id;
  flush_id_ = id;
  flushing_ = true;
  flush_began_ = now;
  return std::make_unique<FlushJob>(*sealed_job_);
}

void LakeTable::on_committed(table::TableState state, LandingProgress& progress) {
  flushing_ = false;
  exists_ = true;
  watermark_ = sealed_job_->watermark;
  watermark_is_ours_ = true;
  columns_.raise_ids(state.last_column_id);
  counts_.watermark = watermark_->position;
  counts_.last_commit_at = state.last_updated;
  counts_.last_error.reset();
  counts_.entries_landed += sealed_->rows();
  counts_.files = static_cast<std::uint64_t>(std::max<std::int64_t>(state.total_files, 0));
  ++counts_.commits;
  backoff_.reset();
  for (const LandingProgress::Ticket ticket : sealed_holds_) progress.release(ticket);
  sealed_holds_.clear();
  sealed_job_.reset();
  sealed_.reset();
}

void LakeTable::on_failed(const Error& error, base::MonotonicMillis now) {
  flushing_ = false;
  counts_.last_error = error;
  retry_at_ = base::MonotonicMillis(now.value + backoff_.next_ms());
}

TableStats LakeTable::stats(base::MonotonicMillis now) const {
  TableStats stats = counts_;
  stats.buffered_entries = entries();
  stats.buffered_bytes = bytes();
  stats.flushing = flushing_;
  if (sealed_) {
    stats.oldest_entry_age_ms = now.value - sealed_since_.value;
  } else if (has_rows()) {
    stats.oldest_entry_age_ms = now.value - filling_since_.value;
  }
  return stats;
}

}  // namespace evodb::lake
