#include "wire/websocket.h"

#include <algorithm>
#include <limits>

#include "base/assert.h"
#include "wire/websocket_mask.h"
#include "wire/websocket_partial.h"

namespace evodb::wire {

namespace {

std::uint64_t load_big_endian(const char* p, int bytes) {
  std::uint64_t v = 0;
  for (int i = 0; i < bytes; ++i) v = v << 8 | static_cast<std::uint8_t>(p[i]);
  return v;
}

// Registered codes that may stand in a close frame (RFC 6455 section 7.4, IANA registry).
bool valid_close_code(std::uint64_t code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
         (code >= 3000 && code <= 4999);
}

bool refuse(WsError* error, WsClose code, const char* text) {
  *error = WsError{code, text};
  return false;
}

// REQUIRES: ws_header_bytes(p) bytes at `p`.
bool decode_header(const char* p, WsFrameHeader* header, WsError* error) {
  const auto first = static_cast<std::uint8_t>(p[0]);
  const auto second = static_cast<std::uint8_t>(p[1]);
  const std::uint8_t opcode = first & 0x0f;
  if ((first & 0x70) != 0) {
    return refuse(error, WsClose::kProtocolError, "a reserved bit is set; no extension was agreed");
  }
  if (opcode > 10 || (opcode > 2 && opcode < 8)) {
    return refuse(error, WsClose::kProtocolError, "an unknown opcode");
  }
  header->final = (first & 0x80) != 0;
  header->opcode = static_cast<WsOpcode>(opcode);
  header->masked = (second & 0x80) != 0;
  header->payload_bytes = second & 0x7f;
  p += 2;
  if (header->payload_bytes == 126) {
    header->payload_bytes = load_big_endian(p, 2);
    p += 2;
    if (header->payload_bytes < 126) {
      return refuse(error, WsClose::kProtocolError, "a length is not in its shortest form");
    }
  } else if (header->payload_bytes == 127) {
    header->payload_bytes = load_big_endian(p, 8);
    p += 8;
    if (header->payload_bytes >> 63 != 0) {
      return refuse(error, WsClose::kProtocolError, "a length's highest bit is set");
    }
    if (header->payload_bytes <= 0xffff) {
      return refuse(error, WsClose::kProtocolError, "a length is not in its shortest form");
    }
  }
  if (header->masked) std::memcpy(&header->mask, p, 4);
  if (header->control() && (!header->final || header->payload_bytes > ws_control_payload_max)) {
    return refuse(error, WsClose::kProtocolError,
                  "a control frame is in parts or longer than 125 bytes");
  }
  return true;
}

bool check_close(std::string_view payload, WsError* error) {
  if (payload.empty()) return true;
  if (payload.size() == 1) {
    return refuse(error, WsClose::kProtocolError, "a close frame with half a code");
  }
  if (!valid_close_code(load_big_endian(payload.data(), 2))) {
    return refuse(error, WsClose::kProtocolError, "a close code that must not be sent");
  }
  if (!is_valid_utf8(payload.substr(2))) {
    return refuse(error, WsClose::kInvalidData, "a close reason that is not UTF-8");
  }
  return true;
}

}  // namespace

WsParser::WsParser(Role role, std::size_t message_bytes_max) : role_(role) {
  set_message_bytes_max(message_bytes_max);
}
WsParser::~WsParser() = default;
WsParser::WsParser(WsParser&&) noexcept = default;
WsParser& WsParser::operator=(WsParser&&) noexcept = default;

void WsParser::set_message_bytes_max(std::size_t n) {
  message_bytes_max_ = static_cast<std::uint32_t>(
      std::min<std::size_t>(n, std::numeric_limits<std::uint32_t>::max()));
}

std::size_t WsParser::held_bytes() const {
  return partial_ == nullptr ? 0 : sizeof(Partial) + partial_->message.capacity();
}

void WsParser::feed(char* bytes, std::size_t n) {
  EVODB_ASSERT(in_size_ == 0, "next() was not called until it wanted more");
  if (failed_ || closed_) return;
  in_ = bytes;
  in_size_ = n;
}

WsParser::Step WsParser::next(WsMessage* message, WsError* error) {
  if (failed_) {
    *error = WsError{WsClose::kProtocolError, "an earlier frame was refused"};
    return Step::kError;
  }
  free_given();
  while (in_size_ != 0) {
    if (partial_ == nullptr || !partial_->in_frame) {
      // A header, from this call's bytes alone or with those that an earlier call kept.
      WsFrameHeader header;
      bool complete = false;
      if (!take_header(&header, &complete, error)) return give_up();
      if (!complete) return need_more();
      if (!admit(header, error)) return give_up();
      const bool in_message = partial_ != nullptr && partial_->in_message;
      if (header.payload_bytes <= in_size_ && (header.control() || (header.final && !in_message))) {
        return give_in_place(header, message, error);
      }
      begin_frame(header);
    }
    // Also with nothing left of the input: a fragment may be empty.
    bool complete = false;
    if (!take_payload(message, &complete, error)) return give_up();
    if (complete) return Step::kMessage;
  }
  return need_more();
}

void WsParser::free_given() {
  if (partial_ == nullptr) return;
  if (partial_->message_given) {
    partial_->message_given = false;
    partial_->message = std::string();
    partial_->text = Utf8Validator();
  }
  if (!partial_->needed()) partial_.reset();
}

WsParser::Partial& WsParser::partial() {
  if (partial_ == nullptr) partial_ = std::make_unique<Partial>();
  return *partial_;
}

WsParser::Step WsParser::give_up() {
  failed_ = true;
  partial_.reset();
  in_size_ = 0;
  return Step::kError;
}

WsParser::Step WsParser::need_more() {
  in_ = nullptr;
  if (partial_ != nullptr && !partial_->needed()) partial_.reset();
  return Step::kNeedMore;
}

void WsParser::consume(std::size_t n) {
  in_ += n;
  in_size_ -= n;
}

// Collects a header. Not complete: all input is taken, part of a header is kept.
bool WsParser::take_header(WsFrameHeader* header, bool* complete, WsError* error) {
  *complete = false;
  const std::size_t kept = partial_ == nullptr ? 0 : partial_->head_bytes;
  if (kept == 0 && in_size_ >= 2 && in_size_ >= ws_header_bytes(in_)) {
    if (!decode_header(in_, header, error)) return false;
    consume(ws_header_bytes(in_));
    *complete = true;
    return true;
  }
  Partial& part = partial();
  while (in_size_ != 0) {
    const std::size_t wanted = part.head_bytes < 2 ? 2 : ws_header_bytes(part.head);
    const std::size_t n = std::min(in_size_, wanted - part.head_bytes);
    std::memcpy(part.head + part.head_bytes, in_, n);
    part.head_bytes = static_cast<std::uint8_t>(part.head_bytes + n);
    consume(n);
    if (part.head_bytes >= 2 && part.head_bytes == ws_header_bytes(part.head)) {
      part.head_bytes = 0;
      *complete = true;
      return decode_header(part.head, header, error);
    }
  }
  return true;
}

// Is this frame allowed here? Nothing was allocated for it yet.
bool WsParser::admit(const WsFrameHeader& header, WsError* error) {
  if (header.masked != (role_ == Role::kServer)) {
    return refuse(
        error, WsClose::kProtocolError,
        header.masked ? "a masked frame from a server" : "an unmasked frame from a client");
  }
  if (header.control()) return true;
  const bool in_message = partial_ != nullptr && partial_->in_message;
  if (in_message != (header.opcode == WsOpcode::kContinuation)) {
    return refuse(error, WsClose::kProtocolError,
                  in_message ? "a new message within another" : "a continuation of nothing");
  }
  const std::uint64_t have = in_message ? partial_->message.size() : 0;
  if (header.payload_bytes > message_bytes_max_ ||
      have > message_bytes_max_ - header.payload_bytes) {
    return refuse(error, WsClose::kTooBig, "a message over the size limit");
  }
  return true;
}

// The whole payload lies in this call's bytes, and is all of its message.
WsParser::Step WsParser::give_in_place(const WsFrameHeader& header, WsMessage* message,
                                       WsError* error) {
  const auto n = static_cast<std::size_t>(header.payload_bytes);
  if (header.masked) apply_ws_mask(in_, n, header.mask, 0);
  const std::string_view payload(in_, n);
  consume(n);
  if (header.opcode == WsOpcode::kText && !is_valid_utf8(payload)) {
    refuse(error, WsClose::kInvalidData, "a text message that is not UTF-8");
    return give_up();
  }
  if (header.opcode == WsOpcode::kClose && !end_with(payload, error)) return give_up();
  *message = WsMessage{header.opcode, payload};
  return Step::kMessage;
}

void WsParser::begin_frame(const WsFrameHeader& header) {
  Partial& part = partial();
  part.in_frame = true;
  part.frame = header;
  part.frame_bytes_taken = 0;
  part.control_bytes = 0;
  if (!header.control() && !part.in_message) {
    part.in_message = true;
    part.message_opcode = header.opcode;
  }
}

// Takes what there is of the frame's payload. Complete: `message` is one.
bool WsParser::take_payload(WsMessage* message, bool* complete, WsError* error) {
  Partial& part = *partial_;
  const std::uint64_t wanted = part.frame.payload_bytes - part.frame_bytes_taken;
  const std::size_t n = static_cast<std::size_t>(std::min<std::uint64_t>(wanted, in_size_));
  if (part.frame.masked) apply_ws_mask(in_, n, part.frame.mask, part.frame_bytes_taken);
  const std::string_view piece(in_, n);
  consume(n);
  part.frame_bytes_taken += n;
  if (part.frame.control()) {
    std::memcpy(part.control + part.control_bytes, piece.data(), n);
    part.control_bytes = static_cast<std::uint8_t>(part.control_bytes + n);
  } else {
    // Memory follows what came (at most eightfold), never what a length promised.
    const std::uint64_t promised = part.message.size() + n + (wanted - n);
    const std::size_t have = part.message.size() + n;
    if (have > part.message.capacity() && promised > have) {
      part.message.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(promised, have * 8)));
    }
    part.message.append(piece);
    if (part.message_opcode == WsOpcode::kText && !part.text.add(piece)) {
      return refuse(error, WsClose::kInvalidData, "a text message that is not UTF-8");
    }
  }
  *complete = false;
  if (part.frame_bytes_taken < part.frame.payload_bytes) return true;

  part.in_frame = false;
  if (part.frame.control()) {
    const std::string_view payload(part.control, part.control_bytes);
    if (part.frame.opcode == WsOpcode::kClose && !end_with(payload, error)) return false;
    *message = WsMessage{part.frame.opcode, payload};
    *complete = true;
  } else if (part.frame.final) {
    if (part.message_opcode == WsOpcode::kText && !part.text.complete()) {
      return refuse(error, WsClose::kInvalidData, "a text message ends within a character");
    }
    part.in_message = false;
    part.message_given = true;
    *message = WsMessage{part.message_opcode, part.message};
    *complete = true;
  }
  return true;
}

// A close frame ends the direction: whatever follows it is dropped (RFC 6455 section 1.4).
bool WsParser::end_with(std::string_view close_payload, WsError* error) {
  if (!check_close(close_payload, error)) return false;
  closed_ = true;
  in_size_ = 0;
  return true;
}

}  // namespace evodb::wire
