// The connection: dialling, hello and welcome, endings, new epochs.
#include "edge/uplink.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/overloaded.h"
#include "wire/utf8.h"

namespace evodb::edge {
namespace {

// The third epoch in a row that brings nothing waits so long: each may be a snapshot of everything.
constexpr int epochs_in_vain_max = 2;
constexpr int grown_since_hello_max = 3;
constexpr Epoch epoch_asked_max{base::epoch_max + 1};

std::string describe(std::string_view what, std::string_view text) {
  std::string out(what);
  if (!text.empty()) out.append(": ").append(text);
  return out;
}

}  // namespace

Uplink::Uplink(base::Loop& loop, base::Random& random, capture::Outbox& outbox,
               UplinkOptions options, UplinkObserver& observer)
    : loop_(loop),
      random_(random),
      outbox_(outbox),
      options_(std::move(options)),
      observer_(observer),
      link_(loop, random, options_.link, *this),
      backoff_(options_.reconnect_ms_first, options_.reconnect_ms_max) {}

Uplink::~Uplink() = default;

void Uplink::start() {
  if (phase_ != Phase::kStopped) return;
  backoff_.reset();
  verified_ = false;
  epochs_in_vain_ = 0;
  marks_ = {};
  dial_after(0);
}

void Uplink::stop() {
  if (phase_ == Phase::kStopped) return;
  if (welcomed_ && link_.is_open()) link_.send(wire::Bye{wire::ByeReason::kDone, ""});
  end_session();
  trim_timer_.cancel();
  phase_ = Phase::kStopped;
}

// Leaves no timer but the trim's: what was acknowledged stays so.
void Uplink::end_session() {
  link_.close();
  for (base::Timer* t : {&timer_, &delay_timer_, &pump_timer_}) t->cancel();
  inflight_.clear();
  inflight_bytes_ = 0;
  credit_bytes_ = 0;
  welcomed_ = compared_ = acked_ = due_ = false;
}

void Uplink::dial_after(std::int64_t ms) {
  phase_ = Phase::kWaiting;
  timer_.set(ms, [this] { dial(); });
}

void Uplink::dial() {
  phase_ = Phase::kOpening;
  if (auto opened = link_.open(); !opened) retry(opened.error());
}

// The session is over; another begins after a while.
void Uplink::retry(const Error& why, std::int64_t delay_ms_min) {
  const bool was_welcomed = welcomed_;
  const std::int64_t lived_ms = loop_.clock().monotonic().value - session_began_.value;
  if (was_welcomed && (acked_ || lived_ms >= options_.reconnect_ms_max)) backoff_.reset();
  end_session();
  stats_.last_error = why;
  dial_after(
      std::max(std::min(delay_ms_min, retry_after_ms_max), backoff_.next_ms_full_jitter(random_)));
  if (was_welcomed) observer_.on_disconnected(why);
}

void Uplink::fail_for_good(Error error) {
  const bool was_welcomed = welcomed_;
  end_session();
  trim_timer_.cancel();
  phase_ = Phase::kStopped;
  stats_.last_error = error;
  if (was_welcomed) observer_.on_disconnected(error);
  observer_.on_fatal(error);
}

void Uplink::handle_outbox_error(const Error& error, void (Uplink::*again)()) {
  if (capture::may_pass(error.kind)) {
    timer_.set(busy_retry_ms, [this, again] { (this->*again)(); });
  } else if (error.kind == ErrorKind::kStale || error.kind == ErrorKind::kFenced) {
    outbox_is_another(error);
  } else {
    fail_for_good({error.kind, "the outbox cannot be used: " + error.text});
  }
}

// What we knew of the outbox is no longer so: it was restored or emptied, or another process works
// on it. Nothing of it may be sent or trimmed before it was asked anew, and the parent after it.
void Uplink::outbox_is_another(const Error& why) {
  trim_to_ = Lsn();
  trim_timer_.cancel();
  marks_ = {};
  verified_ = false;
  epoch_why_ = why.text;
  ++stats_.outbox_changes;
  if (phase_ != Phase::kStopped) retry(why);
}

// --- hello and welcome --------------------------------------------------------------------------

void Uplink::on_link_open() {
  auto state = outbox_.state();
  if (!state) {
    if (capture::may_pass(state.error().kind)) return retry(state.error());
    if (state.error().kind == ErrorKind::kStale) return outbox_is_another(state.error());
    return fail_for_good({state.error().kind, "the outbox cannot be used: " + state.error().text});
  }
  // Another process that trims the same outbox makes our marks useless.
  if (state->epoch != epoch_ || state->trimmed != trimmed_) marks_ = {};
  if (state->epoch != epoch_) verified_ = false;
  const bool other_epoch = state->epoch != epoch_ && epoch_ != Epoch();
  epoch_ = state->epoch;
  trimmed_ = state->trimmed;
  // A chain of 0 is an epoch's start: nothing of it was trimmed yet, whatever the LSN of the
  // epochs before it.
  base_ = state->trimmed_chain.value == 0 ? Lsn() : state->trimmed;
  hello_head_ = state->head;
  if (marks_.empty()) marks_.reset({base_, state->trimmed_chain});
  // Nothing is trimmed between the hello, which says what is held, and the comparison: the parent
  // may have lost since what it acknowledged in an earlier session.
  trim_to_ = Lsn();
  trim_timer_.cancel();
  wire::Hello hello;
  hello.token = options_.token;
  source_ = state->source;
  hello.source = source_;
  hello.epoch = epoch_;
  hello.wait = options_.wait;
  hello.trimmed = base_;
  hello.trimmed_chain = state->trimmed_chain;
  hello.head = state->head > state->trimmed ? state->head : base_;
  hello.frame_bytes_max = base::frame_bytes_max;
  hello.agent = options_.link.agent;
  hello.life = state->life;
  phase_ = Phase::kHello;
  timer_.set(options_.link.open_ms_max,
             [this] { retry({ErrorKind::kRetry, link_.address() + " did not answer our hello"}); });
  link_.send(hello);
  if (!other_epoch) return;
  // The outbox began it by itself, or another process did.
  ++stats_.new_epochs;
  durable_ = persisted_ = Lsn();
  stats_.last_ack_lsn = stats_.last_persisted_lsn = Lsn();
  observer_.on_new_epoch(epoch_, std::nullopt);
}

void Uplink::on_welcome(const wire::Welcome& welcome) {
  timer_.cancel();
  if (welcome.epoch_min > epoch_asked_max || welcome.durable > welcome.received ||
      welcome.persisted > welcome.received) {
    return on_link_closed(
        {ErrorKind::kInvalid, link_.address() + " is not an EvoDB parent: its welcome contradicts "
                                                "itself"});
  }
  const bool again = welcomes_++ > 0;
  if (welcome.verdict == wire::WelcomeVerdict::kCopy) return be_a_copy(welcome);
  if (welcome.verdict == wire::WelcomeVerdict::kNewEpoch) {
    return need_epoch(welcome.epoch_min, std::string(welcome.text));
  }
  if (welcome.received < base_) {
    return need_epoch(Epoch(epoch_.value + 1),
                      "the parent has less than what was trimmed here already");
  }
  if (again) ++stats_.reconnects;
  welcomed_ = true;
  session_began_ = loop_.clock().monotonic();
  stats_.last_error.reset();
  parent_frame_bytes_max_ = welcome.frame_bytes_max;
  parent_entries_max_ = welcome.batch_entries_max;
  credit_bytes_ = welcome.credit_bytes;
  durable_ = welcome.durable;
  persisted_ = welcome.persisted;
  sent_ = welcome.received;
  told_durable_ = told_persisted_ = Lsn();
  assembler_.begin_session();
  if (welcome.received_txn.value != 0) outbox_.resume_group(welcome.received_txn);
  // The first comparison of this uplink's life folds all that is held; later ones go on from marks
  // that were compared already, as an outbox only grows.
  std::optional<ChainHash> expected;
  if (welcome.chain_known) expected = welcome.received_chain;
  observer_.on_connected();
  if (welcomed_) resume_from(welcome.received, expected);
}

void Uplink::on_hello_nack(const wire::Nack& nack) {
  const Error error{ErrorKind::kInvalid, describe("the parent refused us", nack.text)};
  switch (nack.reason) {
    case wire::NackReason::kUnavailable:
    case wire::NackReason::kOverCredit:
    case wire::NackReason::kGap: return retry(error, nack.retry_after_ms);
    // So many sessions or sources: that may change, but not soon.
    case wire::NackReason::kOverLimit: return retry(error, options_.reconnect_ms_max);
    case wire::NackReason::kChainMismatch:
      return need_epoch(Epoch(epoch_.value + 1), std::string(nack.text));
    case wire::NackReason::kMalformed:
    case wire::NackReason::kUnauthorized:
    case wire::NackReason::kVersion: return fail_for_good(error);
  }
}

// --- new epochs ---------------------------------------------------------------------------------

void Uplink::need_epoch(Epoch at_least, std::string why) {
  const bool was_welcomed = welcomed_;
  judged_by_hello_ = !compared_;
  end_session();
  trim_timer_.cancel();  // what it would trim was acknowledged under the old epoch only
  verified_ = false;
  phase_ = Phase::kNewEpoch;
  epoch_min_ = at_least;
  epoch_why_ = why;
  stats_.last_error = Error{ErrorKind::kInvalid, why};
  const bool in_vain = ++epochs_in_vain_ > epochs_in_vain_max;
  timer_.set(in_vain ? options_.reconnect_ms_max : 0, [this] { begin_epoch(); });
  if (was_welcomed) observer_.on_disconnected({ErrorKind::kInvalid, std::move(why)});
}

void Uplink::begin_epoch() {
  // Another process of this database may have sent more of it since our hello, trimmed it, or begun
  // an epoch: then it was our view of it that differed from the parent's, and an epoch (a snapshot
  // of everything) would be for nothing. A log that only grew is no proof of that: it is asked a
  // few times.
  const auto state = outbox_.state();
  if (!state) return handle_outbox_error(state.error(), &Uplink::begin_epoch);
  const bool grew = judged_by_hello_ && state->head > hello_head_ &&
                    ++grown_since_hello_ <= grown_since_hello_max;
  if (state->epoch != epoch_ || state->trimmed != trimmed_ || grew) {
    --epochs_in_vain_;
    marks_ = {};
    stats_.last_error =
        Error{ErrorKind::kStale, "another process works on this outbox: " + epoch_why_};
    return dial_after(backoff_.next_ms_full_jitter(random_));
  }
  auto begun = outbox_.begin_epoch(epoch_min_);
  if (!begun) {
    handle_outbox_error(begun.error(), &Uplink::begin_epoch);
    return;
  }
  epoch_begun(*begun);
}

void Uplink::epoch_begun(Epoch epoch) {
  ++stats_.new_epochs;
  grown_since_hello_ = 0;
  epoch_ = epoch;
  marks_ = {};
  durable_ = persisted_ = Lsn();
  stats_.last_ack_lsn = stats_.last_persisted_lsn = Lsn();
  more_ = true;
  dial_after(0);
  observer_.on_new_epoch(epoch_, epoch_why_);
}

// --- copies -------------------------------------------------------------------------------------

void Uplink::be_a_copy(const wire::Welcome& welcome) {
  const std::string why = describe("another database streams as '" + source_ + "'", welcome.text);
  if (options_.on_copy == CopyRule::kWait) {
    return retry({ErrorKind::kFenced, why + "; this one waits: give it a name of its own, or stop "
                                            "the other one"},
                 options_.reconnect_ms_max);
  }
  end_session();
  trim_timer_.cancel();
  trim_to_ = Lsn();
  verified_ = false;
  phase_ = Phase::kNewEpoch;
  epoch_min_ = std::max(welcome.epoch_min, Epoch(epoch_.value + 1));
  epoch_why_ = why;
  stats_.last_error = Error{ErrorKind::kFenced, why};
  constexpr std::string_view mark = "-copy-";
  constexpr std::size_t letters = 8;
  // A copy of a copy is no longer than that one.
  std::string_view stem = source_;
  if (const std::size_t at = stem.rfind(mark);
      at != std::string_view::npos && at + mark.size() + letters == stem.size()) {
    stem = stem.substr(0, at);
  }
  other_name_ = wire::utf8_prefix(stem, base::source_name_bytes_max - mark.size() - letters);
  other_name_ += mark;
  for (std::size_t i = 0; i < letters; ++i) {
    other_name_ += "abcdefghijklmnopqrstuvwxyz234567"[random_.below(32)];
  }
  timer_.set(0, [this] { take_other_name(); });
}

void Uplink::take_other_name() {
  const auto begun = outbox_.begin_as(other_name_, epoch_min_);
  if (!begun) return handle_outbox_error(begun.error(), &Uplink::take_other_name);
  observer_.on_renamed(other_name_, epoch_why_);
  epoch_begun(*begun);
}

// --- frames -------------------------------------------------------------------------------------

void Uplink::on_link_frame(const wire::Frame& frame) {
  const auto out_of_turn = [&] {
    on_link_closed({ErrorKind::kInvalid, link_.address() +
                                             " is not an EvoDB parent: it sends frames that only a "
                                             "child sends, or out of turn"});
  };
  const base::Overloaded handle{
      [&](const wire::Welcome& welcome) {
        if (phase_ != Phase::kHello) return out_of_turn();
        on_welcome(welcome);
      },
      [&](const wire::Ack& ack) {
        if (!welcomed_) return out_of_turn();
        on_ack(ack.durable, ack.persisted, ack.credit_bytes);
      },
      [&](const wire::Nack& nack) { welcomed_ ? on_nack(nack) : on_hello_nack(nack); },
      [&](const wire::Ping& ping) {
        // A parent that does not read is owed no pongs: they would pile up here.
        if (link_.unsent_bytes() <= unsent_bytes_max) link_.send(wire::Pong{ping.opaque});
      },
      [&](const wire::Pong& pong) {
        if (phase_ != Phase::kHeld || pong.opaque != barrier_) return;
        barrier_answered_ = true;
        release_hold();
      },
      [&](const wire::Bye& bye) {
        // Two of one name would take turns as fast as they can dial.
        const bool superseded = bye.reason == wire::ByeReason::kSuperseded;
        retry({superseded ? ErrorKind::kFenced : ErrorKind::kRetry,
               describe("the parent said bye", bye.text)},
              superseded ? options_.reconnect_ms_max : 0);
      },
      [&](const wire::Hello&) { out_of_turn(); },
      [&](const wire::Batch&) { out_of_turn(); },
      [&](const wire::UnknownFrame&) {},
  };
  std::visit(handle, frame);
}

void Uplink::on_link_closed(const Error& why) {
  // Where a parent was, another answer is a passing fault: a proxy whose backend restarts.
  if (why.kind == ErrorKind::kInvalid && welcomes_ == 0) return fail_for_good(why);
  retry(why);
}

void Uplink::on_link_writable() {
  if (phase_ == Phase::kStreaming) pump();
}

UplinkStats Uplink::stats() const {
  UplinkStats stats = stats_;
  stats.connected = welcomed_;
  stats.trimmed = trimmed_;
  stats.pending_batches = inflight_.size() + (welcomed_ && assembler_.count() > 0 ? 1 : 0);
  stats.credit_bytes = credit_bytes_;
  stats.unsent_bytes = link_.held_bytes();
  return stats;
}

}  // namespace evodb::edge
