// WebSocket: bytes to messages, auto-responses, closing.
#include <algorithm>

#include "base/limits.h"
#include "gate/gate_impl.h"

namespace evodb::gate {

std::size_t GateImpl::message_bytes_max(const Connection& c) const {
  if (c.said_hello) return options_.frame_bytes_max;
  return std::min<std::size_t>(options_.frame_bytes_max, base::hello_frame_bytes_max);
}

void GateImpl::websocket_data(StreamId s, std::span<char> bytes) {
  Connection& c = at(s);
  // Nothing in parts: the parser lives here, and a whole message costs no allocation.
  wire::WsParser parser(wire::WsParser::Role::kServer, message_bytes_max(c));
  bool begins_now = true;  // what will be in parts, if anything is
  if (c.active && c.active->parser) {
    parser = std::move(*c.active->parser);
    c.active->parser.reset();
    begins_now = false;
  }
  parser.feed(bytes.data(), bytes.size());
  while (c.state != ConnectionState::kClosing) {
    wire::WsMessage message;
    wire::WsError error;
    const wire::WsParser::Step step = parser.next(&message, &error);
    if (step == wire::WsParser::Step::kNeedMore) {
      if (parser.held_bytes() == 0) return;
      active(c).parser.emplace(std::move(parser));
      return message_in_parts(s, begins_now);
    }
    if (step == wire::WsParser::Step::kError) {
      const bool too_big = error.code == wire::WsClose::kTooBig;
      ++(too_big ? stats_.refused_size : stats_.refused_frame);
      websocket_close(s, error.code,
                      too_big && !c.said_hello
                          ? "a first message over 64 KiB; say hello (v1: connect) first"
                          : error.text);
      return;
    }
    // Control frames come between the parts of a message and prove nothing of its progress.
    begins_now |=
        message.opcode == wire::WsOpcode::kText || message.opcode == wire::WsOpcode::kBinary;
    websocket_message(s, message);
    parser.set_message_bytes_max(message_bytes_max(c));
  }
}

void GateImpl::websocket_message(StreamId s, const wire::WsMessage& message) {
  Connection& c = at(s);
  switch (message.opcode) {
    case wire::WsOpcode::kPing:
      c.auto_response = stamp();
      ++stats_.auto_responses;
      send_message(s, wire::WsOpcode::kPong, message.payload);
      return;
    case wire::WsOpcode::kPong: return;
    case wire::WsOpcode::kClose:
      // The echo of their code ends the handshake (RFC 6455 section 5.5.1).
      send_message(s, wire::WsOpcode::kClose, message.payload.substr(0, 2));
      close_after_output(s);
      return;
    case wire::WsOpcode::kText:
      ++stats_.frames_in;
      if (!auto_respond(s, message)) session_message(s, message);
      return;
    case wire::WsOpcode::kBinary:
      ++stats_.frames_in;
      if (!auto_respond(s, message)) session_message(s, message);
      return;
    case wire::WsOpcode::kContinuation: return;  // the parser joins these
  }
}

void GateImpl::session_message(StreamId s, const wire::WsMessage& message) {
  const Connection& c = at(s);
  wake(s);
  if (message.opcode == wire::WsOpcode::kBinary) {
    if (c.state == ConnectionState::kV2 ||
        (c.state == ConnectionState::kWebSocket && wire::has_frame_magic(message.payload))) {
      v2_frame(s, message.payload);
    } else {
      v1_binary(s, message.payload);
    }
  } else if (c.state == ConnectionState::kV2) {
    ++stats_.refused_frame;
    nack(s, wire::NackReason::kMalformed,
         "a text message on a wire v2 connection; send binary frames", true);
  } else {
    v1_text(s, message.payload);
  }
}

void GateImpl::send_message(StreamId s, wire::WsOpcode opcode, std::string_view payload) {
  if (s.value == begun_) {
    wire::encode_ws_frame(out_, opcode, payload, nullptr);
    return;
  }
  message_.clear();
  wire::encode_ws_frame(message_, opcode, payload, nullptr);
  write_out(s, message_);
}

void GateImpl::websocket_close(StreamId s, wire::WsClose code, std::string_view reason) {
  constexpr std::size_t reason_bytes_max = 123;  // of a control frame, behind the code
  reason = reason.substr(0, reason_bytes_max);
  while (!reason.empty() && !wire::is_valid_utf8(reason)) reason.remove_suffix(1);
  std::string bytes;
  wire::encode_ws_close(bytes, code, reason, nullptr);
  send(s, bytes);
  close_after_output(s);
}

}  // namespace evodb::gate
