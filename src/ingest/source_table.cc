#include "ingest/source_table.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/limits.h"

namespace evodb::ingest {
namespace {

// A record, little-endian and not aligned:
//   0 received u64, 8 chain u64, 16 epoch u48,
//   22 received - durable u32, 26 received - persisted i32, 30 txn - received i32,
//   34 next epoch of the name u32, 38 session u32, 42 length of the name and flags u16, the name
constexpr std::size_t at_chain = 8, at_epoch = 16, at_durable = 22, at_persisted = 26, at_txn = 30,
                      at_next = 34, at_session = 38, at_head = 42;
constexpr std::uint16_t flag_rebuilt = 1u << 15, flag_wide = 1u << 14, name_mask = (1u << 14) - 1;
constexpr std::uint64_t epoch_narrow_max = (1ull << 48) - 1;

// A quarter more at a time, and at most 7 of 8 slots used: 5.7 to 7.2 bytes a name.
constexpr std::size_t slots_min = 64;
bool crowded(std::size_t names, std::size_t slots) { return names * 8 > slots * 7; }

std::uint8_t tag_of(std::uint64_t hash) {
  const auto low = static_cast<std::uint8_t>(hash);
  return low == 0 ? 1 : low;
}
std::size_t home_of(std::uint64_t hash, std::size_t slots) {
  return static_cast<std::size_t>((hash >> 32) * slots >> 32);
}

std::uint64_t load_u48(const char* p) {
  return base::load_fixed<std::uint32_t>(p) |
         static_cast<std::uint64_t>(base::load_fixed<std::uint16_t>(p + 4)) << 32;
}
void store_u48(char* p, std::uint64_t v) {
  base::store_fixed(p, static_cast<std::uint32_t>(v));
  base::store_fixed(p + 4, static_cast<std::uint16_t>(v >> 32));
}

bool fits_u32(std::uint64_t distance) { return distance <= UINT32_MAX; }
// Differences that wrap around: a label is any number, and of a rebuilt source `persisted` is known
// and `received` is not.
bool fits_i32(std::uint64_t distance) {
  const auto d = static_cast<std::int64_t>(distance);
  return d >= INT32_MIN && d <= INT32_MAX;
}
std::uint64_t load_i32(const char* p) {
  return static_cast<std::uint64_t>(std::int64_t{base::load_fixed<std::int32_t>(p)});
}
void store_i32(char* p, std::uint64_t distance) {
  base::store_fixed(p, static_cast<std::int32_t>(static_cast<std::int64_t>(distance)));
}

}  // namespace

SourceTable::SourceTable() { resize(slots_min); }

SourceTable::Links SourceTable::links_of(SourceIndex id) const {
  const char* p = record(id);
  return {base::load_fixed<SourceIndex>(p + at_next),
          static_cast<std::uint16_t>(base::load_fixed<std::uint16_t>(p + at_head) & name_mask)};
}

std::string_view SourceTable::name_of(SourceIndex id) const {
  return {record(id) + marks_bytes, links_of(id).name_bytes};
}

Epoch SourceTable::epoch_of(SourceIndex id) const {
  const char* p = record(id);
  if ((base::load_fixed<std::uint16_t>(p + at_head) & flag_wide) != 0) return wide_.at(id).epoch;
  return Epoch(load_u48(p + at_epoch));
}

SourceState SourceTable::at(SourceIndex id) const {
  const char* p = record(id);
  const auto head = base::load_fixed<std::uint16_t>(p + at_head);
  SourceState state;
  state.received = Lsn(base::load_fixed<std::uint64_t>(p));
  state.chain = ChainHash(base::load_fixed<std::uint64_t>(p + at_chain));
  state.session = base::load_fixed<std::uint32_t>(p + at_session);
  state.rebuilt = (head & flag_rebuilt) != 0;
  if ((head & flag_wide) != 0) [[unlikely]] {
    const Wide& wide = wide_.at(id);
    state.epoch = wide.epoch;
    state.durable = wide.durable;
    state.persisted = wide.persisted;
    state.txn = wide.txn;
    return state;
  }
  const std::uint64_t received = state.received.value;
  state.epoch = Epoch(load_u48(p + at_epoch));
  state.durable = Lsn(received - base::load_fixed<std::uint32_t>(p + at_durable));
  state.persisted = Lsn(received - load_i32(p + at_persisted));
  state.txn = TxnId(received + load_i32(p + at_txn));
  return state;
}

void SourceTable::put(SourceIndex id, const SourceState& state) {
  char* p = record(id);
  auto head = static_cast<std::uint16_t>(base::load_fixed<std::uint16_t>(p + at_head) &
                                         (name_mask | flag_wide));
  const std::uint64_t received = state.received.value;
  const std::uint64_t durable = received - state.durable.value;
  const std::uint64_t persisted = received - state.persisted.value;
  const std::uint64_t txn = state.txn.value - received;
  if (state.epoch.value <= epoch_narrow_max && fits_u32(durable) && fits_i32(persisted) &&
      fits_i32(txn)) [[likely]] {
    if ((head & flag_wide) != 0) {
      wide_.erase(id);
      head &= static_cast<std::uint16_t>(~flag_wide);
    }
    store_u48(p + at_epoch, state.epoch.value);
    base::store_fixed(p + at_durable, static_cast<std::uint32_t>(durable));
    store_i32(p + at_persisted, persisted);
    store_i32(p + at_txn, txn);
  } else {
    head |= flag_wide;
    wide_[id] = {state.epoch, state.durable, state.persisted, state.txn};
  }
  base::store_fixed(p, received);
  base::store_fixed(p + at_chain, state.chain.value);
  base::store_fixed(p + at_session, state.session);
  base::store_fixed(p + at_head,
                    static_cast<std::uint16_t>(head | (state.rebuilt ? flag_rebuilt : 0)));
}

SourceIndex SourceTable::make_record(std::string_view name) {
  constexpr std::size_t block_bytes = std::size_t{1} << block_bits;
  static_assert(base::source_name_bytes_max <= name_mask);
  EVODB_ASSERT(name.size() <= base::source_name_bytes_max,
               "names are limited before they come here");
  const std::size_t bytes = record_bytes(name.size());
  if (blocks_.empty() || block_used_ + bytes > block_bytes) {
    if (!blocks_.empty()) used_.push_back(static_cast<std::uint32_t>(block_used_));
    blocks_.push_back(std::make_unique_for_overwrite<char[]>(block_bytes));
    block_used_ = 0;
    // The last block's last offset would be `none`.
    EVODB_ASSERT(blocks_.size() < (std::size_t{1} << (32 - block_bits)), "4 GiB of sources");
  }
  const auto id = static_cast<SourceIndex>((blocks_.size() - 1) << block_bits | block_used_);
  block_used_ += bytes;
  char* p = record(id);
  std::memset(p, 0, marks_bytes);
  base::store_fixed(p + at_head, static_cast<std::uint16_t>(name.size()));
  std::memcpy(p + marks_bytes, name.data(), name.size());
  return id;
}

std::size_t SourceTable::slot_of(std::string_view name, std::uint64_t hash) const {
  const std::uint8_t tag = tag_of(hash);
  std::size_t slot = home_of(hash, tags_.size());
  while (tags_[slot] != 0 && (tags_[slot] != tag || name_of(heads_[slot]) != name)) {
    if (++slot == tags_.size()) slot = 0;
  }
  return slot;
}

void SourceTable::resize(std::size_t slots) {
  std::vector<SourceIndex> heads(slots, none);
  std::vector<std::uint8_t> tags(slots, 0);
  // In the order in which the names lie in memory: an older epoch of a name comes before a newer.
  for_each([&](SourceIndex id) {
    const std::string_view name = name_of(id);
    const std::uint64_t hash = base::xxh64(name);
    std::size_t slot = home_of(hash, slots);
    const bool first = links_of(id).next_epoch == none;
    while (tags[slot] != 0 &&
           (first || tags[slot] != tag_of(hash) || heads[slot] != links_of(id).next_epoch)) {
      if (++slot == slots) slot = 0;
    }
    heads[slot] = id;
    tags[slot] = tag_of(hash);
  });
  heads_ = std::move(heads);
  tags_ = std::move(tags);
}

void SourceTable::reserve(std::size_t sources) {
  const std::size_t slots = sources * 8 / 7 + 1;
  if (slots > tags_.size()) resize(slots);
}

SourceIndex SourceTable::find(std::string_view name, Epoch epoch) const {
  const std::size_t slot = slot_of(name, base::xxh64(name));
  SourceIndex id = heads_[slot];
  while (id != none && epoch_of(id) != epoch) id = links_of(id).next_epoch;
  return id;
}

SourceIndex SourceTable::add(std::string_view name, Epoch epoch) {
  EVODB_ASSERT(find(name, epoch) == none, "a source is added once");
  const std::uint64_t hash = base::xxh64(name);
  std::size_t slot = slot_of(name, hash);
  const SourceIndex older = heads_[slot];
  if (older == none) {
    if (crowded(names_ + 1, tags_.size())) {
      resize(tags_.size() + tags_.size() / 4);
      slot = slot_of(name, hash);
    }
    ++names_;
  }
  const SourceIndex id = make_record(name);
  base::store_fixed(record(id) + at_next, older);  // newest first: it is the one that is asked for
  SourceState state;
  state.epoch = epoch;
  put(id, state);
  heads_[slot] = id;
  tags_[slot] = tag_of(hash);
  ++size_;
  return id;
}

SourceIndex SourceTable::newest_added(std::string_view name) const {
  return heads_[slot_of(name, base::xxh64(name))];
}

Epoch SourceTable::newest_epoch(std::string_view name) const {
  Epoch newest;
  for_each_epoch(name, [&](SourceIndex id) { newest = std::max(newest, epoch_of(id)); });
  return newest;
}

}  // namespace evodb::ingest
