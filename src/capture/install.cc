#include "capture/install.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/limits.h"
#include "capture/capture_plan.h"
#include "capture/memory_file.h"
#include "capture/refresh.h"
#include "capture/repair.h"
#include "capture/resend.h"
#include "wire/utf8.h"

namespace evodb::capture {
namespace {

// A database that somebody writes to without a pause is looked at for half a minute.
constexpr int looks_max = 6'000;
constexpr int look_again_us = 5'000;

// An epoch begins as the time in milliseconds, so that one that begins after remove() is larger.
CaptureState first_state(const InstallOptions& options, base::Clock& clock, base::Random& random) {
  CaptureState state;
  state.source = options.source.empty() ? random_source(random) : options.source;
  state.epoch.value = static_cast<std::uint64_t>(std::max<std::int64_t>(clock.wall().value, 1));
  state.all_tables = options.tables.empty();
  return state;
}

Result<void> check_source(const std::string& source) {
  if (source.size() > base::source_name_bytes_max || !wire::is_valid_utf8(source)) {
    return fail(ErrorKind::kInvalid, "the source's name must be UTF-8 of at most " +
                                         std::to_string(base::source_name_bytes_max) +
                                         " bytes; choose another with --source");
  }
  return {};
}

const FoundTable* find(const std::vector<FoundTable>& tables, const std::string& name) {
  const std::string folded = fold_name(name);
  const auto found = std::find_if(tables.begin(), tables.end(), [&](const FoundTable& table) {
    return fold_name(table.name) == folded;
  });
  return found == tables.end() ? nullptr : &*found;
}

Result<void> check_named_tables(const InstallOptions& options,
                                const std::vector<FoundTable>& tables) {
  for (const std::string& name : options.tables) {
    const FoundTable* const table = find(tables, name);
    if (table == nullptr) {
      return fail(ErrorKind::kInvalid, "no such table in '" + options.db + "': '" +
                                           printable(name) + "'; check its name");
    }
    if (table->skip_reason) {
      return fail(ErrorKind::kInvalid, "'" + printable(name) + "' in '" + options.db +
                                           "' cannot be captured: " + *table->skip_reason);
    }
  }
  return {};
}

// Adds what this run names to what earlier runs named.
void merge_selection(std::vector<SelectedName>& names, const InstallOptions& options) {
  const auto put = [&](const std::string& name, bool excluded) {
    const std::string folded = fold_name(name);
    std::erase_if(names, [&](const SelectedName& n) { return fold_name(n.name) == folded; });
    names.push_back({name, excluded});
  };
  for (const std::string& name : options.tables) put(name, false);
  for (const std::string& name : options.exclude) put(name, true);
}

void follow_renames(std::vector<SelectedName>& names, const CapturePlan& plan) {
  for (const PlannedTable& planned : plan.tables) {
    if (planned.previous_name.empty()) continue;
    for (SelectedName& selected : names) {
      if (!selected.excluded && fold_name(selected.name) == fold_name(planned.previous_name)) {
        selected.name = planned.shape.name;
      }
    }
  }
}

// Like save_selection, but leaves the table alone where nothing changes.
Result<bool> save_changed_selection(const Database& db, const std::vector<SelectedName>& names) {
  std::vector<SelectedName> before = EVODB_TRY(load_selection(db));
  const auto sorted = [](std::vector<SelectedName> list) {
    std::vector<std::pair<std::string, bool>> out;
    for (const SelectedName& n : list) out.emplace_back(n.name, n.excluded);
    std::sort(out.begin(), out.end());
    return out;
  };
  if (sorted(std::move(before)) == sorted(names)) return false;
  EVODB_TRY(save_selection(db, names));
  return true;
}

void describe(const CapturePlan& plan, InstallReport& report) {
  for (const PlannedTable& planned : plan.tables) {
    report.captured.push_back(planned.shape.name);
    if (report.already_installed && planned.reset) {
      report.warnings.push_back("table '" + printable(planned.shape.name) +
                                "' begins anew and is sent again: " + planned.why);
    }
  }
  report.skipped = plan.skipped;
  report.warnings.insert(report.warnings.end(), plan.warnings.begin(), plan.warnings.end());
}

Result<void> check_same_source(const InstallOptions& options, const CaptureState& state) {
  if (options.source.empty() || options.source == state.source) return {};
  return fail(ErrorKind::kInvalid, "'" + options.db + "' is captured already as source '" +
                                       state.source +
                                       "'; leave out --source, or remove capture first");
}

Result<InstallReport> install_in(const Database& db, const InstallOptions& options,
                                 base::Clock& clock, base::Random& random) {
  InstallReport report;
  const Inspection seen = EVODB_TRY(inspect(db));
  const bool repairs = seen.verdict == Verdict::kIncomplete || seen.verdict == Verdict::kBroken;
  std::optional<CaptureState> stored;
  if (repairs) {
    stored = EVODB_TRY(make_whole(db, seen, options.source, clock, random));
    report.warnings.push_back("capture was repaired, every table begins anew: " + seen.what);
  } else {
    stored = EVODB_TRY(load_state(db));
  }
  report.already_installed = stored.has_value();
  if (stored) EVODB_TRY(check_same_source(options, *stored));
  CaptureState state = stored ? *stored : first_state(options, clock, random);

  std::vector<SelectedName> selection;
  if (stored) selection = EVODB_TRY(load_selection(db));
  merge_selection(selection, options);
  const std::vector<FoundTable> found = EVODB_TRY(find_tables(db));
  EVODB_TRY(check_named_tables(options, found));
  for (const std::string& name : options.exclude) {
    if (find(found, name) == nullptr) {
      report.warnings.push_back("--exclude names '" + printable(name) + "', which does not exist");
    }
  }

  const CapturePlan plan = EVODB_TRY(make_plan(db, state, selection, NewTables::kAtOnce));
  if (plan.tables.empty() && !stored) {
    return fail(
        ErrorKind::kInvalid,
        "nothing to capture in '" + options.db + "': " +
            (plan.skipped.empty() ? "it has no tables; create them first"
                                  : "every table is excluded or of a kind without triggers"));
  }
  report.changed = repairs || !stored || state.paused || state.format != outbox_format ||
                   !plan.changes_nothing();
  if (!stored) EVODB_TRY(create_outbox_tables(db, width_for(plan)));
  EVODB_TRY(upgrade_outbox_tables(db, state));
  if (report.changed) {
    const SnapshotRule rule = repairs            ? SnapshotRule::kAll
                              : options.snapshot ? SnapshotRule::kAsNeeded
                                                 : SnapshotRule::kNever;
    EVODB_TRY(apply_plan(db, plan, rule, "capture was repaired"));
    state.paused = false;
    EVODB_TRY(save_state(db, state));
  }
  follow_renames(selection, plan);
  const bool selected = EVODB_TRY(save_changed_selection(db, selection));
  report.changed = report.changed || selected;
  report.source = state.source;
  report.epoch = state.epoch;
  describe(plan, report);
  return report;
}

Result<InstallReport> install_once(const Database& db, const InstallOptions& options,
                                   base::Clock& clock, base::Random& random) {
  Transaction transaction = EVODB_TRY(Transaction::begin(db, Transaction::Kind::kWrite));
  InstallReport report = EVODB_TRY(install_in(db, options, clock, random));
  if (report.changed) EVODB_TRY(transaction.commit());
  return report;
}

// Rows of queued tables that are not in the outbox yet, about: the application writes on.
Result<std::uint64_t> count_pending_rows(const Database& db) {
  const Transaction transaction = EVODB_TRY(Transaction::begin(db, Transaction::Kind::kRead));
  std::uint64_t pending = 0;
  for (const CapturedTable& table : EVODB_TRY(load_captured(db))) {
    if (!table.active) continue;
    const auto sent = EVODB_TRY(resent_rows(db, table.slot));
    if (!sent) continue;
    const std::int64_t rows =
        EVODB_TRY(db.integer("SELECT count(*) FROM main." + quote_name(table.def.name)));
    pending += static_cast<std::uint64_t>(rows) - std::min(*sent, static_cast<std::uint64_t>(rows));
  }
  return pending;
}

// Between two chunks of ours, as long as the last one took: who waits for the lock asks for it again
// and again, and finds it free half of the time.
class Turns {
 public:
  Turns(const Database& db, base::Clock& clock)
      : db_(db), clock_(clock), began_(clock.monotonic()) {}
  // The last chunk is done, another one follows.
  void give() {
    const std::int64_t took_ms = clock_.monotonic().value - began_.value;
    db_.sleep_ms(std::clamp(took_ms, pause_ms_min, pause_ms_max));
    began_ = clock_.monotonic();
  }

