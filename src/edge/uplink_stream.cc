// Batches under credit, acknowledgements, trimming.
#include <algorithm>
#include <utility>

#include "edge/uplink.h"

namespace evodb::edge {
namespace {

constexpr std::size_t inflight_batches_max = 256;
// What one turn sends at most, then others have theirs.
constexpr std::uint64_t turn_bytes_max = 2u << 20;
constexpr std::uint64_t turn_changes_max = 8'192;
constexpr std::uint64_t least_batch_bytes = 4'096;  // credit below it does not make batches smaller
constexpr std::int64_t wants_no_trim_ms = 100;

}  // namespace

// Fills and sends batches while that is allowed, from one snapshot of the outbox.
struct PumpSink final : capture::ChangeSink {
  explicit PumpSink(Uplink& uplink)
      : u(uplink), bytes(uplink.stats_.bytes_sent), changes(uplink.stats_.changes_sent) {}

  bool take(const capture::OutboxChange& change) override {
    stopped = true;
    if (u.assembler_.count() > 0 && !u.assembler_.fits(change, u.limits())) {
      if (!u.send_open_batch()) return false;
      if (u.stats_.bytes_sent - bytes >= turn_bytes_max ||
          u.stats_.changes_sent - changes >= turn_changes_max) {
        turn_over = true;
        return false;
      }
    }
    if (!u.assembler_.add(change)) {
      no_table_left = true;
      return false;
    }
    if (u.assembler_.count() == 1 && u.parent_frame_bytes_max_ > 0 &&
        u.assembler_.frame_bytes() > u.parent_frame_bytes_max_) {
      too_large = Error{
          ErrorKind::kOverLimit,
          "change LSN " + std::to_string(change.lsn.value) + " of table \"" + change.table->name +
              "\" needs a frame of " + std::to_string(u.assembler_.frame_bytes()) +
              " bytes; the parent takes at most " + std::to_string(u.parent_frame_bytes_max_)};
      return false;
    }
    stopped = false;
    return true;
  }

