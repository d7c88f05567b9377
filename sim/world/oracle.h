// Oracle: knows what the applications wrote, looks at every commit as a reader of the lakehouse,
// and says what the contract does not allow.
//
//   Oracle oracle(store, applications_of, violate);
//   oracle.on_commit("orders_changes", metadata_location);   // at each of the catalog's commits
//   oracle.check_landed(outbox, lsn, Invariant::kPersistedAfterCommit, "was told persisted");
//   oracle.judge(outbox, "at the end");                // is everything there?
//
// At every commit: nothing lands twice, nothing that was never written lands, values, transactions
// and order are right, files never go, watermarks never go back.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/seams/fake_store.h"
#include "sim/world/landed_rows.h"
#include "sim/world/model_outbox.h"
#include "table/append.h"

namespace evodb::sim {

// What must hold, at every step or at the end. `invariant_name` is what reports call it.
enum class Invariant : std::uint8_t {
  kNothingLost,  // acknowledged, and not there after healing
  kNothingTwice,
  kOrder,             // of a source, as a reader sees it who follows the commits
  kRightValue,        // somebody wrote just this: values, classes, operation, transaction
  kDurableAfterSync,  // no "durable" before the sync that it stands for
  kPersistedAfterCommit,
  kTrimAfterAck,     // an outbox forgets only what is safe at the level waited for
  kDurableSurvives,  // a crash takes nothing that was called durable
  kWatermark,        // never back
  kFencing,          // nobody commits once another has taken over
  kFilesStay,        // no live file goes
  kReadable,         // what is committed can be read
  kBounds,           // memory, queues, disk
  kChain,            // the two sides' hashes agree, or a new epoch began
  kEpochs,           // none begins without a reason
  kStarts,           // a parent that may start does, and does not give up
  kLiveness,         // when faults stop, everything is persisted in bounded time
  kTimers,           // and then it is quiet
  kStopLands,        // an orderly stop lands what was called durable
  kReadsLittle,      // a parent that has its journal reads nothing that has landed
  kView,             // who folds the changes has the rows that the source has
  kAssertion,        // of the shipped code
};
std::string_view invariant_name(Invariant invariant);

class Oracle {
 public:
  // Who wrote under this name: a database that was restored from a backup or copied has several
  // histories. Empty: no such source.
  using Applications = std::function<std::vector<const Application*>(const std::string& source)>;
  using Violate = std::function<void(Invariant, std::string)>;

  Oracle(const FakeStore& store, Applications applications, Violate violate)
      : store_(store), applications_(std::move(applications)), violate_(std::move(violate)) {}

  void on_commit(const std::string& table, const std::string& metadata_location);
  // Another engine's, which wrote no rows.
  void on_foreign_commit(const std::string& table, const std::string& metadata_location);
  void on_renamed(const std::string& from, const std::string& to);
  // The catalog has it no more, though all of it is there.
  void on_dropped(const std::string& table);
  // The catalog is another one, or went back: each table is what its next commit says, or else what
  // the catalog says in the end. What was called persisted must be in it still.
  void on_catalog_changed();
  // To an older copy of it, or two parents have copies: one position means two things, and under
  // which writer epoch tells which.
  void on_journal_went_back() { journal_went_back_ = true; }
  bool is_unsettled(const std::string& table) const;
  // `load`: the catalog's, in the end.
  void settle(const std::function<std::optional<std::string>(const std::string& table)>& load);
  // Everything that `outbox` sent under its present epoch up to `lsn` must be in the lakehouse.
  void check_landed(const ModelOutbox& outbox, Lsn lsn, Invariant invariant,
                    const std::string& why);
  // How far everything that it sent under its present epoch is there.
  Lsn landed_through(const ModelOutbox& outbox) const;
  bool has_landed(const std::string& source, Epoch epoch, Lsn lsn) const;
  // Every change of this history must be there, under some epoch.
  void judge(const ModelOutbox& outbox, const std::string& when);
  // Every live file must be there still.
  void judge_files(const std::string& when);

  // The rows of one source as who folds them has them (tables.md, "Which row is it now?"): of each
  // table, by the key.
  using View = std::map<std::string, std::map<std::string, Columns>>;
  View view(const std::string& source) const;

  std::uint64_t rows() const { return rows_; }
  std::uint64_t commits() const { return commits_; }
  // Of each table, its name in the catalog and its newest metadata.
  std::map<std::string, std::string> locations() const;

 private:
  using Log = std::pair<std::string, std::uint64_t>;  // source, epoch
  struct File {
    std::size_t bytes = 0;
    std::vector<std::pair<Log, std::uint64_t>> rows;  // with their LSNs
  };
  struct Table {
    std::optional<table::Watermark> watermark;
    std::map<std::string, File> files;  // data files, by key
    std::map<Log, std::uint64_t> last;  // highest LSN
    std::string in_catalog, location;   // its name there, its newest metadata
    std::set<std::int32_t> column_ids, present_ids;
    std::int32_t last_column_id = 0;
    bool unsettled = false;  // see on_catalog_changed
  };
  struct Landed {
    std::string table;
    LandedRow row;
  };
  struct Span {
    std::uint64_t lowest = 0, highest = 0;
  };
  void check_watermark(const std::string& name, Table& table, const table::Watermark& now);
  void check_columns(const std::string& name, Table& table, const table::TableState& now);
  void forget_file(const std::string& name, Table& table, const std::string& key);
  Table* find(const std::string& in_catalog);
  void check_row(const std::string& table, LandedRow row);
  void take_file(const std::string& name, Table& table, const std::string& key,
                 const table::Schema& schema, std::map<Log, Span>& spans);

  const FakeStore& store_;
  Applications applications_;
  Violate violate_;
  std::map<std::string, Table> tables_;  // by what their folders are called, in lower case
  std::map<Log, std::map<std::uint64_t, Landed>> landed_;  // by LSN
  std::map<Log, std::uint64_t> checked_;                   // see check_landed
  std::map<Log, std::uint64_t> persisted_;                 // what was so called, by the last LSN
  struct Later {
    Log log;
    std::uint64_t from = 0, through = 0;
    Invariant invariant = Invariant::kNothingLost;
    std::string why;
  };
  bool catalog_changed_ = false;
  bool journal_went_back_ = false;
  std::vector<Later> later_;  // to be looked at when all is settled
  std::uint64_t rows_ = 0, commits_ = 0;
};

}  // namespace evodb::sim
