// A gate's connections, taken over from another one: docs/upgrade.md.
#include "base/assert.h"
#include "gate/connection_record.h"
#include "gate/gate_impl.h"

namespace evodb::gate {

void GateImpl::freeze() {
  frozen_ = true;
  tick_timer_.cancel();
}

std::uint64_t GateImpl::requests_waiting() {
  std::uint64_t waiting = broadcasts_.size();  // these are given to everybody first
  for (std::uint32_t id = 0; id < slab_.end(); ++id) {
    const Connection& c = slab_[id];
    const bool waits = c.state == ConnectionState::kHttpWaiting && !(c.active && c.active->answer);
    waiting += waits ? 1 : 0;
  }
  return waiting;
}

ConnectionRecord GateImpl::record_of(const Connection& c) {
  const auto age_ms = [this](std::uint32_t tick) {
    return static_cast<std::uint64_t>(wheel_.now() - tick) * static_cast<std::uint64_t>(tick_ms_);
  };
  ConnectionRecord r;
  r.state = c.state;
  r.said_hello = c.said_hello;
  r.pinged = c.pinged;
  r.new_epoch = c.new_epoch;
  r.served = c.served;
  r.since_ms = age_ms(c.since);
  r.hibernated = c.hibernated;
  if (c.auto_response != 0) {
    r.auto_response_ms = static_cast<std::uint64_t>(stamp() - c.auto_response) * stamp_ms;
  }
  for (const std::string_view tag : tags_.texts(c.tags)) r.tags.emplace_back(tag);
  r.attachment = std::string(attachments_.get(c.attachment));
  if (c.v1) {
    r.source = c.v1->source;
    r.disconnecting = c.v1->disconnecting;
  }
  if (!c.active) return r;
  const Active& a = *c.active;
  r.ack = a.ack;
  r.ack_is_last = a.ack.has_value() && a.ack_is_last;
  r.output = a.output.substr(a.output_sent);
  if (a.answer) {
    r.output += a.answer->rest();
    r.state = a.answer->keep_alive ? ConnectionState::kHttp : ConnectionState::kClosing;
  }
  if (a.http && r.state == ConnectionState::kHttp) {
    r.http = std::string(a.http->rest());
    r.continue_given = a.http->continue_given();
  }
  if (a.parser) {
    r.message_since_ms = age_ms(a.message_since);
    a.parser->save(r.parser);
  }
  return r;
}

Result<SavedConnections> GateImpl::save_connections() {
  EVODB_ASSERT(frozen_ && begun_ == no_stream, "connections are saved while nothing happens");
  if (draining_) return fail(ErrorKind::kInvalid, "the gate is closing its connections");
  if (!broadcasts_.empty()) return fail(ErrorKind::kRetry, "a broadcast is under way");
  SavedConnections saved;
  for (std::uint32_t id = 0; id < slab_.end(); ++id) {
    const Connection& c = slab_[id];
    if (c.state == ConnectionState::kFree) continue;
    const bool answered = c.active && c.active->answer;
    if ((c.state == ConnectionState::kHttpWaiting && !answered) ||
        (c.v1 && !c.v1->pending.empty())) {
      return fail(ErrorKind::kRetry, "a connection still waits for its answer");
    }
    saved.streams.emplace_back(id);
    encode_connection_record(saved.bytes, record_of(c));
  }
  return saved;
}

void GateImpl::let_go() {
  EVODB_ASSERT(frozen_, "connections are let go while nothing happens");
  let_go_ = true;
}

Result<std::string> GateImpl::adopt(std::string_view bytes, std::span<const StreamId> streams) {
  freeze();
  let_go_ = true;  // until resume() they are somebody else's as well: nothing here may close one
  const auto records = EVODB_TRY(decode_connection_records(bytes, streams.size()));
  for (std::size_t i = 0; i < records.size(); ++i) {
    EVODB_TRY(adopt_one(streams[i], records[i]));
  }
  for (const StreamId s : streams) loop_.give_stream(s, *this);
  return loop_.give_listeners(*this);
}

Result<void> GateImpl::adopt_one(StreamId s, const ConnectionRecord& r) {
  Connection& c = slab_.make(s.value);
  EVODB_ASSERT(c.state == ConnectionState::kFree, "a new stream has a free record");
  const auto tick_at = [this](std::uint64_t age_ms) {
    return wheel_.now() - static_cast<std::uint32_t>(age_ms / static_cast<std::uint64_t>(tick_ms_));
  };
  c.state = r.state;
  ++c.generation;
  c.said_hello = r.said_hello;
  c.pinged = r.pinged;
  c.new_epoch = r.new_epoch;
  c.served = r.served;
  c.since = tick_at(r.since_ms);
  c.hibernated = r.hibernated;
  if (r.hibernated) ++stats_.hibernated;
  if (r.auto_response_ms) {
    const std::uint32_t steps = static_cast<std::uint32_t>(*r.auto_response_ms / stamp_ms);
    c.auto_response = stamp() == steps ? 1 : stamp() - steps;  // 0 is never
  }
  ++stats_.connections;
  if (c.upgraded()) ++stats_.websockets;
  if (r.said_hello) ++stats_.children;
  if (r.state == ConnectionState::kV1) {
    // Table numbers of a v1 session are the parent's own: it numbers them anew.
    c.v1 = std::make_unique<V1Session>();
    c.v1->source = r.source;
    c.v1->disconnecting = r.disconnecting;
  }
  if (!r.tags.empty()) {
    const std::vector<std::string_view> tags(r.tags.begin(), r.tags.end());
    c.tags = EVODB_TRY(tags_.put(0, s.value, tags));
  }
  c.attachment = EVODB_TRY(attachments_.put(0, r.attachment));
  if (r.ack) {
    active(c).ack = r.ack;
    active(c).ack_is_last = r.ack_is_last;
  }
  if (!r.output.empty() && r.state == ConnectionState::kHttp) {
    // It may be most of a large answer.
    c.state = ConnectionState::kHttpWaiting;
    active(c).answer = std::make_unique<HttpAnswer>(HttpAnswer{r.output});
    active(c).message_since = wheel_.now();
  } else if (!r.output.empty()) {
    active(c).output = r.output;
  }
  if (r.http) {
    HttpParser& parser =
        active(c).http.emplace(HttpLimits{options_.header_bytes_max, options_.body_bytes_max});
    parser.go_on_from(*r.http, r.continue_given);
  }
  if (!r.parser.empty()) {
    active(c).parser = EVODB_TRY(
        wire::WsParser::restore(wire::WsParser::Role::kServer, message_bytes_max(c), r.parser));
    active(c).message_since = tick_at(r.message_since_ms);
  }
  count_memory(c);
  // Whatever it waits for is looked at when the clock runs again, and armed for the rest.
  wheel_.arm(s.value, 1);
  return {};
}

void GateImpl::resume() {
  frozen_ = let_go_ = false;
  if (stats_.connections == 0) return;
  start_ticking();
  for (std::uint32_t id = 0; id < slab_.end(); ++id) {
    const StreamId s(id);
    if (slab_[id].state == ConnectionState::kFree || !slab_[id].active) continue;
    if (slab_[id].state == ConnectionState::kHttpWaiting) loop_.pause_reading(s, true);
    on_writable(s);
  }
}

}  // namespace evodb::gate
