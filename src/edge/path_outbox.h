// PathOutbox: the outbox of whatever database lies at a path. A connection belongs to a file;
// people mean the path: they move, copy, restore and replace what lies there while an edge runs.
//
//   auto outbox = EVODB_TRY(PathOutbox::open("app.db", clock, {.on_event = print}));
//   if (EVODB_TRY(outbox->changed())) uplink.notify();    // asked at least once a second
//
// Another file at the path (another inode or device: after mv, after rm and cp, after a symbolic
// link was switched) is opened as soon as it is a whole database. It goes on as a new epoch of the
// same source, and capture is installed in it where it has none. While there is no file, or it
// cannot be read, every call gives kRetry with the reason. A file that was written over in place by
// something else than SQLite (cp) is recognized by its size and times.
//
// Resting. When the application closes a database in WAL mode, SQLite removes the log and its index
// (-wal, -shm), unless another connection is open: ours. Then they would stay, and whoever puts a
// copy in the database's place would combine it with the log of another file. So while nobody else
// has the database open, our connection is closed as well; it is opened again when the file has
// changed or something is to be written. For the same reason a connection whose log was replaced
// under it is given up without writing anything.
//
// What is known of the log is kept in a small file beside it (memory_file.h), for the next edge.
//
// Threads: one at a time. Errors: as SqliteOutbox; kCorrupt and kInvalid only after they have stood
// for `patience_ms`, since a file may just be written.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "capture/outbox.h"
#include "capture/sqlite_outbox.h"
#include "evodb/result.h"

namespace evodb::edge {

struct PathOutboxOptions {
  int busy_timeout_ms = 1'000;
  std::int64_t patience_ms = 5'000;
  std::int64_t open_again_ms = 100;  // a file that could not be opened is tried again
  // A new file is opened when it and its log have not changed for so long, since somebody may just
  // be copying both. Or after `settle_ms_max`: then an application works on it already.
  std::int64_t settle_ms = 300;
  std::int64_t settle_ms_max = 3'000;
  // The log was there after our connection was closed, so somebody has the database open whom the
  // system's list of locks does not show: for so long it does not try to rest again.
  std::int64_t rest_in_vain_ms = 60'000;
  std::int64_t remember_ms = 1'000;  // how often the memory beside the file is written
  std::function<void(const std::string&)> on_event;  // one line, for people
  capture::OutboxSpace space;
  std::optional<capture::PoliteOptions> polite;  // see capture/polite_writer.h
};

class PathOutbox final : public capture::Outbox {
 public:
  // Errors: as SqliteOutbox::open, at once: who starts an edge has named a file that is there.
  static Result<std::unique_ptr<PathOutbox>> open(const std::string& path, base::Clock& clock,
                                                  PathOutboxOptions options);
  ~PathOutbox() override;

  Result<capture::OutboxState> state() override;
  Result<Lsn> head() override;
  Result<void> read(Lsn after, capture::ChangeSink& sink) override;
  void resume_group(TxnId label) override;
  bool wants_trim(Lsn acknowledged) override {
    return !outbox_ || outbox_->wants_trim(acknowledged);
  }
  Result<void> trim(Epoch epoch, Lsn through, ChainHash chain_at_through) override;
  Result<Epoch> begin_epoch(Epoch at_least) override;
  Result<Epoch> begin_as(const std::string& source, Epoch at_least) override;

  // As SqliteOutbox's. Looks at the path, too.
  Result<bool> changed();
  Result<void> refresh();
  // See SqliteOutbox::resending().
  bool resending() const { return outbox_ ? outbox_->resending() : !rested_; }
  bool resting() const { return rested_.has_value(); }
  // Counts the files that were opened: who watches one must watch another.
  std::uint64_t opened() const { return opened_; }
  capture::PoliteStats polite_stats() const;

 private:
  struct File {  // what stat says
    std::uint64_t device = 0, inode = 0;
    friend bool operator==(const File&, const File&) = default;
  };
  struct Stamp {  // changes with each write to the file
    std::int64_t size = 0, modified_ns = 0, changed_ns = 0;
    friend bool operator==(const Stamp&, const Stamp&) = default;
  };

  PathOutbox(std::string path, base::Clock& clock, PathOutboxOptions options);
  static Result<std::pair<File, Stamp>> look_at(const std::string& path);
  // Looks which file is at the path, and opens that one. Success: outbox_ or rested_ is set.
  Result<void> follow();
  Result<void> wake();        // follow(); then outbox_ is set
  Result<void> same_log();    // wake(); kStale: what the caller knows is of a connection given up
  bool is_untouched() const;  // neither file nor log changed since it rests
  bool is_settled(const File& file, const Stamp& stamp);
  Result<void> open_file(const File& file, std::optional<std::string> replaced);
  void let_go();  // of the connection, without writing
  void keep_memory();
  void rest_if_alone();
  enum class Call : std::uint8_t {
    kOpen,
    kState,
    kHead,
    kRead,
    kTrim,
    kEpoch,
    kChanged,
    kRefresh,
    kCount
  };
  // The result, but an error that may come from a file that is just being written over is kRetry
  // until it has stood for patience_ms.
  template <class T>
  Result<T> with_patience(Call call, Result<T> result);
  Error wait(Error error);
  void tell(const std::string& what) const;

  const std::string path_;
  base::Clock& clock_;
  const PathOutboxOptions options_;
  std::unique_ptr<capture::SqliteOutbox> outbox_;
  std::optional<capture::LogMemory> memory_;        // while outbox_ is null
  std::optional<capture::RestedOutbox> rested_;     // the same, while it rests
  capture::PoliteStats past_;                       // of connections that were closed
  std::optional<File> log_;                         // -wal, as the open connection has it
  std::optional<std::pair<File, Stamp>> rest_log_;  // -wal, as it was when it began to rest
  bool given_up_ = false;                           // a connection was, and state() not asked since
  File file_;
  Stamp stamp_;
  std::uint64_t opened_ = 0;
  struct Arriving {  // a file that is not opened yet, and its log
    File file, log_file;
    Stamp stamp, log_stamp;
    friend bool operator==(const Arriving&, const Arriving&) = default;
  };
  std::optional<Arriving> arriving_;
  base::MonotonicMillis arrived_, settled_since_;
  std::optional<Error> waiting_;  // for what, as it was said last
  base::MonotonicMillis open_again_, remembered_at_, rest_again_;
  bool rest_unsure_ = false;  // somebody may have written between the last look and the rest
  // By call: one that always fails is not excused by others that succeed in between.
  std::array<std::optional<base::MonotonicMillis>, static_cast<std::size_t>(Call::kCount)>
      failing_since_;
};

}  // namespace evodb::edge
