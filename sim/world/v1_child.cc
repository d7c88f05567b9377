#include "sim/world/v1_child.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "wire/change.h"

namespace evodb::sim {
namespace {

constexpr std::int64_t answer_ms_max = 5'000;

constexpr char request[] =
    "GET /rpc HTTP/1.1\r\nHost: parent:8787\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

std::string_view op_name(Op op) {
  return op == Op::kInsert ? "INSERT" : op == Op::kUpdate ? "UPDATE" : "DELETE";
}

std::string row_json(std::uint64_t id, const std::string& body) {
  return R"({"id":)" + std::to_string(id) + R"(,"body":")" + body + "\"}";
}

// The members of row_json, as the columns `prefix` id and body.
void show_row(Columns& columns, const std::string& prefix, const std::string& json) {
  if (json.empty()) return;
  const auto comma = json.find(',');
  columns[prefix + "id"] = json.substr(6, comma - 6);
  columns[prefix + "body"] = json.substr(comma + 9, json.size() - comma - 11);
}

}  // namespace

V1Child::V1Child(FakeNetwork& network, std::string source, std::uint64_t seed,
                 const V1ChildOptions& options)
    : network_(network), source_(std::move(source)), random_(seed), options_(options) {
  restart();
}

V1Child::~V1Child() = default;

void V1Child::restart() {
  loop_.reset();
  loop_ = std::make_unique<FakeLoop>(network_, source_);
  batch_number_ = 1;
  stream_.reset();
  open_ = paused_ = false;
  under_way_.clear();
  dial();
}

void V1Child::send_again() {
  noted_.clear();
  restart();
}

void V1Child::write(UnixMillis now) {
  for (std::uint64_t n = 1 + random_.below(3); n > 0; --n) {
    WalEntry entry;
    entry.lsn = Lsn(entries_.size() + 1);
    entry.timestamp = now;
    entry.table = "legacy";
    const std::uint64_t id = 1 + random_.below(20);
    entry.row_id = "row-" + std::to_string(id);
    const std::string body(random_.below(30), static_cast<char>('a' + random_.below(26)));
    entry.op = static_cast<Op>(random_.below(3));
    if (entry.op != Op::kInsert) entry.before_json = row_json(id, "before");
    if (entry.op != Op::kDelete) entry.after_json = row_json(id, body);
    Wrong wrong = Wrong::kNothing;
    if (options_.wrong_percent != 0 && random_.below(100) < options_.wrong_percent) {
      wrong = static_cast<Wrong>(1 + random_.below(4));
      // One content for each, so that it is known by it.
      entry.row_id = "wrong-" + std::to_string(entry.lsn.value);
      if (wrong == Wrong::kNoJson) entry.after_json = R"({"id":nonsense})";
      if (wrong == Wrong::kNoTable) entry.table = "";
      if (wrong == Wrong::kNoSequence) entry.lsn = Lsn(0);
      if (wrong == Wrong::kNoTime) entry.timestamp = UnixMillis(INT64_MAX - 7);
    }
    entries_.push_back(std::move(entry));
    wrong_.push_back(wrong);
  }
  pump();
}

// docs/formats/tables.md, "Rejects": the key of such an entry is row id, operation, before and
// after.
bool V1Child::wrote_reject(const LandedRow& row) const {
  const auto bytes = row.columns.find("bytes");
  const auto reason = row.columns.find("reason");
  if (row.op != "OVERSIZE" || bytes == row.columns.end() || reason == row.columns.end()) {
    return false;
  }
  for (std::uint64_t number = 1; number <= entries_.size(); ++number) {
    const WalEntry& entry = entries_[number - 1];
    const Wrong wrong = wrong_[number - 1];
    if (wrong == Wrong::kNothing || wrong == Wrong::kNoTime) continue;
    const bool own_lsn = wrong != Wrong::kNoSequence;
    if (own_lsn ? row.lsn.value != number : row.lsn.value < std::uint64_t{1} << 62) continue;
    std::string content;
    for (const std::string_view part :
         {std::string_view(entry.row_id), op_name(entry.op), std::string_view(entry.before_json),
          std::string_view(entry.after_json)}) {
      wire::put_value(content, ValueView::of_text(part));
    }
    if (bytes->second.find(content) == std::string::npos) continue;
    const char* why = wrong == Wrong::kNoJson    ? "is not JSON"
                      : wrong == Wrong::kNoTable ? "the table's name"
                                                 : "sequences begin at 1";
    if (reason->second.find(why) == std::string::npos) continue;
    if (!own_lsn) rejected_.insert(number);
    return true;
  }
  return false;
}

