// Where sending goes on: folding what is held up to the parent's mark, and refusals.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "edge/uplink.h"

namespace evodb::edge {
namespace {

// One slice of a walk, then the loop has its turn.
constexpr std::uint32_t slice_changes_max = 4'096;
constexpr std::size_t slice_bytes_max = 1u << 20;

}  // namespace

// Folds changes up to `to`, and remembers the chain where the parent's marks are.
struct WalkSink final : capture::ChangeSink {
  WalkSink(wire::BatchWriter& writer_, Lsn to_, Lsn durable_, Lsn persisted_, ChainMarks& marks_)
      : writer(writer_), to(to_), durable(durable_), persisted(persisted_), marks(marks_) {}

  bool take(const capture::OutboxChange& c) override {
    if (c.lsn > to) return false;
    if (writer.change_count() >= slice_changes_max || writer.bytes() >= slice_bytes_max) {
      unfinished = true;
      return false;
    }
    writer.add_change(c.op, 0, c.table_fingerprint, c.lsn, c.txn, c.committed_at, c.key, c.before,
                      c.after, c.reason);
    if (c.lsn == durable || c.lsn == persisted) marks.add({c.lsn, writer.chain()});
    return true;
  }

  wire::BatchWriter& writer;
  const Lsn to, durable, persisted;
  ChainMarks& marks;
  bool unfinished = false;
};

void Uplink::resume_from(Lsn lsn, std::optional<ChainHash> expected) {
  EVODB_ASSERT(lsn >= base_, "what was trimmed is not sent again");
  phase_ = Phase::kWalking;
  walk_to_ = lsn;
  walk_expects_ = expected;
  walked_ = marks_.floor(lsn);
  walk();
}

void Uplink::walk() {
  if (walked_.lsn != walk_to_) {
    walker_.reset(walked_.lsn, walked_.chain);
    WalkSink sink(walker_, walk_to_, durable_, persisted_, marks_);
    const auto read = outbox_.read(walked_.lsn, sink);
    if (walker_.change_count() > 0) {
      walked_ = {walker_.last_lsn(), walker_.chain()};
      marks_.add(walked_);
    }
    if (!read) return handle_outbox_error(read.error(), &Uplink::walk);
    if (walked_.lsn != walk_to_) {
      if (!sink.unfinished) {
        return need_epoch(Epoch(epoch_.value + 1),
                          "the parent has a change of LSN " + std::to_string(walk_to_.value) +
                              " that this log has not (restored from a copy?)");
      }
      timer_.set(0, [this] { walk(); });
      return;
    }
  }
  end_walk();
}

void Uplink::end_walk() {
  walker_ = {};  // its megabyte is not needed while streaming
  if (walk_expects_ && *walk_expects_ != walked_.chain) {
    return need_epoch(Epoch(epoch_.value + 1),
                      "the parent holds other changes than this log up to LSN " +
                          std::to_string(walked_.lsn.value) + " (restored from a copy?)");
  }
  verified_ = compared_ = true;
  grown_since_hello_ = 0;
  sent_ = walked_.lsn;
  marks_.drop_above(walked_.lsn);
  assembler_.begin_batch(walked_.lsn, walked_.chain);
  while (!inflight_.empty() && inflight_.back().last > walked_.lsn) {
    inflight_bytes_ -= inflight_.back().frame_bytes;
    inflight_.pop_back();
  }
  phase_ = Phase::kStreaming;
  more_ = true;
  due_ = false;
  apply_marks();
  pump();
}

// --- refusals -----------------------------------------------------------------------------------

void Uplink::on_nack(const wire::Nack& nack) {
  std::string text(nack.text);
  switch (nack.reason) {
    case wire::NackReason::kGap:
    case wire::NackReason::kOverCredit:
      // While the histories are compared nothing was sent that could be refused.
      if (phase_ == Phase::kWalking || nack.resend_after > sent_ ||
          nack.resend_after < std::max({base_, durable_, persisted_})) {
        return distrust("the parent asks for what it cannot lack: " + text);
      }
      stats_.last_error = Error{ErrorKind::kRetry, text};
      return hold(nack.resend_after, nack.retry_after_ms);
    case wire::NackReason::kChainMismatch:
      return need_epoch(Epoch(epoch_.value + 1), std::move(text));
    case wire::NackReason::kUnavailable:
      return retry({ErrorKind::kRetry, "the parent cannot take changes now: " + text},
                   nack.retry_after_ms);
    case wire::NackReason::kMalformed:
    case wire::NackReason::kVersion:
    case wire::NackReason::kUnauthorized:
      return fail_for_good({ErrorKind::kInvalid, "the parent refused what we sent: " + text});
    case wire::NackReason::kOverLimit:
      return fail_for_good({ErrorKind::kOverLimit, "the parent refused what we sent: " + text});
  }
}

// The parent contradicts itself: what it acknowledged in this session is not trimmed either, until
// a welcome says it again.
void Uplink::distrust(std::string why) {
  trim_to_ = Lsn();
  trim_timer_.cancel();
  retry({ErrorKind::kRetry, std::move(why)});
}

// Behind the batch that was refused others may be under way, and each will be refused as well. A
// ping tells when the parent has answered all of them: its pong comes behind their nacks.
void Uplink::hold(Lsn resend_after, std::int64_t retry_after_ms) {
  for (base::Timer* t : {&timer_, &delay_timer_, &pump_timer_}) t->cancel();
  resend_after_ = resend_after;
  sent_ = resend_after;  // what was behind it counts as not sent: no ack may cover it
  const base::MonotonicMillis until(loop_.clock().monotonic().value +
                                    std::min(retry_after_ms, retry_after_ms_max));
  hold_until_ = phase_ == Phase::kHeld ? std::max(hold_until_, until) : until;
  if (phase_ == Phase::kHeld) return release_hold();
  phase_ = Phase::kHeld;
  barrier_answered_ = false;
  barrier_ = random_.next();
  link_.send(wire::Ping{barrier_});
}

void Uplink::release_hold() {
  if (!barrier_answered_) return;
  const std::int64_t left_ms = hold_until_.value - loop_.clock().monotonic().value;
  if (left_ms > 0) {
    timer_.set(left_ms, [this] { release_hold(); });
    return;
  }
  stats_.last_error.reset();
  resume_from(resend_after_, std::nullopt);
}

}  // namespace evodb::edge
