// Time limits: one deadline a connection in a shared wheel, looked at when it passes.
#include <algorithm>

#include "gate/gate_impl.h"

namespace evodb::gate {

std::uint32_t GateImpl::ticks(std::int64_t ms) const {
  return static_cast<std::uint32_t>((ms + tick_ms_ - 1) / tick_ms_);
}

void GateImpl::arm(StreamId s, std::int64_t ms) { wheel_.arm(s.value, ticks(ms) + 1); }

void GateImpl::start_ticking() {
  if (tick_timer_.value != 0) return;
  ticked_at_ = loop_.clock().monotonic();
  tick_timer_ = loop_.after(tick_ms_, [this] { on_tick(); });
}

void GateImpl::on_tick() {
  tick_timer_ = {};
  // A loop that was busy makes up for the ticks it missed, at most once around.
  const std::int64_t late = loop_.clock().monotonic().value - ticked_at_.value;
  std::int64_t count = std::min<std::int64_t>(late / tick_ms_, wheel_.slot_count);
  ticked_at_ = loop_.clock().monotonic();
  for (; count > 0; --count) {
    wheel_.tick([this](std::uint32_t id) { on_deadline(StreamId(id)); });
  }
  if (stats_.connections > 0) tick_timer_ = loop_.after(tick_ms_, [this] { on_tick(); });
}

void GateImpl::on_deadline(StreamId s) {
  Connection& c = at(s);
  const std::uint32_t now = wheel_.now();
  const auto left = [&](std::uint32_t from, std::int64_t ms) -> std::int64_t {
    const std::uint32_t passed = now - from;
    return passed >= ticks(ms) ? 0 : static_cast<std::int64_t>(ticks(ms) - passed) * tick_ms_;
  };
  begin(s);
  switch (c.state) {
    case ConnectionState::kHttp:
      if (const std::int64_t ms = left(c.since, options_.header_ms_max); ms > 0) {
        arm(s, ms);
      } else if (c.served && !(c.active && c.active->http)) {
        close_after_output(s);  // kept alive and not used: no refusal
      } else {
        ++stats_.refused_header_time;
        http_refuse(s, 408, "the request did not arrive in time; send it at once");
      }
      break;
    case ConnectionState::kHttpWaiting: arm(s, options_.header_ms_max); break;
    case ConnectionState::kWebSocket:
      if (const std::int64_t ms = left(c.since, options_.hello_ms_max); ms > 0) {
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
      if (options_.idle_ping_ms == 0) break;
      if (const std::int64_t ms = left(c.last_in, options_.idle_ping_ms); ms > 0) {
        arm(s, ms);
      } else if (!c.pinged) {
        c.pinged = true;
        send_message(s, wire::WsOpcode::kPing, {});
        arm(s, options_.idle_ping_ms);
      } else {
        // Nothing came for two spans, not even a pong: it is dead.
        begun_ = no_stream;
        out_.clear();
        destroy(s, true);
        return;
      }
      break;
    case ConnectionState::kClosing:
      if (const std::int64_t ms = left(c.since, closing_ms_max); ms > 0) {
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
