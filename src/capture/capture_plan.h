// CapturePlan: what must be done so that the right tables are captured by the right triggers, and
// the doing of it. Shared by install, refresh, status and begin_epoch. Internal to capture.
//
//   CapturePlan plan = EVODB_TRY(make_plan(db, state, selection));
//   ApplyReport done = EVODB_TRY(apply_plan(db, plan, SnapshotRule::kAsNeeded));
//
// Both run inside the caller's transaction.
#pragma once

#include <cstdint>
#include <string>
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
  bool resend = false;  // changes may have been missed: its rows must be sent again
  std::vector<std::string> added_columns;  // kRedefine
  std::string why;                         // for people, of any action
};

struct CapturePlan {
  std::vector<PlannedTable> tables;  // all that will be captured
  std::vector<CapturedTable> gone;   // captured until now, no more: dropped, or not chosen
  std::vector<TableReason> skipped;
  std::vector<std::string> warnings;
  bool changes_nothing() const;
};

Result<CapturePlan> make_plan(const Database& db, const CaptureState& state,
                              const std::vector<SelectedName>& selection);

// Value columns that evodb_outbox needs for all of them.
std::size_t width_for(const CapturePlan& plan);

enum class SnapshotRule : std::uint8_t {
  kNever,     // newly captured tables are not sent; those that need it are sent again all the same
  kAsNeeded,  // newly captured tables, and those that missed changes
  kAll,       // a new epoch: every row of every table
};

struct ApplyReport {
  std::uint64_t snapshot_rows = 0;
};

Result<ApplyReport> apply_plan(const Database& db, const CapturePlan& plan, SnapshotRule rule);

Result<void> drop_triggers(const Database& db, std::int64_t slot);
Result<void> drop_all_triggers(const Database& db);

}  // namespace evodb::capture
