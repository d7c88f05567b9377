#include "ingest/lives.h"

#include <algorithm>

#include "base/assert.h"

namespace evodb::ingest {
namespace {

// The clock goes on by no more than this at once, and never back: a jump makes nothing old.
constexpr std::int64_t step_ms_max = 30'000;

void add_bounded(std::vector<std::uint64_t>& lives, std::uint64_t life) {
  if (life == 0 || std::ranges::find(lives, life) != lives.end()) return;
  lives.push_back(life);
  if (lives.size() > Lives::lives_max) lives.erase(lives.begin());
}

}  // namespace

Lives::Record* Lives::Table::find(std::string_view source) {
  const auto found = by_source.find(source);
  return found == by_source.end() ? nullptr : &*found->second;
}
const Lives::Record* Lives::Table::find(std::string_view source) const {
  const auto found = by_source.find(source);
  return found == by_source.end() ? nullptr : &*found->second;
}

void Lives::Table::touch(Record& record) {
  records.splice(records.begin(), records, by_source.at(record.source));
}

Lives::Record& Lives::Table::add(std::string_view source, std::size_t records_max) {
  if (records.size() >= records_max) remove(records.back().source);
  Record& record = records.emplace_front();
  record.source = source;
  by_source.emplace(record.source, records.begin());
  return record;
}

void Lives::Table::remove(std::string_view source) {
  const auto found = by_source.find(source);
  const auto record = found->second;
  by_source.erase(found);  // its key lies in the record
  records.erase(record);
}

void Lives::advance(UnixMillis now) {
  if (started_) elapsed_ms_ += std::clamp<std::int64_t>(now.value - last_now_ms_, 0, step_ms_max);
  started_ = true;
  last_now_ms_ = now.value;
  while (!recent_.records.empty() &&
         elapsed_ms_ - recent_.records.back().touched_ms > limits_.remembered_ms) {
    recent_.remove(recent_.records.back().source);
  }
}

Lives::Record* Lives::find(std::string_view source) {
  for (Table* table : {&copied_, &recent_}) {
    if (Record* record = table->find(source)) {
      table->touch(*record);
      record->touched_ms = elapsed_ms_;
      return record;
    }
  }
  return nullptr;
}

Lives::Verdict Lives::on_hello(std::string_view source, std::uint64_t life, Epoch epoch,
                               std::uint64_t connected, Epoch newest, std::string_view agent,
                               UnixMillis now) {
  advance(now);
  if (life == 0) return Verdict::kGoOn;
  Record* record = find(source);
  if (record == nullptr) {
    if (connected == 0 || connected == life) return Verdict::kGoOn;
    record = &recent_.add(source, limits_.records_max);
    record->touched_ms = elapsed_ms_;
    record->current = connected;
  }
  if (record->current == 0) record->current = life;
  if (life == record->current) return Verdict::kGoOn;
  if (std::ranges::find(record->copies, life) != record->copies.end()) return Verdict::kCopy;
  if (record->asked != 0 && epoch == record->asked_epoch) {
    confirm(*record, life, agent, now);
    return Verdict::kGoOn;
  }
  if (std::ranges::find(record->earlier, life) != record->earlier.end()) {
    if (record->asked != life || record->asked_epoch <= newest) {
      record->asked = life;
      // Above the one that another life was asked for before, which may begin it still.
      record->asked_epoch =
          Epoch(std::max({newest, epoch, record->asked_epoch}).value + 2 + life % 1'000);
    }
    return Verdict::kOriginal;
  }
  // A copy that waits is restarted now and then: its epoch is the one in which it was copied, while
  // the original, which is here, has begun another one since.
  if (!record->copies.empty() && connected == record->current && epoch < newest) {
    add_bounded(record->copies, life);
    return Verdict::kCopy;
  }
  add_bounded(record->earlier, record->current);
  record->current = life;
  return Verdict::kGoOn;
}

// The original has begun the epoch that it was asked for, under `life`: all that took its place is
// the copy's.
void Lives::confirm(Record& at, std::uint64_t life, std::string_view agent, UnixMillis now) {
  Record record = at;
  if (recent_.find(record.source) == &at) {
    recent_.remove(record.source);
  } else {
    copied_.remove(record.source);
  }
  const auto original = std::ranges::find(record.earlier, record.asked);
  for (auto it = original; it != record.earlier.end(); ++it) {
    if (it != original) add_bounded(record.copies, *it);
  }
  add_bounded(record.copies, record.current);
  std::erase(record.copies, life);
  record.earlier.clear();
  record.current = life;
  record.asked = 0;
  record.asked_epoch = Epoch();
  record.since = now;
  record.agent = agent.substr(0, agent_bytes_max);
  record.touched_ms = elapsed_ms_;
  Record& kept = copied_.add(record.source, limits_.records_max);
  // All but the name, in which the table's key lies.
  kept.current = record.current;
  kept.copies = std::move(record.copies);
  kept.since = record.since;
  kept.agent = std::move(record.agent);
  kept.touched_ms = record.touched_ms;
  ++found_;
}

void Lives::on_gone(std::string_view source, std::uint64_t life) {
  if (life == 0 || find(source) != nullptr) return;
  Record& record = recent_.add(source, limits_.records_max);
  record.touched_ms = elapsed_ms_;
  record.current = life;
}

Epoch Lives::epoch_for(std::string_view source) const {
  const Record* record = copied_.find(source);
  if (record == nullptr) record = recent_.find(source);
  EVODB_ASSERT(record != nullptr && record->asked != 0, "asked for after kOriginal only");
  return record->asked_epoch;
}

std::string Lives::why(std::string_view source) const {
  const Record* record = copied_.find(source);
  EVODB_ASSERT(record != nullptr, "asked for after kCopy only");
  return "the database of which this one is a copy streams as '" + record->source + "'" +
         (record->agent.empty() ? "" : " (" + record->agent + ")") +
         "; they were told apart at Unix time " + std::to_string(record->since.value / 1'000) +
         ". Give this one a source name of its own";
}

void Lives::for_each_copied(const std::function<void(const Copied&)>& visit) const {
  for (const Record& r : copied_.records) {
    visit({r.source, r.current, r.copies, r.since, r.agent});
  }
}

void Lives::restore(const Copied& copied) {
  if (copied_.find(copied.source) != nullptr) return;
  Record& record = copied_.add(copied.source, limits_.records_max);
  record.current = copied.original;
  for (const std::uint64_t life : copied.copies) add_bounded(record.copies, life);
  record.since = copied.since;
  record.agent = copied.agent.substr(0, agent_bytes_max);
}

}  // namespace evodb::ingest
