#include "ingest/source_table.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"

namespace evodb::ingest {

SourceTable::SourceTable() : heads_(64, none) {}

std::string_view SourceTable::name_at(std::uint32_t name) const {
  const char* at = blocks_[name >> block_bits].get() + (name & ((1u << block_bits) - 1));
  return {at + 2, base::load_fixed<std::uint16_t>(at)};
}

std::uint32_t SourceTable::store_name(std::string_view name) {
  constexpr std::size_t block_bytes = std::size_t{1} << block_bits;
  EVODB_ASSERT(name.size() <= UINT16_MAX, "source names are limited before they come here");
  if (block_used_ + 2 + name.size() > block_bytes) {
    blocks_.push_back(std::make_unique<char[]>(block_bytes));
    block_used_ = 0;
    EVODB_ASSERT(blocks_.size() <= (std::size_t{1} << (32 - block_bits)), "4 GiB of source names");
  }
  char* at = blocks_.back().get() + block_used_;
  base::store_fixed(at, static_cast<std::uint16_t>(name.size()));
  std::memcpy(at + 2, name.data(), name.size());
  const auto id = static_cast<std::uint32_t>((blocks_.size() - 1) << block_bits | block_used_);
  block_used_ += 2 + name.size();
  return id;
}

std::size_t SourceTable::slot_of(std::string_view name) const {
  const std::size_t mask = heads_.size() - 1;
  std::size_t slot = base::xxh64(name) & mask;
  while (heads_[slot] != none && name_of(heads_[slot]) != name) slot = (slot + 1) & mask;
  return slot;
}

void SourceTable::grow() {
  std::vector<SourceIndex> old(heads_.size() * 2, none);
  old.swap(heads_);
  for (const SourceIndex head : old) {
    if (head != none) heads_[slot_of(name_of(head))] = head;
  }
}

SourceIndex SourceTable::find(std::string_view name, Epoch epoch) const {
  SourceIndex id = heads_[slot_of(name)];
  while (id != none && states_[id].epoch != epoch) id = states_[id].next_epoch_of_name;
  return id;
}

SourceIndex SourceTable::add(std::string_view name, Epoch epoch) {
  EVODB_ASSERT(find(name, epoch) == none, "a source is added once");
  std::size_t slot = slot_of(name);
  const auto id = static_cast<SourceIndex>(states_.size());
  SourceState state;
  state.epoch = epoch;
  if (heads_[slot] != none) {
    state.name = states_[heads_[slot]].name;
    state.next_epoch_of_name = heads_[slot];  // newest first: it is the one that is asked for
  } else {
    if ((names_ + 1) * 4 > heads_.size() * 3) {
      grow();
      slot = slot_of(name);
    }
    ++names_;
    state.name = store_name(name);
  }
  states_.push_back(state);
  heads_[slot] = id;
  return id;
}

Epoch SourceTable::newest_epoch(std::string_view name) const {
  Epoch newest;
  for (SourceIndex id = heads_[slot_of(name)]; id != none; id = states_[id].next_epoch_of_name) {
    newest = std::max(newest, states_[id].epoch);
  }
  return newest;
}

}  // namespace evodb::ingest
