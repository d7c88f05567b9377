// Oracle: knows what the applications wrote, looks at every commit as a reader of the lakehouse,
// and says what the contract does not allow.
//
//   Oracle oracle(store, applications_of, violate);
//   catalog.on_commit([&](...) { oracle.on_commit(table, metadata_location); });
//   oracle.check_landed(outbox, lsn, Invariant::kPersistedBeforeCommit, "was told persisted");
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

  std::uint64_t rows() const { return rows_; }
  std::uint64_t commits() const { return commits_; }
  const std::map<std::string, std::string>& locations() const { return locations_; }

 private:
  using Log = std::pair<std::string, std::uint64_t>;  // source, epoch
  struct Table {
    std::optional<table::Watermark> watermark;
    std::map<std::string, std::size_t> files;  // data files' keys, sizes
    std::map<Log, std::uint64_t> last;         // highest LSN
  };
  struct Landed {
    std::string table;
    LandedRow row;
  };
  struct Span {
    std::uint64_t lowest = 0, highest = 0;
  };
  void check_watermark(const std::string& name, Table& table, const table::Watermark& now);
  void check_row(const std::string& table, LandedRow row);
  void take_file(const std::string& name, Table& table, const std::string& key,
                 std::map<Log, Span>& spans);

  const FakeStore& store_;
  Applications applications_;
  Violate violate_;
  std::map<std::string, Table> tables_;
  std::map<std::string, std::string> locations_;           // of each table's newest metadata
  std::map<Log, std::map<std::uint64_t, Landed>> landed_;  // by LSN
  std::map<Log, std::uint64_t> checked_;                   // see check_landed
  std::uint64_t rows_ = 0, commits_ = 0;
};

}  // namespace evodb::sim
