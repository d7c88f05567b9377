// Oracle: knows what the applications wrote, looks at every commit as a reader of the lakehouse,
// and says what the contract does not allow.
//
//   Oracle oracle(store, histories_of, violate);
//   catalog.on_commit([&](...) { oracle.on_commit(table, metadata_location); });
//   oracle.on_told_persisted(source, outbox, lsn);     // what an edge believes
//   oracle.judge(outbox);                              // at the end: is everything there?
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
#include <utility>
#include <vector>

#include "sim/seams/fake_store.h"
#include "sim/world/landed_rows.h"
#include "sim/world/model_outbox.h"
#include "table/append.h"

namespace evodb::sim {

class Oracle {
 public:
  // The lives of a source's log, the present one last: a database that was restored from a backup
  // has several. Empty: no such source.
  using Histories = std::function<std::vector<const ModelOutbox*>(const std::string& source)>;
  using Violate = std::function<void(std::string)>;

  Oracle(const FakeStore& store, Histories histories, Violate violate)
      : store_(store), histories_(std::move(histories)), violate_(std::move(violate)) {}

  void on_commit(const std::string& table, const std::string& metadata_location);
  // Everything that `outbox` sent under its present epoch up to `lsn` must be in the lakehouse.
  void check_landed(const ModelOutbox& outbox, Lsn lsn, const std::string& why);
  // How far everything that it sent under its present epoch is there.
  Lsn landed_through(const ModelOutbox& outbox) const;
  // Every change of the present history must be there, under some epoch, and every live file still.
  void judge(const ModelOutbox& outbox, const std::string& when);
  void judge_files(const std::string& when);

  std::uint64_t rows() const { return rows_; }
  std::uint64_t commits() const { return commits_; }

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
  Histories histories_;
  Violate violate_;
  std::map<std::string, Table> tables_;
  std::map<Log, std::map<std::uint64_t, Landed>> landed_;  // by LSN
  std::map<Log, std::uint64_t> checked_;                   // see check_landed
  std::uint64_t rows_ = 0, commits_ = 0;
};

}  // namespace evodb::sim