bool V1Child::wrote(const std::string& table, const LandedRow& row) const {
  if (row.epoch.value == 0 && table == "rejects") return wrote_reject(row);
  if (table != "legacy_changes" || row.lsn.value == 0 || row.lsn.value > entries_.size()) {
    return false;
  }
  const WalEntry& entry = entries_[row.lsn.value - 1];
  const Wrong wrong = wrong_[row.lsn.value - 1];
  if (wrong != Wrong::kNothing && wrong != Wrong::kNoTime) return false;
  Columns columns;
  columns["_key"] = entry.row_id;
  if (wrong == Wrong::kNoTime) {
    columns["_unfit:_committed_at"] = "integer:" + std::to_string(entry.timestamp.value);
  } else {
    columns["_committed_at"] = std::to_string(entry.timestamp.value * 1000);
  }
  show_row(columns, "", entry.after_json.empty() ? entry.before_json : entry.after_json);
  show_row(columns, "_before.", entry.before_json);
  return row.epoch.value == 0 && row.op == op_name(entry.op) && row.columns == columns;
}

std::string V1Child::describe() const {
  return std::string(open_ ? "connected" : "not connected") + ", " + std::to_string(noted_.size()) +
         " of " + std::to_string(entries_.size()) + " acknowledged, " +
         std::to_string(under_way_.size()) + " batches under way, " + last_nack_;
}

// --- connection ---------------------------------------------------------------------------------

void V1Child::dial() {
  ++life_;
  head_.clear();
  output_.clear();
  input_.clear();
  parser_ = wire::WsParser(wire::WsParser::Role::kClient, 1u << 20);
  auto dialled = loop_->dial("parent", 8787, *this);
  if (!dialled) return end();
  stream_ = *dialled;
  loop_->after(answer_ms_max, [this, life = life_] {
    if (life == life_ && !open_) end();
  });
}

void V1Child::end() {
  if (stream_) loop_->close(*stream_, true);
  stream_.reset();
  open_ = paused_ = false;
  under_way_.clear();
  ++life_;
  loop_->after(100 + static_cast<std::int64_t>(random_.below(900)), [this] {
    if (!stream_) dial();
  });
}

void V1Child::on_connected(base::StreamId) {
  output_ += request;
  write_out();
}

void V1Child::on_closed(base::StreamId, std::string_view) {
  stream_.reset();
  end();
}

void V1Child::write_out() {
  if (stream_ && !output_.empty()) output_.erase(0, loop_->write(*stream_, output_));
}

void V1Child::send(wire::WsOpcode opcode, std::string_view payload) {
  const auto mask = static_cast<std::uint32_t>(random_.next());
  wire::encode_ws_frame(output_, opcode, payload, &mask);
  write_out();
}

void V1Child::on_data(base::StreamId stream, std::span<char> bytes) {
  if (!open_) {
    head_ += std::string_view(bytes);
    const auto end_of_head = head_.find("\r\n\r\n");
    if (end_of_head == std::string::npos) return;
    if (!head_.starts_with("HTTP/1.1 101")) return end();
    input_ = head_.substr(end_of_head + 4);
    open_ = true;
    HelloMessage connect;
    connect.source = source_;
    const auto text = encode_message(connect, WireVersion::kV1);
    EVODB_ASSERT(text.has_value(), "a connect message can be written");
    send(wire::WsOpcode::kText, *text);
    pump();
  } else {
    input_.assign(bytes.begin(), bytes.end());
  }
  std::string input = std::move(input_);
  parser_.feed(input.data(), input.size());
  wire::WsMessage message;
  wire::WsError error;
  for (;;) {
    const auto step = parser_.next(&message, &error);
    if (step == wire::WsParser::Step::kNeedMore) return;
    if (step == wire::WsParser::Step::kError) return end();
    take(message);
    if (!stream_ || *stream_ != stream) return;
  }
}

