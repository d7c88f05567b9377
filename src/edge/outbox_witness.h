// OutboxWitness: the small file beside a FileOutbox that says how far its log had come.
//
// Why: SQLite takes a frame of its log that does not hold for the log's end, as a torn write would
// leave it. In the log of a killed process one flipped bit would so take away changes that were
// acknowledged, unseen. The witness is written after each commit and not synced: a killed process
// leaves it whole, and after a power loss it is at most too old. docs/formats/outbox.md has the
// format and what follows from it.
//
//   auto witness = EVODB_TRY(OutboxWitness::open(vfs, "a.outbox"));
//   const auto seen = EVODB_TRY(witness->find(log));     // of this log, if it ever spoke of it
//   witness->write({.log = log, .head = head});          // after a commit that was synced
//
// It is opened through the database's own VFS. Threads: one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "evodb/result.h"
#include "evodb/types.h"

struct sqlite3_file;

namespace evodb::edge {

// What a log had at a moment; all of it only grows while the log lives.
struct Witnessed {
  std::uint64_t log = 0;  // drawn for each life of the log; not 0
  Epoch epoch;
  Lsn trimmed, head;
  std::uint64_t log_bytes = 0;  // of SQLite's log file
};

class OutboxWitness {
 public:
  // Creates the file where it is absent. `vfs` as in sqlite3_vfs_find, "" for the machine's files;
  // `database` as SQLite resolved it. Errors: kRetry (the disk), kInvalid (rights).
  static Result<std::unique_ptr<OutboxWitness>> open(const std::string& vfs,
                                                     const std::string& database);
  ~OutboxWitness();
  OutboxWitness(const OutboxWitness&) = delete;
  OutboxWitness& operator=(const OutboxWitness&) = delete;

  // What was last written of that log; nothing where its record is absent, or damaged itself.
  Result<std::optional<Witnessed>> find(std::uint64_t log);

  // Over the record of the same log, or else over the older of the two. A failure is passed over: a
  // witness that lags, or says nothing, accuses nobody.
  void write(const Witnessed& seen);

  const std::string& path() const { return path_; }

 private:
  explicit OutboxWitness(std::string path) : path_(std::move(path)) {}
  Result<std::optional<Witnessed>> slot(int index);

  std::string path_;
  std::unique_ptr<char[]> name_;   // SQLite wants its names with more than one zero at the end
  std::unique_ptr<char[]> space_;  // of the VFS' sqlite3_file
  sqlite3_file* file_ = nullptr;
  std::uint64_t log_ = 0;  // of the slot written last
  int slot_ = 0;
};

}  // namespace evodb::edge
