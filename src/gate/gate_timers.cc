// Time limits: one deadline a connection in a shared wheel, looked at when it passes.
#include <algorithm>

#include "gate/gate_impl.h"

namespace evodb::gate {

std::uint32_t GateImpl::ticks(std::int64_t ms) const {
  return static_cast<std::uint32_t>((ms + tick_ms_ - 1) / tick_ms_);
}

void GateImpl::arm(StreamId s, std::int64_t ms) { wheel_.arm(s.value, ticks(ms) + 1); }

void GateImpl::start_ticking() {
  if (tick_timer_.is_set()) return;
  ticked_at_ = loop_.clock().monotonic();
  tick_timer_.set(tick_ms_, [this] { on_tick(); });
}

void GateImpl::on_tick() {
  // A loop that was busy makes up for the ticks it missed, at most once around.
  const std::int64_t late = loop_.clock().monotonic().value - ticked_at_.value;
  std::int64_t count = std::min<std::int64_t>(late / tick_ms_, wheel_.slot_count);
  ticked_at_ = loop_.clock().monotonic();
  for (; count > 0; --count) {
    wheel_.tick([this](std::uint32_t id) { on_deadline(StreamId(id)); });
  }
  if (stats_.connections > 0) tick_timer_.set(tick_ms_, [this] { on_tick(); });
}

std::int64_t GateImpl::ms_left(std::uint32_t since, std::int64_t ms_max) const {
  const std::uint32_t passed = wheel_.now() - since;
  const std::uint32_t all = ticks(ms_max);
  return passed >= all ? 0 : static_cast<std::int64_t>(all - passed) * tick_ms_;
}

// Before the hello, hello_ms_max is the limit and is armed already.
void GateImpl::message_in_parts(StreamId s, bool begins_now) {
  Connection& c = at(s);
  if (!begins_now) return;
  c.active->message_since = wheel_.now();
  if (c.state != ConnectionState::kV2 && c.state != ConnectionState::kV1) return;
  // Else the ping's deadline comes first and looks at the message too.
  const bool ping_first =
      options_.idle_ping_ms > 0 && options_.idle_ping_ms <= options_.message_ms_max;
  if (!ping_first) arm(s, options_.message_ms_max);
}

std::uint32_t GateImpl::stamp() {
  const std::int64_t ms = loop_.clock().monotonic().value - made_at_.value;
  return std::max<std::uint32_t>(static_cast<std::uint32_t>(ms / stamp_ms + 1), 1);
}

void GateImpl::wake(StreamId s) {
  Connection& c = at(s);
  if (!c.hibernated) return;
  c.hibernated = false;
  --stats_.hibernated;
  ++stats_.woken;
  arm_session(s);
}

void GateImpl::hibernate(Connection& c) {
  if (c.hibernated || c.state != ConnectionState::kV2) return;
  c.hibernated = true;
  ++stats_.hibernated;
}

void GateImpl::arm_session(StreamId s) {
  std::int64_t ms = options_.idle_ping_ms;
  if (at(s).state == ConnectionState::kV2) {
    ms = ms > 0 ? std::min(ms, options_.hibernate_after_ms) : options_.hibernate_after_ms;
  }
  if (ms > 0) {
    arm(s, ms);
  } else {
    wheel_.disarm(s.value);
  }
}

// A session's one deadline serves a child that may hibernate, a ping that is due and a message that
// is late.
void GateImpl::on_session_deadline(StreamId s) {
  Connection& c = at(s);
  std::int64_t next_ms = 0;  // 0: nothing to wait for
  const auto wait_for = [&](std::int64_t ms) {
    next_ms = next_ms == 0 ? ms : std::min(next_ms, ms);
  };
  if (c.active && c.active->parser) {
    const std::int64_t ms = ms_left(c.active->message_since, options_.message_ms_max);
    if (ms == 0) {
      ++stats_.refused_message_time;
      return websocket_close(s, wire::WsClose::kPolicy,
                             "a message did not arrive in time; send smaller ones");
    }
    wait_for(ms);
  }
  if (c.state == ConnectionState::kV2 && !c.hibernated && !c.active) {
    const std::int64_t ms = ms_left(c.since, options_.hibernate_after_ms);
    if (ms == 0)
      hibernate(c);
    else
      wait_for(ms);
  }
  if (options_.idle_ping_ms > 0) {
    if (const std::int64_t ms = ms_left(c.since, options_.idle_ping_ms); ms > 0) {
      wait_for(ms);
    } else if (!c.pinged) {
      c.pinged = true;
      send_message(s, wire::WsOpcode::kPing, {});
      c.since = wheel_.now();  // the same span again, for the pong
      wait_for(options_.idle_ping_ms);
    } else {
      // Nothing came for two spans, not even a pong: it is dead.
      begun_ = no_stream;
      out_.clear();
      return destroy(s, true);
    }
  }
  if (next_ms > 0) arm(s, next_ms);
}

void GateImpl::on_deadline(StreamId s) {
  Connection& c = at(s);
  begin(s);
  switch (c.state) {
    case ConnectionState::kHttp:
      if (const std::int64_t ms = ms_left(c.since, options_.header_ms_max); ms > 0) {
        arm(s, ms);
      } else if (c.served && !(c.active && c.active->http)) {
        close_after_output(s);  // kept alive and not used: no refusal
      } else {
        ++stats_.refused_header_time;
        http_refuse(s, 408, "the request did not arrive in time; send it at once");
      }
      break;
    case ConnectionState::kHttpWaiting:
      if (c.active && c.active->answer) {
        on_answer_deadline(s);
        if (c.state == ConnectionState::kFree) return;
      } else {
        arm(s, options_.header_ms_max);
      }
      break;
    case ConnectionState::kWebSocket:
      if (const std::int64_t ms = ms_left(c.since, options_.hello_ms_max); ms > 0) {
        arm(s, ms);
      } else {
        ++stats_.refused_hello_time;
        websocket_close(s, wire::WsClose::kPolicy, "no hello came in time; say hello first");
      }
      break;
    case ConnectionState::kV1:
      if (c.v1->disconnecting) {
        c.v1->pending.clear();
        v1_maybe_end(s);
        break;
      }
      [[fallthrough]];
    case ConnectionState::kV2:
      on_session_deadline(s);
      if (c.state == ConnectionState::kFree) return;
      break;
    case ConnectionState::kClosing:
      if (const std::int64_t ms = ms_left(c.since, closing_ms_max); ms > 0) {
        arm(s, ms);
        break;
      }
      begun_ = no_stream;
      out_.clear();
      destroy(s, true);
      return;
    case ConnectionState::kFree: break;
  }
  settle(s);
}

}  // namespace evodb::gate
