// Looks whether a capture is whole, and makes it whole.
//
//   const Inspection seen = EVODB_TRY(inspect(db));               // reads only
//   if (seen.verdict == Verdict::kBroken) say(seen.what);
//   const bool changed = EVODB_TRY(repair(db, {}, clock, random));
//
// Tools that own a schema drop what they do not know, all of it or only what is empty, and leave
// triggers whose tables are gone: then every write of the application fails. What is left is never
// trusted further than it goes:
//   incomplete   a table is missing or short of a column that holds nothing the log depends on: it
//                is made again, and every table begins anew (some resend may have been lost)
//   broken       the log, its definitions or its state are gone or contradict each other: all is
//                made anew, under a new epoch that is larger than any that can be known
// The source's name and what was chosen to be captured also stand in the triggers, for the case
// that evodb_state is gone. Where the choice is lost, only tables that still have triggers are
// captured: rather too few than one that was excluded. Internal to capture.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "capture/install.h"
#include "capture/outbox_tables.h"
#include "capture/sqlite_db.h"
#include "evodb/result.h"

namespace evodb::capture {

enum class Verdict : std::uint8_t { kAbsent, kWhole, kIncomplete, kBroken };

struct Inspection {
  Verdict verdict = Verdict::kAbsent;
  std::string what;          // for people: all that is wrong
  bool writes_fail = false;  // the application's, on captured tables
  // As far as it can be known.
  std::string source;  // "": not known
  Epoch epoch;
  Lsn trimmed;
  bool paused = false;
  bool all_tables = true;
  std::vector<SelectedName> selection;
  std::vector<std::string> triggered;  // tables that have triggers of ours
};

// Inside a transaction of the caller.
Result<Inspection> inspect(const Database& db);

// Rows of evodb_outbox beyond `trimmed`, if it is readable: they may be unsent.
Result<std::uint64_t> count_held(const Database& db, const Inspection& seen);

// What the triggers carry: see above.
std::string trigger_note(const CaptureState& state, bool excludes);

// The repair itself, up to the point where make_plan() and apply_plan(kAll) do the rest. Gives the
// state, which is saved. `source`: for one that is not known; "": a random name. REQUIRES: a write
// transaction, a verdict of kIncomplete or kBroken.
Result<CaptureState> make_whole(const Database& db, const Inspection& seen,
                                const std::string& source, base::Clock& clock,
                                base::Random& random);
// A name for a database that has none.
std::string random_source(base::Random& random);

}  // namespace evodb::capture