 private:
  // Whoever has waited longest with SQLite's own busy handler asks each 100 ms.
  static constexpr std::int64_t pause_ms_min = 4, pause_ms_max = 250;
  const Database& db_;
  base::Clock& clock_;
  base::MonotonicMillis began_;
};

// What is there already, in chunks; what would make the file much larger is left to the edge.
Result<void> send_rows(const Database& db, base::Clock& clock, InstallReport& report) {
  Resender resender;
  Turns turns(db, clock);
  std::size_t bytes = 0;
  for (bool pending = true; pending && bytes < resend_ahead_bytes;) {
    if (bytes > 0) turns.give();
    const ResendStep step = EVODB_TRY(resender.step(db, &clock, {}));
    if (step.stale) break;  // a schema change since: refresh() judges it, whoever calls it next
    report.snapshot_rows += step.rows;
    report.changed = report.changed || step.rows > 0;
    bytes += step.bytes;
    pending = step.pending;
  }
  report.pending_rows = EVODB_TRY(count_pending_rows(db));
  report.snapshot_rows += report.pending_rows;
  return {};
}

}  // namespace

Result<InstallReport> install(const InstallOptions& options, base::Clock& clock,
                              base::Random& random) {
  EVODB_TRY(check_source(options.source));
  const Database db = EVODB_TRY(Database::open(options.db, {options.busy_timeout_ms, options.vfs}));
  EVODB_TRY(db.check_writable());
  InstallReport report = EVODB_TRY(install_once(db, options, clock, random));
  EVODB_TRY(send_rows(db, clock, report));
  return report;
}

Result<RefreshReport> refresh(const Database& db, const std::function<Result<void>()>& check) {
  RefreshReport report;
  const auto note_waiting = [&](const CapturePlan& plan) {
    for (const WaitingTable& table : plan.waiting) {
      const std::int64_t due = table.since_ms + waiting_ms;
      report.again_at_ms = std::min(report.again_at_ms.value_or(due), due);
    }
  };
  const bool nothing = EVODB_TRY(consistently(db, [&]() -> Result<bool> {
    if (check) EVODB_TRY(check());
    const CaptureState state = EVODB_TRY(require_state(db));
    if (state.paused) return true;
    const std::vector<SelectedName> selection = EVODB_TRY(load_selection(db));
    const CapturePlan plan = EVODB_TRY(make_plan(db, state, selection, NewTables::kWait));
    note_waiting(plan);
    return plan.changes_nothing() && state.format == outbox_format;
  }));
  if (nothing) return report;
  Transaction transaction = EVODB_TRY(Transaction::begin(db, Transaction::Kind::kWrite));
  if (check) EVODB_TRY(check());
  CaptureState state = EVODB_TRY(require_state(db));
  if (state.paused) return report;
  EVODB_TRY(upgrade_outbox_tables(db, state));
  std::vector<SelectedName> selection = EVODB_TRY(load_selection(db));
  const CapturePlan plan = EVODB_TRY(make_plan(db, state, selection, NewTables::kWait));
  EVODB_TRY(apply_plan(db, plan, SnapshotRule::kAsNeeded));
  follow_renames(selection, plan);
  const bool selected = EVODB_TRY(save_changed_selection(db, selection));
  static_cast<void>(selected);
  EVODB_TRY(transaction.commit());
  report = {.changed = true};
  note_waiting(plan);
  return report;
}

Result<bool> refresh(const std::string& path) {
  const Database db = EVODB_TRY(Database::open(path, {}));
  const RefreshReport done = EVODB_TRY(refresh(db));
  Resender resender;
  for (bool pending = true; pending;) {
    const ResendStep step = EVODB_TRY(resender.step(db, nullptr, {}));
    if (step.stale) EVODB_TRY(refresh(db));
    pending = step.pending;
  }
  return done.changed;
}

Result<bool> repair(const Database& db, const std::string& source, base::Clock& clock,
                    base::Random& random) {
  const auto needed = [&](const Inspection& seen) -> Result<bool> {
    if (seen.verdict == Verdict::kAbsent) {
      return fail(ErrorKind::kNotFound, "'" + db.path() + "' is not captured");
    }
    return seen.verdict != Verdict::kWhole;
  };
  const auto look = [&] {
    return consistently(db, [&]() -> Result<bool> { return needed(EVODB_TRY(inspect(db))); });
  };
  auto seems_broken = look();
  // Without a lock (polite_vfs.h): between two writes of the application.
  for (int i = 0; db.polite() != nullptr && i < looks_max; ++i) {
    if (seems_broken || seems_broken.error().kind != ErrorKind::kRetry) break;
    db.polite()->sleep_us(look_again_us);
    seems_broken = look();
  }
  if (!EVODB_TRY(std::move(seems_broken))) return false;
  Transaction transaction = EVODB_TRY(Transaction::begin(db, Transaction::Kind::kWrite));
  const Inspection seen = EVODB_TRY(inspect(db));
  const bool broken = EVODB_TRY(needed(seen));
  if (!broken) return false;
  const CaptureState state = EVODB_TRY(make_whole(db, seen, source, clock, random));
  if (!state.paused) {
    const std::vector<SelectedName> selection = EVODB_TRY(load_selection(db));
    const CapturePlan plan = EVODB_TRY(make_plan(db, state, selection, NewTables::kWait));
    EVODB_TRY(apply_plan(db, plan, SnapshotRule::kAll, "capture was repaired"));
  }
  EVODB_TRY(transaction.commit());
  return true;
}

Result<bool> repair(const std::string& path, const std::string& source, base::Clock& clock,
                    base::Random& random) {
  const Database db = EVODB_TRY(Database::open(path, {.polite = true}));
  EVODB_TRY(db.check_writable());
  return repair(db, source, clock, random);
}

Result<void> pause(const std::string& path) {
  const Database db = EVODB_TRY(Database::open(path, {}));
  EVODB_TRY(db.check_writable());
  Transaction transaction = EVODB_TRY(Transaction::begin(db, Transaction::Kind::kWrite));
  CaptureState state = EVODB_TRY(require_state(db));
  if (state.paused) return {};
  EVODB_TRY(upgrade_outbox_tables(db, state));
  EVODB_TRY(drop_all_triggers(db));
  state.paused = true;
  EVODB_TRY(save_state(db, state));
  return transaction.commit();
}

Result<void> remove(const std::string& path, bool force) {
  const Database db = EVODB_TRY(Database::open(path, {}));
  EVODB_TRY(db.check_writable());
  Transaction transaction = EVODB_TRY(Transaction::begin(db, Transaction::Kind::kWrite));
  const Inspection seen = EVODB_TRY(inspect(db));
  if (seen.verdict == Verdict::kAbsent) {
    return fail(ErrorKind::kInvalid, "'" + path + "' is not captured: there is nothing to remove");
  }
  // With force a state that does not hold is no reason to stay.
  if (!force && seen.verdict == Verdict::kWhole) EVODB_TRY(require_state(db));
  const std::uint64_t held = EVODB_TRY(count_held(db, seen));
  if (!force && held > 0) {
    return fail(ErrorKind::kInvalid,
                "'" + path + "' holds " + std::to_string(held) +
                    " changes that no parent has acknowledged; run evodb edge until they are "
                    "sent, or use --force to throw them away");
  }
  EVODB_TRY(drop_all_triggers(db));
  EVODB_TRY(drop_outbox_tables(db));
  EVODB_TRY(transaction.commit());
  forget_memory(path);
  return {};
}

}  // namespace evodb::capture
