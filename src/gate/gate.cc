#include "gate/gate.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/assert.h"
#include "gate/gate_impl.h"

namespace evodb::gate {
namespace {

constexpr std::size_t scratch_bytes_kept = 1u << 20;

}  // namespace

std::unique_ptr<Gate> Gate::create(base::Loop& loop, ingest::Ingest& ingest, GateHandlers& handlers,
                                   const GateOptions& options) {
  return std::make_unique<GateImpl>(loop, ingest, handlers, options);
}

GateImpl::GateImpl(base::Loop& loop, ingest::Ingest& ingest, GateHandlers& handlers,
                   const GateOptions& options)
    : loop_(loop),
      ingest_(ingest),
      handlers_(handlers),
      options_(options),
      tags_(options.tags_bytes_max),
      attachments_(options.attachments_bytes_max) {
  std::int64_t shortest = 2'000;
  for (const std::int64_t ms : {options.header_ms_max, options.hello_ms_max, options.message_ms_max,
                                options.idle_ping_ms, options.hibernate_after_ms}) {
    if (ms > 0) shortest = std::min(shortest, ms);
  }
  stats_.connections_max = options.connections_max;
  tick_ms_ = std::max<std::int64_t>(shortest / 8, 1);
  made_at_ = loop.clock().monotonic();
}

GateImpl::~GateImpl() {
  // The loop must not call us any more. Ingest may be gone already, so it is not told.
  if (let_go_) return;
  loop_.stop_listening();
  for (std::uint32_t id = 0; id < slab_.end(); ++id) {
    if (slab_[id].state != ConnectionState::kFree) loop_.close(StreamId(id), false);
  }
}

Result<std::string> GateImpl::listen(const std::string& address) {
  return loop_.listen(address, *this);
}

// --- events of the loop -------------------------------------------------------------------------

void GateImpl::on_accept(StreamId s, std::string_view) {
  Connection& c = slab_.make(s.value);
  EVODB_ASSERT(c.state == ConnectionState::kFree, "a new stream has a free record");
  ++stats_.accepted;
  ++stats_.connections;
  c.state = ConnectionState::kHttp;
  ++c.generation;
  c.since = wheel_.now();
  start_ticking();
  begin(s);
  if (draining_ || stats_.connections > options_.connections_max) {
    if (!draining_) ++stats_.refused_connections_max;
    http_refuse(s, 503, draining_ ? drain_text_ : "too many connections; try again later",
                "Retry-After: 1\r\n");
  } else {
    arm(s, options_.header_ms_max);
  }
  settle(s);
}

void GateImpl::on_connected(StreamId) { EVODB_ASSERT(false, "the gate dials nobody"); }

void GateImpl::on_data(StreamId s, std::span<char> bytes) {
  Connection& c = at(s);
  stats_.bytes_in += bytes.size();
  if (c.in_session()) c.since = wheel_.now();
  c.pinged = false;
  begin(s);
  switch (c.state) {
    case ConnectionState::kHttp:
    case ConnectionState::kHttpWaiting: http_data(s, std::string_view(bytes)); break;
    case ConnectionState::kWebSocket:
    case ConnectionState::kV2:
    case ConnectionState::kV1: websocket_data(s, bytes); break;
    case ConnectionState::kClosing: break;
    case ConnectionState::kFree: EVODB_ASSERT(false, "bytes of an unknown stream");
  }
  settle(s);
}

void GateImpl::on_writable(StreamId s) {
  Connection& c = at(s);
  begin(s);
  if (c.active && c.active->output_bytes() > 0) {
    Active& a = *c.active;
    const std::size_t n = loop_.write(s, std::string_view(a.output).substr(a.output_sent));
    stats_.bytes_out += n;
    a.output_sent += n;
    if (c.state == ConnectionState::kClosing && n > 0) c.since = wheel_.now();  // it still reads
    if (a.output_bytes() == 0) {
      a.output = std::string();
      a.output_sent = 0;
      flush_ack(s);
    } else if (a.output_sent > a.output.size() / 2) {
      a.output.erase(0, a.output_sent);
      a.output_sent = 0;
    }
  }
  settle(s);
}

void GateImpl::on_closed(StreamId s, std::string_view) { forget(s); }

// --- output -------------------------------------------------------------------------------------

Active& GateImpl::active(Connection& c) {
  if (!c.active) {
    c.active = std::make_unique<Active>();
    c.active->since = wheel_.now();
  }
  return *c.active;
}

void GateImpl::begin(StreamId s) {
  EVODB_ASSERT(begun_ == no_stream, "one connection at a time collects output");
  begun_ = s.value;
}

void GateImpl::send(StreamId s, std::string_view bytes) {
  if (s.value == begun_) {
    out_.append(bytes);
    return;
  }
  write_out(s, bytes);
}

void GateImpl::write_out(StreamId s, std::string_view bytes) {
  Connection& c = at(s);
  if (!c.active || c.active->output.empty()) {
    const std::size_t n = loop_.write(s, bytes);
    stats_.bytes_out += n;
    bytes.remove_prefix(n);
    if (bytes.empty()) return;
  }
  active(c).output.append(bytes);
}

void GateImpl::settle(StreamId s) {
  if (begun_ == s.value) {
    begun_ = no_stream;
    if (!out_.empty()) write_out(s, out_);
    out_.clear();
    if (out_.capacity() > scratch_bytes_kept) out_ = std::string();
  }
  Connection& c = at(s);
  if (c.state == ConnectionState::kFree) return;
  if (c.active && c.active->answer && c.active->output.empty()) http_give_answer(s);
  const std::size_t waiting = c.active ? c.active->output_bytes() : 0;
  if (c.state == ConnectionState::kClosing && waiting == 0) return destroy(s, false);
  // Last words are all there is: nothing more is added to them.
  if (waiting > options_.output_bytes_max && c.state != ConnectionState::kClosing) {
    ++stats_.refused_slow_reader;
    return destroy(s, true);
  }
  if (c.active && c.active->idle()) drop_active(c);
  count_memory(c);
  if (stats_.held_bytes > options_.partial_bytes_max) stay_within_memory(s);
}

// Not the one that grew just now pays, which may be anyone, but those who sit on memory: else a few
// of them, each with a message that it never ends, would keep everybody else out.
void GateImpl::stay_within_memory(StreamId s) {
  while (stats_.held_bytes > options_.partial_bytes_max) {
    const std::uint32_t heaviest = heaviest_holder();
    if (heaviest == no_stream) {
      // Sessions of wire v1 alone are over it.
      const Connection& c = at(s);
      const bool holds = (c.active && c.active->counted_bytes > sizeof(Active)) || c.v1;
      if (!holds) return;
      ++stats_.refused_memory;
      return destroy(s, true);
    }
    ++stats_.refused_memory;
    destroy(StreamId(heaviest), true);
    if (heaviest == s.value) return;
  }
}

std::uint32_t GateImpl::heaviest_holder() {
  std::uint32_t heaviest = no_stream;
  std::uint64_t most = 0;
  for (std::uint32_t id = 0; id < slab_.end(); ++id) {
    const Connection& c = slab_[id];
    // An event under way keeps its record until its end.
    if (!c.active || id == begun_) continue;
    const std::uint64_t held = c.active->counted_bytes + (c.v1 ? c.v1->counted_bytes : 0);
    if (held <= sizeof(Active)) continue;
    const std::uint64_t ticks_held = wheel_.now() - c.active->since + 1;
    if (const std::uint64_t weight = held * ticks_held; weight > most) {
      most = weight;
      heaviest = id;
    }
  }
  return heaviest;
}

void GateImpl::count_memory(Connection& c) {
  const auto count = [&](auto& holder) {
    stats_.held_bytes -= holder.counted_bytes;
    holder.counted_bytes = static_cast<std::uint32_t>(
        std::min<std::size_t>(holder.held_bytes(), std::numeric_limits<std::uint32_t>::max()));
    stats_.held_bytes += holder.counted_bytes;
  };
  if (c.active) count(*c.active);
  if (c.v1) count(*c.v1);
}

void GateImpl::drop_active(Connection& c) {
  if (!c.active) return;
  stats_.held_bytes -= c.active->counted_bytes;
  c.active.reset();
}

void GateImpl::drop_v1(Connection& c) {
  if (!c.v1) return;
  stats_.held_bytes -= c.v1->counted_bytes;
  c.v1.reset();
}

// --- ends ---------------------------------------------------------------------------------------

void GateImpl::close_after_output(StreamId s) {
  Connection& c = at(s);
  end_session(s);
  c.state = ConnectionState::kClosing;
  c.since = wheel_.now();
  if (c.active) {
    c.active->http.reset();
    c.active->parser.reset();
    c.active->answer.reset();
    c.active->ack.reset();
  }
  arm(s, closing_ms_max);
}

void GateImpl::end_session(StreamId s) {
  Connection& c = at(s);
  if (c.said_hello) {
    handlers_.on_session_end(s);
    c.said_hello = false;
    --stats_.children;
    ingest_.on_disconnect(ingest::SessionId(s.value));
  }
  if (c.upgraded()) --stats_.websockets;
  if (c.hibernated) {
    c.hibernated = false;
    --stats_.hibernated;
  }
  drop_v1(c);
  tags_.drop(std::exchange(c.tags, 0), s.value);
  attachments_.drop(std::exchange(c.attachment, 0));
}

void GateImpl::forget(StreamId s) {
  Connection& c = at(s);
  end_session(s);
  wheel_.disarm(s.value);
  drop_active(c);
  const std::uint32_t generation = c.generation + 1;
  c = Connection();
  c.generation = generation;
  --stats_.connections;
  ++stats_.closed;
}

void GateImpl::destroy(StreamId s, bool abort) {
  forget(s);
  loop_.close(s, abort);
}

void GateImpl::drain(std::string_view why) {
  draining_ = true;
  drain_text_ = std::string(why) + "; connect again later";
  loop_.stop_listening();
  for (std::uint32_t id = 0; id < slab_.end(); ++id) {
    const StreamId s(id);
    Connection& c = slab_[id];
    if (c.state == ConnectionState::kFree || c.state == ConnectionState::kClosing) continue;
    begin(s);
    switch (c.state) {
      case ConnectionState::kHttp:
        if (!c.active || !c.active->http) close_after_output(s);
        break;  // a request that has begun is answered, its connection closed then
      case ConnectionState::kWebSocket:
        websocket_close(s, wire::WsClose::kGoingAway, drain_text_);
        break;
      case ConnectionState::kV2:
        v2_bye(s, wire::ByeReason::kShutdown, drain_text_, wire::WsClose::kGoingAway);
        break;
      case ConnectionState::kV1:
        c.v1->disconnecting = true;
        v1_maybe_end(s);
        if (c.state == ConnectionState::kV1) arm(s, closing_ms_max);
        break;
      default: break;
    }
    settle(s);
  }
}

// --- acknowledgements ---------------------------------------------------------------------------

void GateImpl::deliver(const ingest::Effects& effects) {
  acked_.clear();
  for (const ingest::AckEffect& effect : effects.acks) {
    Connection& c = slab_.make(effect.session.value);
    if (c.state != ConnectionState::kV2) continue;
    if (!c.active || !c.active->ack) acked_.push_back(effect.session.value);
    active(c).ack = effect.ack;  // cumulative: the newest one says it all
    c.active->ack_is_last = effect.at_rest;
  }
  for (const std::uint32_t id : acked_) {
    const StreamId s(id);
    const bool own = begun_ == id;  // settled by its own event
    if (!own && begun_ != no_stream) {
      // Another connection's event is under way: written without collecting.
      flush_ack(s);
      settle(s);
      continue;
    }
    if (!own) begin(s);
    flush_ack(s);
    if (!own) settle(s);
  }
  for (const ingest::BatchDurableEffect& effect : effects.batches) {
    const StreamId s(effect.session.value);
    if (slab_.make(s.value).state != ConnectionState::kV1) continue;
    v1_batch_durable(s, effect.token, effect.duplicate);
    if (begun_ != s.value) settle(s);
  }
}

void GateImpl::deliver_own() {
  // deliver() may end sessions, which may ask ingest again: it works on its own list.
  ingest::Effects effects;
  std::swap(effects, effects_);
  deliver(effects);
  effects.clear();
  std::swap(effects, effects_);  // keeps the memory
}

}  // namespace evodb::gate
