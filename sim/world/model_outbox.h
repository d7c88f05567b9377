// ModelOutbox: an application's database as its outbox shows it: rows of a few tables in memory,
// and the changes that triggers would have written, transaction by transaction. It survives every
// crash of the edge's process, as a file would. A copy of it is a backup, to be restored later.
//
//   ModelOutbox outbox("edge-3", random);
//   outbox.transact(now);              // the application commits a few changes
//   Uplink uplink(loop, random, outbox, ...);
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "capture/outbox.h"
#include "sim/world/landed_rows.h"

namespace evodb::sim {

class ModelOutbox final : public capture::Outbox {
 public:
  ModelOutbox(std::string source, base::Random& random);

  // One committed transaction of one to five changes.
  void transact(UnixMillis now);
  // Everything that the application ever did: what must land. The n-th has LSN n, from 1.
  struct Written {
    Op op = Op::kInsert;
    std::string table;
    UnixMillis committed_at;
    std::string before, after;  // encoded values, "" if absent
  };
  const std::vector<Written>& written() const { return written_; }
  // As the columns of a changes table; see landed_rows.h.
  Columns columns_of(Lsn lsn) const;
  // The transaction under which a change was first read; 0: it never was.
  TxnId label(Lsn lsn) const;
  Lsn head() const { return head_; }
  Lsn trimmed() const { return trimmed_; }
  Epoch epoch() const { return epoch_; }
  // What lies at or before it was sent under epochs before this one.
  Lsn epoch_base() const { return epoch_base_; }
  const std::string& source() const { return source_; }

  Result<capture::OutboxState> state() override;
  Result<void> read(Lsn after, capture::ChangeSink& sink) override;
  void resume_group(TxnId label) override { resumed_label_ = label; }
  Result<void> trim(Lsn through, ChainHash chain_at_through) override;
  Result<Epoch> begin_epoch(Epoch at_least) override;

 private:
  struct Change {
    Op op = Op::kInsert;
    std::size_t table = 0;
    Lsn lsn;
    UnixMillis committed_at;
    std::string before, after;  // encoded values, "" if absent
  };
  void append(Op op, std::size_t table, UnixMillis now, std::string before, std::string after);
  std::string encode_row(std::size_t table, std::int64_t id);
  TxnId label_of(Lsn lsn, Lsn visible);

  std::string source_;
  base::Random& random_;
  std::vector<wire::TableDef> tables_;
  std::vector<std::uint64_t> fingerprints_;
  std::vector<std::map<std::int64_t, std::string>> rows_;  // id -> encoded row, by table
  std::deque<Change> held_;
  std::vector<Written> written_;
  Epoch epoch_{1};
  Lsn head_, trimmed_, epoch_base_;
  ChainHash trimmed_chain_;
  std::int64_t id_next_ = 1;
  TxnId resumed_label_;
  std::map<std::uint64_t, std::uint64_t> group_ends_;  // last LSN of a group, itself
};

}  // namespace evodb::sim
