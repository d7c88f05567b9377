#include "capture/polite_writer.h"

#include <algorithm>
#include <utility>

namespace evodb::capture {
namespace {

// Between two transactions of a busy application lie microseconds: such a moment is waited for this
// long, in this many looks.
constexpr int hunt_looks = 20;
constexpr int hunt_sleep_us = 100;
// A database that looks idle is looked at more closely before it is locked.
constexpr int close_looks = 20;
constexpr int close_looks_again = 3;
constexpr int close_look_us = 1'000;
constexpr std::int64_t just_wrote_ms = 50;
constexpr std::int64_t anyway_distance_ms = 250;
// As SQLite's own default, which is switched off for our connection.
constexpr int checkpoint_pages = 1'000;

int note_log_pages(void* into, sqlite3*, const char*, int pages) {
  *static_cast<int*>(into) = pages;
  return SQLITE_OK;
}

}  // namespace

PoliteWriter::PoliteWriter(const Database& db, base::Clock& clock, PoliteOptions options)
    : db_(db), clock_(clock), options_(options), others_at_(clock.monotonic()) {
  if (db_.polite() != nullptr) db_.on_log_pages(note_log_pages, &log_pages_);
}

PoliteWriter::~PoliteWriter() {
  if (db_.polite() != nullptr) db_.on_log_pages(nullptr, nullptr);
}

std::int64_t PoliteWriter::idle_for_ms() const {
  return clock_.monotonic().value - others_at_.value;
}

std::int64_t PoliteWriter::waiting_ms(WriteReason reason) const {
  const auto& since = waits_since_[static_cast<std::size_t>(reason)];
  return since ? clock_.monotonic().value - since->value : 0;
}

void PoliteWriter::observe(bool others_wrote) {
  const bool seen =
      db_.polite() != nullptr && !in_wal_mode() && db_.polite()->users() == PoliteVfs::Users::kSome;
  if (others_wrote || seen) others_at_ = clock_.monotonic();
}

bool PoliteWriter::trim_is_due(bool disk_is_full) {
  if (trimmable_bytes_ == 0) return false;
  if (db_.polite() == nullptr || disk_is_full) return true;
  draining_ = draining_ || trimmable_bytes_ >= options_.trim_bytes ||
              idle_for_ms() >= (in_wal_mode() ? options_.idle_ms : options_.long_idle_ms);
  return draining_;
}

Result<void> PoliteWriter::begin(WriteReason reason) {
  if (db_.polite() == nullptr) {
    EVODB_TRY(db_.run("BEGIN IMMEDIATE"));
    began_ = clock_.monotonic();
    return {};
  }
  auto& since = waits_since_[static_cast<std::size_t>(reason)];
  if (!since) since = clock_.monotonic();
  const bool hunt = reason != WriteReason::kTrim || trimmable_bytes_ >= options_.trim_bytes;
  politely_ = EVODB_TRY(in_wal_mode() ? begin_in_wal(hunt) : begin_when_idle());
  began_ = clock_.monotonic();
  if (politely_) {
    since.reset();
    return {};
  }
  ++stats_.refusals;
  const bool waited_enough = reason == WriteReason::kTrim
                                 ? trimmable_bytes_ >= options_.anyway_bytes
                                 : began_.value - since->value >= options_.anyway_ms;
  const bool again = !anyway_at_ || began_.value - anyway_at_->value >= anyway_distance_ms;
  if (!waited_enough || !again) {
    return fail(ErrorKind::kRetry, "'" + db_.path() + "' is in use; waiting for a quiet moment");
  }
  anyway_at_ = began_;
  db_.set_busy_timeout(options_.busy_timeout_ms);
  EVODB_TRY(db_.run("BEGIN IMMEDIATE"));
  ++stats_.anyway_steps;
  began_ = clock_.monotonic();
  return {};
}

Result<bool> PoliteWriter::begin_in_wal(bool hunt) {
  PoliteVfs& vfs = *db_.polite();
  if (!tuned_) {
    // No sync while readers wait: what a power loss takes away of ours it takes from the log's end.
    EVODB_TRY(db_.sync_less());
    tuned_ = true;
  }
  for (int looks = hunt ? hunt_looks : 1; !vfs.shut_readers_out(); vfs.sleep_us(hunt_sleep_us)) {
    if (--looks == 0) return false;
  }
  db_.set_busy_timeout(0);
  auto begun = db_.run("BEGIN IMMEDIATE");
  if (begun) return true;
  ended(/*committed=*/false);
  if (begun.error().kind == ErrorKind::kRetry) return false;
  return fail(std::move(begun.error()));
}

Result<bool> PoliteWriter::begin_when_idle() {
  PoliteVfs& vfs = *db_.polite();
  if (idle_for_ms() < options_.idle_ms) return false;
  // Right behind a step of ours that nobody came into fewer will do.
  const bool just_wrote =
      polite_at_ && clock_.monotonic().value - polite_at_->value < just_wrote_ms;
  const int looks_needed = just_wrote ? close_looks_again : close_looks;
  for (int looks = 0; looks < looks_needed; ++looks) {
    if (looks > 0) vfs.sleep_us(close_look_us);
    if (vfs.users() == PoliteVfs::Users::kSome) {
      others_at_ = clock_.monotonic();
      return false;
    }
  }
  db_.set_busy_timeout(0);
  auto begun = db_.run("BEGIN IMMEDIATE");
  if (begun) return true;
  ended(/*committed=*/false);
  if (begun.error().kind == ErrorKind::kRetry) return false;
  return fail(std::move(begun.error()));
}

Result<void> PoliteWriter::may_commit() {
  if (!politely_ || in_wal_mode()) return {};
  if (db_.polite()->others() != PoliteVfs::Users::kSome) return {};
  // A reader came. To wait for its end would hold out all that come after it.
  others_at_ = clock_.monotonic();
  return fail(ErrorKind::kRetry, "'" + db_.path() + "' came into use; waiting for a quiet moment");
}

bool PoliteWriter::time_left() const {
  return clock_.monotonic().value - began_.value < step_ms - 1;
}

void PoliteWriter::ended(bool committed) {
  if (db_.polite() != nullptr) {
    db_.polite()->let_readers_in();
    db_.set_busy_timeout(options_.busy_timeout_ms);
  }
  polite_at_.reset();
  if (politely_ && committed) polite_at_ = clock_.monotonic();
  politely_ = false;
  if (!committed) return;
  ++stats_.steps;
  if (db_.polite() != nullptr && !in_wal_mode()) own_version_ = db_.polite()->change_counter();
  stats_.longest_step_ms =
      std::max(stats_.longest_step_ms, clock_.monotonic().value - began_.value);
  if (log_pages_ < checkpoint_pages) return;
  log_pages_ = 0;
  // Copies what nobody reads any more. One that fails is done by the next, or by the application.
  static_cast<void>(db_.checkpoint().has_value());
}

}  // namespace evodb::capture
