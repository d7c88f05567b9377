#include <algorithm>

#include "capture/capture_plan.h"
#include "capture/install.h"
#include "capture/repair.h"
#include "capture/resend.h"

namespace evodb::capture {
namespace {

// The held changes' size from a sample of the newest: exact figures would read them all.
Result<std::uint64_t> estimate_bytes(const Database& db, std::uint64_t changes) {
  constexpr std::int64_t sample_rows = 200;
  const std::int64_t columns = EVODB_TRY(db.integer(
      "SELECT count(*) FROM pragma_table_info('evodb_outbox', 'main') WHERE name GLOB 'v[0-9]*'"));
  std::string row = "8";
  for (std::int64_t i = 0; i < columns; ++i) {
    row += "+ifnull(length(CAST(v" + std::to_string(i) + " AS BLOB)),0)";
    // SQLite refuses expressions deeper than 1,000.
    if (i == 900) break;
  }
  const std::int64_t average =
      EVODB_TRY(db.integer("SELECT avg(bytes) FROM (SELECT " + row +
                           " AS bytes FROM main.evodb_outbox ORDER BY id DESC LIMIT " +
                           std::to_string(sample_rows) + ")"));
  return changes * static_cast<std::uint64_t>(average);
}

TableStatus status_of(const PlannedTable& planned) {
  TableStatus status;
  status.name = planned.shape.name;
  status.captured = planned.action != Action::kCapture;
  status.schema_version = planned.table.def.schema_version;
  if (planned.action == Action::kRedefine) --status.schema_version;
  if (!status.captured) {
    status.schema_version = 0;
    status.reason = "new; it is captured at the next install or by a running edge";
  } else if (planned.action != Action::kNone) {
    status.stale = true;
    status.reason = planned.why;
  }
  return status;
}

Result<CaptureStatus> status_of_remains(const Database& db, const Inspection& seen) {
  CaptureStatus status;
  status.source = seen.source;
  status.epoch = seen.epoch;
  status.trimmed = seen.trimmed;
  status.head = seen.trimmed;
  status.held_changes = EVODB_TRY(count_held(db, seen));
  status.all_tables = seen.all_tables;
  status.paused = seen.paused;
  status.broken = seen.what;
  status.writes_fail = seen.writes_fail;
  for (const FoundTable& found : EVODB_TRY(find_tables(db))) {
    TableStatus table;
    table.name = found.name;
    table.captured =
        std::find(seen.triggered.begin(), seen.triggered.end(), found.name) != seen.triggered.end();
    table.stale = table.captured;
    table.reason = table.captured ? "capture is not whole" : found.skip_reason.value_or("");
    status.tables.push_back(std::move(table));
  }
  status.warnings.push_back(
      std::string(seen.writes_fail ? "the application's writes to captured tables FAIL; " : "") +
      "capture install or a running edge repairs it: " + seen.what);
  return status;
}

}  // namespace

Result<CaptureStatus> status(const std::string& path) {
  const Database db = EVODB_TRY(Database::open(path, {}));
  const Transaction transaction = EVODB_TRY(Transaction::begin(db, Transaction::Kind::kRead));
  const Inspection seen = EVODB_TRY(inspect(db));
  if (seen.verdict == Verdict::kIncomplete || seen.verdict == Verdict::kBroken) {
    return status_of_remains(db, seen);
  }
  const CaptureState state = EVODB_TRY(require_state(db));
  const std::vector<SelectedName> selection = EVODB_TRY(load_selection(db));
  CapturePlan plan = EVODB_TRY(make_plan(db, state, selection, NewTables::kWait));

  CaptureStatus status;
  status.source = state.source;
  status.epoch = state.epoch;
  status.trimmed = state.trimmed;
  status.all_tables = state.all_tables;
  status.paused = state.paused;
  const Lsn newest = EVODB_TRY(outbox_head(db));
  status.head = std::max(newest, state.trimmed);
  status.held_changes = static_cast<std::uint64_t>(EVODB_TRY(db.integer(
      "SELECT count(*) FROM main.evodb_outbox WHERE id > " + std::to_string(state.trimmed.value) +
      " AND op <> " + std::to_string(op_before_half))));
  status.held_bytes = EVODB_TRY(estimate_bytes(db, status.held_changes));
  for (const PlannedTable& planned : plan.tables) {
    status.tables.push_back(status_of(planned));
    if (state.format < outbox_format) continue;
    status.tables.back().resending = EVODB_TRY(resent_rows(db, planned.table.slot)).has_value();
  }
  for (TableReason& skipped : plan.skipped) {
    TableStatus table;
    table.name = std::move(skipped.name);
    table.reason = std::move(skipped.reason);
    status.tables.push_back(std::move(table));
  }
  if (state.paused) {
    plan.warnings.insert(plan.warnings.begin(),
                         "capture is paused: changes are not captured until install runs");
  }
  status.warnings = std::move(plan.warnings);
  return status;
}

}  // namespace evodb::capture
