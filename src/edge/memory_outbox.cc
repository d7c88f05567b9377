#include "edge/memory_outbox.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace evodb::edge {

const wire::TableDef* TableShelf::keep(const wire::TableDef& def, std::uint64_t fingerprint) {
  auto& kept = tables_[fingerprint];
  if (!kept) kept = std::make_unique<wire::TableDef>(def);
  return kept.get();
}

std::uint64_t AppendableOutbox::cost(std::span<const NewChange> changes) {
  std::uint64_t bytes = 0;
  for (const NewChange& c : changes) {
    bytes +=
        change_overhead_bytes + c.key.bytes.size() + c.before.bytes.size() + c.after.bytes.size();
  }
  return bytes;
}

Error AppendableOutbox::full(std::uint64_t held_bytes, std::uint64_t bytes_max) {
  return {ErrorKind::kOverLimit, "the outbox is full: it holds " + std::to_string(held_bytes) +
                                     " of " + std::to_string(bytes_max) +
                                     " bytes that the parent has not acknowledged; try again "
                                     "later, or make it larger"};
}

MemoryOutbox::MemoryOutbox(std::string source, Epoch epoch, AppendableOutboxOptions options)
    : source_(std::move(source)), options_(options), epoch_(epoch) {}

std::uint64_t MemoryOutbox::cost_of(const Entry& e) {
  return change_overhead_bytes + e.key_bytes + e.before_bytes + e.after_bytes;
}

Result<Lsn> MemoryOutbox::append(std::span<const NewChange> changes) {
  EVODB_ASSERT(!changes.empty(), "an append has at least one change");
  const std::uint64_t bytes = cost(changes);
  const std::lock_guard lock(mutex_);
  if (held_bytes_ + bytes > options_.bytes_max) {
    return fail(full(held_bytes_, options_.bytes_max));
  }
  const TxnId group(head_.value + changes.size());
  for (const NewChange& c : changes) {
    EVODB_ASSERT(c.table_fingerprint != 0, "callers say the table's fingerprint");
    head_ = Lsn(head_.value + 1);
    if (chunks_.empty() || chunks_.back()->entries.size() >= chunk_entries_max ||
        chunks_.back()->bytes.size() >= chunk_bytes_max) {
      chunks_.push_back(std::make_unique<Chunk>());
      chunks_.back()->first = head_;
    }
    Chunk& chunk = *chunks_.back();
    const std::uint64_t fingerprint = c.table_fingerprint;
    chunk.entries.push_back({.op = c.op,
                             .has_key = c.key.present,
                             .has_before = c.before.present,
                             .has_after = c.after.present,
                             .key_count = c.key.count,
                             .before_count = c.before.count,
                             .after_count = c.after.count,
                             .key_bytes = static_cast<std::uint32_t>(c.key.bytes.size()),
                             .before_bytes = static_cast<std::uint32_t>(c.before.bytes.size()),
                             .after_bytes = static_cast<std::uint32_t>(c.after.bytes.size()),
                             .begin = chunk.bytes.size(),
                             .table = tables_.keep(*c.table, fingerprint),
                             .fingerprint = fingerprint,
                             .txn = group,
                             .committed_at = c.committed_at});
    chunk.bytes.append(c.key.bytes).append(c.before.bytes).append(c.after.bytes);
  }
  held_bytes_ += bytes;
  return head_;
}

Result<capture::OutboxState> MemoryOutbox::state() {
  const std::lock_guard lock(mutex_);
  return capture::OutboxState{.source = source_,
                              .epoch = epoch_,
                              .trimmed = trimmed_,
                              .trimmed_chain = trimmed_chain_,
                              .head = head_,
                              .life = options_.life,
                              .held_bytes = held_bytes_};
}

Result<void> MemoryOutbox::read(Lsn after, capture::ChangeSink& sink) {
  const std::lock_guard lock(mutex_);
  Lsn next(std::max(after, trimmed_).value + 1);
  auto at = std::ranges::upper_bound(chunks_, next, {}, [](const auto& c) { return c->first; });
  if (at != chunks_.begin()) --at;
  for (; at != chunks_.end(); ++at) {
    const Chunk& chunk = **at;
    for (; next.value - chunk.first.value < chunk.entries.size(); ++next.value) {
      const Entry& e = chunk.entries[next.value - chunk.first.value];
      const char* bytes = chunk.bytes.data() + e.begin;
      const bool taken = sink.take({
          .op = e.op,
          .table = e.table,
          .table_fingerprint = e.fingerprint,
          .lsn = next,
          .txn = e.txn,
          .committed_at = e.committed_at,
          .key = {e.has_key, e.key_count, {bytes, e.key_bytes}},
          .before = {e.has_before, e.before_count, {bytes + e.key_bytes, e.before_bytes}},
          .after = {e.has_after,
                    e.after_count,
                    {bytes + e.key_bytes + e.before_bytes, e.after_bytes}},
      });
      if (!taken) return {};
    }
  }
  return {};
}

Result<void> MemoryOutbox::trim(Epoch epoch, Lsn through, ChainHash chain_at_through) {
  const std::lock_guard lock(mutex_);
  if (epoch != epoch_) return fail(ErrorKind::kStale, "another epoch has begun");
  EVODB_ASSERT(through <= head_, "only what is held can be trimmed");
  if (through <= trimmed_) return {};
  for (Lsn lsn(trimmed_.value + 1); lsn <= through; ++lsn.value) {
    Chunk& chunk = *chunks_.front();
    const std::size_t i = static_cast<std::size_t>(lsn.value - chunk.first.value);
    held_bytes_ -= cost_of(chunk.entries[i]);
    if (i + 1 == chunk.entries.size()) chunks_.pop_front();
  }
  trimmed_ = through;
  trimmed_chain_ = chain_at_through;
  return {};
}

Result<Epoch> MemoryOutbox::begin_epoch(Epoch at_least) {
  const std::lock_guard lock(mutex_);
  epoch_ = std::max(Epoch(epoch_.value + 1), at_least);
  trimmed_chain_ = ChainHash();
  return epoch_;
}

}  // namespace evodb::edge
