// The gate behind gate.h. Not for other rooms.
//
// How an event runs: every entry (bytes, writable, timer, an application's call) handles its
// connection and ends with settle(): output collected meanwhile is written with one call, memory is
// counted, what is idle again loses its Active, and what was to close closes. Between entry and
// settle() a connection's record therefore stays valid, even if it failed.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/timer.h"
#include "gate/attachments.h"
#include "gate/connection.h"
#include "gate/gate.h"
#include "gate/inflate.h"
#include "gate/tags.h"
#include "gate/timer_wheel.h"
#include "gate/v1_rows.h"
#include "wire/v1/codec.h"
#include "wire/v1/text.h"

namespace evodb::gate {

struct ConnectionRecord;  // connection_record.h

// How long last words, or a large answer, may wait for a reader that takes nothing of them.
inline constexpr std::int64_t closing_ms_max = 5'000;

// Not final for one reason: the conformance test answers whole messages with an echo, over
// everything else that ships (tests/conformance/echo_gate.cc).
class GateImpl : public Gate, public base::StreamEvents {
 public:
  GateImpl(base::Loop& loop, ingest::Ingest& ingest, GateHandlers& handlers,
           const GateOptions& options);
  ~GateImpl() override;

  Result<std::string> listen(const std::string& address) override;
  void deliver(const ingest::Effects& effects) override;
  void drain(std::string_view why) override;
  bool drained() const override { return stats_.connections == 0; }
  GateStats stats() const override {
    GateStats stats = stats_;
    stats.tags_bytes = tags_.bytes();
    stats.attachments_bytes = attachments_.bytes();
    return stats;
  }

  // gate_application.cc
  Result<void> set_auto_response(wire::WsOpcode opcode, std::string_view request,
                                 std::string_view response) override;
  std::optional<UnixMillis> get_auto_response_timestamp(ConnectionId connection) override;
  Result<void> set_tags(ConnectionId connection, std::span<const std::string_view> tags) override;
  std::vector<std::string_view> get_tags(ConnectionId connection) override;
  std::vector<ConnectionId> list(std::optional<std::string_view> tag) override;
  Result<void> set_attachment(ConnectionId connection, std::string_view bytes) override;
  std::string_view get_attachment(ConnectionId connection) override;
  Result<std::size_t> broadcast(wire::WsOpcode opcode, std::string_view payload,
                                std::optional<std::string_view> tag) override;

  // --- changing hands (gate_hand_over.cc) ---
  void freeze() override;
  std::uint64_t requests_waiting() override;
  Result<SavedConnections> save_connections() override;
  void let_go() override;
  Result<std::string> adopt(std::string_view saved,
                            std::span<const base::StreamId> streams) override;
  void resume() override;

 protected:
  using StreamId = base::StreamId;

  // --- what a message may be, and what is done with one (gate_websocket.cc) ---
  virtual std::size_t message_bytes_max(const Connection& c) const;
  // A text or binary message that no auto-response has answered.
  virtual void session_message(StreamId s, const wire::WsMessage& message);
  void send_message(StreamId s, wire::WsOpcode opcode, std::string_view payload);

 private:
  // --- events of the loop (gate.cc) ---
  void on_accept(StreamId s, std::string_view peer) override;
  void on_connected(StreamId) override;
  void on_data(StreamId s, std::span<char> bytes) override;
  void on_writable(StreamId s) override;
  void on_closed(StreamId s, std::string_view why) override;

  // --- output, memory, ends (gate.cc) ---
  Connection& at(StreamId s) { return slab_[s.value]; }
  Active& active(Connection& c);
  void begin(StreamId s);  // collects what send() gives until settle(s)
  void settle(StreamId s);
  void send(StreamId s, std::string_view bytes);
  void write_out(StreamId s, std::string_view bytes);
  void count_memory(Connection& c);
  void drop_active(Connection& c);
  void drop_v1(Connection& c);
  void stay_within_memory(StreamId s);
  // Who has held the most for the longest (bytes times ticks); none: nobody holds anything.
  std::uint32_t heaviest_holder();
  void close_after_output(StreamId s);  // state kClosing; the session is over at once
  void end_session(StreamId s);
  void destroy(StreamId s, bool abort);
  void forget(StreamId s);  // all but the stream itself

  // --- hibernation (gate_timers.cc) ---
  void wake(StreamId s);
  void hibernate(Connection& c);
  void arm_session(StreamId s);  // at its beginning, and after it woke
  // Steps of stamp_ms since the gate was made, plus 1: 0 is never. Comes round after 497 days.
  static constexpr std::int64_t stamp_ms = 10;
  std::uint32_t stamp();

  // --- time (gate_timers.cc) ---
  std::uint32_t ticks(std::int64_t ms) const;
  void arm(StreamId s, std::int64_t ms);
  void start_ticking();
  void on_tick();
  void on_deadline(StreamId s);
  void on_session_deadline(StreamId s);
  std::int64_t ms_left(std::uint32_t since, std::int64_t ms_max) const;  // 0: it is time
  void message_in_parts(StreamId s, bool begins_now);

