// wire-v1: cases are 'b' or 't' and a binary or text message; says whether it is taken, and as
// what. Bytes are hexadecimal, 64-bit numbers strings.
#include <nlohmann/json.hpp>

#include "differential.h"
#include "wire/v1/codec.h"
#include "wire/v1/text.h"

namespace evodb::differential {
namespace {

using Json = nlohmann::json;
using wire::V1Entry;
using wire::V1TextMessage;

Json maybe_hex(const std::optional<std::string_view>& bytes) {
  return bytes ? Json(hex(*bytes)) : Json();
}
Json maybe_hex(const std::optional<std::string>& bytes) {
  return bytes ? Json(hex(*bytes)) : Json();
}
Json time_of(const std::optional<UnixMillis>& time) {
  return time ? Json(std::to_string(time->value)) : Json();
}
std::string time_of(UnixMillis time) { return std::to_string(time.value); }

// An entry of a batch, be it binary or text.
Json entry_of(const auto& e) {
  return {{"sequence", std::to_string(e.sequence)},
          {"timestamp", time_of(e.timestamp)},
          {"op", static_cast<int>(e.op)},
          {"table", hex(e.table)},
          {"row_id", hex(e.row_id)},
          {"before", hex(e.before)},
          {"after", hex(e.after)}};
}

Json batch(std::string_view message) {
  wire::V1BatchReader reader(message);
  Json entries = Json::array();
  for (V1Entry e; reader.next(&e);) entries.push_back(entry_of(e));
  if (!reader.status()) return nullptr;
  const auto& h = reader.header();
  return {{"message", "batch"},
          {"timestamp", time_of(h.timestamp)},
          {"batch_sequence", std::to_string(h.batch_sequence)},
          {"retry", h.retry},
          {"source", hex(h.source)},
          {"correlation_id", maybe_hex(h.correlation_id)},
          {"crc_right", reader.checksum_matches()},
          {"trailing", reader.trailing_bytes()},
          {"entries", entries}};
}

Json binary(std::string_view message) {
  const auto type = wire::v1_type(message);
  if (!type) return nullptr;
  if (*type == wire::V1Type::kBatch) return batch(message);
  if (*type == wire::V1Type::kAck) {
    const auto ack = wire::decode_v1_ack(message);
    if (!ack) return nullptr;
    return {{"message", "ack"},
            {"timestamp", time_of(ack->timestamp)},
            {"batch_sequence", std::to_string(ack->batch_sequence)},
            {"status", wire::v1_ack_status_name(ack->status)},
            {"correlation_id", maybe_hex(ack->correlation_id)}};
  }
  const auto nack = wire::decode_v1_nack(message);
  if (!nack) return nullptr;
  return {{"message", "nack"},
          {"timestamp", time_of(nack->timestamp)},
          {"batch_sequence", std::to_string(nack->batch_sequence)},
          {"reason", wire::v1_nack_reason_name(nack->reason)},
          {"should_retry", nack->should_retry},
          {"retry_delay_ms", nack->retry_delay_ms},
          {"text", hex(nack->text)},
          {"correlation_id", maybe_hex(nack->correlation_id)}};
}

struct Describe {
  Json operator()(const wire::V1TextPing&) const { return {{"message", "ping"}}; }
  Json operator()(const wire::V1TextPong&) const { return {{"message", "pong-word"}}; }
  Json operator()(const wire::V1Connect& m) const {
    return {{"message", "connect"},
            {"timestamp", time_of(m.timestamp)},
            {"source", hex(m.source)},
            {"shard", hex(m.shard)},
            {"last_ack_sequence", std::to_string(m.last_ack_sequence)},
            {"protocol_version", m.protocol_version},
            {"capabilities",
             {m.binary_protocol, m.compression, m.batching, std::to_string(m.max_batch_size),
              std::to_string(m.max_message_size)}},
            {"correlation_id", maybe_hex(m.correlation_id)}};
  }
  Json operator()(const wire::V1Heartbeat& m) const {
    return {{"message", "heartbeat"},
            {"timestamp", time_of(m.timestamp)},
            {"source", hex(m.source)},
            {"last_ack_sequence", std::to_string(m.last_ack_sequence)},
            {"pending_entries", std::to_string(m.pending_entries)}};
  }
  Json operator()(const wire::V1FlushRequest& m) const {
    return {{"message", "flush_request"},
            {"timestamp", time_of(m.timestamp)},
            {"source", hex(m.source)},
            {"reason", hex(m.reason)}};
  }
  Json operator()(const wire::V1Disconnect& m) const {
    return {{"message", "disconnect"},
            {"timestamp", time_of(m.timestamp)},
            {"source", hex(m.source)},
            {"reason", hex(m.reason)}};
  }
  Json operator()(const wire::V1TextBatch& m) const {
    Json entries = Json::array();
    for (const auto& e : m.entries) entries.push_back(entry_of(e));
    return {{"message", "cdc_batch"},
            {"timestamp", time_of(m.timestamp)},
            {"source", hex(m.source)},
            {"shard", hex(m.shard)},
            {"batch_sequence", std::to_string(m.batch_sequence)},
            {"retry", m.retry},
            {"correlation_id", maybe_hex(m.correlation_id)},
            {"entries", entries}};
  }
  Json operator()(const wire::V1Status& m) const {
    return {{"message", "status"},
            {"timestamp", time_of(m.timestamp)},
            {"state", hex(m.state)},
            {"buffer",
             {std::to_string(m.batch_count), std::to_string(m.entry_count),
              std::to_string(m.total_size_bytes), time_of(m.oldest_batch_time),
              time_of(m.newest_batch_time)}},
            {"connected_children", std::to_string(m.connected_children)},
            {"flush_times", {time_of(m.last_flush_time), time_of(m.next_flush_time)}}};
  }
  Json operator()(const wire::V1Pong& m) const {
    return {{"message", "pong"},
            {"timestamp", time_of(m.timestamp)},
            {"server_time", time_of(m.server_time)}};
  }
  Json operator()(const wire::V1TextAck& m) const {
    return {{"message", "ack"},
            {"timestamp", time_of(m.timestamp)},
            {"batch_sequence", std::to_string(m.batch_sequence)},
            {"status", wire::v1_ack_status_name(m.status)},
            {"correlation_id", maybe_hex(m.correlation_id)}};
  }
  Json operator()(const wire::V1TextNack& m) const {
    return {{"message", "nack"},
            {"timestamp", time_of(m.timestamp)},
            {"batch_sequence", std::to_string(m.batch_sequence)},
            {"reason", wire::v1_nack_reason_name(m.reason)},
            {"should_retry", m.should_retry},
            {"retry_delay_ms", m.retry_delay_ms},
            {"text", hex(m.text)},
            {"correlation_id", maybe_hex(m.correlation_id)}};
  }
};

}  // namespace

int wire_v1() {
  for (std::string bytes; next_case(&bytes);) {
    const std::string_view message = std::string_view(bytes).substr(1);
    Json said;
    if (bytes[0] == 'b') {
      said = binary(message);
    } else if (const auto text = wire::decode_v1_text(message)) {
      said = std::visit(Describe(), *text);
    }
    std::puts(said.dump().c_str());
  }
  return 0;
}

}  // namespace evodb::differential
