#include <algorithm>

#include "base/limits.h"
#include "wire/change.h"
#include "wire/compat/protocol_versions.h"
#include "wire/frame.h"

namespace evodb::wire {
namespace {

std::string entry_name(const WalEntry& entry) {
  return "the entry of LSN " + std::to_string(entry.lsn.value);
}

TableDef def_of(const TableSchema& schema) {
  TableDef def{schema.name, schema.schema_version, {}};
  for (const TableColumn& c : schema.columns) {
    def.columns.push_back({c.name, c.declared_type, c.key_ordinal});
  }
  return def;
}

TableSchema schema_of(const TableDef& def) {
  TableSchema schema{def.name, def.schema_version, {}};
  for (const ColumnDef& c : def.columns) {
    schema.columns.push_back({c.name, c.declared_type, c.key_ordinal});
  }
  return schema;
}

std::vector<std::string> key_names(const TableSchema& schema) {
  std::map<std::uint32_t, std::string> by_ordinal;
  for (const TableColumn& c : schema.columns) {
    if (c.key_ordinal != 0) by_ordinal[c.key_ordinal] = c.name;
  }
  std::vector<std::string> names;
  for (auto& [ordinal, name] : by_ordinal) names.push_back(std::move(name));
  return names;
}

bool same_names(const Row& row, const TableSchema& schema) {
  return std::equal(row.begin(), row.end(), schema.columns.begin(), schema.columns.end(),
                    [](const NamedValue& v, const TableColumn& c) { return v.name == c.name; });
}

// The definition that an entry was made by: a given one if its columns are the entry's, else one of
// the entry's own column names.
Result<TableSchema> schema_for(const WalEntry& entry, const std::vector<TableSchema>& given) {
  const Row* row = entry.after ? &*entry.after : entry.before ? &*entry.before : nullptr;
  TableSchema schema;
  const auto found = std::find_if(given.begin(), given.end(), [&](const TableSchema& s) {
    return s.name == entry.table && (row == nullptr || same_names(*row, s));
  });
  if (found != given.end()) {
    schema = *found;
  } else {
    schema.name = entry.table;
    for (const NamedValue& v : row != nullptr ? *row : entry.key.value_or(Row())) {
      schema.columns.push_back({v.name, "", 0});
    }
    std::uint32_t ordinal = 0;
    for (const NamedValue& v : entry.key.value_or(Row())) {
      const auto column = std::find_if(schema.columns.begin(), schema.columns.end(),
                                       [&v](const TableColumn& c) { return c.name == v.name; });
      if (column != schema.columns.end()) column->key_ordinal = ++ordinal;
    }
  }
  if (entry.before && !same_names(*entry.before, schema)) {
    return fail(ErrorKind::kInvalid, entry_name(entry) +
                                         ": before and after must have the same columns in the "
                                         "same order");
  }
  if (entry.key) {
    const std::vector<std::string> names = key_names(schema);
    if (!std::equal(entry.key->begin(), entry.key->end(), names.begin(), names.end(),
                    [](const NamedValue& v, const std::string& name) { return v.name == name; })) {
      return fail(ErrorKind::kInvalid,
                  entry_name(entry) + ": its key is not that of table '" + entry.table + "'");
    }
  }
  return schema;
}

// An encoded row that owns its bytes.
struct EncodedRow {
  explicit EncodedRow(const std::optional<Row>& row) {
    if (!row) return;
    for (const NamedValue& v : *row) put_value(bytes, v.value);
    present = true;
    count = static_cast<std::uint32_t>(row->size());
  }
  ValuesView view() const { return {present, count, bytes}; }

