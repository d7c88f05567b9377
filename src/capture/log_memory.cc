#include "capture/log_memory.h"

#include <utility>

namespace evodb::capture {
namespace {

LogVerdict other(std::string why) { return {LogChange::kOther, std::move(why)}; }

std::string lsn_in_words(Lsn lsn) { return std::to_string(lsn.value); }

}  // namespace

Result<LogVerdict> check_itself(const Database& db, const CaptureState& state) {
  const Lsn head = EVODB_TRY(outbox_head(db));
  if (head < state.trimmed) {
    return other("evodb_outbox was emptied: it ends at LSN " + lsn_in_words(head) +
                 ", and changes up to " + lsn_in_words(state.trimmed) + " were acknowledged");
  }
  if (state.anchor != 0) {
    const bool anchored = EVODB_TRY(has_row(db, state.trimmed, state.anchor));
    if (!anchored) {
      return other("evodb_outbox was emptied: the row of LSN " + lsn_in_words(state.trimmed) +
                   " is not the one that capture keeps there");
    }
  }
  return LogVerdict{};
}

Result<LogVerdict> compare(const Database& db, const CaptureState& state, const LogMemory& memory) {
  const std::int64_t definitions = EVODB_TRY(count_definitions(db));
  if (state.source != memory.source) {
    return LogVerdict{LogChange::kMovedOn, "it is captured as source '" + state.source + "' now"};
  }
  if (state.epoch > memory.epoch) {
    return LogVerdict{LogChange::kMovedOn, "epoch " + std::to_string(state.epoch.value) +
                                               " was begun by another process"};
  }
  if (state.epoch < memory.epoch) {
    return other("the database was restored or replaced: its log is of epoch " +
                 std::to_string(state.epoch.value) + ", an older one");
  }
  if (state.trimmed < memory.trimmed) {
    return other("the database was restored or replaced: its log begins behind LSN " +
                 lsn_in_words(state.trimmed) + ", and changes up to " +
                 lsn_in_words(memory.trimmed) + " were acknowledged");
  }
  if (state.trimmed == memory.trimmed && state.trimmed_chain != memory.trimmed_chain) {
    return other(
        "the database was restored or replaced: other changes than its own were "
        "acknowledged up to LSN " +
        lsn_in_words(state.trimmed));
  }
  if (definitions < memory.definitions) {
    return LogVerdict{LogChange::kBroken,
                      "rows of evodb_tables, evodb_columns or evodb_selection were removed"};
  }
  const LogVerdict itself = EVODB_TRY(check_itself(db, state));
  if (itself.change != LogChange::kSame) return itself;
  // What lies below the mark of another process may be gone.
  if (memory.seen_hash != 0 && memory.seen >= state.trimmed) {
    const bool there = EVODB_TRY(has_row(db, memory.seen, memory.seen_hash));
    if (!there) {
      return other("the database was restored or replaced, or its log was cut: the change of LSN " +
                   lsn_in_words(memory.seen) + " is not the one that was there");
    }
  }
  if (state.life != memory.life) {
    return LogVerdict{LogChange::kMovedOn, "another process opened it"};
  }
  return LogVerdict{};
}

Result<LogMemory> remember(const Database& db, const CaptureState& state) {
  LogMemory memory{.source = state.source,
                   .life = state.life,
                   .epoch = state.epoch,
                   .trimmed = state.trimmed,
                   .trimmed_chain = state.trimmed_chain,
                   .seen = EVODB_TRY(outbox_head(db)),
                   .definitions = EVODB_TRY(count_definitions(db)),
                   .all_tables = state.all_tables,
                   .paused = state.paused,
                   .selection = EVODB_TRY(load_selection(db))};
  memory.seen_hash = EVODB_TRY(hash_of_row(db, memory.seen));
  return memory;
}

}  // namespace evodb::capture
