// What a connection costs: one fixed record while it is idle, an Active beside it while a request
// or message is in parts or output waits. docs/gate.md, "What a connection costs".
//
// Hibernated is a child of wire v2 that has nothing but its record, here, in ingest and in the
// loop: its last acknowledgement is out, or it has said nothing for hibernate_after_ms. Whatever
// its session must see wakes it; pings and auto-responses do not.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/chunked_slab.h"
#include "gate/http.h"
#include "gate/timer_wheel.h"
#include "gate/v1_rows.h"
#include "wire/frame.h"
#include "wire/websocket.h"

namespace evodb::gate {

enum class ConnectionState : std::uint8_t {
  kFree,
  kHttp,         // reading a request
  kHttpWaiting,  // a handler has it, or its answer is leaving; reading is paused
  kWebSocket,    // upgraded, nothing said yet
  kV2,
  kV1,
  kClosing,  // last words are on their way; input is ignored
};

// The body of a large answer, from which the kernel gets what its reader has made room for.
struct HttpAnswer {
  std::string body;
  std::size_t sent = 0;  // of it, taken since
  bool keep_alive = true;
  std::shared_ptr<const void> kept;  // HttpResponse's

  std::string_view rest() const { return std::string_view(body).substr(sent); }
};

// Exists only while something is in parts. Freed as soon as nothing is.
struct Active {
  std::optional<HttpParser> http;
  std::optional<wire::WsParser> parser;  // a message in parts
  std::uint32_t message_since = 0;       // tick at which that message, or the answer, began
  std::uint32_t since = 0;               // tick at which this Active was made
  std::uint32_t counted_bytes = 0;       // of GateStats.held_bytes; saturates
  std::string output;                    // what the kernel did not take
  std::size_t output_sent = 0;           // of it, taken since
  std::unique_ptr<HttpAnswer> answer;    // comes behind `output`
  std::optional<wire::Ack> ack;          // newest one; goes out when `output` is empty
  bool ack_is_last = false;              // nothing of the session is in the air behind it

  std::size_t output_bytes() const { return output.size() - output_sent; }
  bool idle() const { return !http && !parser && output.empty() && !answer && !ack; }
  std::size_t held_bytes() const {
    return sizeof(Active) + (http ? http->held_bytes() : 0) + (parser ? parser->held_bytes() : 0) +
           output.capacity() + (answer ? sizeof(HttpAnswer) + answer->body.capacity() : 0);
  }
};

// A batch of which the sender waits for an ACK.
struct V1Pending {
  std::uint64_t batch_sequence = 0;
  std::optional<std::string> correlation_id;
  bool json = false;
};

inline constexpr std::size_t v1_pending_max = 4'096;
inline constexpr std::size_t v1_pending_bytes_max = 1u << 20;  // of correlation ids

// What a v1 session keeps between messages. The old protocol's price: v2 needs none of it here.
struct V1Session {
  std::string source;
  V1Tables tables;
  std::map<std::uint64_t, V1Pending> pending;  // by the token that ingest gives back
  std::size_t pending_bytes = 0;
  bool disconnecting = false;       // close once nothing is pending
  std::uint32_t counted_bytes = 0;  // of GateStats.held_bytes; saturates

  std::size_t held_bytes() const {
    return sizeof(V1Session) + source.capacity() + tables.held_bytes() + pending_bytes +
           pending.size() * 96;
  }
};

struct Connection {
  std::unique_ptr<Active> active;
  std::unique_ptr<V1Session> v1;
  WheelLink link;
  std::uint32_t generation = 0;     // of this id: tells a late HTTP answer for its former owner
  std::uint32_t since = 0;          // tick at which this state's time limit began; in a session:
                                    // of the last bytes
  std::uint32_t auto_response = 0;  // when the last one left: GateImpl::stamp(); 0: never
  std::uint32_t attachment = 0;     // handles for the application; 0: none
  std::uint32_t tags = 0;
  ConnectionState state = ConnectionState::kFree;
  bool said_hello : 1 = false;  // ingest knows the session
  bool pinged : 1 = false;      // by us, and nothing came since
  bool new_epoch : 1 = false;   // was told to begin an epoch: one more hello may come
  bool served : 1 = false;      // an HTTP request was answered here
  bool hibernated : 1 = false;

  bool in_session() const { return state == ConnectionState::kV2 || state == ConnectionState::kV1; }
  bool upgraded() const { return state == ConnectionState::kWebSocket || in_session(); }
};
// With 16 bytes in the loop and 16 in ingest: 80 bytes a hibernated child.
static_assert(sizeof(Connection) == 48);

using ConnectionSlab = base::ChunkedSlab<Connection>;  // by StreamId

}  // namespace evodb::gate