  std::string bytes;
  bool present = false;
  std::uint32_t count = 0;
};

Result<void> check_entry(const WalEntry& entry, Lsn previous) {
  if (entry.lsn <= previous) {
    return fail(ErrorKind::kInvalid,
                entry_name(entry) + " does not lie behind LSN " + std::to_string(previous.value));
  }
  if (entry.op > op_last) {
    return fail(ErrorKind::kInvalid, entry_name(entry) + " has an unknown op");
  }
  if (carries_reason(entry.op) ? entry.before || entry.after : !entry.reason.empty()) {
    return fail(ErrorKind::kInvalid, entry_name(entry) +
                                         ": OVERSIZE, RESET and DROP have a reason and no rows, "
                                         "others have no reason");
  }
  if (!entry.before_json.empty() || !entry.after_json.empty()) {
    return fail(ErrorKind::kInvalid,
                entry_name(entry) + ": wire v2 carries typed columns; parse the JSON into them");
  }
  return {};
}

// Good to the end, as its receiver would find it.
Result<void> check_batch(std::string_view body) {
  BatchReader reader(body);
  std::uint32_t ref = 0;
  TableDef def;
  ChangeView change;
  while (reader.next_table(&ref, &def)) {
  }
  while (reader.next(&change)) {
  }
  return reader.status();
}

Result<std::string> encode_batch(const CdcBatchMessage& message, WireSession* session) {
  if (message.entries.empty()) {
    return fail(ErrorKind::kInvalid, "a batch without entries; send nothing instead");
  }
  std::map<std::uint32_t, TableSchema> tables;
  if (session != nullptr) tables = session->tables;
  BatchWriter writer;
  writer.reset(message.previous_lsn, message.chain_before);
  for (const WalEntry& entry : message.entries) {
    EVODB_TRY(check_entry(entry, writer.last_lsn()));
    const TableSchema schema = EVODB_TRY(schema_for(entry, message.tables));
    const TableDef def = def_of(schema);
    auto known = std::find_if(tables.begin(), tables.end(),
                              [&schema](const auto& t) { return t.second == schema; });
    if (known == tables.end()) {
      const std::uint32_t ref = tables.empty() ? 0 : tables.rbegin()->first + 1;
      writer.add_table(ref, def);
      known = tables.emplace(ref, schema).first;
    }
    const EncodedRow key(entry.key), before(entry.before), after(entry.after);
    writer.add_change(entry.op, known->first, def.fingerprint(), entry.lsn, entry.txn,
                      entry.timestamp, key.view(), before.view(), after.view(), entry.reason);
  }
  const ChainHash chain = writer.chain();
  const std::string body = writer.finish();
  EVODB_TRY(check_batch(body));
  std::string bytes = encode_frame(Batch{body});
  if (bytes.size() > base::frame_bytes_max) {
    return fail(ErrorKind::kOverLimit, "a batch of " + std::to_string(bytes.size()) +
                                           " bytes; send fewer entries at once");
  }
  if (session != nullptr) {
    session->tables = std::move(tables);
    session->chain = chain;
  }
  return bytes;
}

Result<std::optional<Row>> row_of(const ValuesView& values, const std::vector<std::string>& names,
                                  bool names_may_differ) {
  if (!values.present) return std::optional<Row>();
  const bool named = values.count == names.size();
  if (!named && !names_may_differ) {
    return fail(ErrorKind::kInvalid, "a row of " + std::to_string(values.count) +
                                         " values for a table of " + std::to_string(names.size()) +
                                         " columns");
  }
  Row row;
  ValuesReader reader(values);
  ValueView value;
  while (reader.next(&value)) {
    row.push_back({named ? names[row.size()] : std::string(), Value(value)});
  }
  return std::optional<Row>(std::move(row));
}

Result<Message> decode_batch(std::string_view body, WireSession* session) {
  std::map<std::uint32_t, TableSchema> tables;
  if (session != nullptr) tables = session->tables;
  CdcBatchMessage message;
  BatchReader reader(body);
  std::uint32_t ref = 0;
  TableDef def;
  while (reader.next_table(&ref, &def)) {
    message.tables.push_back(schema_of(def));
    tables[ref] = message.tables.back();
  }
  message.previous_lsn = reader.header().previous_lsn;
  message.chain_after = reader.header().chain_after;
  ChangeView change;
  while (reader.next(&change)) {
    const auto table = tables.find(change.table_ref);
    if (table == tables.end()) {
      return fail(ErrorKind::kInvalid, "the batch refers to table number " +
                                           std::to_string(change.table_ref) +
                                           ", which an earlier one defined; decode a connection's "
                                           "messages with one WireSession");
    }
    std::vector<std::string> names;
    for (const TableColumn& c : table->second.columns) names.push_back(c.name);
    WalEntry entry;
    entry.lsn = change.lsn;
    entry.timestamp = change.committed_at;
    entry.op = change.op;
    entry.table = table->second.name;
    entry.txn = change.txn;
    entry.reason = std::string(change.reason);
    entry.key = EVODB_TRY(row_of(change.key, key_names(table->second), true));
    entry.before = EVODB_TRY(row_of(change.before, names, false));
    entry.after = EVODB_TRY(row_of(change.after, names, false));
    message.entries.push_back(std::move(entry));
  }
  EVODB_TRY(reader.status());
  if (session != nullptr) {
    session->tables = std::move(tables);
    session->chain = message.chain_after;
  }
  return Message(std::move(message));
}

struct FrameMaker {
  Result<Frame> operator()(const HelloMessage& m) const {
    Hello hello;
    hello.token = m.token;
    hello.source = m.source;
    hello.epoch = m.epoch;
    hello.ordered = m.ordered;
    hello.wait = m.wait;
    hello.trimmed = m.trimmed;
    hello.trimmed_chain = m.trimmed_chain;
    hello.head = std::max(m.head, m.trimmed);
    hello.frame_bytes_max = m.frame_bytes_max;
    hello.accepts_zstd = m.accepts_zstd;
    hello.agent = m.agent;
    hello.life = m.life;
    return Frame(hello);
  }
  Result<Frame> operator()(const WelcomeMessage& m) const {
    Welcome welcome;
    welcome.verdict = m.copy        ? WelcomeVerdict::kCopy
                      : m.new_epoch ? WelcomeVerdict::kNewEpoch
                                    : WelcomeVerdict::kResume;
    welcome.received = m.received;
    welcome.received_chain = m.received_chain;
    welcome.chain_known = m.chain_known;
    welcome.received_txn = m.received_txn;
    welcome.durable = m.durable;
    welcome.persisted = m.persisted;
    welcome.epoch_min = m.epoch_min;
    welcome.credit_bytes = m.credit_bytes;
    welcome.frame_bytes_max = m.frame_bytes_max;
    welcome.batch_entries_max = m.batch_entries_max;
    welcome.accepts_zstd = m.accepts_zstd;
    welcome.text = m.text;
    return Frame(welcome);
  }
  Result<Frame> operator()(const AckMessage& m) const {
    return Frame(Ack{m.durable, m.persisted, m.credit_bytes});
  }
  Result<Frame> operator()(const NackMessage& m) const {
    if (m.reason > NackCause::kVersion) {
      return fail(ErrorKind::kInvalid, "a nack's reason of wire v1 in wire v2");
    }
    return Frame(Nack{static_cast<NackReason>(m.reason), m.resend_after, m.retry_after_ms, m.text});
  }
  Result<Frame> operator()(const PingMessage& m) const { return Frame(Ping{m.opaque}); }
  Result<Frame> operator()(const PongMessage& m) const { return Frame(Pong{m.opaque}); }
  Result<Frame> operator()(const ByeMessage& m) const {
    return Frame(Bye{static_cast<ByeReason>(m.reason), m.text});
  }
  template <class Other>
  Result<Frame> operator()(const Other&) const {
    return fail(ErrorKind::kInvalid, "wire v2 has no such message; it is one of wire v1");
  }
};

struct MessageMaker {
  WireSession* session;

