// Uplink: streams an outbox to a parent, and trims what the parent has acknowledged.
//
//   Uplink uplink(loop, random, outbox, {.link = {.parent = {.host = "127.0.0.1"}}}, observer);
//   uplink.start();
//   uplink.notify();          // whenever the outbox has grown
//   uplink.stop();            // the outbox keeps what was not acknowledged
//
// A state machine: everything happens in the loop's events. A lost connection is dialled again
// (full jitter, 100 ms to 10 s); sending goes on after what the parent says it has received, once
// the chain hash of what we hold up to there equals the parent's (docs/formats/wire-v2.md). If it
// does not, or the parent asks for it, the outbox begins a new epoch. Nothing is trimmed in a
// session before that comparison, nor at an LSN whose chain hash is not known.
//
// Errors that may pass are retried for ever and stand in stats().last_error. Others end the
// uplink: UplinkObserver::on_fatal; start() tries again. Nothing is lost either way.
//
// Threads: the loop's. References given outlive the uplink. Memory: one batch, what the socket has
// not taken of one more, 256 batches' numbers, 8,192 chain marks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/backoff.h"
#include "base/limits.h"
#include "base/loop.h"
#include "base/timer.h"
#include "capture/outbox.h"
#include "edge/batch_assembler.h"
#include "edge/chain_marks.h"
#include "edge/parent_link.h"
#include "evodb/client.h"

namespace evodb::edge {

// What a copy does whose original streams to the same parent.
enum class CopyRule : std::uint8_t {
  kWait,    // dials again now and then: somebody must decide
  kRename,  // goes on as SOURCE-copy-XXXXXXXX, as a new epoch
};

inline constexpr std::int64_t busy_retry_ms = 20;  // after an outbox said that it is in use

struct UplinkOptions {
  LinkOptions link;  // of it open_ms_max is also the time from hello to welcome
  std::string token;
  WaitLevel wait = WaitLevel::kPersisted;  // how long the outbox keeps changes
  CopyRule on_copy = CopyRule::kWait;

  std::uint32_t batch_entries = base::batch_entries_default;
  std::size_t batch_bytes = base::batch_bytes_default;
  std::int64_t batch_delay_ms = base::batch_delay_ms_default;  // with nothing in flight: at once

  std::int64_t reconnect_ms_first = 100;
  std::int64_t reconnect_ms_max = 10'000;

  std::int64_t trim_delay_ms = 50;    // acknowledgements of so long are trimmed together
  std::uint64_t trim_lsns_max = 500;  // one step, about; then the loop has its turn
};

// What the client library's users see (but held_bytes, which is the outbox's to know), and more.
struct UplinkStats : ClientStats {
  std::uint64_t changes_sent = 0;  // sent again ones too
  Lsn trimmed;
  std::uint64_t new_epochs = 0;      // after the first hello
  std::uint64_t outbox_changes = 0;  // times that the outbox was not the one that was known
  std::uint64_t credit_bytes = 0;
  std::uint64_t unsent_bytes = 0;  // of frames that wait for the socket, as held in memory
};

class UplinkObserver {
 public:
  virtual ~UplinkObserver() = default;
  virtual void on_connected() {}
  virtual void on_disconnected(const Error& why) { (void)why; }
  // Cumulative within an epoch; told again, from lower, when a parent has lost what it had.
  virtual void on_durable(Lsn lsn) { (void)lsn; }
  virtual void on_persisted(Lsn lsn) { (void)lsn; }
  virtual void on_trimmed(Lsn lsn) { (void)lsn; }
  // `why`: nothing where the outbox began it by itself, or another process did.
  virtual void on_new_epoch(Epoch epoch, std::optional<std::string_view> why) {
    (void)epoch, (void)why;
  }
  // It is a copy: it has another source's name now; on_new_epoch follows.
  virtual void on_renamed(std::string_view source, std::string_view why) {
    (void)source, (void)why;
  }
  // The uplink has stopped; start() tries again.
  virtual void on_fatal(const Error& error) { (void)error; }
};

class Uplink final : private LinkEvents {
 public:
  Uplink(base::Loop& loop, base::Random& random, capture::Outbox& outbox, UplinkOptions options,
         UplinkObserver& observer);
  ~Uplink() override;  // as a process that dies: the connection is aborted

  // Dials at the loop's next turn. Running already: nothing happens.
  void start();
  // Says bye and closes. No event follows; timers are gone. start() may come again.
  void stop();
  // The outbox may have grown. Cheap; nothing is read while nothing can be sent.
  void notify();
  // What fills the open batch leaves without waiting for more.
  void hurry();

  UplinkStats stats() const;
  bool running() const { return phase_ != Phase::kStopped; }
  // A parent has welcomed us since start(), in the present epoch, and everything up to `head` has
  // been acknowledged at the level waited for, and trimmed.
  bool caught_up(Lsn head) const { return verified_ && trimmed_ >= head; }
  // The same but for the trimming, which waits for a polite moment.
  bool acknowledged(Lsn head) const { return verified_ && std::max(trim_to_, trimmed_) >= head; }

 private:
  friend struct PumpSink;
  friend struct WalkSink;