void V1Child::take(const wire::WsMessage& message) {
  if (message.opcode == wire::WsOpcode::kPing) {
    return send(wire::WsOpcode::kPong, message.payload);
  }
  if (message.opcode == wire::WsOpcode::kClose) return end();
  if (message.opcode == wire::WsOpcode::kPong) return;
  const auto decoded = decode_message(message.payload);
  if (!decoded) return end();
  if (const auto* ack = std::get_if<AckMessage>(&*decoded)) return on_ack(*ack);
  if (const auto* nack = std::get_if<NackMessage>(&*decoded)) return on_nack(*nack);
}

// --- batches ------------------------------------------------------------------------------------

void V1Child::pump() {
  if (!open_ || paused_) return;
  std::set<std::uint64_t> busy;
  for (const auto& [id, sent] : under_way_) busy.insert(sent.lsns.begin(), sent.lsns.end());
  std::uint64_t next = 1;
  while (under_way_.size() < batches_max) {
    CdcBatchMessage batch;
    std::vector<std::uint64_t> lsns;
    // Sometimes it leaves entries out, which it then sends behind later ones.
    if (random_.below(4) == 0) next += random_.below(4);
    for (; next <= entries_.size() && lsns.size() < batch_entries_max; ++next) {
      if (noted_.contains(next) || busy.contains(next)) continue;
      batch.entries.push_back(entries_[next - 1]);
      lsns.push_back(next);
    }
    if (lsns.empty()) break;
    batch.source = source_;
    batch.batch_sequence = batch_number_++;
    batch.correlation_id = "c" + std::to_string(batch.batch_sequence);
    batch.timestamp = batch.entries.back().timestamp;
    batch.json = random_.below(3) == 0;
    const auto bytes = encode_message(batch, WireVersion::kV1);
    EVODB_ASSERT(bytes.has_value(), "a batch can be written");
    under_way_[*batch.correlation_id] = {batch.batch_sequence, lsns};
    // A peer that lost power says nothing: whoever waits too long begins anew.
    loop_->after(answer_ms_max, [this, id = *batch.correlation_id, life = life_] {
      if (life == life_ && under_way_.contains(id)) end();
    });
    send(batch.json ? wire::WsOpcode::kText : wire::WsOpcode::kBinary, *bytes);
    if (!open_) return;
  }
  // What was left out goes with a later batch, or alone.
  if (under_way_.empty() && !all_acknowledged()) {
    loop_->after(20, [this] { pump(); });
  }
}

void V1Child::on_ack(const AckMessage& ack) {
  if (!ack.correlation_id) return;
  const auto found = under_way_.find(*ack.correlation_id);
  if (found == under_way_.end()) return;
  refusals_in_a_row_ = 0;
  const auto& lsns = found->second.lsns;
  acknowledged_.insert(lsns.begin(), lsns.end());
  noted_.insert(lsns.begin(), lsns.end());
  under_way_.erase(found);
  pump();
}

void V1Child::on_nack(const NackMessage& nack) {
  last_nack_ = nack.text;
  ++refusals_in_a_row_;
  if (!nack.correlation_id) ++refusals_without_id_;  // it would wait for the answer that this is
  if (!nack.correlation_id) return;
  const auto refused = under_way_.extract(*nack.correlation_id);
  if (!refused) return;
  if (refused.mapped().sequence != nack.batch_sequence) ++refusals_of_another_;
  paused_ = true;
  loop_->after(std::max<std::int64_t>(nack.retry_after_ms, 50), [this] {
    paused_ = false;
    pump();
  });
}

}  // namespace evodb::sim
