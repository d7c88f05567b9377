// What one RecordType::kBatch record of the journal holds: who sent it, and a batch body just as it
// came, so that nothing is encoded twice on the way in.
//
// The body refers to tables by the session's numbers; the record maps them to fingerprints, whose
// definitions stand in the same segment before it (RecordType::kTableDef). A segment can therefore
// be read by itself. Format: docs/formats/journal.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "evodb/result.h"
#include "evodb/types.h"

namespace evodb::ingest {

struct TableMapping {
  std::uint32_t table_ref = 0;
  std::uint64_t fingerprint = 0;
};

struct BatchRecord {
  std::string_view source;
  Epoch epoch;
  bool ordered = true;
  UnixMillis received_at;
  Lsn skip_through;  // ordered: changes up to here were duplicates; do not land them. 0: none
  Lsn last_lsn;
  ChainHash chain_after;
  TxnId last_txn;
  std::uint32_t change_count = 0;    // that are to be landed
  std::vector<TableMapping> tables;  // those its changes refer to
  std::string_view body;             // wire batch body; read with wire::BatchReader
};

// The part before the body, for Journal::append({prefix, body}).
void encode_batch_record_prefix(std::string& out, const BatchRecord& record);
Result<BatchRecord> decode_batch_record(std::string_view payload);

}  // namespace evodb::ingest
