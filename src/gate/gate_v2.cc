// Sessions of wire v2: frames to ingest's events, its answers to frames.
#include <algorithm>

#include "base/limits.h"
#include "base/overloaded.h"
#include "gate/gate_impl.h"

namespace evodb::gate {

void GateImpl::send_frame(StreamId s, const wire::Frame& frame) {
  frame_.clear();
  wire::encode_frame(frame_, frame);
  send_message(s, wire::WsOpcode::kBinary, frame_);
}

void GateImpl::nack(StreamId s, wire::NackReason reason, std::string_view text, bool close,
                    std::uint32_t retry_after_ms) {
  send_frame(s, wire::Nack{.reason = reason, .retry_after_ms = retry_after_ms, .text = text});
  if (close) websocket_close(s, wire::WsClose::kPolicy, text);
}

void GateImpl::v2_bye(StreamId s, wire::ByeReason reason, std::string_view text,
                      wire::WsClose code) {
  send_frame(s, wire::Bye{reason, text});
  websocket_close(s, code, text);
}

void GateImpl::v2_frame(StreamId s, std::string_view message) {
  Connection& c = at(s);
  const auto refuse = [&](const Error& error) {
    const bool over = error.kind == ErrorKind::kOverLimit;
    ++(over ? stats_.refused_size : stats_.refused_frame);
    nack(s, over ? wire::NackReason::kOverLimit : wire::NackReason::kMalformed, error.text, true);
  };
  auto envelope = wire::open_frame(message);
  if (!envelope) {
    if (wire::has_frame_magic(message) &&
        static_cast<std::uint8_t>(message[2]) != wire::wire_major) {
      ++stats_.refused_frame;
      return nack(s, wire::NackReason::kVersion, envelope.error().text, true);
    }
    return refuse(envelope.error());
  }
  std::string_view body = envelope->body;
  if ((envelope->flags & wire::kFlagZstd) && c.state == ConnectionState::kV2 &&
      envelope->type == static_cast<std::uint8_t>(wire::FrameType::kBatch)) {
    const std::size_t limit = options_.frame_bytes_max - wire::frame_header_bytes;
    auto inflated = inflater_.inflate(body, std::min(limit, inflated_bytes_max(body.size())));
    if (!inflated) {
      inflater_.shrink();
      return refuse(inflated.error());
    }
    body = *inflated;
  }
  auto frame = wire::decode_body(*envelope, body);
  if (!frame) return refuse(frame.error());

  if (c.state != ConnectionState::kV2 && !std::holds_alternative<wire::Hello>(*frame)) {
    return refuse({ErrorKind::kInvalid, "the first frame must be a hello"});
  }
  const auto refuse_a_parents = [&] {
    refuse({ErrorKind::kInvalid,
            "a frame of type " + std::to_string(envelope->type) + " is sent by parents only"});
  };
  const base::Overloaded handle{
      [&](const wire::Hello& hello) { v2_hello(s, hello); },
      [&](const wire::Batch& batch) {
        v2_batch(s, batch.body, message.size());
        inflater_.shrink();
      },
      [&](const wire::Ping& ping) { send_frame(s, wire::Pong{ping.opaque}); },
      [&](const wire::Pong&) {},
      [&](const wire::Bye&) { websocket_close(s, wire::WsClose::kNormal, ""); },
      [&](const wire::Welcome&) { refuse_a_parents(); },
      [&](const wire::Ack&) { refuse_a_parents(); },
      [&](const wire::Nack&) { refuse_a_parents(); },
      [&](const wire::UnknownFrame&) {},
  };
  std::visit(handle, *frame);
}

void GateImpl::v2_hello(StreamId s, const wire::Hello& hello) {
  Connection& c = at(s);
  if (c.state == ConnectionState::kV2 && !c.new_epoch) {
    ++stats_.refused_frame;
    return nack(s, wire::NackReason::kMalformed,
                "a second hello; open another connection for another source", true);
  }
  if (draining_) return nack(s, wire::NackReason::kUnavailable, drain_text_, true, 1'000);
  const ingest::SessionId session(s.value);
  ingest::HelloOutcome outcome = ingest_.on_hello(session, hello, wall());
  if (outcome.has_superseded && outcome.superseded != session) {
    const StreamId old(outcome.superseded.value);
    if (at(old).said_hello) {
      if (at(old).state == ConnectionState::kV2) {
        v2_bye(old, wire::ByeReason::kSuperseded,
               "a newer connection of this source has taken over", wire::WsClose::kPolicy);
      } else {
        websocket_close(old, wire::WsClose::kPolicy, "a newer connection has taken over");
      }
      settle(old);
    }
  }
  for (const ingest::SessionId other : outcome.other_lives) {
    const StreamId old(other.value);
    if (old == s || !at(old).said_hello) continue;
    v2_bye(old, wire::ByeReason::kSuperseded,
           "another database, or this one behind a restart, has taken over this name",
           wire::WsClose::kPolicy);
    settle(old);
  }
  if (!outcome.accepted) {
    send_frame(s, outcome.nack);
    websocket_close(s, wire::WsClose::kPolicy, outcome.nack.text);
    return;
  }
  if (!c.said_hello) {
    c.said_hello = true;
    ++stats_.children;
  }
  c.state = ConnectionState::kV2;
  c.new_epoch = outcome.welcome.verdict != wire::WelcomeVerdict::kResume;
  c.since = wheel_.now();
  outcome.welcome.accepts_zstd = true;
  outcome.welcome.frame_bytes_max = options_.frame_bytes_max;
  send_frame(s, outcome.welcome);
  arm_session(s);
  if (!c.new_epoch) handlers_.on_session(s, hello.source);
}

void GateImpl::v2_batch(StreamId s, std::string_view body, std::size_t frame_bytes) {
  effects_.clear();
  const ingest::BatchOutcome outcome =
      ingest_.on_batch(ingest::SessionId(s.value), body, frame_bytes, wall(), effects_);
  switch (outcome.verdict) {
    case ingest::BatchVerdict::kAppended: handlers_.on_appended(); break;
    case ingest::BatchVerdict::kDuplicate: break;
    case ingest::BatchVerdict::kRefused:
      send_frame(s, outcome.nack);
      if (outcome.close) websocket_close(s, wire::WsClose::kPolicy, outcome.nack.text);
      break;
  }
  deliver_own();
}

// The newest ack goes out once everything before it has: one that reads slowly gets fewer, larger
// ones.
void GateImpl::flush_ack(StreamId s) {
  Connection& c = at(s);
  if (!c.active || !c.active->ack || !c.active->output.empty()) return;
  const wire::Ack ack = *c.active->ack;
  c.active->ack.reset();
  const bool last = c.active->ack_is_last;
  send_frame(s, ack);
  if (last && c.active && c.active->idle()) hibernate(c);
}

}  // namespace evodb::gate
