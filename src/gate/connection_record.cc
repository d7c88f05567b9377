#include "gate/connection_record.h"

#include <tuple>

#include "base/bytes.h"
#include "base/limits.h"
#include "gate/attachments.h"
#include "gate/tags.h"

namespace evodb::gate {
namespace {

enum Flags : std::uint16_t {
  kSaidHello = 1,
  kPinged = 2,
  kNewEpoch = 4,
  kServed = 8,
  kDisconnecting = 16,
  kAutoResponse = 32,
  kAck = 64,
  kOutput = 128,
  kHttpParts = 256,
  kContinueGiven = 512,
  kParser = 1024,
  kHibernated = 2048,
  kAckIsLast = 4096,
  kTags = 8192,
  kAttachment = 16384,
  kAllFlags = 32767,
};

constexpr std::size_t record_bytes_min = 4;

bool may_be_handed_over(std::uint8_t state) {
  switch (static_cast<ConnectionState>(state)) {
    case ConnectionState::kHttp:
    case ConnectionState::kWebSocket:
    case ConnectionState::kV2:
    case ConnectionState::kV1:
    case ConnectionState::kClosing: return true;
    case ConnectionState::kFree:
    case ConnectionState::kHttpWaiting: return false;
  }
  return false;
}

bool decode_one(base::ByteReader& in, ConnectionRecord* r) {
  std::uint8_t state = 0;
  std::uint16_t flags = 0;
  if (!in.u8(&state) || !may_be_handed_over(state) || !in.u16(&flags) || flags > kAllFlags ||
      !in.varint(&r->since_ms)) {
    return false;
  }
  r->state = static_cast<ConnectionState>(state);
  r->said_hello = (flags & kSaidHello) != 0;
  r->pinged = (flags & kPinged) != 0;
  r->new_epoch = (flags & kNewEpoch) != 0;
  r->served = (flags & kServed) != 0;
  r->disconnecting = (flags & kDisconnecting) != 0;
  r->continue_given = (flags & kContinueGiven) != 0;
  r->hibernated = (flags & kHibernated) != 0;
  r->ack_is_last = (flags & kAckIsLast) != 0;
  if ((flags & kAutoResponse) != 0 && !in.varint(&r->auto_response_ms.emplace())) return false;
  std::string_view part;
  if (r->state == ConnectionState::kV1) {
    if (!in.string(&part, base::source_name_bytes_max) || part.empty()) return false;
    r->source = std::string(part);
  }
  if ((flags & kAck) != 0) {
    wire::Ack& ack = r->ack.emplace();
    if (!in.varint(&ack.durable.value) || !in.varint(&ack.persisted.value) ||
        !in.varint(&ack.credit_bytes)) {
      return false;
    }
  }
  if ((flags & kOutput) != 0) {
    if (!in.string(&part, record_part_bytes_max) || part.empty()) return false;
    r->output = std::string(part);
  }
  if ((flags & kHttpParts) != 0) {
    if (!in.string(&part, record_part_bytes_max)) return false;
    r->http = std::string(part);
  }
  if ((flags & kParser) != 0) {
    if (!in.varint(&r->message_since_ms) || !in.string(&part, record_part_bytes_max) ||
        part.empty()) {
      return false;
    }
    r->parser = std::string(part);
  }
  if ((flags & kTags) != 0) {
    std::uint8_t tags = 0;
    if (!in.u8(&tags) || tags == 0 || tags > tags_per_connection_max) return false;
    for (; tags > 0; --tags) {
      if (!in.string(&part, tag_bytes_max) || part.empty()) return false;
      r->tags.emplace_back(part);
    }
  }
  if ((flags & kAttachment) != 0) {
    if (!in.string(&part, attachment_bytes_max) || part.empty()) return false;
    r->attachment = std::string(part);
  }
  // What only a state has that can have it.
  const bool websocket = r->state == ConnectionState::kWebSocket ||
                         r->state == ConnectionState::kV2 || r->state == ConnectionState::kV1;
  const bool session = r->state == ConnectionState::kV2 || r->state == ConnectionState::kV1;
  if (r->http && r->state != ConnectionState::kHttp) return false;
  if (r->continue_given && !r->http) return false;
  if (!r->parser.empty() && !websocket) return false;
  if (r->said_hello != session) return false;
  if ((r->ack || r->hibernated) && r->state != ConnectionState::kV2) return false;
  if (r->ack_is_last && !r->ack) return false;
  if ((!r->tags.empty() || !r->attachment.empty()) && !websocket) return false;
  return !(r->disconnecting && r->state != ConnectionState::kV1);
}

}  // namespace

bool operator==(const ConnectionRecord& a, const ConnectionRecord& b) {
  const auto key = [](const ConnectionRecord& r) {
    const wire::Ack ack = r.ack.value_or(wire::Ack{});
    return std::tuple(r.state, r.said_hello, r.pinged, r.new_epoch, r.served, r.hibernated,
                      r.disconnecting, r.since_ms, r.message_since_ms, r.auto_response_ms, r.source,
                      r.ack.has_value(), ack.durable, ack.persisted, ack.credit_bytes,
                      r.ack_is_last, r.tags, r.attachment, r.output, r.http, r.continue_given,
                      r.parser);
  };
  return key(a) == key(b);
}

void encode_connection_record(std::string& out, const ConnectionRecord& r) {
  const auto flag = [](bool on, std::uint16_t bit) { return on ? bit : std::uint16_t{0}; };
  base::put_u8(out, static_cast<std::uint8_t>(r.state));
  base::put_u16(
      out,
      static_cast<std::uint16_t>(
          flag(r.said_hello, kSaidHello) | flag(r.pinged, kPinged) | flag(r.new_epoch, kNewEpoch) |
          flag(r.served, kServed) | flag(r.disconnecting, kDisconnecting) |
          flag(r.auto_response_ms.has_value(), kAutoResponse) | flag(r.ack.has_value(), kAck) |
          flag(!r.output.empty(), kOutput) | flag(r.http.has_value(), kHttpParts) |
          flag(r.continue_given, kContinueGiven) | flag(!r.parser.empty(), kParser) |
          flag(r.hibernated, kHibernated) | flag(r.ack_is_last, kAckIsLast) |
          flag(!r.tags.empty(), kTags) | flag(!r.attachment.empty(), kAttachment)));
  base::put_varint(out, r.since_ms);
  if (r.auto_response_ms) base::put_varint(out, *r.auto_response_ms);
  if (r.state == ConnectionState::kV1) base::put_string(out, r.source);
  if (r.ack) {
    base::put_varint(out, r.ack->durable.value);
    base::put_varint(out, r.ack->persisted.value);
    base::put_varint(out, r.ack->credit_bytes);
  }
  if (!r.output.empty()) base::put_string(out, r.output);
  if (r.http) base::put_string(out, *r.http);
  if (!r.parser.empty()) {
    base::put_varint(out, r.message_since_ms);
    base::put_string(out, r.parser);
  }
  if (!r.tags.empty()) {
    base::put_u8(out, static_cast<std::uint8_t>(r.tags.size()));
    for (const std::string& tag : r.tags) base::put_string(out, tag);
  }
  if (!r.attachment.empty()) base::put_string(out, r.attachment);
}

Result<std::vector<ConnectionRecord>> decode_connection_records(std::string_view bytes,
                                                                std::uint64_t count) {
  const auto damaged = [] {
    return fail(ErrorKind::kInvalid, "a connection that was handed over is damaged");
  };
  if (count > bytes.size() / record_bytes_min) return damaged();
  std::vector<ConnectionRecord> records;
  records.reserve(static_cast<std::size_t>(count));
  base::ByteReader in(bytes);
  for (std::uint64_t i = 0; i < count; ++i) {
    if (!decode_one(in, &records.emplace_back())) return damaged();
  }
  if (!in.at_end()) return damaged();
  return records;
}

}  // namespace evodb::gate
