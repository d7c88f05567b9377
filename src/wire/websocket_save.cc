// A parser's partial frame and message as bytes: what a process hands over to the next one.
#include <algorithm>

#include "base/assert.h"
#include "base/bytes.h"
#include "wire/websocket_partial.h"

namespace evodb::wire {
namespace {

enum SavedFlags : std::uint8_t {
  kInFrame = 1,
  kInMessage = 2,
  kFinal = 4,
  kMasked = 8,
};

bool data_opcode(std::uint8_t opcode) {
  return opcode == static_cast<std::uint8_t>(WsOpcode::kText) ||
         opcode == static_cast<std::uint8_t>(WsOpcode::kBinary);
}

bool known_opcode(std::uint8_t opcode) { return opcode <= 2 || (opcode >= 8 && opcode <= 10); }

}  // namespace

void WsParser::save(std::string& out) const {
  EVODB_ASSERT(in_size_ == 0 && !failed_ && !closed_, "a parser is saved between its messages");
  if (partial_ == nullptr) return;
  const Partial& part = *partial_;
  EVODB_ASSERT(!part.message_given, "a parser is saved after next() wanted more");
  std::uint8_t flags = part.in_message ? kInMessage : 0;
  if (part.in_frame) {
    flags |= kInFrame | (part.frame.final ? kFinal : 0) | (part.frame.masked ? kMasked : 0);
  }
  base::put_u8(out, flags);
  base::put_string(out, {part.head, part.head_bytes});
  if (part.in_frame) {
    base::put_u8(out, static_cast<std::uint8_t>(part.frame.opcode));
    base::put_u32(out, part.frame.mask);
    base::put_varint(out, part.frame.payload_bytes);
    base::put_varint(out, part.frame_bytes_taken);
    if (part.frame.control()) base::put_string(out, {part.control, part.control_bytes});
  }
  if (part.in_message) {
    base::put_u8(out, static_cast<std::uint8_t>(part.message_opcode));
    base::put_string(out, part.message);
  }
}

Result<WsParser> WsParser::restore(Role role, std::size_t message_bytes_max,
                                   std::string_view saved) {
  WsParser parser(role, message_bytes_max);
  if (saved.empty()) return parser;
  const auto wrong = [] {
    return fail(ErrorKind::kInvalid, "a saved WebSocket parser is damaged");
  };
  base::ByteReader in(saved);
  std::uint8_t flags = 0;
  std::string_view head;
  if (!in.u8(&flags) || flags > 15 || ((flags & kInFrame) == 0 && (flags & ~kInMessage) != 0) ||
      !in.string(&head, ws_header_bytes_max))
    return wrong();
  Partial& part = parser.partial();
  std::copy(head.begin(), head.end(), part.head);
  part.head_bytes = static_cast<std::uint8_t>(head.size());
  part.in_frame = (flags & kInFrame) != 0;
  part.in_message = (flags & kInMessage) != 0;
  if (part.in_frame) {
    std::uint8_t opcode = 0;
    std::string_view control;
    if (!in.u8(&opcode) || !known_opcode(opcode) || !in.u32(&part.frame.mask) ||
        !in.varint(&part.frame.payload_bytes) || !in.varint(&part.frame_bytes_taken)) {
      return wrong();
    }
    part.frame.opcode = static_cast<WsOpcode>(opcode);
    part.frame.final = (flags & kFinal) != 0;
    part.frame.masked = (flags & kMasked) != 0;
    if (part.frame.masked != (role == Role::kServer) ||
        part.frame_bytes_taken >= part.frame.payload_bytes) {
      return wrong();
    }
    if (part.frame.control()) {
      if (!part.frame.final || part.frame.payload_bytes > ws_control_payload_max ||
          !in.string(&control, ws_control_payload_max) ||
          control.size() != part.frame_bytes_taken) {
        return wrong();
      }
      std::copy(control.begin(), control.end(), part.control);
      part.control_bytes = static_cast<std::uint8_t>(control.size());
    } else if (!part.in_message) {
      return wrong();
    }
  }
  if (part.in_message) {
    std::uint8_t opcode = 0;
    std::string_view message;
    if (!in.u8(&opcode) || !data_opcode(opcode) || !in.string(&message)) return wrong();
    part.message_opcode = static_cast<WsOpcode>(opcode);
    const bool in_data_frame = part.in_frame && !part.frame.control();
    const std::uint64_t to_come =
        in_data_frame ? part.frame.payload_bytes - part.frame_bytes_taken : 0;
    if (message.size() > parser.message_bytes_max_ ||
        to_come > parser.message_bytes_max_ - message.size()) {
      return fail(ErrorKind::kInvalid, "a saved WebSocket message is over the size limit");
    }
    if (in_data_frame && part.frame_bytes_taken > message.size()) return wrong();
    part.message = std::string(message);
    if (part.message_opcode == WsOpcode::kText && !part.text.add(message)) return wrong();
  }
  // A header is only cut off between frames, and what is saved is saved for a reason.
  const bool head_cut = part.head_bytes < 2 || part.head_bytes < ws_header_bytes(part.head);
  if (!in.at_end() || !part.needed() || (part.head_bytes > 0 && (part.in_frame || !head_cut))) {
    return wrong();
  }
  return parser;
}

}  // namespace evodb::wire
