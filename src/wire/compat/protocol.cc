#include "evodb/protocol.h"

#include "wire/compat/protocol_versions.h"
#include "wire/frame.h"
#include "wire/v1/codec.h"

namespace evodb {

Result<std::string> encode_message(const Message& message, WireVersion version,
                                   WireSession* session) {
  return version == WireVersion::kV1 ? wire::encode_message_v1(message)
                                     : wire::encode_message_v2(message, session);
}

Result<Message> decode_message(std::string_view bytes, WireSession* session) {
  if (wire::has_frame_magic(bytes)) return wire::decode_message_v2(bytes, session);
  if (wire::has_v1_magic(bytes)) return wire::decode_message_v1(bytes);
  if (!is_text_message(bytes)) {
    return fail(ErrorKind::kInvalid, "not a message of EvoDB: neither wire v2, v1 nor JSON");
  }
  return wire::decode_message_v1_text(bytes);
}

bool is_text_message(std::string_view bytes) {
  if (bytes == "ping" || bytes == "pong") return true;
  const std::size_t first = bytes.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && bytes[first] == '{';
}

}  // namespace evodb
