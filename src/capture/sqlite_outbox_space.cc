// Disk space for the outbox: held in reserve, and what happens when there is no more.
//
// `evodb_state.full` says that this is why capture stopped ('pause', beside `paused`) or that
// writes fail ('block'), so that another edge process goes on from there. It has no part in `sum`.
#include <algorithm>
#include <cmath>
#include <utility>

#include "capture/capture_plan.h"
#include "capture/sqlite_outbox.h"

namespace evodb::capture {
namespace {

constexpr std::int64_t look_ms = 1'000;
// On a full disk an outbox of less is not what fills it.
constexpr std::uint64_t worth_stopping_bytes = 1u << 20;

// A sample ends with the row that reaches any of these.
constexpr std::uint64_t sample_rows_max = 64;
constexpr std::uint64_t sample_bytes_max = 1u << 20;
// Of a row in SQLite's file, about, besides its texts and blobs.
constexpr std::uint64_t row_bytes = 24, value_bytes = 8;

// The i-th of points that are spread evenly over 0 to n - 1 however many of them are taken: multiples
// of the golden ratio, without their whole part.
std::uint64_t spread(std::uint64_t i, std::uint64_t n) {
  constexpr double golden = 0.618033988749894848;
  const double at = golden * static_cast<double>(i);
  return std::min(n - 1,
                  static_cast<std::uint64_t>((at - std::floor(at)) * static_cast<double>(n)));
}

constexpr const char* full_key = "SELECT value FROM main.evodb_state WHERE key = 'full'";
constexpr const char* block_trigger = "evodb_full";

Result<void> set_full(const Database& db, const char* how) {
  return db.run(std::string("INSERT INTO main.evodb_state(key, value) VALUES('full', '") + how +
                "') ON CONFLICT(key) DO UPDATE SET value = excluded.value");
}

Result<std::string> full_of(const Database& db) {
  Statement found = EVODB_TRY(db.prepare(full_key));
  const bool any = EVODB_TRY(found.step());
  std::string how = any ? std::string(found.text(0)) : "";
  found.reset();
  return how;
}

std::string mib(std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

Result<std::uint64_t> SqliteOutbox::weigh(Lsn after, Lsn head) {
  const std::uint64_t held = head.value - after.value;
  std::uint64_t rows = 0, bytes = 0;
  for (std::uint64_t i = 0; i < std::min(held, sample_rows_max) && bytes < sample_bytes_max; ++i) {
    const std::uint64_t at = after.value + 1 + (held <= sample_rows_max ? i : spread(i, held));
    const auto row = EVODB_TRY(db_.kept("SELECT * FROM main.evodb_outbox WHERE id = ?1"));
    row->bind(1, static_cast<std::int64_t>(at));
    const bool found = EVODB_TRY(row->step());
    if (!found) continue;
    ++rows;
    bytes += row_bytes;
    for (int column = outbox_value_column; column < row->column_count(); ++column) {
      if (!row->value(column).is_null()) bytes += value_bytes + row->payload_bytes(column);
    }
  }
  return rows == 0 ? 0 : bytes * held / rows;
}

Result<void> SqliteOutbox::look_after_space() {
  if (!space_ || abandoned_ || stale_) return {};
  const auto now = clock_->monotonic();
  if (space_seen_at_ && now.value - space_seen_at_->value < look_ms) return {};
  // What is not whole is judged by whoever looks at the log; it has no outbox to be measured.
  const auto whole = consistently(db_, [&] { return what_is_installed(db_); });
  if (!whole || *whole != Installed::kYes) return {};
  if (!space_seen_at_) {
    stopped_for_space_ = !EVODB_TRY(consistently(db_, [&] { return full_of(db_); })).empty();
  }
  space_seen_at_ = now;
  const bool reserved = space_->keep();
  const Lsn head = EVODB_TRY(consistently(db_, [&] { return outbox_head(db_); }));
  const Lsn mark = memory_.trimmed;
  held_.forget(mark);
  if (head > held_.end()) {
    const auto bytes = consistently(db_, [&] { return weigh(held_.end(), head); });
    if (!bytes && !may_pass(bytes.error().kind)) return fail(bytes.error());
    if (bytes) held_.add(head, *bytes);  // else the next look finds more at once
  }
  const std::uint64_t held = held_.total();
  const bool over = limit_.max_bytes > 0 && held >= limit_.max_bytes;
  const bool no_disk = space_->disk_is_full();

  Result<void> done;
  if (!stopped_for_space_ && (over || (no_disk && held >= worth_stopping_bytes))) {
    const std::string why =
        over ? "the outbox holds " + mib(held) + ", more than it may" : "the disk is full";
    done = stop_for_space(why);
    if (!done && done.error().kind == ErrorKind::kNoSpace && space_->release()) {
      done = stop_for_space(why);
    }
  } else if (stopped_for_space_ && !no_disk && (reserved || !space_->is_wanted()) &&
             (limit_.max_bytes == 0 || held < limit_.max_bytes / 2)) {
    done = or_reinstall(go_on_with_space());
  }
  if (!done && !may_pass(done.error().kind)) return done;
  return {};  // what passes is tried again at the next look
}

Result<void> SqliteOutbox::stop_for_space(const std::string& why) {
  Transaction transaction = EVODB_TRY(Transaction::begin(db_, Transaction::Kind::kWrite));
  CaptureState state = EVODB_TRY(known_state());
  if (state.paused) return {};  // somebody did so, for a reason of theirs
  if (limit_.when_full == WhenFull::kBlock) {
    // What we append ourselves, SNAPSHOT, RESET and DROP, is bounded elsewhere.
    EVODB_TRY(db_.run(
        std::string("CREATE TRIGGER IF NOT EXISTS main.") + block_trigger +
        " BEFORE INSERT ON evodb_outbox WHEN NEW.op NOT IN (3, 6, 7) BEGIN "
        "SELECT RAISE(ABORT, 'evodb: the outbox of captured changes is full, and its parent takes "
        "none; see evodb capture status'); END"));
    EVODB_TRY(set_full(db_, "block"));
    EVODB_TRY(transaction.commit());
    tell(why + "; writes to captured tables FAIL until its parent has taken some of it");
  } else {
    EVODB_TRY(drop_all_triggers(db_));
    state.paused = true;
    EVODB_TRY(save_state(db_, state));
    EVODB_TRY(set_full(db_, "pause"));
    EVODB_TRY(transaction.commit());
    memory_.paused = true;
    tell(why +
         "; capture is PAUSED, changes are not recorded until there is space; every table "
         "is then sent again");
  }
  stopped_for_space_ = true;
  return {};
}

Result<void> SqliteOutbox::go_on_with_space() {
  Transaction transaction = EVODB_TRY(Transaction::begin(db_, Transaction::Kind::kWrite));
  CaptureState state = EVODB_TRY(known_state());
  const std::string how = EVODB_TRY(full_of(db_));
  const bool resume = how == "pause" && state.paused;
  EVODB_TRY(db_.run(std::string("DROP TRIGGER IF EXISTS main.") + block_trigger +
                    "; DELETE FROM main.evodb_state WHERE key = 'full'"));
  if (resume) {
    const std::vector<SelectedName> selection = EVODB_TRY(load_selection(db_));
    state.paused = false;
    const CapturePlan plan = EVODB_TRY(make_plan(db_, state, selection, NewTables::kWait));
    EVODB_TRY(apply_plan(db_, plan, SnapshotRule::kAll, "capture was paused for want of space"));
    EVODB_TRY(save_state(db_, state));
  }
  EVODB_TRY(transaction.commit());
  stopped_for_space_ = false;
  memory_.paused = state.paused;
  if (resume) {
    resending_ = true;
    seen_schema_version_.reset();
    tell("there is space again; capture goes on, and every table is sent again");
  } else if (!how.empty()) {
    tell("there is space again; writes to captured tables work");
  }
  return {};
}

}  // namespace evodb::capture
