#include "lake/landing_progress.h"

#include <algorithm>

#include "base/assert.h"
#include "base/bytes.h"

namespace evodb::lake {

std::uint32_t LandingProgress::source_of(std::string_view source, Epoch epoch) {
  std::string key;
  base::put_u64(key, epoch.value);
  key += source;
  if (const auto it = index_.find(key); it != index_.end()) return it->second;
  std::uint32_t index;
  if (free_sources_.empty()) {
    index = static_cast<std::uint32_t>(sources_.size());
    sources_.emplace_back();
  } else {
    index = free_sources_.back();
    free_sources_.pop_back();
  }
  sources_[index] = {.key = key, .epoch = epoch};
  index_.emplace(std::move(key), index);
  return index;
}

void LandingProgress::begin(Position position, std::string_view source, Epoch epoch, Lsn last_lsn) {
  EVODB_ASSERT(!open_ && position >= read_through_, "records come one by one, in order");
  open_ = true;
  if (free_records_.empty()) {
    current_ = static_cast<Ticket>(records_.size());
    records_.emplace_back();
  } else {
    current_ = free_records_.back();
    free_records_.pop_back();
  }
  const std::uint32_t index = source_of(source, epoch);
  // The hold of its own, until end(): a record never completes while it is being read.
  records_[current_] = {position.value, index, 1, sources_[index].last};
  sources_[index].last = last_lsn;
  ++sources_[index].incomplete;
  incomplete_.emplace_hint(incomplete_.end(), position.value, current_);
  by_source_.emplace(std::pair{index, position.value}, current_);
}

LandingProgress::Ticket LandingProgress::hold() {
  EVODB_ASSERT(open_, "a hold belongs to the record that is being read");
  ++records_[current_].holds;
  return current_;
}

void LandingProgress::end(Position end) {
  EVODB_ASSERT(open_, "end() follows begin()");
  open_ = false;
  read_through_ = end;
  release(current_);
}

void LandingProgress::release(Ticket ticket) {
  Record& record = records_[ticket];
  EVODB_ASSERT(record.holds > 0, "released more often than held");
  if (--record.holds > 0) return;
  complete(record);
  free_records_.push_back(ticket);
}

void LandingProgress::set_aside(Ticket ticket) {
  const Record& record = records_[ticket];
  Source& source = sources_[record.source];
  if (!source.aside) source.aside = record.before;  // records are set aside in their order
  release(ticket);
}

void LandingProgress::complete(const Record& record) {
  incomplete_.erase(record.position);
  by_source_.erase({record.source, record.position});
  --sources_[record.source].incomplete;
  note_moved(record.source);
}

void LandingProgress::note_moved(std::uint32_t source) {
  if (std::exchange(sources_[source].moved, true)) return;
  moved_.push_back(source);
}

void LandingProgress::take(std::vector<PersistedMark>* marks) {
  for (const std::uint32_t index : std::exchange(moved_, {})) {
    Source& source = sources_[index];
    source.moved = false;
    const auto first = by_source_.lower_bound({index, 0});
    const bool all = source.incomplete == 0;
    Lsn mark = all ? source.last : records_[first->second].before;
    if (source.aside) mark = std::min(mark, *source.aside);
    if (mark.value != 0 && mark != source.reported) {
      source.reported = mark;
      marks->push_back({source.key.substr(sizeof(std::uint64_t)), source.epoch, mark});
    }
    if (all && !source.aside) {
      index_.erase(source.key);
      source = {};
      free_sources_.push_back(index);
    }
  }
}

}  // namespace evodb::lake