  // --- HTTP (gate_http.cc) ---
  void http_data(StreamId s, std::string_view bytes);
  void http_next(StreamId s);
  void http_request(StreamId s, const ParsedRequest& request);
  void http_refuse(StreamId s, int status, std::string_view text, std::string_view headers = {});
  void http_upgrade(StreamId s, const ParsedRequest& request, std::string_view rest);
  void http_respond(StreamId s, std::uint32_t generation, bool head_only, bool keep_alive,
                    HttpResponse response);
  void http_give_answer(StreamId s);  // what the kernel takes of Active::answer
  void http_answered(StreamId s, bool keep_alive);
  void http_go_on(StreamId s);  // reads again, behind an answer that came later
  void on_answer_deadline(StreamId s);

  // --- WebSocket (gate_websocket.cc) ---
  void websocket_data(StreamId s, std::span<char> bytes);  // unmasks in place
  void websocket_message(StreamId s, const wire::WsMessage& message);
  void websocket_close(StreamId s, wire::WsClose code, std::string_view reason);
  UnixMillis wall() { return loop_.clock().wall(); }

  // --- for an application (gate_application.cc) ---
  struct AutoResponse {
    std::string request, response;
  };
  struct Broadcast {
    std::string frame;
    std::optional<std::string> tag;
    std::vector<std::uint32_t> ids;  // with the tag; without: all, and `next` is an id itself
    std::uint32_t next = 0, end = 0;
    std::uint64_t bytes = 0;
  };
  static constexpr std::size_t broadcast_slice = 64;
  static constexpr std::uint64_t broadcasts_bytes_max = 32u << 20;
  void continue_broadcasts();
  Connection* open_websocket(ConnectionId id);
  Connection* session(ConnectionId id);  // nullptr: it is none
  bool auto_respond(StreamId s, const wire::WsMessage& message);

  // --- wire v2 (gate_v2.cc) ---
  void send_frame(StreamId s, const wire::Frame& frame);
  void nack(StreamId s, wire::NackReason reason, std::string_view text, bool close,
            std::uint32_t retry_after_ms = 0);
  void v2_frame(StreamId s, std::string_view message);
  void v2_hello(StreamId s, const wire::Hello& hello);
  void v2_batch(StreamId s, std::string_view body, std::size_t frame_bytes);
  void v2_bye(StreamId s, wire::ByeReason reason, std::string_view text, wire::WsClose code);
  void flush_ack(StreamId s);

  // --- wire v1 (gate_v1.cc) ---
  struct V1Reply {
    std::uint64_t batch_sequence = 0;
    std::optional<std::string> correlation_id;
    bool json = false;
  };
  void v1_binary(StreamId s, std::string_view message);
  void v1_text(StreamId s, std::string_view text);
  void v1_text_batch(StreamId s, std::string_view text, const V1Reply& reply);
  bool v1_bind(StreamId s, std::string_view source, const V1Reply& reply);
  void v1_batch(StreamId s, const V1Reply& reply, std::size_t bytes);  // of entries_
  void v1_ack(StreamId s, const V1Pending& pending, wire::V1AckStatus status);
  void v1_nack(StreamId s, const V1Reply& reply, wire::V1NackReason reason, std::string_view text,
               std::uint32_t retry_delay_ms = 0);
  void v1_batch_durable(StreamId s, std::uint64_t token, bool duplicate);
  void v1_maybe_end(StreamId s);
  ConnectionRecord record_of(const Connection& c);
  Result<void> adopt_one(StreamId s, const ConnectionRecord& record);
  void deliver_own();  // effects_ of the call into ingest that just returned

  base::Loop& loop_;
  ingest::Ingest& ingest_;
  GateHandlers& handlers_;
  const GateOptions options_;
  GateStats stats_;

  ConnectionSlab slab_;
  TimerWheel<ConnectionSlab> wheel_{slab_};
  std::int64_t tick_ms_;
  base::Timer tick_timer_{loop_};
  base::MonotonicMillis ticked_at_;
  base::MonotonicMillis made_at_;

  AutoResponse auto_text_{"ping", "pong"}, auto_binary_;
  TagIndex tags_;
  Attachments attachments_;
  std::deque<Broadcast> broadcasts_;  // oldest first; under way if there are any
  std::uint64_t broadcasts_bytes_ = 0;

  bool draining_ = false;
  bool frozen_ = false;
  bool let_go_ = false;
  std::string drain_text_;

  // Scratch, shared by all connections.
  static constexpr std::uint32_t no_stream = 0xffffffff;
  std::uint32_t begun_ = no_stream;  // the connection between begin() and settle()
  std::string out_;                  // its output
  std::string frame_;
  std::string message_;
  ingest::Effects effects_;
  std::vector<V1RowEntry> entries_;
  std::vector<std::uint32_t> acked_;  // of one deliver()
  Inflater inflater_;
  V1RowTranslator translator_;
  std::uint64_t token_next_ = 1;

  // Held weakly by HTTP answers that may come after us.
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace evodb::gate
