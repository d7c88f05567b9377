// ParentModel: what a parent knows of one source, and the tables that a reader would rebuild from
// it. A model of ingest's rules for one ordered source that waits for `persisted`, for workloads
// that are about the edge's disk: it never crashes, and whatever it takes is persisted at once.
//
//   const bool new_epoch = EVODB_TRY(parent.connect(outbox));   // began one: histories differ
//   EVODB_TRY(parent.receive(outbox));                          // takes what is new
//   EVODB_TRY(outbox.trim(parent.epoch(), parent.received(), parent.chain()));
//
// Errors of kind kInternal are violations: a gap, a change that does not fit the rows before it.
// All others are the outbox's own.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "capture/outbox.h"

namespace evodb::sim {

class ParentModel {
 public:
  // As hello, welcome and the walk that follows: says whether a new epoch was begun.
  Result<bool> connect(capture::Outbox& outbox);
  Result<void> receive(capture::Outbox& outbox);

  Lsn received() const { return received_; }
  ChainHash chain() const { return chain_; }
  Epoch epoch() const { return epoch_; }
  // Encoded rows by table and encoded key, as the changes of this epoch leave them.
  using Rows = std::map<std::string, std::string>;
  const std::map<std::string, Rows>& tables() const { return tables_; }
  std::uint64_t changes() const { return changes_; }

 private:
  friend class ParentSink;
  Result<void> diverges(capture::Outbox& outbox, const capture::OutboxState& state, bool* differs);
  Result<void> apply(const capture::OutboxChange& change);

  Epoch epoch_, newest_epoch_;
  bool whole_ = true;  // this epoch began with an empty log: changes must fit each other
  Lsn received_;
  ChainHash chain_;
  std::map<std::string, Rows> tables_;
  std::uint64_t changes_ = 0;  // ever taken
};

}  // namespace evodb::sim
