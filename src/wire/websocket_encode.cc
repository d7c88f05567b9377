#include <algorithm>

#include "base/assert.h"
#include "wire/utf8.h"
#include "wire/websocket.h"
#include "wire/websocket_mask.h"

namespace evodb::wire {
namespace {

constexpr std::size_t control_payload_max = 125;

void put_big_endian(std::string& out, std::uint64_t v, int bytes) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(v >> shift));
  }
}

}  // namespace

void encode_ws_frame(std::string& out, WsOpcode opcode, std::string_view payload,
                     const std::uint32_t* mask_key) {
  const bool control = static_cast<std::uint8_t>(opcode) >= 8;
  EVODB_ASSERT(!control || payload.size() <= control_payload_max,
               "a control frame carries at most 125 bytes");
  constexpr std::size_t header_bytes_max = 14;
  // Grow at least by half: a caller that appends many frames must not copy them all each time.
  if (out.capacity() - out.size() < payload.size() + header_bytes_max) {
    out.reserve(std::max(out.size() + payload.size() + header_bytes_max, out.capacity() * 3 / 2));
  }
  out.push_back(static_cast<char>(0x80 | static_cast<std::uint8_t>(opcode)));
  const std::uint8_t masked = mask_key != nullptr ? 0x80 : 0;
  if (payload.size() < 126) {
    out.push_back(static_cast<char>(masked | payload.size()));
  } else if (payload.size() <= 0xffff) {
    out.push_back(static_cast<char>(masked | 126));
    put_big_endian(out, payload.size(), 2);
  } else {
    out.push_back(static_cast<char>(masked | 127));
    put_big_endian(out, payload.size(), 8);
  }
  if (mask_key == nullptr) {
    out.append(payload);
    return;
  }
  char key[4];
  std::memcpy(key, mask_key, sizeof key);
  out.append(key, sizeof key);
  const std::size_t start = out.size();
  out.append(payload);
  apply_ws_mask(out.data() + start, payload.size(), *mask_key, 0);
}

void encode_ws_close(std::string& out, WsClose code, std::string_view reason,
                     const std::uint32_t* mask_key) {
  std::string payload;
  put_big_endian(payload, static_cast<std::uint16_t>(code), 2);
  payload.append(utf8_prefix(reason, control_payload_max - 2));
  encode_ws_frame(out, WsOpcode::kClose, payload, mask_key);
}

}  // namespace evodb::wire
