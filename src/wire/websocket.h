// RFC 6455 framing for both ends, without I/O: bytes in, messages out.
//
// Memory: a parser holds no buffer while no message is in parts. Messages that arrive whole inside
// one call are given as views into that call's bytes (unmasked in place where masked).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "evodb/result.h"

namespace evodb::wire {

enum class WsOpcode : std::uint8_t {
  kContinuation = 0,
  kText = 1,
  kBinary = 2,
  kClose = 8,
  kPing = 9,
  kPong = 10,
};

// Close codes that we send (RFC 6455 section 7.4.1).
enum class WsClose : std::uint16_t {
  kNormal = 1000,
  kGoingAway = 1001,
  kProtocolError = 1002,
  kUnsupported = 1003,
  kInvalidData = 1007,
  kPolicy = 1008,
  kTooBig = 1009,
  kInternal = 1011,
  kTryAgainLater = 1013,
};

struct WsMessage {
  WsOpcode opcode = WsOpcode::kBinary;  // kText, kBinary, kClose, kPing, kPong
  std::string_view payload;             // valid until the next call
};

struct WsError {
  WsClose code = WsClose::kProtocolError;
  const char* text = "";
};

struct WsFrameHeader;  // websocket.cc

// Parses one direction of one connection. A server's parser demands masked frames, a client's
// demands unmasked ones. Control frames come out between the fragments of a message. After a close
// frame was given, and after an error, further input is dropped.
class WsParser {
 public:
  enum class Role : std::uint8_t { kServer, kClient };
  WsParser(Role role, std::size_t message_bytes_max);
  ~WsParser();
  WsParser(WsParser&&) noexcept;
  WsParser& operator=(WsParser&&) noexcept;

  // Gives `bytes` (which it may unmask in place) to the parser; call next() until it is kNeedMore
  // before feeding again.
  void feed(char* bytes, std::size_t n);
  enum class Step : std::uint8_t { kMessage, kNeedMore, kError };
  Step next(WsMessage* message, WsError* error);

  void set_message_bytes_max(std::size_t n);  // raised once a hello was accepted
  // Bytes held between calls (partial frames): 0 for an idle connection.
  std::size_t held_bytes() const;

  // What is in parts, as bytes that another process's parser goes on from: docs/upgrade.md.
  // REQUIRES: next() said kNeedMore.
  void save(std::string& out) const;
  // Errors: kInvalid (not what save() gives, or over message_bytes_max).
  static Result<WsParser> restore(Role role, std::size_t message_bytes_max, std::string_view saved);

 private:
  struct Partial;  // exists only while a frame or a message is in parts

  bool take_header(WsFrameHeader* header, bool* complete, WsError* error);
  bool admit(const WsFrameHeader& header, WsError* error);
  Step give_in_place(const WsFrameHeader& header, WsMessage* message, WsError* error);
  void begin_frame(const WsFrameHeader& header);
  bool take_payload(WsMessage* message, bool* complete, WsError* error);
  bool end_with(std::string_view close_payload, WsError* error);
  Step give_up();
  Step need_more();
  void free_given();
  void consume(std::size_t n);
  Partial& partial();

  std::unique_ptr<Partial> partial_;
  char* in_ = nullptr;
  std::size_t in_size_ = 0;
  std::uint32_t message_bytes_max_;
  Role role_;
  bool failed_ = false;
  bool closed_ = false;
};
static_assert(sizeof(void*) != 8 || sizeof(WsParser) == 32,
              "idle connections are counted in bytes");

// Appends one unfragmented frame. A control frame's payload has at most 125 bytes; a close reason
// is cut to fit. `mask_key`: clients must mask (REQUIRES: from a Random), servers
// pass nullptr.
void encode_ws_frame(std::string& out, WsOpcode opcode, std::string_view payload,
                     const std::uint32_t* mask_key);
void encode_ws_close(std::string& out, WsClose code, std::string_view reason,
                     const std::uint32_t* mask_key);

// Sec-WebSocket-Accept for a Sec-WebSocket-Key (SHA-1 and base64, RFC 6455 section 4.2.2).
std::string websocket_accept(std::string_view key);

bool is_valid_utf8(std::string_view bytes);

}  // namespace evodb::wire
