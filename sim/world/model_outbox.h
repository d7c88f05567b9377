// ModelOutbox: an application's database as its outbox shows it: rows of a few tables in memory,
// and the changes that triggers would have written, transaction by transaction. It survives every
// crash of the edge's process, as a file would. A copy of it is a backup, to be restored later.
//
//   ModelOutbox outbox({.source = "edge-3", .seed = 7});
//   outbox.transact(now);              // the application commits a few changes
//   edge::Uplink uplink(loop, random, outbox, options, observer);
//
// It is also the application's own memory of what it wrote, value by value: what the oracle holds
// against the lakehouse. Values are rendered here from docs/formats/tables.md, by no code of
// lake's.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "capture/outbox.h"
#include "sim/seams/seeded_random.h"
#include "sim/world/landed_rows.h"

namespace evodb::sim {

struct ModelOptions {
  std::string source;
  std::uint64_t seed = 1;       // of what the application writes
  std::uint64_t first_lsn = 0;  // its first change is the one after it
  bool odd_values = false;  // values of other classes than their column's, rows that cannot land
  bool has_lives = false;   // says in its hellos which life it is in (wire-v2.md, Copies)
};

class ModelOutbox final : public capture::Outbox, public Application {
 public:
  explicit ModelOutbox(const ModelOptions& options);

  // Everything that the application ever did: what must land.
  struct Change {
    Op op = Op::kInsert;
    std::size_t table = 0;
    Lsn lsn;
    UnixMillis committed_at;
    std::string key, before, after;  // encoded values, "" if absent
    std::string reason;
  };
  const Change& change(Lsn lsn) const { return written_[lsn.value - first_lsn_ - 1]; }
  const std::vector<wire::TableDef>& tables() const { return tables_; }

  // --- for a database that is a real one (sqlite_database.h): what capture decides
  void begin_at(Epoch epoch) { first_epoch_ = epoch_ = epoch; }
  void begin_with_snapshot(Epoch epoch);
  void note_captured(const capture::OutboxChange& change);

  // One committed transaction of one to five changes.
  void transact(UnixMillis now);
  // From here on it writes other things than the database that it is a copy of.
  void diverge(std::uint64_t seed) {
    random_ = SeededRandom(seed);
    life_ ^= seed;  // no life that the other one has, or will have
    open();
  }
  // By a process, while another one may not have closed it.
  void open() {
    if (has_lives_) life_ = SeededRandom(life_).next() | 1;
  }
  bool wrote(const std::string& table, const LandedRow& row) const override;
  bool labelled(const LandedRow& row) const override {
    const auto captured = captured_labels_.find(row.lsn.value);
    return captured == captured_labels_.end() ? row.txn == label(row.lsn)
                                              : captured->second.contains(row.txn.value);
  }
  std::uint64_t changes() const { return written_.size(); }
  Lsn first() const { return Lsn(first_lsn_ + 1); }
  // The chain hash over all that was written in the present epoch.
  ChainHash chain() const;
  // The transaction under which a change was first read; 0: it never was.
  TxnId label(Lsn lsn) const;
  Lsn head() const { return head_; }
  Lsn trimmed() const { return trimmed_; }
  Epoch epoch() const { return epoch_; }
  Epoch first_epoch() const { return first_epoch_; }
  // What lies at or before it was sent under epochs before this one.
  Lsn epoch_base() const { return epoch_base_; }
  const std::string& source() const { return source_; }
  // All that it ever had: as a copy it may have to take another one.
  const std::set<std::string>& names() const { return names_; }
  // The rows that are there now: of each table of the lakehouse, by id, as a reader shows them.
  std::map<std::string, std::map<std::string, Columns>> view() const;

  Result<capture::OutboxState> state() override;
  Result<void> read(Lsn after, capture::ChangeSink& sink) override;
  void resume_group(TxnId label) override { resumed_label_ = label; }
  Result<void> trim(Epoch epoch, Lsn through, ChainHash chain_at_through) override;
  Result<Epoch> begin_epoch(Epoch at_least) override;
  Result<Epoch> begin_as(const std::string& source, Epoch at_least) override;

 private:
  void append(Op op, std::size_t table, UnixMillis now, std::string before, std::string after);
  std::string encode_row(std::size_t table, std::int64_t id);
  Columns columns_of(const Change& change) const;
  TxnId label_of(Lsn lsn, Lsn visible);
  capture::OutboxChange view_of(const Change& change) const;

  std::string source_;
  std::set<std::string> names_;
  SeededRandom random_;
  std::uint64_t first_lsn_ = 0;
  bool odd_values_ = false;
  std::vector<wire::TableDef> tables_;
  std::vector<std::uint64_t> fingerprints_;
  std::vector<std::map<std::int64_t, std::string>> rows_;  // id -> encoded row, by table
  std::vector<Change> written_;  // the n-th has LSN first_lsn_ + n; held from trimmed_ on
  Epoch first_epoch_{1}, epoch_{1};
  bool has_lives_ = false;
  std::uint64_t life_ = 0;
  Lsn head_, trimmed_, epoch_base_;
  ChainHash trimmed_chain_;
  std::int64_t id_next_ = 1;
  TxnId resumed_label_;
  std::map<std::uint64_t, std::set<std::uint64_t>> captured_labels_;  // by LSN; see note_captured
  std::map<std::uint64_t, std::uint64_t> group_ends_;                 // last LSN of a group, itself
};

}  // namespace evodb::sim
