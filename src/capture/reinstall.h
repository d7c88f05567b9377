// Reinstall: capture is put into a database again by an edge that knows how it was, after somebody
// dropped or emptied its tables, or put another file in their place.
//
//   Transaction transaction = EVODB_TRY(Transaction::begin(db, Transaction::Kind::kWrite));
//   CaptureState state = EVODB_TRY(reinstall(db, memory, at_least, "emptied"));
//   EVODB_TRY(transaction.commit());
//
// What is left of capture there is taken away, changes that were not sent included: every table is
// sent anew, under the same source name and selection, as an epoch of at least `at_least`, with
// LSNs that go on behind those that were seen. (repair.h is for whoever knows nothing but what is
// left.) Internal to capture.
#pragma once

#include "capture/log_memory.h"
#include "capture/outbox_tables.h"
#include "capture/sqlite_db.h"
#include "evodb/result.h"
#include "evodb/types.h"

namespace evodb::capture {

// `why`: the reason of the RESETs.
Result<CaptureState> reinstall(const Database& db, const LogMemory& memory, Epoch at_least,
                               const std::string& why);

}  // namespace evodb::capture
