// SqliteOutbox: the outbox inside an application's database, see docs/formats/outbox.md.
//
//   auto outbox = EVODB_TRY(SqliteOutbox::open("app.db", {}));     // after install()
//   if (EVODB_TRY(outbox->changed())) EVODB_TRY(outbox->read(last, sink));
//
// It shares the file with the application and takes care not to stand in its way: reads are
// transactions of at most 2,000 changes or 4 MB, trims of at most 500 rows or 512 KiB, rows that
// are sent again go in by chunks of a few milliseconds (resend.h). The journal mode is the
// application's.
//
// The file is believed, never the memory: each transaction compares what this process knows
// (log_memory.h) with what is there. Another log is begun anew as a new epoch (by changed() and
// state()), and the calls between give kStale. A trim proves in its own transaction that the rows
// which it deletes are those that were acknowledged. The row at the mark stays: it is the anchor
// that an emptied outbox lacks. The newest row always stays, because the next id is one more.
//
// Where it writes: trim_chunk(), sweep(), settle(), begin_epoch(), refresh_if_schema_changed(),
// resend_step(), close(). Each of them may be late, and then nothing but space is lost.
//
// Threads: one at a time. Errors of all calls: kRetry (locked), kNoSpace (disk full), kCorrupt,
// kInvalid (capture was removed), kStale (see Outbox).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "capture/held_bytes.h"
#include "capture/log_memory.h"
#include "capture/outbox.h"
#include "capture/outbox_row.h"
#include "capture/outbox_tables.h"
#include "capture/polite_writer.h"
#include "capture/resend.h"
#include "capture/space_reserve.h"
#include "capture/sqlite_db.h"
#include "evodb/result.h"

namespace evodb::capture {

// What happens when the outbox has no more space.
enum class WhenFull : std::uint8_t {
  kPause,  // capture stops by itself; with space again every table begins anew
  kBlock,  // writes to captured tables fail, and say why
};

struct OutboxSpace {
  // Changes that wait, about. 0: as much as the disk has, but for its last few MiB.
  std::uint64_t max_bytes = 0;
  WhenFull when_full = WhenFull::kPause;
};

// What a connection knew that was closed while nobody used the database: see SqliteOutbox::rest().
struct RestedOutbox {
  LogMemory memory;
  std::deque<Lsn> group_ends;
  Lsn read_up_to;
  std::int64_t schema_version = 0;
};

struct SqliteOutboxOptions {
  // How long a call waits for a lock before it gives kRetry.
  int busy_timeout_ms = 1'000;
  std::string vfs;  // see OpenOptions
  // Ends the chunks of resends by time; outlives the outbox. Null: only their size does.
  base::Clock* clock = nullptr;
  ResendBudget resend_chunk = {};  // smaller in tests
  // What is known of this database from before; the file is held against it.
  std::optional<LogMemory> memory;
  // That memory is of another file, as this says: the log begins anew, and capture is installed
  // where it is not. REQUIRES: a memory.
  std::optional<std::string> replaced;
  // The same connection goes on, as it were; instead of a memory.
  std::optional<RestedOutbox> rested;
  // Told in one line what was found and what was done about it. May be empty.
  std::function<void(const std::string&)> on_event;
  // Set: as a guest in an application's database, see polite_writer.h. REQUIRES: a clock.
  std::optional<PoliteOptions> polite;
  OutboxSpace space;  // of a polite one
};

class SqliteOutbox final : public Outbox {
 public:
  // Errors: kInvalid (no such file, not a database, not captured, read-only), kRetry, kCorrupt.
  static Result<std::unique_ptr<SqliteOutbox>> open(const std::string& path,
                                                    const SqliteOutboxOptions& options);
  ~SqliteOutbox() override;

  Result<OutboxState> state() override;
  Result<Lsn> head() override;
  Result<void> read(Lsn after, ChangeSink& sink) override;
  void resume_group(TxnId label) override;
  bool wants_trim(Lsn acknowledged) override;
  Result<void> trim(Epoch epoch, Lsn through, ChainHash chain_at_through) override;
  Result<Epoch> begin_epoch(Epoch at_least) override;
  Result<Epoch> begin_as(const std::string& source, Epoch at_least) override;

  // Whether the database may have changed since the last call (true the first time). Cheap enough
  // to ask every few milliseconds: it reads one page, or in WAL mode only shared memory. Where it
  // changed, the log is compared with what is known of it, and begun anew if it is another one.
  // Goes on with resends while little waits to be read. True also where nobody wrote, but the time
  // has come to look at a table again that waits (capture_plan.h): refresh_if_schema_changed() is
  // due.
  Result<bool> changed();
  // One chunk of what is queued to be sent again, however much waits. True: there is more. Errors:
  // kRetry also where the schema changed and refresh_if_schema_changed() must come first.
  Result<bool> resend_step();
  // Whether something is queued, as far as this process knows, or may have to be: the schema was
  // not compared yet. Until then it is not caught up.
  bool resending() const { return resending_ || !schema_is_seen(); }

  // If the schema changed since the last call: regenerates what capture must know of it (see
  // install.h). True if that wrote anything. Cheap where nothing changed. After an error the schema
  // counts as not looked at: resending() says so, and rest() gives nothing.
  Result<bool> refresh_if_schema_changed();

  // The file may have changed without SQLite's knowing: its pages are read again, and the next
  // changed() looks.
  Result<void> distrust_cache();

  // Before it is closed because nobody uses the database: gives what another one goes on with,
  // without another life. Nothing: there is something to do first.
  std::optional<RestedOutbox> rest();

