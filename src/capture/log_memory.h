// LogMemory: what a process knows of the log in a database, to be held against the file before
// anything is done on the strength of it. The file is believed, never the memory: it may have been
// restored, written over, emptied, or another process may work on it.
//
//   CaptureState state = EVODB_TRY(require_state(db));
//   LogVerdict verdict = EVODB_TRY(compare(db, state, memory));
//   if (verdict.change == LogChange::kOther) {
//     ...                                            // verdict.why: for people
//   }
//
// Inside a transaction of the caller. Internal to capture.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "capture/outbox_tables.h"
#include "capture/sqlite_db.h"
#include "evodb/result.h"
#include "evodb/types.h"

namespace evodb::capture {

struct LogMemory {
  std::string source;
  std::uint64_t life = 0;
  Epoch epoch;
  Lsn trimmed;
  ChainHash trimmed_chain;
  Lsn seen;                      // the newest row that was seen
  std::uint64_t seen_hash = 0;   // its row_hash(); 0: none was
  std::int64_t definitions = 0;  // count_definitions()
  // To install capture again as it was:
  bool all_tables = true, paused = false;
  std::vector<SelectedName> selection;
};

enum class LogChange : std::uint8_t {
  kSame,     // and perhaps longer, or trimmed further
  kMovedOn,  // another process has opened it, begun an epoch, or installed capture anew
  kOther,    // not the log that was known: what is in it must be sent anew, as a new epoch
  kBroken,   // tables of ours lack what capture put there: capture must be installed anew
};

struct LogVerdict {
  LogChange change = LogChange::kSame;
  std::string why;
};

Result<LogVerdict> compare(const Database& db, const CaptureState& state, const LogMemory& memory);

// What the file says of itself, without a memory: kSame, kOther or kBroken.
Result<LogVerdict> check_itself(const Database& db, const CaptureState& state);

// The memory of this file as it is.
Result<LogMemory> remember(const Database& db, const CaptureState& state);

}  // namespace evodb::capture
