// People: one more source, whose database is real SQLite on a disk of its own, and what people do to
// it: put back copies (while an edge runs or not, in place or as another file), empty our tables,
// delete part of the outbox, drop triggers, and migrate their own tables.
//
//   People people(network, random, seed, plant, tell);
//   EVODB_TRY(people.create());
//   people.write();                         // the application's next transaction
//   people.act(strike);                     // one of these things
//   const std::string wrong = people.check(oracle.view("people"));   // at the end; "": it is right
//
// There is no memory of single changes: what a copy that was put back undoes is nobody's any more.
// What must hold is that whoever folds the changes has the rows of each table, value by value, and
// that no change lands twice.
//
// At most one in a world, and none beside a SqliteDatabase: see SqliteDisk.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "capture/outbox.h"
#include "capture/sqlite_outbox.h"
#include "edge/uplink.h"
#include "sim/plants/plant.h"
#include "sim/points/sqlite_app.h"
#include "sim/seams/fake_disk.h"
#include "sim/seams/fake_loop.h"
#include "sim/seams/seeded_random.h"
#include "sim/seams/sqlite_disk.h"
#include "sim/world/faults.h"
#include "sim/world/landed_rows.h"
#include "sim/world/oracle.h"

namespace evodb::sim {

class People final : public Application, private capture::Outbox, private edge::UplinkObserver {
 public:
  using Tell = std::function<void(const std::string& line)>;
  People(FakeNetwork& network, base::Random& random, std::uint64_t seed, Plant& plant, Tell tell);
  ~People() override;

  static constexpr char source[] = "people";

  // Makes the database, installs capture, starts an edge.
  Result<void> create();
  void write();
  // Gives what was done, for the story and the coverage report.
  std::string act(Strike& strike);
  void restart_edge();  // kill -9, and a new process
  // Everything is captured, persisted and trimmed.
  bool is_persisted() const;
  // "": the same. Else what differs.
  std::string check(const Oracle::View& there);
  std::string describe() const;
  // The application's write failed though nobody had damaged our tables, or the edge gave up.
  const std::string& failure() const { return failure_; }
  std::uint64_t transactions() const { return transactions_; }

  // What it wrote it does not know: see above.
  bool wrote(const std::string&, const LandedRow&) const override { return true; }
  bool labelled(const LandedRow&) const override { return true; }

 private:
  struct Table {
    std::string name;
    std::vector<std::uint64_t> columns;  // numbers; the number says the type
  };
  struct Backup {
    std::map<std::string, std::string> files;
    std::vector<Table> tables;
  };

  capture::SqliteOutboxOptions options();
  Result<void> open_app();
  void open_outbox();
  void close_outbox(bool abandon);
  void look();  // as a follower does
  void look_later();
  std::string statement();
  std::string values_of(const Table& table);
  std::string create_sql(const Table& table, const std::string& name) const;
  bool run(const std::string& sql);
  std::string migrate(Strike& strike);
  std::string damage(Strike& strike);
  std::string put_back(Strike& strike);
  bool copy_in_place(const std::string& bytes);

  // --- capture::Outbox, of whatever lies under the path
  Result<void> same() const;
  Result<capture::OutboxState> state() override;
  Result<void> read(Lsn after, capture::ChangeSink& sink) override;
  void resume_group(TxnId label) override;
  bool wants_trim(Lsn acknowledged) override {
    return !outbox_ || outbox_->wants_trim(acknowledged);
  }
  Result<void> trim(Epoch epoch, Lsn through, ChainHash chain_at_through) override;
  Result<Epoch> begin_epoch(Epoch at_least) override;
  void on_new_epoch(Epoch epoch, std::optional<std::string_view> why) override {
    tell_("epoch " + std::to_string(epoch.value) + " begins: " + std::string(why.value_or("")));
  }
  void on_fatal(const Error& error) override { failure_ = "the edge gives up: " + error.text; }

  FakeNetwork& network_;
  base::Random& world_random_;
  SeededRandom random_;
  Plant& plant_;
  const Tell tell_;
  FakeLoop machine_;  // its clock; outlives every process
  FakeDisk disk_;
  SqliteDisk sqlite_;
  std::unique_ptr<SqliteApp> app_;
  std::vector<Table> tables_;
  std::uint64_t column_next_ = 8, table_next_ = 0, transactions_ = 0;
  std::int64_t id_next_ = 1;
  std::optional<Backup> backup_;
  std::int64_t damaged_until_ms_ = -1;  // until an edge has looked, writes may fail
  std::string failure_;

  // Of one process of an edge, or none.
  std::unique_ptr<FakeLoop> loop_;
  std::unique_ptr<capture::SqliteOutbox> outbox_;
  std::unique_ptr<edge::Uplink> uplink_;
  std::optional<std::string> replaced_;       // why the file is another one than that of memory_
  std::optional<capture::LogMemory> memory_;  // the small file beside the database
  bool given_up_ = false;  // another file was opened, and state() not asked since
  std::string last_error_;
};

}  // namespace evodb::sim
