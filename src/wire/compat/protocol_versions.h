// The two halves of include/evodb/protocol.h.
#pragma once

#include <string>
#include <string_view>

#include "evodb/protocol.h"

namespace evodb::wire {

Result<std::string> encode_message_v2(const Message& message, WireSession* session);
Result<Message> decode_message_v2(std::string_view bytes, WireSession* session);

Result<std::string> encode_message_v1(const Message& message);
Result<Message> decode_message_v1(std::string_view bytes);
Result<Message> decode_message_v1_text(std::string_view text);

}  // namespace evodb::wire
