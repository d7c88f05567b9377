// Sessions of wire v1: what clients of the first generation say, translated.
#include <algorithm>

#include "base/limits.h"
#include "gate/gate_impl.h"

namespace evodb::gate {
namespace {

using wire::V1NackReason;

constexpr std::uint32_t retry_ms = 1'000;
constexpr std::size_t entries_kept = 10'000;  // space for so many stays for the next batch

// Worth sending again: only what may succeed with the same bytes. What translation cannot keep
// below a limit passes with time (memory for gaps or definitions that others use) or on a new
// connection.
bool may_succeed_later(const wire::Nack& nack) {
  return nack.reason == wire::NackReason::kOverCredit ||
         nack.reason == wire::NackReason::kUnavailable ||
         nack.reason == wire::NackReason::kOverLimit || nack.retry_after_ms > 0;
}

V1NackReason v1_reason(const wire::Nack& nack) {
  switch (nack.reason) {
    case wire::NackReason::kMalformed: return V1NackReason::kInvalidFormat;
    case wire::NackReason::kOverLimit: return V1NackReason::kRateLimited;
    case wire::NackReason::kGap:
    case wire::NackReason::kChainMismatch: return V1NackReason::kInvalidSequence;
    case wire::NackReason::kOverCredit: return V1NackReason::kBufferFull;
    default: return V1NackReason::kInternalError;
  }
}

}  // namespace

void GateImpl::v1_binary(StreamId s, std::string_view message) {
  ++stats_.v1_messages;
  wire::V1BatchReader reader(message);
  // As far as it can be read, so that the refusal reaches who sent it.
  V1Reply reply{reader.header().batch_sequence, std::nullopt, false};
  if (reader.header().correlation_id) reply.correlation_id = *reader.header().correlation_id;
  const auto refuse = [&](std::string_view text) {
    ++stats_.refused_frame;
    v1_nack(s, reply, V1NackReason::kInvalidFormat, text);
  };
  const auto type = wire::v1_type(message);
  if (!type) return refuse(type.error().text);
  if (*type != wire::V1Type::kBatch) return refuse("only a parent sends ACKs and NACKs");
  if (reader.header().entry_count > wire::v1_entries_max) {
    ++stats_.refused_size;
    return v1_nack(
        s, reply, V1NackReason::kInvalidFormat,
        "a batch of over " + std::to_string(wire::v1_entries_max) + " entries; send fewer at once");
  }
  entries_.clear();
  V1RowEntry entry;
  while (reader.next(&entry)) {
    ++entry.number;
    entries_.push_back(entry);
  }
  if (const auto status = reader.status(); !status) return refuse(status.error().text);
  if (!reader.checksum_matches()) ++stats_.v1_crc_mismatches;  // see docs/gate.md: never refused
  if (v1_bind(s, reader.header().source, reply)) v1_batch(s, reply, message.size());
}

void GateImpl::v1_text_batch(StreamId s, std::string_view text, const V1Reply& reply) {
  const auto read = wire::read_v1_text_batch(text);
  if (!read) {
    ++stats_.refused_frame;
    return v1_nack(s, reply, V1NackReason::kInvalidFormat, read.error().text);
  }
  if (!v1_bind(s, read->batch.source, reply)) return;
  entries_.clear();
  for (const wire::V1TextRow& from : read->rows) {
    V1RowEntry& entry = entries_.emplace_back();
    entry.sequence = from.entry.sequence;
    entry.timestamp = from.entry.timestamp;
    entry.op = from.entry.op;
    entry.table = from.entry.table;
    entry.row_id = from.entry.row_id;
    entry.before = from.before;
    entry.after = from.after;
    entry.number = static_cast<std::uint32_t>(entries_.size());
    entry.fault = from.fault;
    if (!from.fault) continue;
    entry.before = {};
    entry.after = from.whole;  // what the rejects keep of it
  }
  v1_batch(s, reply, text.size());
}

void GateImpl::v1_text(StreamId s, std::string_view text) {
  ++stats_.v1_messages;
  const wire::V1TextHead head = wire::peek_v1_text(text);
  V1Reply reply{head.batch_sequence, head.correlation_id, true};
  if (head.type == "cdc_batch") return v1_text_batch(s, text, reply);
  auto message = wire::decode_v1_text(text);
  if (!message) {
    ++stats_.refused_frame;
    return v1_nack(s, reply, V1NackReason::kInvalidFormat, message.error().text);
  }
  if (auto* connect = std::get_if<wire::V1Connect>(&*message)) {
    if (!v1_bind(s, connect->source, reply)) return;
    const GateHandlers::BufferStatus buffer = handlers_.buffer_status();
    wire::V1Status status;
    status.timestamp = wall();
    status.state = buffer.entries > 0 ? "receiving" : "idle";
    status.batch_count = buffer.batches;
    status.entry_count = buffer.entries;
    status.total_size_bytes = buffer.bytes;
    status.utilization = buffer.utilization;
    status.connected_children = stats_.children;
    status.correlation_id = connect->correlation_id;
    send_message(s, wire::WsOpcode::kText, wire::encode_v1_text(status));
  } else if (auto* heartbeat = std::get_if<wire::V1Heartbeat>(&*message)) {
    if (!v1_bind(s, heartbeat->source, reply)) return;
    send_message(s, wire::WsOpcode::kText,
                 wire::encode_v1_text(wire::V1Pong{heartbeat->timestamp, wall()}));
  } else if (auto* flush = std::get_if<wire::V1FlushRequest>(&*message)) {
    if (v1_bind(s, flush->source, reply)) handlers_.on_flush_requested();
  } else if (auto* disconnect = std::get_if<wire::V1Disconnect>(&*message)) {
    if (!v1_bind(s, disconnect->source, reply)) return;
    at(s).v1->disconnecting = true;
    v1_maybe_end(s);
  } else if (!std::holds_alternative<wire::V1TextPong>(*message)) {
    ++stats_.refused_frame;
    v1_nack(s, reply, V1NackReason::kInvalidFormat, "only a parent sends this message");
  }
}

// The connection speaks for the source that its first message names. False: refused.
bool GateImpl::v1_bind(StreamId s, std::string_view source, const V1Reply& reply) {
  Connection& c = at(s);
  if (c.state == ConnectionState::kV1) {
    if (source == c.v1->source) return true;
    ++stats_.refused_frame;
    v1_nack(s, reply, V1NackReason::kInvalidFormat,
            "this connection speaks for source \"" + c.v1->source + "\"; open another one for \"" +
                std::string(source.substr(0, 256)) + "\"");
    return false;
  }
  if (source.empty() || source.size() > base::source_name_bytes_max ||
      !wire::is_valid_utf8(source)) {
    ++stats_.refused_frame;
    v1_nack(s, reply, V1NackReason::kInvalidFormat,
            "sourceDoId must name the source, in 1 to 256 bytes of UTF-8");
    return false;
  }
  if (draining_) {
    v1_nack(s, reply, V1NackReason::kShuttingDown, drain_text_, retry_ms);
    return false;
  }
  if (auto bound = ingest_.on_hello_unordered(ingest::SessionId(s.value), source); !bound) {
    const bool later =
        bound.error().kind == ErrorKind::kOverLimit || bound.error().kind == ErrorKind::kRetry;
    v1_nack(s, reply, later ? V1NackReason::kRateLimited : V1NackReason::kInvalidFormat,
            bound.error().text, later ? retry_ms : 0);
    return false;
  }
  c.v1 = std::make_unique<V1Session>();
  c.v1->source = std::string(source);
  c.said_hello = true;
  ++stats_.children;
  c.state = ConnectionState::kV1;
  c.since = wheel_.now();
  arm_session(s);
  handlers_.on_session(s, source);
  return true;
}

void GateImpl::v1_batch(StreamId s, const V1Reply& reply, std::size_t bytes) {
  V1Session& session = *at(s).v1;
  if (draining_) {
    return v1_nack(s, reply, V1NackReason::kShuttingDown, drain_text_, retry_ms);
  }
  const std::size_t correlation_bytes = reply.correlation_id ? reply.correlation_id->size() : 0;
  if (session.pending.size() >= v1_pending_max ||
      session.pending_bytes + correlation_bytes > v1_pending_bytes_max) {
    return v1_nack(s, reply, V1NackReason::kBufferFull,
                   "too many batches wait for their ACK; send fewer at once", retry_ms);
  }
  const V1Batch batch = translator_.translate(entries_, session.tables, ingest_.batch_limits());
  entries_.clear();  // its views end soon
  if (entries_.capacity() > entries_kept) entries_.shrink_to_fit();
  const V1Pending pending{reply.batch_sequence, reply.correlation_id, reply.json};
  if (batch.entries == 0) return v1_ack(s, pending, wire::V1AckStatus::kOk);  // nothing to keep

  const std::uint64_t token = token_next_++;
  session.pending.emplace(token, pending);
  session.pending_bytes += correlation_bytes;
  effects_.clear();
  const ingest::BatchOutcome outcome = ingest_.on_batch_unordered(
      ingest::SessionId(s.value), batch.bodies, bytes, token, wall(), effects_);
  if (outcome.verdict == ingest::BatchVerdict::kRefused) {
    session.pending.erase(token);
    session.pending_bytes -= correlation_bytes;
    session.tables.forget_sent();  // which of its definitions were taken is not known
    if (batch.bodies.size() > 1) handlers_.on_appended();  // nor which of its bodies
    v1_nack(s, reply, v1_reason(outcome.nack), outcome.nack.text,
            !may_succeed_later(outcome.nack)  ? 0
            : outcome.nack.retry_after_ms > 0 ? outcome.nack.retry_after_ms
                                              : retry_ms);
    if (outcome.close) websocket_close(s, wire::WsClose::kPolicy, outcome.nack.text);
  } else if (outcome.verdict == ingest::BatchVerdict::kAppended) {
    stats_.v1_rejected_entries += batch.rejected;
    handlers_.on_appended();
  }
  deliver_own();
}

void GateImpl::v1_batch_durable(StreamId s, std::uint64_t token, bool duplicate) {
  V1Session& session = *at(s).v1;
  const auto it = session.pending.find(token);
  if (it == session.pending.end()) return;  // of an earlier connection with this number
  const V1Pending pending = std::move(it->second);
  session.pending.erase(it);
  if (pending.correlation_id) session.pending_bytes -= pending.correlation_id->size();
  v1_ack(s, pending, duplicate ? wire::V1AckStatus::kDuplicate : wire::V1AckStatus::kOk);
  v1_maybe_end(s);
}

void GateImpl::v1_maybe_end(StreamId s) {
  Connection& c = at(s);
  if (c.state != ConnectionState::kV1 || !c.v1->disconnecting || !c.v1->pending.empty()) return;
  websocket_close(s, draining_ ? wire::WsClose::kGoingAway : wire::WsClose::kNormal,
                  draining_ ? drain_text_ : "");
}

void GateImpl::v1_ack(StreamId s, const V1Pending& pending, wire::V1AckStatus status) {
  if (pending.json) {
    const wire::V1TextAck ack{wall(), pending.batch_sequence, status, pending.correlation_id};
    return send_message(s, wire::WsOpcode::kText, wire::encode_v1_text(ack));
  }
  wire::V1Ack ack{wall(), pending.batch_sequence, status, std::nullopt};
  if (pending.correlation_id) ack.correlation_id = *pending.correlation_id;
  frame_.clear();
  wire::encode_v1_ack(frame_, ack);
  send_message(s, wire::WsOpcode::kBinary, frame_);
}

void GateImpl::v1_nack(StreamId s, const V1Reply& reply, wire::V1NackReason reason,
                       std::string_view text, std::uint32_t retry_delay_ms) {
  if (reply.json) {
    const wire::V1TextNack nack{wall(),
                                reply.batch_sequence,
                                reason,
                                retry_delay_ms > 0,
                                retry_delay_ms,
                                std::string(text),
                                reply.correlation_id};
    return send_message(s, wire::WsOpcode::kText, wire::encode_v1_text(nack));
  }
  wire::V1Nack nack{wall(), reply.batch_sequence, reason, retry_delay_ms > 0, retry_delay_ms,
                    text,   std::nullopt};
  if (reply.correlation_id) nack.correlation_id = *reply.correlation_id;
  frame_.clear();
  wire::encode_v1_nack(frame_, nack);
  send_message(s, wire::WsOpcode::kBinary, frame_);
}

}  // namespace evodb::gate
