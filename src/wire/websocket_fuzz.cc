// The WebSocket parser: the same bytes whole and in pieces must give the same messages, also if the
// parser changes hands between the pieces.
#include "wire/websocket.h"

#include <memory>
#include <string>

#include "base/assert.h"

namespace {

using namespace evodb::wire;

constexpr std::size_t message_bytes_max = 4096;

// What came out, as one string.
std::string parse(std::string_view bytes, WsParser::Role role, std::size_t piece_bytes,
                  bool change_hands = false) {
  WsParser parser(role, message_bytes_max);
  std::string seen;
  bool closed = false;
  for (std::size_t from = 0; from < bytes.size(); from += piece_bytes) {
    const std::size_t n = std::min(piece_bytes, bytes.size() - from);
    const std::unique_ptr<char[]> piece(new char[n]);
    bytes.copy(piece.get(), n, from);
    parser.feed(piece.get(), n);
    for (;;) {
      WsMessage message;
      WsError error;
      const WsParser::Step step = parser.next(&message, &error);
      if (step == WsParser::Step::kNeedMore) break;
      if (step == WsParser::Step::kError) {
        return seen + "error " + std::to_string(static_cast<int>(error.code));
      }
      EVODB_ASSERT(message.payload.size() <= message_bytes_max, "a message over the limit");
      EVODB_ASSERT(message.opcode != WsOpcode::kText || is_valid_utf8(message.payload),
                   "text that is not UTF-8");
      closed = closed || message.opcode == WsOpcode::kClose;
      seen += std::to_string(static_cast<int>(message.opcode)) + ':';
      seen += message.payload;
      seen += '\n';
    }
    if (!change_hands || closed) continue;
    std::string saved;
    parser.save(saved);
    auto restored = WsParser::restore(role, message_bytes_max, saved);
    EVODB_ASSERT(restored.has_value(), "what a parser saved is refused");
    parser = *std::move(restored);
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto role = (data[0] & 1) != 0 ? WsParser::Role::kServer : WsParser::Role::kClient;
  const std::size_t piece_bytes = 1 + data[0] / 2;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = parse(bytes, role, bytes.size() + 1);
  EVODB_ASSERT(parse(bytes, role, piece_bytes) == whole, "pieces give other messages than a whole");
  EVODB_ASSERT(parse(bytes, role, 1) == whole, "single bytes give other messages than a whole");
  EVODB_ASSERT(parse(bytes, role, piece_bytes, true) == whole,
               "a parser that changed hands differs");
  return 0;
}
