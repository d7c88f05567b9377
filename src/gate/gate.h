// Gate: the parent's one port. HTTP/1.1 and WebSocket over base::Loop; speaks wire v2 and v1, asks
// ingest, and carries acknowledgements back. No thread and no syscall: the loop brings bytes.
//
//   auto gate = Gate::create(loop, ingest, handlers, options);
//   std::string address = EVODB_TRY(gate->listen("127.0.0.1:8787"));
//   gate->deliver(effects);         // acks from ingest, after a sync or a commit
//   gate->drain("shutting down");   // no new connections; bye to all; closes as outputs empty
//
// A connection costs a fixed record in a slab while it is idle; parser and output buffers exist
// only while a message is in parts or an output waits (docs/gate.md, "What a connection costs").
//
// An application above the gate may keep tags and bytes with a connection, list and broadcast by
// tag, and have one exact message answered for it, as in Cloudflare's hibernation API; no
// connection wakes for any of it. Subscriptions to live changes will be built on that
// (docs/gate.md, "For an application"); until then only tests use it.
//
//   EVODB_TRY(gate->set_auto_response(wire::WsOpcode::kText, "are you there?", "yes"));
//   const std::string_view tags[] = {"table:users"};
//   EVODB_TRY(gate->set_tags(connection, tags));
//   auto heard = EVODB_TRY(gate->broadcast(wire::WsOpcode::kText, text, "table:users"));
//
// Threads: the loop's only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/loop.h"
#include "evodb/result.h"
#include "ingest/ingest.h"
#include "wire/websocket.h"

namespace evodb::gate {

// Names a connection. It is used again after that was closed: forget it in on_session_end.
using ConnectionId = base::StreamId;

inline constexpr std::size_t auto_response_bytes_max = 2'048;  // on each side

struct GateOptions {
  std::uint32_t connections_max = 19'000;
  std::uint32_t header_bytes_max = 16u << 10;
  std::int64_t header_ms_max = 10'000;           // slow loris: the request head must be there
  std::int64_t hello_ms_max = 10'000;            // a WebSocket that never says hello
  std::int64_t message_ms_max = 120'000;         // a message in parts must be whole
  std::uint32_t body_bytes_max = 64u << 10;      // HTTP request bodies (we need none)
  std::uint32_t frame_bytes_max = 16u << 20;     // after the hello
  std::uint32_t output_bytes_max = 4u << 20;     // a connection that does not read is closed
  std::uint64_t partial_bytes_max = 256u << 20;  // all connections' partial messages together
  std::int64_t idle_ping_ms = 30'000;            // server ping to find dead peers; 0 never
  std::int64_t hibernate_after_ms = 10'000;      // without data; at once when the last ack is out
  std::uint64_t tags_bytes_max = 64u << 20;      // of all connections
  std::uint64_t attachments_bytes_max = 256u << 20;  // of all connections
};

struct HttpRequest {
  std::string_view method;
  std::string_view path;  // without the query
  std::string_view query;
  std::string_view body;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::string headers;  // further ones, each ending in CR LF
  // Let go, on the loop's thread, once the gate holds nothing of the body any more: given to the
  // kernel, or its connection is gone. Whoever bounds the memory of answers counts with it.
  std::shared_ptr<const void> kept;
};

// What the gate asks of the application above it.
class GateHandlers {
 public:
  virtual ~GateHandlers() = default;
  // GET, HEAD, POST, PUT, PATCH or DELETE, not for a WebSocket upgrade. Answer by calling `respond`
  // once, now or later on the loop's thread (POST /flush waits for a commit). The connection may be
  // gone by then: respond knows. A large body leaves as its reader takes it.
  virtual void on_http(const HttpRequest& request, std::function<void(HttpResponse)> respond) = 0;
  // A batch went into the journal's queue: see that commit() runs.
  virtual void on_appended() = 0;
  // A v1 flush_request.
  virtual void on_flush_requested() = 0;
  // A connection's session has begun: it said hello, and may have tags and an attachment from now
  // on. `source` is valid during the call. It ends with on_session_end, from which nothing of the
  // gate may be called but get_tags and get_attachment.
  virtual void on_session(ConnectionId connection, std::string_view source) {
    (void)connection, (void)source;
  }
  virtual void on_session_end(ConnectionId connection) { (void)connection; }
  // What v1 clients are told in `status`.
  struct BufferStatus {
    std::uint64_t batches = 0, entries = 0, bytes = 0;
    double utilization = 0;
  };
  virtual BufferStatus buffer_status() = 0;
};

struct GateStats {
  std::uint64_t connections = 0, websockets = 0, children = 0;  // children: said hello
  std::uint64_t hibernated = 0;  // of the children; `connections` less these are active
  std::uint64_t woken = 0;       // times that one was no longer
  std::uint64_t connections_max = 0;
  std::uint64_t accepted = 0, closed = 0, http_requests = 0;
  std::uint64_t frames_in = 0, bytes_in = 0, bytes_out = 0;
  std::uint64_t v1_messages = 0, v1_crc_mismatches = 0, v1_rejected_entries = 0;
  std::uint64_t held_bytes = 0;  // partial messages and outputs, all connections
  std::uint64_t auto_responses = 0, broadcasts = 0;
  std::uint64_t tags_bytes = 0, attachments_bytes = 0;
  // Refusals, by reason.
  std::uint64_t refused_connections_max = 0, refused_header_size = 0, refused_header_time = 0,
                refused_malformed_http = 0, refused_websocket = 0, refused_frame = 0,
                refused_size = 0, refused_slow_reader = 0, refused_memory = 0,
                refused_hello_time = 0, refused_message_time = 0;
};

// Connections as bytes (docs/formats/hand-over.md), and their streams in the same order.
struct SavedConnections {
  std::string bytes;
  std::vector<base::StreamId> streams;
};

class Gate {
 public:
  static std::unique_ptr<Gate> create(base::Loop& loop, ingest::Ingest& ingest,
                                      GateHandlers& handlers, const GateOptions& options);
  virtual ~Gate() = default;
  // "host:port", 0 for any port; returns the address bound.
  virtual Result<std::string> listen(const std::string& address) = 0;
  virtual void deliver(const ingest::Effects& effects) = 0;
  virtual void drain(std::string_view why) = 0;
  virtual bool drained() const = 0;  // no connection is left
  virtual GateStats stats() const = 0;