  enum class Phase : std::uint8_t {
    kStopped,
    kWaiting,  // for the next dial
    kOpening,  // TCP and WebSocket
    kHello,    // said, no welcome yet
    kWalking,  // folding held changes up to where sending goes on
    kStreaming,
    kHeld,      // refused: waits until the parent has answered all that is under way
    kNewEpoch,  // the outbox must begin one
  };
  struct InFlight {
    Lsn last;
    std::uint64_t frame_bytes;
  };
  // Beyond it no further batch is encoded.
  static constexpr std::size_t unsent_bytes_max = 256u << 10;
  // The longest wait that a parent can ask for: a wild number must not silence a child for weeks.
  static constexpr std::int64_t retry_after_ms_max = 300'000;

  // --- connection: uplink.cc
  void on_link_open() override;
  void on_link_frame(const wire::Frame& frame) override;
  void on_link_writable() override;
  void on_link_closed(const Error& why) override;
  void dial();
  void dial_after(std::int64_t ms);
  void retry(const Error& why, std::int64_t delay_ms_min = 0);
  void fail_for_good(Error error);
  // kRetry: `again` runs in a moment. Otherwise the uplink ends.
  // kStale: the session ends, another begins with what the outbox then says.
  void handle_outbox_error(const Error& error, void (Uplink::*again)());
  void outbox_is_another(const Error& why);
  void on_welcome(const wire::Welcome& welcome);
  void on_hello_nack(const wire::Nack& nack);
  void need_epoch(Epoch at_least, std::string why);
  void begin_epoch();
  void epoch_begun(Epoch epoch);
  void be_a_copy(const wire::Welcome& welcome);
  void take_other_name();
  void end_session();

  // --- where to go on: uplink_resume.cc
  void resume_from(Lsn lsn, std::optional<ChainHash> expected);
  void walk();
  void end_walk();
  void on_nack(const wire::Nack& nack);
  void distrust(std::string why);
  void hold(Lsn resend_after, std::int64_t retry_after_ms);
  void release_hold();

  // --- sending, acknowledgements, trimming: uplink_stream.cc
  void pump();
  bool send_open_batch();  // false: it may not leave now
  bool pump_outbox();      // false: the session cannot go on just now
  bool may_send(std::size_t frame_bytes) const;
  BatchLimits limits() const;
  void on_ack(Lsn durable, Lsn persisted, std::uint64_t credit_bytes);
  void apply_marks();
  void schedule_trim(std::int64_t ms);
  void trim();

  base::Loop& loop_;
  base::Random& random_;
  capture::Outbox& outbox_;
  const UplinkOptions options_;
  UplinkObserver& observer_;
  ParentLink link_;
  base::Backoff backoff_;
  BatchAssembler assembler_;
  ChainMarks marks_;

  Phase phase_ = Phase::kStopped;
  base::Timer timer_{loop_};        // the phase's own: dial, welcome, walk, hold, epoch
  base::Timer delay_timer_{loop_};  // batch_delay_ms
  base::Timer pump_timer_{loop_};
  base::Timer trim_timer_{loop_};

  Epoch epoch_;
  Lsn base_;                    // 0 while nothing of this epoch was trimmed, else what was
  Lsn trimmed_;                 // as the outbox says it
  bool verified_ = false;       // the parent's history is ours, in this epoch
  bool welcomed_ = false;       // in this session
  bool compared_ = false;       // in this session: the parent's history is ours
  bool acked_ = false;          // in this session
  std::uint64_t welcomes_ = 0;  // a parent was there once: no other answer there is final
  base::MonotonicMillis session_began_;

  std::uint32_t parent_frame_bytes_max_ = 0, parent_entries_max_ = 0;
  std::uint64_t credit_bytes_ = 0;
  Lsn durable_, persisted_;
  Lsn told_durable_, told_persisted_;
  Lsn sent_;     // last change that the parent may have: of its welcome or the newest batch
  Lsn trim_to_;  // acknowledged in this session at the level waited for
  std::deque<InFlight> inflight_;
  std::uint64_t inflight_bytes_ = 0;
  bool more_ = true;   // the outbox may hold changes behind the assembler's last
  bool due_ = false;   // the open batch has waited long enough
  std::string frame_;  // reused

  Lsn walk_to_;
  ChainMark walked_;
  std::optional<ChainHash> walk_expects_;
  wire::BatchWriter walker_;

  Lsn resend_after_;
  std::uint64_t barrier_ = 0;
  bool barrier_answered_ = false;
  base::MonotonicMillis hold_until_;

  Epoch epoch_min_;
  std::string epoch_why_;
  std::string source_;            // of the newest hello
  std::string other_name_;        // kNewEpoch: to be taken with it
  Lsn hello_head_;                // what the newest hello said of the log's end
  bool judged_by_hello_ = false;  // an epoch seems needed, by the hello and not by a batch
  int grown_since_hello_ = 0;     // times in a row that it had grown when an epoch seemed needed
  int epochs_in_vain_ = 0;        // begun without an acknowledgement since
  UplinkStats stats_;
};

}  // namespace evodb::edge
