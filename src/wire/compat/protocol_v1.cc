#include "wire/compat/protocol_versions.h"
#include "wire/v1/codec.h"
#include "wire/v1/text.h"

namespace evodb::wire {
namespace {

constexpr auto first_v1_cause = static_cast<std::uint8_t>(NackCause::kV1BufferFull);

std::optional<std::string_view> view_of(const std::optional<std::string>& text) {
  if (!text) return std::nullopt;
  return *text;
}
std::optional<std::string> owned(const std::optional<std::string_view>& text) {
  if (!text) return std::nullopt;
  return std::string(*text);
}

Result<void> check_entry(const WalEntry& entry) {
  const std::string name = "the entry of sequence " + std::to_string(entry.lsn.value);
  if (entry.op > Op::kDelete) {
    return fail(ErrorKind::kInvalid, name + ": wire v1 has only INSERT, UPDATE and DELETE");
  }
  if (entry.key || entry.before || entry.after) {
    return fail(ErrorKind::kInvalid,
                name + ": wire v1 carries JSON text; set before_json and after_json");
  }
  if (entry.table.size() > v1_name_bytes_max || entry.row_id.size() > v1_name_bytes_max) {
    return fail(ErrorKind::kOverLimit, name + ": a table or row id over 65,535 bytes");
  }
  return {};
}

Result<std::string> encode_batch(const CdcBatchMessage& m) {
  if (m.source.size() > v1_name_bytes_max ||
      (m.correlation_id && m.correlation_id->size() > v1_name_bytes_max)) {
    return fail(ErrorKind::kOverLimit, "a source or correlation id over 65,535 bytes");
  }
  std::string bytes;
  if (m.json) {
    V1TextBatch batch{m.timestamp, m.source,         m.shard, m.batch_sequence,
                      m.retry,     m.correlation_id, {}};
    for (const WalEntry& e : m.entries) {
      EVODB_TRY(check_entry(e));
      batch.entries.push_back(
          {e.lsn.value, e.timestamp, e.op, e.table, e.row_id, e.before_json, e.after_json});
    }
    return encode_v1_text(V1TextMessage(std::move(batch)));
  }
  std::vector<V1Entry> entries;
  for (const WalEntry& e : m.entries) {
    EVODB_TRY(check_entry(e));
    entries.push_back(
        {e.lsn.value, e.timestamp, e.op, e.table, e.row_id, e.before_json, e.after_json});
  }
  encode_v1_batch(
      bytes,
      V1BatchHeader{m.timestamp, m.batch_sequence, m.retry, m.source, view_of(m.correlation_id), 0},
      entries);
  return bytes;
}

Result<std::string> encode_ack(const AckMessage& m) {
  const auto status = static_cast<V1AckStatus>(m.status);
  if (m.json) {
    return encode_v1_text(V1TextAck{m.timestamp, m.batch_sequence, status, m.correlation_id});
  }
  if (m.correlation_id && m.correlation_id->size() > v1_name_bytes_max) {
    return fail(ErrorKind::kOverLimit, "a correlation id over 65,535 bytes");
  }
  std::string bytes;
  encode_v1_ack(bytes, V1Ack{m.timestamp, m.batch_sequence, status, view_of(m.correlation_id)});
  return bytes;
}

Result<std::string> encode_nack(const NackMessage& m) {
  if (m.reason < NackCause::kV1BufferFull) {
    return fail(ErrorKind::kInvalid, "a nack's reason of wire v2 in wire v1");
  }
  const auto reason =
      static_cast<V1NackReason>(static_cast<std::uint8_t>(m.reason) - first_v1_cause);
  if (m.json) {
    return encode_v1_text(V1TextNack{m.timestamp, m.batch_sequence, reason, m.should_retry,
                                     m.retry_after_ms, m.text, m.correlation_id});
  }
  if (m.correlation_id && m.correlation_id->size() > v1_name_bytes_max) {
    return fail(ErrorKind::kOverLimit, "a correlation id over 65,535 bytes");
  }
  std::string bytes;
  encode_v1_nack(bytes, V1Nack{m.timestamp, m.batch_sequence, reason, m.should_retry,
                               m.retry_after_ms, m.text, view_of(m.correlation_id)});
  return bytes;
}

struct Encoder {
  Result<std::string> operator()(const CdcBatchMessage& m) const { return encode_batch(m); }
  Result<std::string> operator()(const AckMessage& m) const { return encode_ack(m); }
  Result<std::string> operator()(const NackMessage& m) const { return encode_nack(m); }
  Result<std::string> operator()(const HelloMessage& m) const {
    V1Connect connect;
    connect.timestamp = m.timestamp;
    connect.source = m.source;
    connect.shard = m.shard;
    connect.last_ack_sequence = m.trimmed.value;
    connect.binary_protocol = true;
    connect.batching = true;
    connect.max_batch_size = 1000;
    connect.max_message_size = v1_text_bytes_max;
    return encode_v1_text(connect);
  }
  Result<std::string> operator()(const HeartbeatMessage& m) const {
    return encode_v1_text(V1Heartbeat{m.timestamp, m.source, m.last_ack.value, m.pending_entries});
  }
  Result<std::string> operator()(const FlushRequestMessage& m) const {
    return encode_v1_text(V1FlushRequest{m.timestamp, m.source, m.reason});
  }
  Result<std::string> operator()(const ByeMessage& m) const {
    return encode_v1_text(V1Disconnect{m.timestamp, m.source, m.text});
  }
  Result<std::string> operator()(const StatusMessage& m) const {
    V1Status status;
    status.timestamp = m.timestamp;
    status.state = m.state;
    status.batch_count = m.batches;
    status.entry_count = m.entries;
    status.total_size_bytes = m.bytes;
    status.utilization = m.utilization;
    status.connected_children = m.connected_children;
    return encode_v1_text(status);
  }
  Result<std::string> operator()(const PingMessage&) const { return encode_v1_text(V1TextPing{}); }
  Result<std::string> operator()(const PongMessage& m) const {
    if (!m.server_time) return encode_v1_text(V1TextPong{});
    return encode_v1_text(V1Pong{m.timestamp, *m.server_time});
  }
  template <class Other>
  Result<std::string> operator()(const Other&) const {
    return fail(ErrorKind::kInvalid, "wire v1 has no such message; it is one of wire v2");
  }
};

AckMessage message_of(const V1TextAck& ack, bool json) {
  AckMessage m;
  m.timestamp = ack.timestamp;
  m.batch_sequence = ack.batch_sequence;
  m.status = static_cast<AckStatus>(ack.status);
  m.correlation_id = ack.correlation_id;
  m.json = json;
  return m;
}

NackMessage message_of(const V1TextNack& nack, bool json) {
  NackMessage m;
  m.timestamp = nack.timestamp;
  m.batch_sequence = nack.batch_sequence;
  m.reason = static_cast<NackCause>(first_v1_cause + static_cast<std::uint8_t>(nack.reason));
  m.should_retry = nack.should_retry;
  m.retry_after_ms = nack.retry_delay_ms;
  m.text = nack.text;
  m.correlation_id = nack.correlation_id;
  m.json = json;
  return m;
}

WalEntry entry_of(std::uint64_t sequence, UnixMillis timestamp, Op op) {
  WalEntry entry;
  entry.lsn = Lsn(sequence);
  entry.timestamp = timestamp;
  entry.op = op;
  return entry;
}

struct TextDecoder {
  Message operator()(const V1TextPing&) const { return PingMessage{}; }
  Message operator()(const V1TextPong&) const { return PongMessage{}; }
  Message operator()(V1Connect& t) const {
    HelloMessage m;
    m.timestamp = t.timestamp;
    m.source = std::move(t.source);
    m.shard = std::move(t.shard);
    m.trimmed = m.head = Lsn(t.last_ack_sequence);
    m.ordered = false;
    return m;
  }
  Message operator()(V1Heartbeat& t) const {
    return HeartbeatMessage{std::move(t.source), Lsn(t.last_ack_sequence), t.pending_entries,
                            t.timestamp};
  }
  Message operator()(V1FlushRequest& t) const {
    return FlushRequestMessage{std::move(t.source), std::move(t.reason), t.timestamp};
  }
  Message operator()(V1Disconnect& t) const {
    return ByeMessage{ByeMessage::Reason::kDone, std::move(t.reason), std::move(t.source),
                      t.timestamp};
  }
  Message operator()(V1TextBatch& t) const {
    CdcBatchMessage m;
    m.timestamp = t.timestamp;
    m.source = std::move(t.source);
    m.shard = std::move(t.shard);
    m.batch_sequence = t.batch_sequence;
    m.retry = t.retry;
    m.correlation_id = std::move(t.correlation_id);
    m.json = true;
    for (V1TextEntry& e : t.entries) {
      WalEntry& entry = m.entries.emplace_back(entry_of(e.sequence, e.timestamp, e.op));
      entry.table = std::move(e.table);
      entry.row_id = std::move(e.row_id);
      entry.before_json = std::move(e.before);
      entry.after_json = std::move(e.after);
    }
    return m;
  }
  Message operator()(const V1Status& t) const {
    return StatusMessage{t.timestamp,        t.state,       t.batch_count,       t.entry_count,
                         t.total_size_bytes, t.utilization, t.connected_children};
  }
  Message operator()(const V1Pong& t) const {
    PongMessage m;
    m.timestamp = t.timestamp;
    m.server_time = t.server_time;
    return m;
  }
  Message operator()(const V1TextAck& t) const { return message_of(t, true); }
  Message operator()(const V1TextNack& t) const { return message_of(t, true); }
};

}  // namespace

Result<std::string> encode_message_v1(const Message& message) {
  return std::visit(Encoder{}, message);
}

Result<Message> decode_message_v1(std::string_view bytes) {
  const V1Type type = EVODB_TRY(v1_type(bytes));
  if (type == V1Type::kAck) {
    const V1Ack a = EVODB_TRY(decode_v1_ack(bytes));
    return Message(message_of(
        V1TextAck{a.timestamp, a.batch_sequence, a.status, owned(a.correlation_id)}, false));
  }
  if (type == V1Type::kNack) {
    const V1Nack n = EVODB_TRY(decode_v1_nack(bytes));
    return Message(
        message_of(V1TextNack{n.timestamp, n.batch_sequence, n.reason, n.should_retry,
                              n.retry_delay_ms, std::string(n.text), owned(n.correlation_id)},
                   false));
  }
  V1BatchReader reader(bytes);
  CdcBatchMessage m;
  m.timestamp = reader.header().timestamp;
  m.source = reader.header().source;
  m.batch_sequence = reader.header().batch_sequence;
  m.retry = reader.header().retry;
  m.correlation_id = owned(reader.header().correlation_id);
  V1Entry e;
  while (reader.next(&e)) {
    WalEntry& entry = m.entries.emplace_back(entry_of(e.sequence, e.timestamp, e.op));
    entry.table = e.table;
    entry.row_id = e.row_id;
    entry.before_json = e.before;
    entry.after_json = e.after;
  }
  EVODB_TRY(reader.status());
  return Message(std::move(m));
}

Result<Message> decode_message_v1_text(std::string_view text) {
  V1TextMessage message = EVODB_TRY(decode_v1_text(text));
  return std::visit(TextDecoder{}, message);
}

}  // namespace evodb::wire
