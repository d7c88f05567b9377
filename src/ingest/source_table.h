// SourceTable: the marks of every (source, epoch), for ever: 44 bytes each, its name behind them,
// and 6 to 8 bytes of index. With names of ten bytes that is under 64 bytes a source, all told.
//
//   SourceIndex id = table.find("shop-7", Epoch(3));           // none if unknown
//   if (id == SourceTable::none) id = table.add("shop-7", Epoch(3));
//   SourceState state = table.at(id);                          // a copy
//   state.received = Lsn(42);
//   table.put(id, state);
//
// The marks of one source lie close to each other, so they are kept as distances in 32 bits; the
// few for which that is too little have theirs in a map beside. Name and marks lie together: a look
// at one brings the other. Nothing is ever removed: marks never expire. Ids are stable, not dense.
// Threads: one.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "evodb/types.h"

namespace evodb::ingest {

using SourceIndex = std::uint32_t;

struct SourceState {
  static constexpr std::uint32_t no_session = UINT32_MAX;

  Epoch epoch;
  Lsn received, durable, persisted;
  ChainHash chain;                     // at `received`
  TxnId txn;                           // of the change there
  std::uint32_t session = no_session;  // SessionId of the live one
  bool rebuilt = false;  // only from the lakehouse: `persisted` is the highest LSN in any table;
                         // the first hello decides the rest
};

class SourceTable {
 public:
  static constexpr SourceIndex none = UINT32_MAX;

  SourceTable();
  SourceIndex find(std::string_view name, Epoch epoch) const;
  // REQUIRES: not there yet; the name has at most base::source_name_bytes_max bytes.
  SourceIndex add(std::string_view name, Epoch epoch);
  SourceState at(SourceIndex id) const;
  // REQUIRES: `state.epoch` is that of `id`.
  void put(SourceIndex id, const SourceState& state);
  std::string_view name_of(SourceIndex id) const;
  // The largest known of a source; 0 if none.
  Epoch newest_epoch(std::string_view name) const;

  // Every epoch that is known of a source.
  template <class Visit>
  void for_each_epoch(std::string_view name, Visit visit) const {
    for (SourceIndex id = newest_added(name); id != none; id = links_of(id).next_epoch) visit(id);
  }

  std::size_t size() const { return size_; }
  // Space for so many in all, so that adding them moves nothing.
  void reserve(std::size_t sources);
  // Every id, in the order of add().
  template <class Visit>
  void for_each(Visit visit) const {
    for (std::size_t block = 0; block < blocks_.size(); ++block) {
      const std::size_t end = block + 1 < blocks_.size() ? used_[block] : block_used_;
      for (std::size_t at = 0; at < end;) {
        const auto id = static_cast<SourceIndex>(block << block_bits | at);
        visit(id);
        at += record_bytes(name_of(id).size());
      }
    }
  }

 private:
  // 256 KiB: the id is the block's number, then the offset in it; 4 GiB in all.
  static constexpr std::size_t block_bits = 18;
  static constexpr std::size_t marks_bytes = 44;

  // What does not fit in distances.
  struct Wide {
    Epoch epoch;
    Lsn durable, persisted;
    TxnId txn;
  };
  // What a record holds but SourceState does not.
  struct Links {
    SourceIndex next_epoch;  // of the same name, older
    std::uint16_t name_bytes;
  };

  static std::size_t record_bytes(std::size_t name_bytes) { return marks_bytes + name_bytes; }
  const char* record(SourceIndex id) const {
    return blocks_[id >> block_bits].get() + (id & ((1u << block_bits) - 1));
  }
  char* record(SourceIndex id) {
    return blocks_[id >> block_bits].get() + (id & ((1u << block_bits) - 1));
  }
  Links links_of(SourceIndex id) const;
  SourceIndex newest_added(std::string_view name) const;
  Epoch epoch_of(SourceIndex id) const;
  SourceIndex make_record(std::string_view name);
  // The slot that holds the newest record of this name, or the empty one where it belongs.
  std::size_t slot_of(std::string_view name, std::uint64_t hash) const;
  void resize(std::size_t slots);

  std::vector<std::unique_ptr<char[]>> blocks_;
  std::vector<std::uint32_t> used_;  // bytes, of each block but the last
  std::size_t block_used_ = 0;       // of the last
  std::size_t size_ = 0;
  std::unordered_map<SourceIndex, Wide> wide_;

  // Open addressing by name. A tag is some bits of the hash, so that a wrong slot costs no look at
  // the record; 0 is empty.
  std::vector<SourceIndex> heads_;
  std::vector<std::uint8_t> tags_;
  std::size_t names_ = 0;
};

}  // namespace evodb::ingest
