// The bytes of Ingest::save_sessions(): sessions for the process that takes their connections over.
// docs/formats/hand-over.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "evodb/result.h"
#include "evodb/types.h"
#include "ingest/session.h"

namespace evodb::ingest {

struct SessionRecord {
  std::uint32_t session = 0;  // as the gate that hands over numbers it
  SessionKind kind = SessionKind::kOrdered;
  bool superseded = false, starved = false;
  std::string_view source;
  Epoch epoch;                                                // kOrdered
  std::uint64_t life = 0;                                     // kOrdered; 0: its hello said none
  std::uint64_t granted_bytes = 0, granted_before_bytes = 0;  // told last, and before
  Lsn unordered_durable, unordered_persisted;                 // kUnordered
  struct Table {
    std::uint32_t table_ref = 0;
    std::uint32_t definition = 0;  // index

    friend bool operator==(const Table&, const Table&) = default;
  };
  std::vector<Table> tables;  // ascending by table_ref

  friend bool operator==(const SessionRecord&, const SessionRecord&) = default;
};

// Views into the bytes that were read.
struct SessionRecords {
  std::vector<std::string_view> definitions;  // wire::encode_table_def, each once
  std::vector<SessionRecord> sessions;

  friend bool operator==(const SessionRecords&, const SessionRecords&) = default;
};

std::string encode_session_records(const SessionRecords& records);
// Errors: kInvalid (damaged).
Result<SessionRecords> decode_session_records(std::string_view bytes);

}  // namespace evodb::ingest
