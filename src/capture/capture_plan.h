// CapturePlan: what must be done so that the right tables are captured by the right triggers, and
// the doing of it. Shared by install, refresh, status and begin_epoch. Internal to capture.
//
//   CapturePlan plan = EVODB_TRY(make_plan(db, state, selection, NewTables::kWait));
//   EVODB_TRY(apply_plan(db, plan, SnapshotRule::kAsNeeded));
//
// Both run inside the caller's transaction; make_plan also in one that only reads.
//
// When a table *begins anew* (RESET, then all its rows): whenever its triggers may have missed
// something, or its rows may not be those that the log knows.
//   - its triggers were away: made anew, dropped by somebody, paused
//   - a trigger of the application's was made after them and fired in front of them, unless it
//     cannot change the table (trigger_reach.h)
//   - its columns changed in any way but that some joined at the end (those are sent as SNAPSHOT)
//   - a default or a generated column reads otherwise: rows that do not store it changed
//   - a unique key is new: until the triggers know it, OR REPLACE takes rows away unseen
//   - it has another name (the old one is dropped), or had been captured before
//   - it has no key, and VACUUM gave its rows other rowids
//
// A table whose name looks like that of a migration's temporary table (looks_temporary) is captured
// only when it has been there for waiting_ms, which evodb_waiting keeps count of. Nothing is lost:
// what is written into it before is in its first snapshot.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "capture/install.h"
#include "capture/outbox_tables.h"
#include "capture/sqlite_db.h"
#include "capture/table_shape.h"
#include "capture/triggers.h"

namespace evodb::capture {

enum class Action : std::uint8_t {
  kNone,        // captured, nothing to do
  kCapture,     // was not captured
  kRedefine,    // its definition changed
  kRegenerate,  // only its triggers must be made again
};

struct PlannedTable {
  TableShape shape;
  CapturedTable table;           // as it will be: id and version are new for kCapture and kRedefine
  std::int64_t previous_id = 0;  // kRedefine: the definition that it replaces
  std::string previous_name;
  Action action = Action::kNone;
  bool reset = false;   // it begins anew
  bool joined = false;  // kRedefine: columns joined; rows that hold a value there are sent
  std::string why;      // for people, of any action
};

struct GoneTable {
  CapturedTable table;
  std::string reason;
};

struct WaitingTable {
  std::string name;
  std::int64_t since_ms = 0;  // wall clock
};

inline constexpr std::int64_t waiting_ms = 5'000;
bool looks_temporary(std::string_view table);

enum class NewTables : std::uint8_t {
  kAtOnce,  // somebody asked for it
  kWait,    // those that look temporary wait
};

struct CapturePlan {
  std::vector<PlannedTable> tables;  // all that will be captured
  std::vector<GoneTable> gone;       // captured until now, no more: dropped, or not chosen
  std::vector<std::int64_t> strays;  // slots of triggers that no definition knows
  std::string note;                  // for the triggers: repair.h
  std::vector<WaitingTable> waiting;
  bool waiting_changed = false;
  bool rowids_moved = false;
  std::vector<TableReason> skipped;
  std::vector<std::string> warnings;
  bool changes_nothing() const;
};

Result<CapturePlan> make_plan(const Database& db, const CaptureState& state,
                              const std::vector<SelectedName>& selection, NewTables new_tables);

// Value columns that evodb_outbox needs for all of them.
std::size_t width_for(const CapturePlan& plan);

enum class SnapshotRule : std::uint8_t {
  kNever,     // newly captured tables are not sent; those that need it are sent again all the same
  kAsNeeded,  // newly captured tables, and those that missed changes
  kAll,       // every table begins anew
};

// Short whatever the tables hold: their rows are queued, see resend.h. REQUIRES: the present
// format.
// `why_all`: the reason of those that do only by kAll.
Result<void> apply_plan(const Database& db, const CapturePlan& plan, SnapshotRule rule,
                        const std::string& why_all = "a new epoch begins");

Result<void> drop_triggers(const Database& db, std::int64_t slot);
Result<void> drop_all_triggers(const Database& db);

}  // namespace evodb::capture
