// PoliteWriter: when a guest in an application's database may write to it.
//
//   PoliteWriter writer(db, clock, {});               // db opened as `polite`
//   db.set_gate(&writer);
//   writer.observe(others_wrote);                     // each time the database is looked at
//   if (writer.trim_is_due()) {                       // kRetry: no polite moment now
//     Transaction step = EVODB_TRY(
//         Transaction::begin(db, Transaction::Kind::kWrite, WriteReason::kTrim));
//     while (writer.time_left() && delete_a_few_rows()) {
//     }
//     EVODB_TRY(step.commit());
//   }
//
// The application comes first. A write begins only in a polite moment:
//   WAL                nobody has a transaction open, and while ours lasts nobody can begin one:
//                      they wait for its few milliseconds inside SQLite (polite_vfs.h)
//   rollback journal   nobody has committed or was seen with a lock for idle_ms, nor in a closer
//                      look of some milliseconds right before. Here one that comes while we write
//                      meets our lock, as it meets any other writer's: so it is done rarely
// and rarely: a trim is due when trim_bytes can be removed, or when the database is idle anyway.
//
// Moments may never come: connections of a pool overlap, a backup tool keeps a transaction open for
// ever. What can be trimmed grows; from anyway_bytes on a step is written all the same, as any
// other writer would, at most four a second. The same after anyway_ms for what capture must know of
// the schema and for resends, which nothing else stands in for. Both are counted.
//
// Threads: the connection's. Lifetime: the database and the clock outlive it; it outlives all write
// transactions, and is taken from the database before it goes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "capture/sqlite_db.h"
#include "evodb/result.h"

namespace evodb::capture {

struct PoliteOptions {
  // Acknowledged changes are worth a write from here on, also beside a busy application.
  std::uint64_t trim_bytes = 4u << 20;
  // So long nobody else has written: then fewer are.
  std::int64_t idle_ms = 1'000;
  // The same under a rollback journal, where a few bytes are worth a lock more rarely.
  std::int64_t long_idle_ms = 60'000;
  // Acknowledged changes that wait for a polite moment: beyond it they are trimmed anyway.
  std::uint64_t anyway_bytes = 256u << 20;
  // So long the schema's changes and resends wait for one.
  std::int64_t anyway_ms = 300'000;
  // How long a write that is done anyway waits for a lock.
  int busy_timeout_ms = 1'000;
  // Held beside the database for trims on a full disk, see space_reserve.h; 0: nothing is.
  std::uint64_t reserve_bytes = 4u << 20;
};

struct PoliteStats {
  std::uint64_t steps = 0;         // transactions of ours that were committed
  std::uint64_t anyway_steps = 0;  // begun outside of a polite moment
  std::uint64_t refusals = 0;      // a moment was looked for and not found
  std::int64_t longest_step_ms = 0;
};

class PoliteWriter final : public WriteGate {
 public:
  static constexpr std::int64_t step_ms = 5;

  // `db` may be one that is not `polite`: then every moment is good, and locks are waited for.
  PoliteWriter(const Database& db, base::Clock& clock, PoliteOptions options);
  ~PoliteWriter() override;
  PoliteWriter(const PoliteWriter&) = delete;
  PoliteWriter& operator=(const PoliteWriter&) = delete;

  // Others committed since the last call, or did not.
  void observe(bool others_wrote);
  // Database::version() right after our latest commit, where that counts our own.
  std::optional<std::int64_t> own_version() const { return own_version_; }
  // So many bytes wait to be trimmed.
  void set_trimmable(std::uint64_t bytes) { trimmable_bytes_ = bytes; }
  // Whether removing them is worth a write now.
  // Once it was, it is until drained(). `disk_is_full`: then anything is.
  bool trim_is_due(bool disk_is_full = false);
  void drained() { draining_ = false; }

  // Errors: kRetry (no polite moment now), and those of beginning a transaction.
  Result<void> begin(WriteReason reason) override;
  Result<void> may_commit() override;
  void ended(bool committed) override;
  // False: finish, the next step does the rest. REQUIRES: in a write transaction.
  bool time_left() const;

  const PoliteStats& stats() const { return stats_; }
  // How long this has waited for a polite moment; 0: it does not.
  std::int64_t waiting_ms(WriteReason reason) const;

 private:
  bool in_wal_mode() const { return db_.polite()->in_wal_mode(); }
  std::int64_t idle_for_ms() const;
  // False: this is no polite moment.
  Result<bool> begin_in_wal(bool hunt);
  Result<bool> begin_when_idle();

  const Database& db_;
  base::Clock& clock_;
  const PoliteOptions options_;
  base::MonotonicMillis others_at_;                                  // when they were last seen
  std::array<std::optional<base::MonotonicMillis>, 3> waits_since_;  // by WriteReason
  std::optional<base::MonotonicMillis> anyway_at_;
  base::MonotonicMillis began_;
  bool politely_ = false;                           // so the transaction that runs was begun
  std::optional<base::MonotonicMillis> polite_at_;  // and so the last one ended, committed
  std::optional<std::int64_t> own_version_;
  std::uint64_t trimmable_bytes_ = 0;
  bool draining_ = false;
  bool tuned_ = false;
  int log_pages_ = 0;
  PoliteStats stats_;
};

}  // namespace evodb::capture