  // --- for an application -----------------------------------------------------------------------
  // Every message of this kind that equals `request` is answered with `response`, without waking
  // anyone; an empty request takes that back. At first text "ping" is answered with "pong", binary
  // nothing. Errors: kInvalid (not text or binary; no UTF-8), kOverLimit (auto_response_bytes_max).
  virtual Result<void> set_auto_response(wire::WsOpcode opcode, std::string_view request,
                                         std::string_view response) = 0;
  // When the last auto-response or pong left, to 10 ms. None: never on this connection.
  virtual std::optional<UnixMillis> get_auto_response_timestamp(ConnectionId connection) = 0;

  // At most 10 tags of 1 to 256 bytes each; they replace those before, and may be views of them.
  // Errors: kInvalid (no session; a tag's size), kOverLimit (their number; tags_bytes_max). Views
  // live until tags of any connection change.
  virtual Result<void> set_tags(ConnectionId connection,
                                std::span<const std::string_view> tags) = 0;
  virtual std::vector<std::string_view> get_tags(ConnectionId connection) = 0;
  // All connections with a session, or those with this tag; ascending.
  virtual std::vector<ConnectionId> list(std::optional<std::string_view> tag = std::nullopt) = 0;

  // At most 16,384 bytes that stay until the session ends; "" is none. Errors: kInvalid (no
  // session), kOverLimit (too large; attachments_bytes_max). The view lives until the next set, or
  // the session's end.
  virtual Result<void> set_attachment(ConnectionId connection, std::string_view bytes) = 0;
  virtual std::string_view get_attachment(ConnectionId connection) = 0;

  // One message to all sessions, or to those with this tag; returns how many these are now. The
  // first 64 get it at once, the others a slice at a time between the loop's other events, and one
  // broadcast after the other; who connects or gets the tag meanwhile may get it too. For a slow
  // reader it waits as any output does: who exceeds output_bytes_max is cut off, and when all wait
  // for more than partial_bytes_max, who has held the most for the longest. Errors: kInvalid (not
  // text or binary; text that is no UTF-8), kOverLimit (over half of output_bytes_max; over 32 MiB
  // of broadcasts wait).
  virtual Result<std::size_t> broadcast(wire::WsOpcode opcode, std::string_view payload,
                                        std::optional<std::string_view> tag = std::nullopt) = 0;

  // --- changing hands: docs/upgrade.md. The loop's sockets rest from freeze() to resume() ---
  // Time stands still for every connection, until resume().
  virtual void freeze() = 0;
  virtual std::uint64_t requests_waiting() = 0;  // for their handlers; and broadcasts under way
  // REQUIRES: frozen. Errors: kRetry (somebody waits for an answer), kInvalid (draining). Changes
  // nothing.
  virtual Result<SavedConnections> save_connections() = 0;
  // From now on the connections are another gate's: this one is only to be destroyed, and closes
  // nothing then.
  virtual void let_go() = 0;
  // In place of listen(), on a gate that is new: it is frozen then. Ingest has the sessions under
  // their streams' numbers. Returns the address bound. Errors: kInvalid (damaged bytes, a message
  // over this gate's limits). Destroyed before resume(), it closes nothing. Tags, attachments and
  // the stamps of auto-responses go on; on_session is not called again, list() has them all.
  virtual Result<std::string> adopt(std::string_view saved,
                                    std::span<const base::StreamId> streams) = 0;
  virtual void resume() = 0;
};

}  // namespace evodb::gate
