#include "wire/v1_text.h"

#include <cmath>
#include <limits>
#include <optional>

#include <nlohmann/json.hpp>

#include "wire/utf8.h"

namespace evodb::wire {
namespace {

using Json = nlohmann::json;

constexpr std::string_view status_names[] = {"ok", "buffered", "persisted", "duplicate",
                                             "fallback"};
constexpr std::string_view reason_names[] = {"buffer_full",    "rate_limited",   "invalid_sequence",
                                             "invalid_format", "internal_error", "shutting_down"};
constexpr std::string_view op_names[] = {"INSERT", "UPDATE", "DELETE"};

// Brackets open at once, outside of strings. Before parsing: printing a document again recurses.
std::size_t depth_of(std::string_view text) {
  std::size_t depth = 0, deepest = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if ((c == '}' || c == ']') && depth != 0) {
      --depth;
    }
  }
  return deepest;
}

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// An exact integer of [0, 2^64) or of [-2^63, 2^63); nullopt for anything else.
template <class Int>
std::optional<Int> to_integer(const Json& json, bool drop_fraction = false) {
  if (json.is_number_unsigned()) {
    const auto v = json.get<std::uint64_t>();
    if (!std::in_range<Int>(v)) return std::nullopt;
    return static_cast<Int>(v);
  }
  if (json.is_number_integer()) {
    const auto v = json.get<std::int64_t>();
    if (!std::in_range<Int>(v)) return std::nullopt;
    return static_cast<Int>(v);
  }
  if (!json.is_number_float()) return std::nullopt;
  double v = json.get<double>();
  if (drop_fraction) v = std::floor(v);
  // Beyond 2^53 a double is a guess at what was meant.
  if (v != std::floor(v) || std::abs(v) > 9007199254740992.0) return std::nullopt;
  const auto whole = static_cast<std::int64_t>(v);
  if (!std::in_range<Int>(whole)) return std::nullopt;
  return static_cast<Int>(whole);
}

// Reads one object's members; remembers the first that is wrong.
class Members {
 public:
  Members(const Json& object, std::string what) : object_(object), what_(std::move(what)) {}

  // Null counts as absent: the old client's JSON.stringify drops undefined, and some write null.
  const Json* find(const char* name) const {
    const auto it = object_.find(name);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }
  template <class Int>
  Int integer(const char* name, bool required) {
    const Json* member = find(name);
    if (member == nullptr) {
      if (required) wrong(name, "is missing");
      return 0;
    }
    const std::optional<Int> v = to_integer<Int>(*member);
    if (!v) wrong(name, "is not an integer in range");
    return v.value_or(0);
  }
  std::optional<UnixMillis> optional_time(const char* name) {
    const Json* member = find(name);
    if (member == nullptr) return std::nullopt;
    const auto v = to_integer<std::int64_t>(*member, true);
    if (!v) wrong(name, "is not a time in milliseconds");
    return UnixMillis(v.value_or(0));
  }
  UnixMillis time(const char* name) { return optional_time(name).value_or(UnixMillis(0)); }
  std::string string(const char* name, bool required) {
    const Json* member = find(name);
    if (member == nullptr) {
      if (required) wrong(name, "is missing");
      return {};
    }
    if (!member->is_string()) {
      wrong(name, "is not a string");
      return {};
    }
    return member->get<std::string>();
  }
  std::optional<std::string> optional_string(const char* name) {
    if (find(name) == nullptr) return std::nullopt;
    return string(name, true);
  }
  bool boolean(const char* name) {
    const Json* member = find(name);
    if (member == nullptr) return false;
    if (!member->is_boolean()) wrong(name, "is not true or false");
    return member->is_boolean() && member->get<bool>();
  }
  double number(const char* name) {
    const Json* member = find(name);
    if (member == nullptr) return 0;
    if (!member->is_number()) wrong(name, "is not a number");
    return member->is_number() ? member->get<double>() : 0;
  }
  // The member's place in a list of names.
  template <std::size_t n>
  std::size_t choice(const char* name, const std::string_view (&names)[n]) {
    const std::string text = string(name, true);
    for (std::size_t i = 0; i < n; ++i) {
      if (names[i] == text) return i;
    }
    wrong(name, "is '" + std::string(utf8_prefix(text, 40)) + "', which does not exist");
    return 0;
  }
  // JSON text of whatever it is, "" for none.
  std::string raw(const char* name) const {
    const Json* member = find(name);
    return member == nullptr ? std::string() : text_of(*member);
  }
  void wrong(const char* name, const std::string& what) {
    if (!fault_) fault_ = what_ + ": '" + name + "' " + what;
  }
  const std::optional<std::string>& fault() const { return fault_; }

 private:
  const Json& object_;
  std::string what_;
  std::optional<std::string> fault_;
};

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
