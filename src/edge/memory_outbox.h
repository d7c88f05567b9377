// What the client library's own outboxes share, and the one in memory.
//
//   MemoryOutbox outbox("shop-7", Epoch(wall_ms), {.bytes_max = 64u << 20});
//   Lsn last = EVODB_TRY(outbox.append(changes));   // kOverLimit: full, nothing was taken
//
// Unlike an application database's outbox these are filled by append(), from any thread, while the
// uplink's thread reads and trims. Each append() is one group: its changes carry one TxnId, the LSN
// of its last one. LSNs begin with 1 and go on over epochs.
//
// A process that ends takes a MemoryOutbox with it; see file_outbox.h for one that stays.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "capture/outbox.h"
#include "evodb/types.h"
#include "wire/change.h"

namespace evodb::edge {

// A change before it has an LSN. Values are encoded by wire::put_value; views are copied.
struct NewChange {
  Op op = Op::kInsert;
  const wire::TableDef* table = nullptr;
  std::uint64_t table_fingerprint = 0;  // table->fingerprint(): callers know it
  wire::ValuesView key, before, after;
  UnixMillis committed_at;
};

inline constexpr std::uint64_t change_overhead_bytes = 96;
struct AppendableOutboxOptions {
  std::uint64_t bytes_max = 64u << 20;  // of encoded changes, each with change_overhead_bytes
  std::uint64_t life = 0;               // random, see OutboxState
};

class AppendableOutbox : public capture::Outbox {
 public:
  // All of them or none; gives the LSN of the last one. Any thread.
  // REQUIRES: not empty. Errors: kOverLimit (bytes_max would be exceeded), and what a disk gives.
  virtual Result<Lsn> append(std::span<const NewChange> changes) = 0;

 protected:
  static std::uint64_t cost(std::span<const NewChange> changes);
  static Error full(std::uint64_t held_bytes, std::uint64_t bytes_max);
};

// Table definitions by fingerprint; pointers stay valid. Not bounded by itself: applications have
// few, and the client refuses more than base::table_defs_per_session_max.
class TableShelf {
 public:
  const wire::TableDef* keep(const wire::TableDef& def, std::uint64_t fingerprint);

 private:
  std::map<std::uint64_t, std::unique_ptr<wire::TableDef>> tables_;
};

class MemoryOutbox final : public AppendableOutbox {
 public:
  MemoryOutbox(std::string source, Epoch epoch, AppendableOutboxOptions options = {});

  Result<Lsn> append(std::span<const NewChange> changes) override;
  Result<capture::OutboxState> state() override;
  Result<void> read(Lsn after, capture::ChangeSink& sink) override;
  void resume_group(TxnId) override {}  // a group's label is kept with it
  Result<void> trim(Epoch epoch, Lsn through, ChainHash chain_at_through) override;
  Result<Epoch> begin_epoch(Epoch at_least) override;

 private:
  struct Entry {
    Op op;
    bool has_key, has_before, has_after;
    std::uint32_t key_count, before_count, after_count;
    std::uint32_t key_bytes, before_bytes, after_bytes;  // in this order in the chunk
    std::size_t begin;                                   // in the chunk's bytes
    const wire::TableDef* table;
    std::uint64_t fingerprint;
    TxnId txn;
    UnixMillis committed_at;
  };
  // LSNs are dense: entry i of a chunk has LSN first + i.
  struct Chunk {
    Lsn first;
    std::vector<Entry> entries;
    std::string bytes;
  };
  static constexpr std::size_t chunk_entries_max = 1024;
  static constexpr std::size_t chunk_bytes_max = 256u << 10;

  static std::uint64_t cost_of(const Entry& entry);

  const std::string source_;
  const AppendableOutboxOptions options_;
  std::mutex mutex_;
  TableShelf tables_;
  std::deque<std::unique_ptr<Chunk>> chunks_;
  Epoch epoch_;
  Lsn trimmed_, head_;
  ChainHash trimmed_chain_;
  std::uint64_t held_bytes_ = 0;
};

}  // namespace evodb::edge