  Uplink& u;
  const std::uint64_t bytes, changes;  // sent before
  bool stopped = false;                // there is more behind
  bool turn_over = false, no_table_left = false;
  std::optional<Error> too_large;
};

void Uplink::notify() {
  more_ = true;
  if (phase_ == Phase::kStreaming && !pump_timer_.is_set()) pump();
}

void Uplink::hurry() {
  due_ = true;
  notify();
}

BatchLimits Uplink::limits() const {
  BatchLimits l{options_.batch_entries, options_.batch_bytes};
  if (parent_entries_max_ > 0) l.entries = std::min(l.entries, parent_entries_max_);
  if (parent_frame_bytes_max_ > 0) {
    l.bytes = std::min<std::size_t>(l.bytes, parent_frame_bytes_max_);
  }
  l.bytes = std::min<std::size_t>(l.bytes, std::max(credit_bytes_, least_batch_bytes));
  return l;
}

bool Uplink::may_send(std::size_t frame_bytes) const {
  if (credit_bytes_ == 0 || inflight_.size() >= inflight_batches_max) return false;
  if (link_.unsent_bytes() > unsent_bytes_max) return false;
  return inflight_.empty() || inflight_bytes_ + frame_bytes <= credit_bytes_;
}

bool Uplink::send_open_batch() {
  const std::size_t frame_bytes = assembler_.frame_bytes();
  if (!may_send(frame_bytes)) return false;
  stats_.changes_sent += assembler_.count();
  frame_.clear();
  assembler_.finish(frame_);
  if (frame_.capacity() > 2 * options_.batch_bytes) frame_.shrink_to_fit();
  sent_ = assembler_.last_lsn();
  marks_.add({sent_, assembler_.chain()});
  inflight_.push_back({sent_, frame_.size()});
  inflight_bytes_ += frame_.size();
  ++stats_.messages_sent;
  stats_.bytes_sent += frame_.size();
  due_ = false;
  delay_timer_.cancel();
  link_.send_encoded(frame_);
  return true;
}

void Uplink::pump() {
  if (phase_ != Phase::kStreaming) return;
  pump_timer_.cancel();
  if (assembler_.count() >= limits().entries && !send_open_batch()) return;
  if (more_ && !pump_outbox()) return;
  if (assembler_.count() == 0) return;
  const bool at_once = due_ || inflight_.empty() || assembler_.count() >= limits().entries;
  if (at_once && send_open_batch()) return;
  if (due_ || delay_timer_.is_set() || pump_timer_.is_set()) return;
  delay_timer_.set(options_.batch_delay_ms, [this] {
    due_ = true;
    pump();
  });
}

bool Uplink::pump_outbox() {
  PumpSink sink(*this);
  more_ = false;
  const auto read = outbox_.read(assembler_.last_lsn(), sink);
  if (!read || sink.stopped) more_ = true;
  if (!read && !capture::may_pass(read.error().kind)) {
    handle_outbox_error(read.error(), &Uplink::pump);
    return false;
  }
  if (sink.too_large) {
    fail_for_good(std::move(*sink.too_large));
    return false;
  }
  if (!read || sink.turn_over) {
    pump_timer_.set(read ? 0 : busy_retry_ms, [this] { pump(); });
  }
  if (sink.no_table_left) {
    // A session's numbers are used up: another session begins with all of them.
    if (assembler_.count() == 0 && inflight_.empty()) {
      end_session();
      dial_after(0);
      return false;
    }
    due_ = true;
  }
  return true;
}

// --- acknowledgements ---------------------------------------------------------------------------

void Uplink::on_ack(Lsn durable, Lsn persisted, std::uint64_t credit_bytes) {
  // Believed, it would trim what is sent later before anybody has it.
  if (durable > sent_ || persisted > sent_) {
    return distrust("the parent acknowledges what was not sent to it");
  }
  if (durable > durable_) {
    durable_ = durable;
    acked_ = true;
    epochs_in_vain_ = 0;
  }
  persisted_ = std::max(persisted_, persisted);
  credit_bytes_ = credit_bytes;
  while (!inflight_.empty() && inflight_.front().last <= durable_) {
    inflight_bytes_ -= inflight_.front().frame_bytes;
    inflight_.pop_front();
  }
  apply_marks();
  pump();
}

// What the parent says it has counts once its history was compared with ours.
void Uplink::apply_marks() {
  if (!compared_) return;
  stats_.last_ack_lsn = durable_;
  stats_.last_persisted_lsn = persisted_;
  trim_to_ = std::max(trim_to_, options_.wait == WaitLevel::kDurable ? durable_ : persisted_);
  if (marks_.front().lsn <= trim_to_ && marks_.floor(trim_to_).lsn > trimmed_) {
    schedule_trim(options_.trim_delay_ms);
  }
  if (durable_ != told_durable_) {
    told_durable_ = durable_;
    observer_.on_durable(durable_);
  }
  if (persisted_ != told_persisted_) {
    told_persisted_ = persisted_;
    observer_.on_persisted(persisted_);
  }
}

void Uplink::schedule_trim(std::int64_t ms) {
  if (trim_timer_.is_set()) return;
  trim_timer_.set(ms, [this] { trim(); });
}

void Uplink::trim() {
  if (marks_.empty() || marks_.front().lsn > trim_to_) return;
  const ChainMark all = marks_.floor(trim_to_);
  if (all.lsn <= trimmed_) return;
  if (!outbox_.wants_trim(all.lsn)) return schedule_trim(wants_no_trim_ms);
  ChainMark step = all;
  if (all.lsn.value - trimmed_.value > options_.trim_lsns_max) {
    step = marks_.floor(Lsn(trimmed_.value + options_.trim_lsns_max));
    if (step.lsn <= trimmed_) step = marks_.above(trimmed_);
  }
  if (auto trimmed = outbox_.trim(epoch_, step.lsn, step.chain); !trimmed) {
    if (capture::may_pass(trimmed.error().kind)) return schedule_trim(busy_retry_ms);
    if (trimmed.error().kind == ErrorKind::kStale) {
      // Between two sessions the next one asks the outbox anyhow.
      if (!link_.is_closed()) return outbox_is_another(trimmed.error());
      trim_to_ = Lsn();
      return;
    }
    return fail_for_good(
        {trimmed.error().kind, "the outbox cannot be trimmed: " + trimmed.error().text});
  }
  trimmed_ = base_ = step.lsn;
  marks_.drop_below(step.lsn);
  if (step.lsn < all.lsn) schedule_trim(1);
  observer_.on_trimmed(trimmed_);
}

}  // namespace evodb::edge
