// LakeTable: one table's rows between two commits: the buffer that fills, and the one that is being
// flushed. Knows when it is due; Lake decides who goes first.
//
//   table.append(change, definition, record, skipped ...)   rows into the filling buffer
//   table.seal(id, watermark)                                the filling buffer becomes a FlushJob
//   table.on_committed(state) / on_failed(error, now)
//
// Threads: the lake's.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/backoff.h"
#include "base/clock.h"
#include "evodb/result.h"
#include "lake/flush_job.h"
#include "lake/lake.h"
#include "lake/landing_progress.h"
#include "lake/row_buffer.h"
#include "lake/table_columns.h"
#include "wire/change.h"
#include "wire/table_def.h"

namespace evodb::lake {

// What all changes of one journal record share.
struct RecordContext {
  std::string_view source;
  Epoch epoch;
  UnixMillis received_at;
  Position position, end;
};

class LakeTable {
 public:
  // A new table, not in the catalog yet.
  LakeTable(std::string name, std::string location_key, TableColumns columns);
  // One of the catalog's.
  LakeTable(table::TableState state, TableColumns columns);

  // One that cannot be written just now.
  LakeTable(std::string name, std::string location_key, Error waits);

  const std::string& name() const { return name_; }
  bool waits() const { return counts_.waits.has_value(); }
  const std::string& location_key() const { return location_key_; }

  // True if the catalog's table holds its changes of this record already.
  bool has_landed(journal::JournalId journal, Position end) const {
    return watermark_ && watermark_is_ours_ && watermark_->journal == journal.value &&
           end <= watermark_->position;
  }

  // The columns of this table that a definition's values go to (TableColumns::none: to `_unfit`).
  std::vector<std::uint32_t> plan(const wire::TableDef& def);
  // Returns where the values of `change.after` end, which may be open (wire::BatchReader); nullptr:
  // one of them is malformed, and the table is not to be used any more. REQUIRES: the values'
  // counts are those of `def`, whose plan this is.
  const char* append(const RecordContext& record, const wire::ChangeView& change,
                     const wire::TableDef& def, const std::vector<std::uint32_t>& plan,
                     base::MonotonicMillis now);
  // A row of the rejects table.
  void append_reject(const RecordContext& record, const wire::ChangeView& change,
                     std::string_view table, std::string_view reason, base::MonotonicMillis now);
  // The record that rows were just appended of must not count as landed before these are.
  void hold(LandingProgress& progress, Position record);

  // --- flushing ---------------------------------------------------------------------------------
  bool flushing() const { return flushing_; }
  bool has_rows() const { return filling_ && filling_->rows() > 0; }
  bool has_failed_flush() const { return sealed_ && !flushing_; }
  base::MonotonicMillis filling_since() const { return filling_since_; }
  base::MonotonicMillis retry_at() const { return retry_at_; }
  std::uint64_t filling_entries() const { return filling_ ? filling_->rows() : 0; }
  std::uint64_t filling_bytes() const { return filling_ ? filling_->memory_bytes() : 0; }
  std::uint64_t entries() const { return filling_entries() + (sealed_ ? sealed_->rows() : 0); }
  std::uint64_t bytes() const { return filling_bytes() + (sealed_ ? sealed_->memory_bytes() : 0); }
  // Asked for by somebody: due whatever its size and age.
  void ask();
  bool asked() const { return asked_; }

  // REQUIRES: !flushing(), and rows or a failed flush.
  std::unique_ptr<FlushJob> start_flush(FlushId id, const Lake::Identity& identity,
                                        Position read_through, base::MonotonicMillis now);
  // When the newest flush began, or its newest attempt; long ago if there was none.
  base::MonotonicMillis flush_began() const { return flush_began_; }
  FlushId flush_id() const { return flush_id_; }
  void on_committed(table::TableState state, LandingProgress& progress);
  void on_failed(const Error& error, base::MonotonicMillis now);

  TableStats stats(base::MonotonicMillis now) const;
  void count_skipped() { ++counts_.entries_skipped; }
  void set_note(std::string note) { counts_.note = std::move(note); }

 private:
  std::uint32_t add_row(const RecordContext& record, const wire::ChangeView& change,
                        base::MonotonicMillis now);
  // Behind the last one, or nullptr if one is malformed.
  const char* put_values(std::uint32_t row, const wire::ValuesView& values,
                         const wire::TableDef& def, const std::vector<std::uint32_t>& plan,
                         bool before);
  void put_value(std::uint32_t row, std::uint32_t column, bool before, const ValueView& value);
  void put_key(std::uint32_t row, const wire::ValuesView& key);
  void put_reason(std::uint32_t row, std::string_view reason);
  void put_unfit(std::uint32_t row, std::string_view column, bool before, const ValueView& value);

  std::string name_, location_key_;
  bool exists_ = false;
  TableColumns columns_;
  std::optional<table::Watermark> watermark_;
  bool watermark_is_ours_ = true;

  std::unique_ptr<RowBuffer> filling_;
  base::MonotonicMillis filling_since_;
  std::vector<LandingProgress::Ticket> filling_holds_;
  Position held_record_{UINT64_MAX};
  std::vector<std::uint32_t> unfit_keys_;  // of the filling buffer, by buffer column
  // The filling buffer's columns that have a value, by their number there: what put_values() asks
  // for each value. Null: put_value() decides.
  std::vector<ColumnBuffer*> open_columns_;
  Position source_record_{UINT64_MAX};  // whose source has this number in the filling buffer
  std::uint32_t source_number_ = 0;
  bool asked_ = false;

  std::shared_ptr<const RowBuffer> sealed_;
  std::optional<FlushJob> sealed_job_;  // how to begin the flush again
  base::MonotonicMillis sealed_since_;
  std::vector<LandingProgress::Ticket> sealed_holds_;
  FlushId flush_id_;
  bool flushing_ = false;
  base::MonotonicMillis flush_began_{std::numeric_limits<std::int64_t>::min() / 2};
  base::MonotonicMillis retry_at_;
  base::Backoff backoff_{1'000, 60'000};  // of failed flushes

  TableStats counts_;
  std::string scratch_, scratch_name_;
};

}  // namespace evodb::lake