  const LogMemory& memory() const { return memory_; }
  // Zeros unless it is a polite one.
  PoliteStats polite_stats() const { return writer_ ? writer_->stats() : PoliteStats(); }
  // The file is not where it was, or its log is another one: nothing is written any more, also not
  // when it is closed.
  void abandon();

 private:
  struct ChunkEnd {  // where a trim's step ends, and the chain there
    Lsn lsn;
    ChainHash chain;
  };
  struct Fold;

  SqliteOutbox(Database db, const SqliteOutboxOptions& options);
  Result<void> first_look(const std::string& path, const SqliteOutboxOptions& options);
  std::uint64_t bytes_each() const;
  void mark_closed();
  // SQLite's log goes into the database and is cut to nothing, unless somebody reads or writes.
  void empty_log();

  // --- space: sqlite_outbox_space.cc
  Result<void> look_after_space();
  // What the changes in (after, head] take, from a sample, whether somebody has read them or not.
  Result<std::uint64_t> weigh(Lsn after, Lsn head);
  Result<void> stop_for_space(const std::string& why);
  Result<void> go_on_with_space();
  Result<void> prepare();
  void tell(const std::string& what) const;

  // --- the file and the memory: sqlite_outbox.cc
  // The state as it is in this transaction, if it is of the log that is known. Else kStale.
  Result<CaptureState> known_state();
  std::unexpected<Error> stale(std::string why);
  // The same, and the next look begins or installs the log anew.
  std::unexpected<Error> reject(LogChange change, std::string why);
  struct Look {
    std::optional<CaptureState> state;  // nothing: capture is not whole
    LogVerdict verdict;
    bool may_go_on() const {
      return verdict.change == LogChange::kSame || verdict.change == LogChange::kMovedOn;
    }
  };
  Result<Look> look();
  Result<Look> look_unvetted();
  // kRetry where the log is not the one that is known, or is not whole: state() or changed() comes
  // first.
  Result<void> check_log();
  // An error that says that rows of evodb_tables or evodb_columns are missing (kNotFound) is one
  // that the next look repairs: kRetry.
  template <class T>
  Result<T> or_reinstall(Result<T> result) {
    if (result || result.error().kind != ErrorKind::kNotFound) return result;
    unsound_ = {LogChange::kBroken, std::move(result.error().text)};
    return fail(ErrorKind::kRetry, "'" + db_.path() + "': " + unsound_->why);
  }
  void adopt(LogMemory now);
  void follow(const std::string& why, LogMemory now);
  bool schema_is_seen() const { return seen_schema_version_.has_value(); }
  // A table that waited is due.
  Result<bool> refresh_is_due() const;
  // One write transaction: claims the log for this process, or begins it anew.
  Result<void> settle();
  Result<void> renew(CaptureState& state, Epoch at_least, const std::string& why);
  Result<bool> send_again();
  void close();

  // --- rows: sqlite_outbox_rows.cc
  Result<const KnownTable*> table(std::int64_t id);
  // One short read transaction. False: there is no more, or the sink had enough.
  Result<bool> read_slice(Lsn* after, Lsn* snapshot_head, ChangeSink& sink);
  // Gives the changes in (after, through] until `take` says no. REQUIRES: a transaction.
  template <class Take>
  Result<void> each_change(Lsn after, Lsn through, Lsn dense_after, Take take);
  template <class Take>
  Result<void> each_change_unvetted(Lsn after, Lsn through, Lsn dense_after, Take take);
  TxnId label_of(Lsn lsn, Lsn snapshot_head) const;
  void remember_label(TxnId label);
  Result<std::vector<ChunkEnd>> prove(Lsn through, ChainHash chain);
  Result<void> trim_chunk(Epoch epoch, ChunkEnd end);
  Result<void> trim_on_full_disk(Epoch epoch, ChunkEnd end, const Error& full);
  // Deletes a few rows below the mark that a crash of an older version left. False: no more.
  Result<bool> sweep();

  Database db_;
  std::unique_ptr<PoliteWriter> writer_;
  Lsn acknowledged_;                      // as wants_trim() heard last
  std::size_t look_changes_max_ = 2'000;  // of one slice under a rollback journal
  bool look_failed_ = false;              // of the last such slice nothing was handed out
  std::unique_ptr<SpaceReserve> space_;
  std::optional<base::MonotonicMillis> space_seen_at_;
  HeldBytes held_;
  bool stopped_for_space_ = false;  // as far as this process knows
  const int busy_timeout_ms_;
  base::Clock* const clock_;
  const ResendBudget resend_chunk_;
  const OutboxSpace limit_;
  const std::function<void(const std::string&)> on_event_;
  Statement rows_, sweep_;
  std::int64_t seen_data_version_ = -1;  // what was looked at, at that version
  std::optional<std::int64_t> others_version_;
  std::optional<std::int64_t> seen_schema_version_;  // nothing: it was not compared yet
  std::optional<std::int64_t> refresh_at_ms_;        // RefreshReport::again_at_ms
  std::optional<Resender> resender_;
  bool resending_ = true;
  Lsn read_up_to_;  // the newest change that was given to a sink
  bool prepared_ = false;
  bool unswept_ = true;
  LogMemory memory_;
  bool claimed_ = false;  // by this process, in the file
  bool abandoned_ = false;
  std::optional<std::string> stale_;  // why; until state() has told the caller anew
  // kOther or kBroken: what was found of this log by other means than compare(), rows that are gone
  // or others. It must be begun anew, or installed anew.
  std::optional<LogVerdict> unsound_;
  OutboxRow row_;
  std::unordered_map<std::int64_t, std::unique_ptr<KnownTable>> tables_;
  std::deque<Lsn> group_ends_;                            // ascending: the labels given so far
  std::uint64_t measured_rows_ = 0, measured_bytes_ = 0;  // of what was read
};

}  // namespace evodb::capture
