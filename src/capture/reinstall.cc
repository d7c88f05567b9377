#include "capture/reinstall.h"

#include "capture/capture_plan.h"

namespace evodb::capture {
Result<CaptureState> reinstall(const Database& db, const LogMemory& memory, Epoch at_least,
                               const std::string& why) {
  EVODB_TRY(drop_all_triggers(db));
  EVODB_TRY(drop_outbox_tables(db));
  CaptureState state;
  state.source = memory.source;
  state.epoch = at_least;
  state.all_tables = memory.all_tables;
  state.paused = memory.paused;
  state.trimmed = memory.seen;
  state.dense_after = memory.seen;
  const CapturePlan plan = EVODB_TRY(make_plan(db, state, memory.selection, NewTables::kWait));
  EVODB_TRY(create_outbox_tables(db, width_for(plan)));
  EVODB_TRY(db.run("UPDATE main.evodb_outbox SET id = " + std::to_string(memory.seen.value)));
  EVODB_TRY(save_selection(db, memory.selection));
  if (!state.paused) {
    EVODB_TRY(apply_plan(db, plan, SnapshotRule::kAll, why));
  }
  EVODB_TRY(begin_life(db, state));
  EVODB_TRY(save_state(db, state));
  return state;
}

}  // namespace evodb::capture
