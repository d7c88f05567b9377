// FileOutbox: an outbox of the client library's own in an SQLite file, for changes that must
// outlive the process.
//
//   auto outbox = EVODB_TRY(FileOutbox::open("changes.outbox", "shop-7", Epoch(wall_ms), {}));
//   Lsn last = EVODB_TRY(outbox->append(changes));   // on the disk when it returns
//
// The file belongs to one process at a time: it is locked while open. Its source's name is that of
// its first opening. Space of trimmed changes is used again; the file does not shrink.
//
//   state(key, value)                  source, epoch, trimmed, trimmed_chain, sum: CRC32C of these,
//                                      log: which life of SQLite's log (see outbox_witness.h)
//   tables(id, def)                    wire::encode_table_def
//   changes(lsn, txn, time, op, tbl, rows)   rows: presence, then each present list of values as
//                                      varint count and string. Then CRC32C of all six columns
//
// Beside it lies FILE-head, the witness: damage to the log of a killed process is so seen.
//
// Threads: any; calls wait for each other. Errors: kInvalid (another source's or another program's
// file), kRetry (in use by another process, disk full), kCorrupt; of append() also kOutcomeUnknown
// (the disk failed while committing: appending again is right as long as this object lives; who
// opens the file anew must read what is there first); kStale: the file was moved away, removed or
// replaced, and what would be appended could not be found again. Close it and open it anew.
#pragma once

#include <mutex>
#include <string>
#include <unordered_map>

#include "capture/sqlite_db.h"
#include "edge/memory_outbox.h"
#include "edge/outbox_witness.h"

namespace evodb::edge {

struct FileOutboxOptions {
  std::uint64_t bytes_max = 1u << 30;
  // false: a power loss may take the last changes, a crash of the process not; and no witness is
  // written, since after a power loss it could be ahead of the log.
  bool sync = true;
  std::string vfs;  // a registered sqlite3_vfs; "": the machine's files
};

// SQLite's integers have a sign, ours have none.
inline std::uint64_t as_read(std::int64_t v) { return static_cast<std::uint64_t>(v); }

class FileOutbox final : public AppendableOutbox {
 public:
  // `first_epoch` is for a file that does not exist yet.
  static Result<std::unique_ptr<FileOutbox>> open(const std::string& path,
                                                  const std::string& source, Epoch first_epoch,
                                                  const FileOutboxOptions& options);

  Result<Lsn> append(std::span<const NewChange> changes) override;
  Result<capture::OutboxState> state() override;
  Result<void> read(Lsn after, capture::ChangeSink& sink) override;
  void resume_group(TxnId) override {}  // a group's label is kept with it
  Result<void> trim(Epoch epoch, Lsn through, ChainHash chain_at_through) override;
  Result<Epoch> begin_epoch(Epoch at_least) override;

 private:
  // The checksum is in `rows`.
  static constexpr std::uint64_t row_overhead_bytes = change_overhead_bytes - 4;
  static constexpr std::int64_t no_sum = -1;  // a file of before there were checksums

  struct KnownTable {
    const wire::TableDef* def;
    std::uint64_t fingerprint;
  };

  FileOutbox(capture::Database db, const FileOutboxOptions& options)
      : db_(std::move(db)), options_(options) {}
  Result<void> load(const std::string& source, Epoch first_epoch);
  Result<void> check_place() const;  // kStale: another file lies at the path, or none
  Result<void> take_over(const std::string& source, Epoch first_epoch);
  Result<void> load_state(const std::string& source);
  Result<void> compare_with_witness();
  Result<void> begin_log();
  void committed();
  void witness(std::uint64_t log_bytes);
  Result<void> check_structure();
  Result<void> prepare();
  Result<void> load_tables();
  Result<std::uint64_t> insert(std::span<const NewChange> changes);  // bytes, as counted
  Result<std::int64_t> table_id(const NewChange& change);
  Result<void> set(std::string_view key, std::uint64_t value);
  Result<void> set_marks(Epoch epoch, Lsn trimmed, ChainHash chain);  // one transaction
  std::int64_t state_sum(Epoch epoch, Lsn trimmed, ChainHash chain) const;
  Result<bool> sweep();  // false: nothing is left below the mark

  capture::Database db_;
  std::unique_ptr<OutboxWitness> witness_;
  const FileOutboxOptions options_;
  std::mutex mutex_;
  capture::Statement insert_, rows_, set_;
  TableShelf shelf_;
  std::unordered_map<std::int64_t, KnownTable> tables_;
  std::unordered_map<std::uint64_t, std::int64_t> ids_;  // by fingerprint
  std::string source_, encoded_;
  Epoch epoch_;
  Lsn trimmed_, head_;
  ChainHash trimmed_chain_;
  std::int64_t stored_sum_ = 0;
  std::uint64_t log_ = 0;  // 0: a file of before there were witnesses
  std::uint64_t life_ = 0;
  std::uint64_t held_bytes_ = 0;
};

}  // namespace evodb::edge
