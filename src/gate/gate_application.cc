// What an application above the gate asks of connections: auto-responses, tags, attachments,
// broadcasts. None of it wakes a hibernated one.
#include <algorithm>

#include "gate/gate_impl.h"

namespace evodb::gate {

Connection* GateImpl::open_websocket(ConnectionId id) {
  if (id.value >= slab_.end()) return nullptr;
  Connection& c = slab_[id.value];
  return c.upgraded() ? &c : nullptr;
}

// What an application may change: between on_session and on_session_end. A WebSocket that never
// says hello ends without a word to the application, and its id is soon another's.
Connection* GateImpl::session(ConnectionId id) {
  Connection* c = open_websocket(id);
  return c != nullptr && c->said_hello ? c : nullptr;
}

namespace {

// Records that one slice of a broadcast looks at, most of them free ones.
constexpr std::size_t broadcast_records = 4'096;

auto no_such(ConnectionId id) {
  return fail(ErrorKind::kInvalid, "connection " + std::to_string(id.value) + " has no session");
}

}  // namespace

Result<void> GateImpl::set_auto_response(wire::WsOpcode opcode, std::string_view request,
                                         std::string_view response) {
  if (opcode != wire::WsOpcode::kText && opcode != wire::WsOpcode::kBinary) {
    return fail(ErrorKind::kInvalid, "auto-responses are for text and binary messages");
  }
  if (request.size() > auto_response_bytes_max || response.size() > auto_response_bytes_max) {
    return fail(ErrorKind::kOverLimit, "an auto-response has at most " +
                                           std::to_string(auto_response_bytes_max) +
                                           " bytes on each side");
  }
  if (opcode == wire::WsOpcode::kText &&
      !(wire::is_valid_utf8(request) && wire::is_valid_utf8(response))) {
    return fail(ErrorKind::kInvalid, "a text auto-response is no UTF-8");
  }
  AutoResponse& pair = opcode == wire::WsOpcode::kText ? auto_text_ : auto_binary_;
  pair = {std::string(request), std::string(response)};
  return {};
}

bool GateImpl::auto_respond(StreamId s, const wire::WsMessage& message) {
  const AutoResponse& pair = message.opcode == wire::WsOpcode::kText ? auto_text_ : auto_binary_;
  if (pair.request.empty() || message.payload != pair.request) return false;
  at(s).auto_response = stamp();
  ++stats_.auto_responses;
  send_message(s, message.opcode, pair.response);
  return true;
}

std::optional<UnixMillis> GateImpl::get_auto_response_timestamp(ConnectionId id) {
  const Connection* c = open_websocket(id);
  if (c == nullptr || c->auto_response == 0) return std::nullopt;
  // Unsigned, so that the stamp may have come round in between.
  const std::uint32_t ago = stamp() - c->auto_response;
  return UnixMillis(wall().value - std::int64_t{ago} * stamp_ms);
}

Result<void> GateImpl::set_tags(ConnectionId id, std::span<const std::string_view> tags) {
  Connection* c = session(id);
  if (c == nullptr) return no_such(id);
  c->tags = EVODB_TRY(tags_.put(c->tags, id.value, tags));
  return {};
}

std::vector<std::string_view> GateImpl::get_tags(ConnectionId id) {
  const Connection* c = open_websocket(id);
  return c == nullptr ? std::vector<std::string_view>() : tags_.texts(c->tags);
}

std::vector<ConnectionId> GateImpl::list(std::optional<std::string_view> tag) {
  std::vector<ConnectionId> ids;
  if (tag) {
    for (const std::uint32_t id : tags_.list(*tag)) ids.emplace_back(id);
    return ids;
  }
  for (std::uint32_t id = 0; id < slab_.end(); ++id) {
    if (slab_[id].said_hello) ids.emplace_back(id);
  }
  return ids;
}

Result<void> GateImpl::set_attachment(ConnectionId id, std::string_view bytes) {
  Connection* c = session(id);
  if (c == nullptr) return no_such(id);
  c->attachment = EVODB_TRY(attachments_.put(c->attachment, bytes));
  return {};
}

std::string_view GateImpl::get_attachment(ConnectionId id) {
  const Connection* c = open_websocket(id);
  return c == nullptr ? std::string_view() : attachments_.get(c->attachment);
}

// --- broadcasts ---------------------------------------------------------------------------------

// One encoded frame for all. Who does not read keeps a copy of the rest, within output_bytes_max
// and partial_bytes_max, as with any other output.
Result<std::size_t> GateImpl::broadcast(wire::WsOpcode opcode, std::string_view payload,
                                        std::optional<std::string_view> tag) {
  if (opcode != wire::WsOpcode::kText && opcode != wire::WsOpcode::kBinary) {
    return fail(ErrorKind::kInvalid, "only text and binary messages are broadcast");
  }
  // Each client would close its connection over it.
  if (opcode == wire::WsOpcode::kText && !wire::is_valid_utf8(payload)) {
    return fail(ErrorKind::kInvalid, "a text broadcast is no UTF-8");
  }
  if (payload.size() > options_.output_bytes_max / 2) {
    return fail(ErrorKind::kOverLimit, "a broadcast of " + std::to_string(payload.size()) +
                                           " bytes; at most half of output_bytes_max");
  }
  Broadcast next;
  if (tag) {
    next.tag = std::string(*tag);
    next.ids = tags_.list(*tag);
    next.end = static_cast<std::uint32_t>(next.ids.size());
  } else {
    next.end = slab_.end();
  }
  const std::size_t addressed = tag ? next.ids.size() : stats_.children;
  if (addressed == 0) return 0;
  next.bytes = sizeof(Broadcast) + payload.size() + next.ids.size() * sizeof(std::uint32_t);
  if (!broadcasts_.empty() && broadcasts_bytes_ + next.bytes > broadcasts_bytes_max) {
    return fail(ErrorKind::kOverLimit, "broadcasts before this one are still under way");
  }
  wire::encode_ws_frame(next.frame, opcode, payload, nullptr);
  broadcasts_bytes_ += next.bytes;
  broadcasts_.push_back(std::move(next));
  ++stats_.broadcasts;
  if (broadcasts_.size() == 1) continue_broadcasts();
  return addressed;
}

// So many at a time that nobody else's event waits for longer than about a millisecond.
void GateImpl::continue_broadcasts() {
  for (std::size_t given = 0, looked_at = 0; !broadcasts_.empty(); ++looked_at) {
    Broadcast& b = broadcasts_.front();
    if (b.next == b.end) {
      broadcasts_bytes_ -= b.bytes;
      broadcasts_.pop_front();
      continue;
    }
    if (given == broadcast_slice || looked_at == broadcast_records) {
      loop_.post([this, alive = std::weak_ptr<int>(alive_)] {
        if (!alive.expired()) continue_broadcasts();
      });
      return;
    }
    const StreamId s(b.tag ? b.ids[b.next] : b.next);
    ++b.next;
    const Connection& c = at(s);
    // It may be gone by now, and its id another's.
    if (!c.said_hello || (b.tag && !tags_.has(c.tags, *b.tag))) continue;
    ++given;
    send(s, b.frame);
    if (s.value != begun_) settle(s);
  }
}

}  // namespace evodb::gate
