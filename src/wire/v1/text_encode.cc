#include <algorithm>

#include <nlohmann/json.hpp>

#include "wire/v1/members.h"
#include "wire/v1/text.h"

namespace evodb::wire {
namespace {

// Written in the order of the old server's own messages.
using Ordered = nlohmann::ordered_json;

std::string to_text(const Ordered& json) {
  return json.dump(-1, ' ', false, Ordered::error_handler_t::replace);
}

void put_optional(Ordered& json, const char* name, const std::optional<std::string>& text) {
  if (text) json[name] = *text;
}
void put_optional(Ordered& json, const char* name, const std::optional<UnixMillis>& time) {
  if (time) json[name] = time->value;
}
void put_unless_empty(Ordered& json, const char* name, const std::string& text) {
  if (!text.empty()) json[name] = text;
}

struct TextEncoder {
  std::string operator()(const V1TextPing&) const { return "ping"; }
  std::string operator()(const V1TextPong&) const { return "pong"; }
  std::string operator()(const V1Connect& m) const {
    Ordered json = {{"type", "connect"},
                    {"timestamp", m.timestamp.value},
                    {"sourceDoId", m.source},
                    {"lastAckSequence", m.last_ack_sequence},
                    {"protocolVersion", m.protocol_version},
                    {"capabilities",
                     {{"binaryProtocol", m.binary_protocol},
                      {"compression", m.compression},
                      {"batching", m.batching},
                      {"maxBatchSize", m.max_batch_size},
                      {"maxMessageSize", m.max_message_size}}}};
    put_unless_empty(json, "sourceShardName", m.shard);
    put_optional(json, "correlationId", m.correlation_id);
    return to_text(json);
  }
  std::string operator()(const V1Heartbeat& m) const {
    return to_text({{"type", "heartbeat"},
                    {"timestamp", m.timestamp.value},
                    {"sourceDoId", m.source},
                    {"lastAckSequence", m.last_ack_sequence},
                    {"pendingEntries", m.pending_entries}});
  }
  std::string operator()(const V1FlushRequest& m) const {
    return to_text({{"type", "flush_request"},
                    {"timestamp", m.timestamp.value},
                    {"sourceDoId", m.source},
                    {"reason", m.reason}});
  }
  std::string operator()(const V1Disconnect& m) const {
    Ordered json = {
        {"type", "disconnect"}, {"timestamp", m.timestamp.value}, {"sourceDoId", m.source}};
    put_unless_empty(json, "reason", m.reason);
    return to_text(json);
  }
  // Put together by hand: rows are JSON text already, and must not be parsed to be sent.
  std::string operator()(const V1TextBatch& m) const {
    Ordered json = {{"type", "cdc_batch"},
                    {"timestamp", m.timestamp.value},
                    {"sourceDoId", m.source},
                    {"sequenceNumber", m.batch_sequence},
                    {"firstEntrySequence", m.entries.empty() ? 0 : m.entries.front().sequence},
                    {"lastEntrySequence", m.entries.empty() ? 0 : m.entries.back().sequence},
                    {"isRetry", m.retry},
                    {"retryCount", m.retry ? 1 : 0}};
    put_unless_empty(json, "sourceShardName", m.shard);
    put_optional(json, "correlationId", m.correlation_id);
    std::string text = to_text(json);
    text.back() = ',';
    text += "\"entries\":[";
    for (const V1TextEntry& entry : m.entries) {
      const std::size_t op = std::min<std::size_t>(static_cast<std::size_t>(entry.op), 2);
      if (&entry != &m.entries.front()) text += ',';
      text += to_text({{"sequence", entry.sequence},
                       {"timestamp", entry.timestamp.value},
                       {"operation", v1::op_names[op]},
                       {"table", entry.table},
                       {"rowId", entry.row_id}});
      text.pop_back();
      if (!entry.before.empty()) text += ",\"before\":" + entry.before;
      if (!entry.after.empty()) text += ",\"after\":" + entry.after;
      text += '}';
    }
    text += "]}";
    return text;
  }
  std::string operator()(const V1Status& m) const {
    Ordered buffer = {{"batchCount", m.batch_count},
                      {"entryCount", m.entry_count},
                      {"totalSizeBytes", m.total_size_bytes},
                      {"utilization", m.utilization}};
    put_optional(buffer, "oldestBatchTime", m.oldest_batch_time);
    put_optional(buffer, "newestBatchTime", m.newest_batch_time);
    Ordered json = {{"type", "status"},
                    {"timestamp", m.timestamp.value},
                    {"state", m.state},
                    {"buffer", std::move(buffer)},
                    {"connectedChildren", m.connected_children}};
    put_optional(json, "lastFlushTime", m.last_flush_time);
    put_optional(json, "nextFlushTime", m.next_flush_time);
    put_optional(json, "correlationId", m.correlation_id);
    return to_text(json);
  }
  std::string operator()(const V1Pong& m) const {
    return to_text(
        {{"type", "pong"}, {"timestamp", m.timestamp.value}, {"serverTime", m.server_time.value}});
  }
  std::string operator()(const V1TextAck& m) const {
    Ordered json = {{"type", "ack"},
                    {"timestamp", m.timestamp.value},
                    {"sequenceNumber", m.batch_sequence},
                    {"status", v1_ack_status_name(m.status)}};
    put_optional(json, "correlationId", m.correlation_id);
    return to_text(json);
  }
  std::string operator()(const V1TextNack& m) const {
    Ordered json = {{"type", "nack"},
                    {"timestamp", m.timestamp.value},
                    {"sequenceNumber", m.batch_sequence},
                    {"reason", v1_nack_reason_name(m.reason)},
                    {"errorMessage", m.text},
                    {"shouldRetry", m.should_retry},
                    {"retryDelayMs", m.retry_delay_ms}};
    put_optional(json, "correlationId", m.correlation_id);
    return to_text(json);
  }
};

}  // namespace

std::string encode_v1_text(const V1TextMessage& message) {
  return std::visit(TextEncoder{}, message);
}

}  // namespace evodb::wire
