#include "edge/parent_link.h"

#include <algorithm>
#include <utility>

#include "base/ascii.h"
#include "base/assert.h"
#include "base/base64.h"
#include "base/bytes.h"
#include "base/limits.h"

namespace evodb::edge {
namespace {

constexpr std::size_t response_bytes_max = 16u << 10;
constexpr std::size_t pong_unsent_bytes_max = 64u << 10;

// The value of a header in a response's head; empty if it is not there.
std::string_view header_of(std::string_view head, std::string_view name) {
  std::size_t at = head.find("\r\n");
  while (at != std::string_view::npos && at + 2 < head.size()) {
    const std::size_t end = head.find("\r\n", at + 2);
    std::string_view line = head.substr(at + 2, end - at - 2);
    at = end;
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    if (!base::equal_ignoring_case(line.substr(0, colon), name)) continue;
    line.remove_prefix(colon + 1);
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
    while (!line.empty() && (line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
    return line;
  }
  return {};
}

std::string printable(std::string_view text) {
  std::string out(text.substr(0, 80));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) c = '?';
  }
  return out;
}

std::string code_bytes(wire::WsClose code) {
  const auto n = static_cast<std::uint16_t>(code);
  return {static_cast<char>(n >> 8), static_cast<char>(n)};
}

}  // namespace

ParentLink::ParentLink(base::Loop& loop, base::Random& random, LinkOptions options,
                       LinkEvents& events)
    : loop_(loop),
      random_(random),
      options_(std::move(options)),
      events_(events),
      parser_(wire::WsParser::Role::kClient, base::frame_bytes_max) {}

ParentLink::~ParentLink() {
  if (state_ != State::kClosed) loop_.close(stream_, true);
}

std::string ParentLink::address() const {
  const bool is_v6 = options_.parent.host.find(':') != std::string::npos;
  return (is_v6 ? "[" + options_.parent.host + "]" : options_.parent.host) + ":" +
         std::to_string(options_.parent.port);
}

Result<void> ParentLink::open() {
  EVODB_ASSERT(state_ == State::kClosed, "a link is opened once at a time");
  ++life_;
  auto stream = loop_.dial(options_.parent.host, options_.parent.port, *this);
  // A name that does not resolve may resolve once the network is back.
  if (!stream) return fail(ErrorKind::kRetry, std::move(stream).error().text);
  stream_ = *stream;
  state_ = State::kConnecting;
  arm(options_.open_ms_max);
  return {};
}

void ParentLink::on_connected(base::StreamId) {
  char raw[16];
  base::store_fixed(raw, random_.next());
  base::store_fixed(raw + 8, random_.next());
  key_ = base::base64_encode(std::string_view(raw, sizeof raw));
  state_ = State::kHandshake;
  output_ = "GET " + options_.parent.path + " HTTP/1.1\r\nHost: " + address() +
            "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
            "\r\nSec-WebSocket-Key: " +
            key_ + "\r\nUser-Agent: " + options_.agent + "\r\n\r\n";
  write_out();
}

// --- incoming -----------------------------------------------------------------------------------

void ParentLink::on_data(base::StreamId, std::span<char> bytes) {
  heard_ = loop_.clock().monotonic();
  pinged_ = false;
  if (state_ == State::kOpen) return take_messages(bytes);
  head_.append(std::string_view(bytes));
  const auto response = read_response();
  if (!response) return;
  if (!*response) return fail_with(response->error().kind, response->error().text);
  std::string rest = head_.substr(**response);
  head_ = {};
  state_ = State::kOpen;
  arm(options_.ping_idle_ms);
  const std::uint64_t life = life_;
  events_.on_link_open();
  if (life == life_ && state_ == State::kOpen && !rest.empty()) take_messages(rest);
}

std::optional<Result<std::size_t>> ParentLink::read_response() const {
  const auto no_parent = [&](const std::string& what) {
    return Result<std::size_t>(fail(
        ErrorKind::kInvalid, address() + " is not an EvoDB parent: " + what + "; check the url"));
  };
  static constexpr std::string_view begin = "HTTP/1.";
  const std::string_view head(head_);
  if (!begin.starts_with(head.substr(0, begin.size()))) {
    return no_parent("it does not answer in HTTP (\"" + printable(head) + "\")");
  }
  const std::size_t end = head.find("\r\n\r\n");
  if (end == std::string_view::npos) {
    if (head.size() < response_bytes_max) return std::nullopt;
    return no_parent("its answer has no end");
  }
  const std::string_view line = head.substr(0, head.find("\r\n"));
  const std::string_view status = line.substr(std::min<std::size_t>(line.size(), 9), 3);
  if (status != "101") {
    const std::string answered = "it answered \"" + printable(line) + "\"";
    if (status.starts_with('5') || status == "429") {
      return Result<std::size_t>(
          fail(ErrorKind::kRetry, address() + " cannot take connections now: " + answered));
    }
    return no_parent(answered + " to a WebSocket request");
  }
  if (header_of(head.substr(0, end + 2), "sec-websocket-accept") != wire::websocket_accept(key_)) {
    return no_parent("its WebSocket handshake is wrong");
  }
  return Result<std::size_t>(end + 4);
}

void ParentLink::take_messages(std::span<char> bytes) {
  const std::uint64_t life = life_;
  parser_.feed(bytes.data(), bytes.size());
  for (;;) {
    wire::WsMessage message;
    wire::WsError error;
    switch (parser_.next(&message, &error)) {
      case wire::WsParser::Step::kNeedMore: return;
      case wire::WsParser::Step::kError:
        return refuse(error.code, ErrorKind::kRetry,
                      address() + " broke the WebSocket protocol: " + error.text);
      case wire::WsParser::Step::kMessage: take_message(message);
    }
    if (life != life_ || state_ != State::kOpen) return;
  }
}

void ParentLink::take_message(const wire::WsMessage& message) {
  switch (message.opcode) {
    case wire::WsOpcode::kText:
    case wire::WsOpcode::kBinary: return take_data(message);
    case wire::WsOpcode::kPing:
      // A peer that does not read is owed no pongs: they would pile up here.
      if (unsent_bytes() > pong_unsent_bytes_max) return;
      return send_websocket(wire::WsOpcode::kPong, message.payload);
    case wire::WsOpcode::kClose: {
      const std::string_view reason =
          message.payload.size() > 2 ? message.payload.substr(2) : std::string_view("no reason");
      Error why{ErrorKind::kRetry, address() + " closed the connection: " + printable(reason)};
      // The echo of their code ends the handshake (RFC 6455 section 5.5.1).
      end_with(message.payload.substr(0, 2));
      return events_.on_link_closed(why);
    }
    case wire::WsOpcode::kPong:
    case wire::WsOpcode::kContinuation: return;  // the parser joins continuations
  }
}

void ParentLink::take_data(const wire::WsMessage& message) {
  if (message.opcode == wire::WsOpcode::kText) {
    return refuse(wire::WsClose::kUnsupported, ErrorKind::kInvalid,
                  address() +
                      " is not an EvoDB parent: it sends text messages over its WebSocket; check "
                      "the url");
  }
  const std::string_view bytes = message.payload;
  auto frame = wire::decode_frame(bytes);
  if (frame) return events_.on_link_frame(*frame);
  const bool foreign = !wire::has_frame_magic(bytes);
  const bool other_version = !foreign && static_cast<std::uint8_t>(bytes[2]) != wire::wire_major;
  refuse(wire::WsClose::kPolicy, other_version || foreign ? ErrorKind::kInvalid : ErrorKind::kRetry,
         foreign ? address() + " is not an EvoDB parent: it sends frames of another protocol"
                 : address() + " sent a frame that cannot be read: " + frame.error().text);
}

// --- outgoing -----------------------------------------------------------------------------------

void ParentLink::send(const wire::Frame& frame) {
  frame_.clear();
  wire::encode_frame(frame_, frame);
  send_encoded(frame_);
}

std::size_t ParentLink::send_encoded(std::string_view frame) {
  send_websocket(wire::WsOpcode::kBinary, frame);
  return unsent_bytes();
}

void ParentLink::send_websocket(wire::WsOpcode opcode, std::string_view payload) {
  EVODB_ASSERT(state_ == State::kOpen, "frames are sent over an open link");
  const auto mask = static_cast<std::uint32_t>(random_.next());
  wire::encode_ws_frame(output_, opcode, payload, &mask);
  write_out();
}

void ParentLink::write_out() {
  const std::string_view rest = std::string_view(output_).substr(written_);
  if (rest.empty()) return;
  written_ += loop_.write(stream_, rest);
  if (written_ == output_.size()) {
    written_ = 0;
    // A large row does not hold its memory for the rest of the connection's life.
    if (output_.capacity() > (4u << 20)) {
      output_ = {};
    } else {
      output_.clear();
    }
  } else if (written_ > output_.size() / 2) {
    // A link that is never quite drained must not keep all that it ever sent.
    output_.erase(0, written_);
    written_ = 0;
  }
}

void ParentLink::on_writable(base::StreamId) {
  const bool had = unsent_bytes() > 0;
  write_out();
  if (had && unsent_bytes() == 0 && state_ == State::kOpen) events_.on_link_writable();
}

// --- endings ------------------------------------------------------------------------------------

void ParentLink::close() {
  if (state_ != State::kClosed) end_with(code_bytes(wire::WsClose::kNormal));
}

// Closes with a WebSocket close frame where one can be said: not before the handshake is over, and
// not behind part of another frame.
void ParentLink::end_with(std::string_view close_payload) {
  const bool polite = state_ == State::kOpen && unsent_bytes() == 0;
  if (polite) {
    std::string bytes;
    const auto mask = static_cast<std::uint32_t>(random_.next());
    wire::encode_ws_frame(bytes, wire::WsOpcode::kClose, close_payload, &mask);
    (void)loop_.write(stream_, bytes);  // a courtesy: what does not fit is not said
  }
  loop_.close(stream_, !polite);
  reset();
}

void ParentLink::reset() {
  state_ = State::kClosed;
  timer_.cancel();
  head_ = {};
  output_ = {};
  written_ = 0;
  pinged_ = false;
  ++life_;
  parser_ = wire::WsParser(wire::WsParser::Role::kClient, base::frame_bytes_max);
}

void ParentLink::fail_with(ErrorKind kind, std::string text) {
  const Error why{kind, std::move(text)};
  loop_.close(stream_, true);
  reset();
  events_.on_link_closed(why);
}

void ParentLink::refuse(wire::WsClose code, ErrorKind kind, std::string text) {
  const Error why{kind, std::move(text)};
  end_with(code_bytes(code));
  events_.on_link_closed(why);
}

void ParentLink::on_closed(base::StreamId, std::string_view why) {
  const State was = state_;
  reset();
  std::string text = address() + ": ";
  if (was == State::kHandshake) text += "the connection ended before the WebSocket began: ";
  events_.on_link_closed({ErrorKind::kRetry, text.append(why)});
}

void ParentLink::arm(std::int64_t ms) {
  timer_.set(ms, [this] { on_timer(); });
}

void ParentLink::on_timer() {
  if (state_ != State::kOpen) {
    return fail_with(ErrorKind::kRetry, address() + " did not answer within " +
                                            std::to_string(options_.open_ms_max) + " ms");
  }
  if (pinged_) {
    return fail_with(ErrorKind::kRetry, address() + " is silent: no answer to a ping within " +
                                            std::to_string(options_.dead_peer_ms) + " ms");
  }
  const std::int64_t quiet_ms = loop_.clock().monotonic().value - heard_.value;
  if (quiet_ms < options_.ping_idle_ms) return arm(options_.ping_idle_ms - quiet_ms);
  pinged_ = true;
  arm(options_.dead_peer_ms);
  send_websocket(wire::WsOpcode::kPing, "");
}

}  // namespace evodb::edge
