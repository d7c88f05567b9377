// SqliteDatabase: an application's database that is a real one: SQLite on a disk that forgets what
// was not synced, with capture's triggers in it and the shipped SqliteOutbox over it. What is
// written into it is what its ModelOutbox wrote: the model stays the application's memory, change
// by change.
//
//   SqliteDatabase database(model, clock, seed);
//   model.transact(now);
//   EVODB_TRY(database.apply());          // the same in SQL, one transaction
//   edge::Uplink uplink(loop, random, database, options, observer);
//   EVODB_TRY(database.restart(CrashModel::kTorn));   // its machine lost power
//
// What capture decides by itself (the transaction's label, the commit time to the millisecond, the
// epoch) is told to the model when it is first read. The application commits with synchronous=FULL:
// nothing that was committed may be gone after a power loss.
//
// At most one in a world: see SqliteDisk.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "capture/sqlite_outbox.h"
#include "evodb/result.h"
#include "sim/points/sqlite_app.h"
#include "sim/seams/fake_disk.h"
#include "sim/seams/seeded_random.h"
#include "sim/seams/sqlite_disk.h"
#include "sim/world/model_outbox.h"

namespace evodb::sim {

class SqliteDatabase final : public capture::Outbox {
 public:
  // `clock` is the application's machine's. Both outlive it.
  SqliteDatabase(ModelOutbox& model, base::Clock& clock, std::uint64_t seed);
  ~SqliteDatabase() override;

  // Makes the database and installs capture. Before anything else.
  Result<void> create();
  // Executes what the model wrote since the last time.
  Result<void> apply();
  // Every process that had it open died (kKilled), or its machine did; opened again. Errors: what
  // was committed is not there any more, or it cannot be opened.
  Result<void> restart(CrashModel model);

  Result<capture::OutboxState> state() override { return outbox_->state(); }
  Result<void> read(Lsn after, capture::ChangeSink& sink) override;
  void resume_group(TxnId label) override { outbox_->resume_group(label); }
  Result<void> trim(Epoch epoch, Lsn through, ChainHash chain_at_through) override;
  Result<Epoch> begin_epoch(Epoch at_least) override;

 private:
  Result<void> open();

  ModelOutbox& model_;
  base::Clock& clock_;
  SeededRandom random_;
  FakeDisk disk_;
  SqliteDisk sqlite_;
  std::unique_ptr<SqliteApp> app_;
  std::unique_ptr<capture::SqliteOutbox> outbox_;
  Lsn applied_;
};

}  // namespace evodb::sim
