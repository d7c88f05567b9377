// What a WsParser keeps while a frame or a message is in parts. Not for other rooms.
#pragma once

#include <cstdint>
#include <string>

#include "wire/utf8.h"
#include "wire/websocket.h"

namespace evodb::wire {

inline constexpr std::size_t ws_header_bytes_max = 14;
inline constexpr std::size_t ws_control_payload_max = 125;

// How many bytes a header has that begins with these two.
inline std::size_t ws_header_bytes(const char* p) {
  const auto second = static_cast<std::uint8_t>(p[1]);
  const std::size_t length = (second & 0x7f) == 126 ? 2 : (second & 0x7f) == 127 ? 8 : 0;
  return 2 + length + ((second & 0x80) != 0 ? 4 : 0);
}

struct WsFrameHeader {
  bool final = false;
  WsOpcode opcode = WsOpcode::kBinary;
  bool masked = false;
  std::uint32_t mask = 0;
  std::uint64_t payload_bytes = 0;

  bool control() const { return static_cast<std::uint8_t>(opcode) >= 8; }
};

struct WsParser::Partial {
  // A header that is cut off.
  char head[ws_header_bytes_max];
  std::uint8_t head_bytes = 0;

  // A frame whose payload is cut off.
  bool in_frame = false;
  WsFrameHeader frame;
  std::uint64_t frame_bytes_taken = 0;

  // A message of which frames, or parts of one, have come.
  bool in_message = false;
  WsOpcode message_opcode = WsOpcode::kBinary;
  std::string message;
  Utf8Validator text;

  // The same for a control frame, which may come between a message's frames.
  char control[ws_control_payload_max];
  std::uint8_t control_bytes = 0;

  bool message_given = false;  // the caller has seen `message`: free it at the next call

  bool needed() const { return head_bytes != 0 || in_frame || in_message; }
};

}  // namespace evodb::wire