  Result<Message> operator()(const Hello& f) const {
    HelloMessage m;
    m.token = f.token;
    m.source = f.source;
    m.epoch = f.epoch;
    m.ordered = f.ordered;
    m.wait = f.wait;
    m.trimmed = f.trimmed;
    m.trimmed_chain = f.trimmed_chain;
    m.head = f.head;
    m.frame_bytes_max = f.frame_bytes_max;
    m.accepts_zstd = f.accepts_zstd;
    m.agent = f.agent;
    m.life = f.life;
    return Message(std::move(m));
  }
  Result<Message> operator()(const Welcome& f) const {
    WelcomeMessage m;
    m.new_epoch = f.verdict == WelcomeVerdict::kNewEpoch;
    m.copy = f.verdict == WelcomeVerdict::kCopy;
    m.received = f.received;
    m.received_chain = f.received_chain;
    m.chain_known = f.chain_known;
    m.received_txn = f.received_txn;
    m.durable = f.durable;
    m.persisted = f.persisted;
    m.epoch_min = f.epoch_min;
    m.credit_bytes = f.credit_bytes;
    m.frame_bytes_max = f.frame_bytes_max;
    m.batch_entries_max = f.batch_entries_max;
    m.accepts_zstd = f.accepts_zstd;
    m.text = f.text;
    return Message(std::move(m));
  }
  Result<Message> operator()(const Batch& f) const { return decode_batch(f.body, session); }
  Result<Message> operator()(const Ack& f) const {
    AckMessage m;
    m.durable = f.durable;
    m.persisted = f.persisted;
    m.credit_bytes = f.credit_bytes;
    return Message(std::move(m));
  }
  Result<Message> operator()(const Nack& f) const {
    NackMessage m;
    m.reason = static_cast<NackCause>(f.reason);
    m.resend_after = f.resend_after;
    m.retry_after_ms = f.retry_after_ms;
    m.text = f.text;
    return Message(std::move(m));
  }
  Result<Message> operator()(const Ping& f) const { return Message(PingMessage{f.opaque}); }
  Result<Message> operator()(const Pong& f) const {
    PongMessage m;
    m.opaque = f.opaque;
    return Message(m);
  }
  Result<Message> operator()(const Bye& f) const {
    ByeMessage m;
    m.reason = static_cast<ByeMessage::Reason>(f.reason);
    m.text = f.text;
    return Message(std::move(m));
  }
  Result<Message> operator()(const UnknownFrame& f) const {
    return Message(UnknownMessage{f.type});
  }
  // A frame that the public protocol has no message for.
  template <class Other>
  Result<Message> operator()(const Other&) const {
    return Message(UnknownMessage{static_cast<std::uint8_t>(Other::type)});
  }
};

}  // namespace

Result<std::string> encode_message_v2(const Message& message, WireSession* session) {
  if (const auto* batch = std::get_if<CdcBatchMessage>(&message)) {
    return encode_batch(*batch, session);
  }
  const Frame frame = EVODB_TRY(std::visit(FrameMaker{}, message));
  std::string bytes = encode_frame(frame);
  // Limits and UTF-8 are the decoder's to know: what it refuses is not sent.
  if (const Result<Frame> again = decode_frame(bytes); !again) return fail(again.error());
  return bytes;
}

Result<Message> decode_message_v2(std::string_view bytes, WireSession* session) {
  const Frame frame = EVODB_TRY(decode_frame(bytes));
  return std::visit(MessageMaker{session}, frame);
}

}  // namespace evodb::wire
