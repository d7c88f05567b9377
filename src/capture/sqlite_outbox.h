// SqliteOutbox: the outbox inside an application's database, see docs/formats/outbox.md.
//
//   auto outbox = EVODB_TRY(SqliteOutbox::open("app.db", {}));     // after install()
//   if (EVODB_TRY(outbox->changed())) EVODB_CHECK(outbox->read(last, sink));
//
// It shares the file with the application and takes care not to stand in its way: reads are
// transactions of at most 2,000 changes or 4 MB, trims of at most 1,000 rows, the journal mode is
// the application's. Rows that are sent again go in by chunks of a few milliseconds (resend.h).
//
// Trimming sets the mark first and deletes rows after it, so that a crash in between leaves rows
// below the mark: nobody reads those, and later trims, changed() and open() delete them. The
// newest row always stays, because the next id is one more than it.
//
// Threads: one at a time. Errors of all calls: kRetry (locked, disk full), kCorrupt, kInvalid
// (capture was removed).
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "capture/outbox.h"
#include "capture/outbox_row.h"
#include "capture/outbox_tables.h"
#include "capture/resend.h"
#include "capture/sqlite_db.h"
#include "evodb/result.h"

namespace evodb::capture {

struct SqliteOutboxOptions {
  // How long a call waits for a lock before it gives kRetry.
  int busy_timeout_ms = 1'000;
  std::string vfs;  // see OpenOptions
  // Ends the chunks of resends by time; outlives the outbox. Null: only their size does.
  base::Clock* clock = nullptr;
  ResendBudget resend_chunk = {};  // smaller in tests
};

class SqliteOutbox final : public Outbox {
 public:
  // Errors: kInvalid (no such file, not a database, not captured, read-only), kRetry, kCorrupt.
  static Result<std::unique_ptr<SqliteOutbox>> open(const std::string& path,
                                                    const SqliteOutboxOptions& options);
  ~SqliteOutbox() override;

  Result<OutboxState> state() override;
  Result<void> read(Lsn after, ChangeSink& sink) override;
  void resume_group(TxnId label) override;
  Result<void> trim(Epoch epoch, Lsn through, ChainHash chain_at_through) override;
  Result<Epoch> begin_epoch(Epoch at_least) override;

  // Whether the database may have changed since the last call (true the first time). Cheap enough
  // to ask every few milliseconds: it reads one page, or in WAL mode only shared memory. Goes on
  // with deletes that trim() left, and with resends while little waits to be read.
  Result<bool> changed();
  // One chunk of what is queued to be sent again, however much waits. True: there is more. Errors:
  // kRetry also where the schema changed and refresh_if_schema_changed() must come first.
  Result<bool> resend_step();
  // Whether something is queued, as far as this process knows. Until then it is not caught up.
  bool resending() const { return resending_; }

  // If the schema changed since the last call: regenerates what capture must know of it (see
  // install.h). True if that wrote anything. Cheap where nothing changed.
  Result<bool> refresh_if_schema_changed();

 private:
  SqliteOutbox(Database db, const SqliteOutboxOptions& options)
      : db_(std::move(db)), clock_(options.clock), resend_chunk_(options.resend_chunk) {}
  Result<void> prepare();
  Result<void> heal();
  Result<const KnownTable*> table(std::int64_t id);
  // One short read transaction. False: there is no more, or the sink had enough.
  Result<bool> read_slice(Lsn* after, Lsn* snapshot_head, ChangeSink& sink);
  TxnId label_of(Lsn lsn, Lsn snapshot_head) const;
  void remember_label(TxnId label);
  Result<void> set_trimmed(Epoch epoch, Lsn through, ChainHash chain);
  // Deletes a few rows below the mark. False: there are no more.
  Result<bool> sweep();

  Database db_;
  Statement data_version_, schema_version_, rows_, head_, sweep_;
  std::int64_t seen_data_version_ = -1;
  std::int64_t seen_schema_version_ = -1;
  std::optional<std::int64_t> refresh_at_ms_;  // RefreshReport::again_at_ms
  base::Clock* clock_;
  ResendBudget resend_chunk_;
  Resender resender_;
  bool resending_ = true;
  Lsn read_up_to_;  // the newest change that was given to a sink
  bool unswept_ = false;
  Lsn trimmed_;  // the mark, as far as this process knows it; state() and read_slice() look
  OutboxRow row_;
  std::unordered_map<std::int64_t, std::unique_ptr<KnownTable>> tables_;
  std::deque<Lsn> group_ends_;                            // ascending: the labels given so far
  std::uint64_t measured_rows_ = 0, measured_bytes_ = 0;  // for held_bytes
};

}  // namespace evodb::capture
