// ParentLink: one connection to a parent: TCP, the WebSocket handshake, wire frames both ways,
// keepalive. It knows frames, not what they mean; the Uplink above it does.
//
//   ParentLink link(loop, random, {.parent = {.host = "127.0.0.1"}}, events);
//   EVODB_TRY(link.open());           // on_link_open or on_link_closed follows
//   link.send(hello);
//
// Keepalive is the WebSocket's own ping, which a parent answers without waking a hibernated
// session: sent only after `ping_idle_ms` in which nothing came, and the peer is given up
// `dead_peer_ms` later.
//
// Threads: the loop's. It may be closed or reopened from inside any of its events.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/loop.h"
#include "base/timer.h"
#include "wire/frame.h"
#include "wire/websocket.h"

namespace evodb::edge {

// "ws://host:port[/path]" (port 8787 if absent) into its parts. Errors: kInvalid, saying what to
// write; wss is not spoken yet.
struct ParentUrl {
  std::string host;
  std::uint16_t port = 8787;
  std::string path = "/";
};
Result<ParentUrl> parse_parent_url(const std::string& url);

struct LinkOptions {
  ParentUrl parent;
  std::string agent = "evodb-edge/0.1.0";
  std::int64_t open_ms_max = 10'000;   // TCP and handshake together
  std::int64_t ping_idle_ms = 30'000;  // after so long without a byte from the parent: ping
  std::int64_t dead_peer_ms = 10'000;  // and so long after that: give it up
};

class LinkEvents {
 public:
  virtual ~LinkEvents() = default;
  virtual void on_link_open() = 0;
  // Views in `frame` are valid during the call.
  virtual void on_link_frame(const wire::Frame& frame) = 0;
  // What was waiting to be written is written.
  virtual void on_link_writable() = 0;
  // kRetry: the network, or a parent that cannot just now. kInvalid: what answered is no EvoDB
  // parent or speaks no version of ours. Not called for a close() of our own.
  virtual void on_link_closed(const Error& why) = 0;
};

// Not final for one reason: the conformance test answers whole messages with an echo, over
// everything else that ships (tests/conformance/echo_client.cc).
class ParentLink : private base::StreamEvents {
 public:
  ParentLink(base::Loop& loop, base::Random& random, LinkOptions options, LinkEvents& events);
  ~ParentLink() override;  // aborts
  ParentLink(const ParentLink&) = delete;
  ParentLink& operator=(const ParentLink&) = delete;

  // REQUIRES: closed. Errors: kRetry (no such host just now, no descriptor).
  Result<void> open();
  // REQUIRES: open (on_link_open came, no end since).
  void send(const wire::Frame& frame);
  // A frame that is encoded already. Returns the bytes that are now waiting for the socket.
  std::size_t send_encoded(std::string_view frame);
  std::size_t unsent_bytes() const { return output_.size() - written_; }
  // What those hold in memory: at most twice as much.
  std::size_t held_bytes() const { return output_.size(); }
  // Ends it, with a WebSocket close if it was open. No event follows. Closed: nothing happens.
  void close();
  bool is_open() const { return state_ == State::kOpen; }
  bool is_closed() const { return state_ == State::kClosed; }
  std::string address() const;

 protected:
  // A text or binary message: the frame in it is decoded and given on.
  virtual void take_data(const wire::WsMessage& message);
  // REQUIRES: open.
  void send_websocket(wire::WsOpcode opcode, std::string_view payload);

 private:
  enum class State : std::uint8_t { kClosed, kConnecting, kHandshake, kOpen };

  void on_accept(base::StreamId, std::string_view) override {}
  void on_connected(base::StreamId stream) override;
  void on_data(base::StreamId stream, std::span<char> bytes) override;
  void on_writable(base::StreamId stream) override;
  void on_closed(base::StreamId stream, std::string_view why) override;

  // The response's head is there once the optional is set: its length, or what is wrong with it.
  std::optional<Result<std::size_t>> read_response() const;
  void take_messages(std::span<char> bytes);
  void take_message(const wire::WsMessage& message);
  void write_out();
  // Both end it, then tell. The first aborts; the second says so to the parent in a close frame.
  void fail_with(ErrorKind kind, std::string text);
  void refuse(wire::WsClose code, ErrorKind kind, std::string text);
  void end_with(std::string_view close_payload);
  void reset();
  void arm(std::int64_t ms);
  void on_timer();

  base::Loop& loop_;
  base::Random& random_;
  LinkOptions options_;
  LinkEvents& events_;

  State state_ = State::kClosed;
  base::StreamId stream_;
  std::uint64_t life_ = 0;  // counts opens, so that an event notices that it outlived its own
  std::string key_;         // Sec-WebSocket-Key
  std::string head_;        // of the response, until complete
  wire::WsParser parser_;
  std::string output_;  // what the socket did not take yet, behind written_
  std::size_t written_ = 0;
  std::string frame_;  // reused
  base::Timer timer_{loop_};
  base::MonotonicMillis heard_;
  bool pinged_ = false;
};

}  // namespace evodb::edge
