// SentBatch: what an outbox gives is put into a batch as an uplink does it, and read as a parent
// reads it. For fuzz targets of damaged outboxes: an error is fine, a batch that no parent takes is
// not.
//
//   SentBatch sent(state.trimmed);
//   const auto read = outbox.read(state.trimmed, sent);
//   sent.check();
#pragma once

#include <string>
#include <variant>

#include "base/assert.h"
#include "capture/outbox.h"
#include "edge/batch_assembler.h"
#include "wire/change.h"
#include "wire/frame.h"

namespace evodb::fuzz {

class SentBatch final : public capture::ChangeSink {
 public:
  explicit SentBatch(Lsn after) : last(after) {
    assembler_.begin_session();
    assembler_.begin_batch(after, ChainHash());
  }
  bool take(const capture::OutboxChange& change) override {
    EVODB_ASSERT(change.lsn > last, "changes in order");
    last = change.lsn;
    last_after = std::string(change.after.bytes);
    EVODB_ASSERT(!groups_end_behind || change.txn.value >= change.lsn.value,
                 "a group ends at or behind its change");
    return assembler_.add(change);
  }
  // Everything taken must be what a parent takes.
  void check() {
    if (assembler_.count() == 0) return;
    std::string bytes;
    assembler_.finish(bytes);
    const auto frame = wire::decode_frame(bytes);
    EVODB_ASSERT(frame.has_value(), "a frame that nobody can read");
    wire::BatchReader reader(std::get<wire::Batch>(*frame).body);
    std::uint32_t ref = 0;
    for (wire::TableDef def; reader.next_table(&ref, &def);) {
    }
    for (wire::ChangeView change; reader.next(&change);) {
    }
    EVODB_ASSERT(reader.status().has_value(), reader.status().error().text.c_str());
  }

  bool groups_end_behind = false;  // capture's outbox: a label is its group's last LSN
  Lsn last;
  std::string last_after;  // encoded values of the newest change

 private:
  edge::BatchAssembler assembler_;
};

}  // namespace evodb::fuzz
