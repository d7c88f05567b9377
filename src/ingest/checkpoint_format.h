// The bytes of Ingest::checkpoint(). docs/formats/journal.md, Checkpoints.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "evodb/result.h"
#include "evodb/types.h"
#include "ingest/lives.h"
#include "ingest/unordered_table.h"
#include "journal/journal.h"

namespace evodb::ingest {

struct CheckpointMark {
  std::string_view source;
  Epoch epoch;
  bool rebuilt = false;
  Lsn durable, persisted;
  ChainHash chain;
  TxnId txn;

  friend bool operator==(const CheckpointMark&, const CheckpointMark&) = default;
};

class CheckpointWriter {
 public:
  CheckpointWriter(journal::JournalId journal, Position position, std::uint64_t marks);
  void add_mark(const CheckpointMark& mark);        // as often as said above
  void add_unordered(const UnorderedTable& table);  // once, behind them
  void add_copied(const Lives& lives);              // once, last
  std::string finish();

 private:
  std::string out_;
};

// Views into the bytes that were read.
struct CheckpointContents {
  journal::JournalId journal;
  Position position;
  std::vector<CheckpointMark> marks;
  struct Unordered {
    std::string_view source;
    std::vector<LsnRun> runs;
  };
  std::vector<Unordered> unordered;
  std::vector<Lives::Copied> copied;
};

// Errors: kCorrupt (checksum or structure), kInvalid (a later format).
Result<CheckpointContents> read_checkpoint(std::string_view bytes);

}  // namespace evodb::ingest
