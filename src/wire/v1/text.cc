#include "wire/v1/text.h"

#include "wire/utf8.h"
#include "wire/v1/members.h"

namespace evodb::wire {
namespace {

using v1::depth_of;
using v1::Json;
using v1::Members;
using v1::op_names;
using v1::reason_names;
using v1::status_names;
using v1::text_of;

Result<V1TextMessage> read_batch(const Json& json) {
  Members in(json, "cdc_batch");
  V1TextBatch batch;
  batch.timestamp = in.time("timestamp");
  batch.source = in.string("sourceDoId", false);
  batch.shard = in.string("sourceShardName", false);
  batch.batch_sequence = in.integer<std::uint64_t>("sequenceNumber", true);
  batch.retry = in.boolean("isRetry");
  batch.correlation_id = in.optional_string("correlationId");
  const Json* entries = in.find("entries");
  if (entries == nullptr || !entries->is_array()) {
    in.wrong("entries", "is missing or not an array");
  }
  if (in.fault()) return fail(ErrorKind::kInvalid, *in.fault());

  batch.entries.reserve(entries->size());
  for (const Json& item : *entries) {
    const std::string what = "cdc_batch, entry " + std::to_string(batch.entries.size() + 1);
    if (!item.is_object()) return fail(ErrorKind::kInvalid, what + " is not an object");
    Members fields(item, what);
    V1TextEntry& entry = batch.entries.emplace_back();
    entry.sequence = fields.integer<std::uint64_t>("sequence", true);
    entry.timestamp = fields.time("timestamp");
    entry.op = static_cast<Op>(fields.choice("operation", op_names));
    entry.table = fields.string("table", true);
    const Json* row_id = fields.find("rowId");
    if (row_id != nullptr) {
      entry.row_id = row_id->is_string() ? row_id->get<std::string>() : text_of(*row_id);
    }
    entry.before = fields.raw("before");
    entry.after = fields.raw("after");
    if (fields.fault()) return fail(ErrorKind::kInvalid, *fields.fault());
  }
  return V1TextMessage(std::move(batch));
}

Result<V1TextMessage> read_message(const std::string& type, const Json& json) {
  Members in(json, type);
  V1TextMessage message;
  if (type == "connect") {
    V1Connect connect;
    connect.timestamp = in.time("timestamp");
    connect.source = in.string("sourceDoId", false);
    connect.shard = in.string("sourceShardName", false);
    connect.last_ack_sequence = in.integer<std::uint64_t>("lastAckSequence", false);
    connect.protocol_version = in.integer<std::uint32_t>("protocolVersion", false);
    connect.correlation_id = in.optional_string("correlationId");
    const Json* capabilities = in.find("capabilities");
    if (capabilities != nullptr && capabilities->is_object()) {
      Members can(*capabilities, "connect, capabilities");
      connect.binary_protocol = can.boolean("binaryProtocol");
      connect.compression = can.boolean("compression");
      connect.batching = can.boolean("batching");
      connect.max_batch_size = can.integer<std::uint64_t>("maxBatchSize", false);
      connect.max_message_size = can.integer<std::uint64_t>("maxMessageSize", false);
      if (can.fault()) return fail(ErrorKind::kInvalid, *can.fault());
    }
    message = std::move(connect);
  } else if (type == "heartbeat") {
    V1Heartbeat heartbeat;
    heartbeat.timestamp = in.time("timestamp");
    heartbeat.source = in.string("sourceDoId", false);
    heartbeat.last_ack_sequence = in.integer<std::uint64_t>("lastAckSequence", false);
    heartbeat.pending_entries = in.integer<std::uint64_t>("pendingEntries", false);
    message = std::move(heartbeat);
  } else if (type == "flush_request") {
    message = V1FlushRequest{in.time("timestamp"), in.string("sourceDoId", false),
                             in.string("reason", false)};
  } else if (type == "disconnect") {
    message = V1Disconnect{in.time("timestamp"), in.string("sourceDoId", false),
                           in.string("reason", false)};
  } else if (type == "pong") {
    message = V1Pong{in.time("timestamp"), in.time("serverTime")};
  } else if (type == "ack") {
    V1TextAck ack;
    ack.timestamp = in.time("timestamp");
    ack.batch_sequence = in.integer<std::uint64_t>("sequenceNumber", true);
    ack.status = static_cast<V1AckStatus>(in.choice("status", status_names));
    ack.correlation_id = in.optional_string("correlationId");
    message = std::move(ack);
  } else if (type == "nack") {
    V1TextNack nack;
    nack.timestamp = in.time("timestamp");
    nack.batch_sequence = in.integer<std::uint64_t>("sequenceNumber", true);
    nack.reason = static_cast<V1NackReason>(in.choice("reason", reason_names));
    nack.should_retry = in.boolean("shouldRetry");
    nack.retry_delay_ms = in.integer<std::uint32_t>("retryDelayMs", false);
    nack.text = in.string("errorMessage", false);
    nack.correlation_id = in.optional_string("correlationId");
    message = std::move(nack);
  } else if (type == "status") {
    V1Status status;
    status.timestamp = in.time("timestamp");
    status.state = in.string("state", true);
    status.connected_children = in.integer<std::uint64_t>("connectedChildren", false);
    status.last_flush_time = in.optional_time("lastFlushTime");
    status.next_flush_time = in.optional_time("nextFlushTime");
    status.correlation_id = in.optional_string("correlationId");
    const Json* buffer = in.find("buffer");
    if (buffer != nullptr && buffer->is_object()) {
      Members of(*buffer, "status, buffer");
      status.batch_count = of.integer<std::uint64_t>("batchCount", false);
      status.entry_count = of.integer<std::uint64_t>("entryCount", false);
      status.total_size_bytes = of.integer<std::uint64_t>("totalSizeBytes", false);
      status.utilization = of.number("utilization");
      status.oldest_batch_time = of.optional_time("oldestBatchTime");
      status.newest_batch_time = of.optional_time("newestBatchTime");
      if (of.fault()) return fail(ErrorKind::kInvalid, *of.fault());
    }
    message = std::move(status);
  } else {
    return fail(ErrorKind::kInvalid, "a JSON message of type '" +
                                         std::string(utf8_prefix(type, 40)) +
                                         "', which wire v1 does not have");
  }
  if (in.fault()) return fail(ErrorKind::kInvalid, *in.fault());
  return message;
}

}  // namespace

Result<V1TextMessage> decode_v1_text(std::string_view text) {
  if (text == "ping") return V1TextMessage(V1TextPing{});
  if (text == "pong") return V1TextMessage(V1TextPong{});
  if (text.size() > v1_text_bytes_max) {
    return fail(ErrorKind::kOverLimit, "a text message of " + std::to_string(text.size()) +
                                           " bytes; at most " + std::to_string(v1_text_bytes_max) +
                                           " are taken, send batches in binary");
  }
  if (depth_of(text) > v1_text_depth_max) {
    return fail(ErrorKind::kOverLimit, "JSON of more than " + std::to_string(v1_text_depth_max) +
                                           " levels; make the row flatter");
  }
  // The parser takes a zero byte for the end, whatever follows.
  if (text.find('\0') != std::string_view::npos) {
    return fail(ErrorKind::kInvalid, "a text message with a zero byte, which JSON has not");
  }
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) {
    return fail(ErrorKind::kInvalid, "a text message that is not a JSON object");
  }
  const auto type = json.find("type");
  if (type == json.end() || !type->is_string()) {
    return fail(ErrorKind::kInvalid, "a JSON message without a 'type'");
  }
  const auto name = type->get<std::string>();
  if (name == "cdc_batch") return read_batch(json);
  return read_message(name, json);
}

std::string_view v1_ack_status_name(V1AckStatus status) {
  const auto i = static_cast<std::size_t>(status);
  return i < std::size(status_names) ? status_names[i] : "ok";
}

std::string_view v1_nack_reason_name(V1NackReason reason) {
  const auto i = static_cast<std::size_t>(reason);
  return i < std::size(reason_names) ? reason_names[i] : "internal_error";
}

}  // namespace evodb::wire
