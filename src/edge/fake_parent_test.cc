// FakeParent itself; tests of edge are in the files beside the modules.
#include "edge/fake_parent.h"

#include <algorithm>

namespace evodb::edge {

FakeParent::FakeParent(sim::FakeNetwork& network, const std::string& name)
    : own_(std::make_unique<sim::FakeLoop>(network, name)), loop_(*own_) {
  address_ = *loop_.listen(name + ":8787", *this);
}

FakeParent::FakeParent(base::Loop& loop, const std::string& listen_on) : loop_(loop) {
  address_ = *loop_.listen(listen_on, *this);
}

FakeParent::~FakeParent() = default;

void FakeParent::crash() {
  connections_.clear();
  own_->crash(sim::FakeLoop::Crash::kReset);
  for (auto& [source, epochs] : lives) {
    for (auto& [epoch, life] : epochs) {
      life.entries.erase(life.entries.upper_bound(life.durable.value), life.entries.end());
      life.received = life.durable;
      life.chain = ChainHash();
      // A real parent reads the chain at the durable mark back from its journal.
      life.chain = chains[source][epoch][life.durable.value];
      loop_.after(options.persisted_ms,
                  [this, source = source, epoch = epoch, last = life.durable] {
                    became_persisted(source, epoch, last);
                  });
      life.txn = life.entries.empty() ? TxnId() : life.entries.rbegin()->second.txn;
    }
  }
  EXPECT_TRUE(loop_.listen(address_, *this));
}

void FakeParent::lose_journal() {
  crash();
  for (auto& [source, epochs] : lives) {
    for (auto& [epoch, life] : epochs) {
      life.rebuilt = true;
      life.landed = life.persisted;
      life.entries.erase(life.entries.upper_bound(life.landed.value), life.entries.end());
    }
  }
}

void FakeParent::set_credit(std::uint64_t bytes) {
  options.credit_bytes = bytes;
  for (auto& [id, c] : connections_) {
    if (c.said_hello) ack(base::StreamId(id));
  }
}

void FakeParent::say_bye(wire::ByeReason reason) {
  std::vector<std::uint32_t> ids;
  for (auto& [id, c] : connections_) ids.push_back(id);
  for (const std::uint32_t id : ids) {
    send(base::StreamId(id), wire::Bye{reason, "as the test wants it"});
    drop(base::StreamId(id));
  }
}

void FakeParent::drop(base::StreamId stream) {
  if (connections_.erase(stream.value) != 0) loop_.close(stream, false);
}

// --- bytes --------------------------------------------------------------------------------------

void FakeParent::send_raw(base::StreamId stream, std::string_view bytes) {
  Connection& c = connections_.at(stream.value);
  c.output.append(bytes);
  c.output.erase(0, loop_.write(stream, c.output));
}

void FakeParent::send(base::StreamId stream, const wire::Frame& frame) {
  std::string bytes;
  wire::encode_ws_frame(bytes, wire::WsOpcode::kBinary, wire::encode_frame(frame), nullptr);
  send_raw(stream, bytes);
}

void FakeParent::on_writable(base::StreamId stream) { send_raw(stream, ""); }

void FakeParent::on_data(base::StreamId stream, std::span<char> bytes) {
  if (options.say_nothing) return;
  std::string input(bytes.begin(), bytes.end());
  Connection& c = connections_.at(stream.value);
  if (!c.upgraded) {
    c.head += input;
    const std::size_t end = c.head.find("\r\n\r\n");
    if (end == std::string::npos) return;
    if (!options.http_answer.empty()) {
      send_raw(stream, options.http_answer);
      return drop(stream);
    }
    static constexpr std::string_view key_name = "Sec-WebSocket-Key: ";
    const std::size_t key = c.head.find(key_name);
    if (!c.head.starts_with("GET / HTTP/1.1\r\n") || key == std::string::npos) {
      violated("no upgrade: " + c.head);
      return drop(stream);
    }
    c.upgraded = true;
    input = c.head.substr(end + 4);
    send_raw(stream,
             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "sec-websocket-accept:  " +
                 wire::websocket_accept(c.head.substr(key + key_name.size(), 24)) + "\r\n\r\n");
    if (input.empty()) return;
  }
  c.parser.feed(input.data(), input.size());
  for (;;) {
    wire::WsMessage got;
    wire::WsError error;
    const auto found = connections_.find(stream.value);
    if (found == connections_.end()) return;
    const auto step = found->second.parser.next(&got, &error);
    if (step == wire::WsParser::Step::kNeedMore) return;
    if (step == wire::WsParser::Step::kError) {
      violated(std::string("WebSocket: ") + error.text);
      return drop(stream);
    }
    message(stream, got);
  }
}

void FakeParent::message(base::StreamId stream, const wire::WsMessage& got) {
  if (got.opcode == wire::WsOpcode::kPing) {
    ++pings;
    std::string bytes;
    wire::encode_ws_frame(bytes, wire::WsOpcode::kPong, got.payload, nullptr);
    return send_raw(stream, bytes);
  }
  if (got.opcode == wire::WsOpcode::kClose) return drop(stream);
  if (got.opcode != wire::WsOpcode::kBinary) return;
  const auto frame = wire::decode_frame(got.payload);
  if (!frame) {
    violated("a frame: " + frame.error().text);
    return drop(stream);
  }
  if (const auto* h = std::get_if<wire::Hello>(&*frame)) return hello(stream, *h);
  if (const auto* b = std::get_if<wire::Batch>(&*frame)) {
    return batch(stream, b->body, got.payload.size());
  }
  if (const auto* p = std::get_if<wire::Ping>(&*frame)) return send(stream, wire::Pong{p->opaque});
  if (std::holds_alternative<wire::Bye>(*frame)) return drop(stream);
  violated("a frame that a child does not send");
}

// --- hello --------------------------------------------------------------------------------------

void FakeParent::new_epoch(base::StreamId stream, const wire::Hello& hello, const char* why) {
  std::uint64_t newest = hello.epoch.value;
  if (!lives[std::string(hello.source)].empty()) {
    newest = std::max(newest, lives[std::string(hello.source)].rbegin()->first);
  }
  send(stream, wire::Welcome{.verdict = wire::WelcomeVerdict::kNewEpoch,
                             .epoch_min = Epoch(newest + 1),
                             .text = why});
}

void FakeParent::hello(base::StreamId stream, const wire::Hello& h) {
  hellos.push_back(h);
  if (!options.first_message.empty()) {
    std::string bytes;
    wire::encode_ws_frame(bytes, wire::WsOpcode::kBinary, options.first_message, nullptr);
    return send_raw(stream, bytes);
  }
  if (!hello_refusal_text.empty()) {
    send(stream, wire::Nack{.reason = hello_refusal, .text = hello_refusal_text});
    return drop(stream);
  }
  if (options.copies.contains(std::string(h.source))) {
    send(stream, wire::Welcome{.verdict = wire::WelcomeVerdict::kCopy, .text = "as the rules say"});
    return drop(stream);
  }
  if (h.head < h.trimmed) violated("head lies before trimmed");
  Connection& c = connections_.at(stream.value);
  c.source = h.source;
  c.epoch = h.epoch.value;
  auto& epochs = lives[c.source];
  const auto known = epochs.find(c.epoch);
  if (known == epochs.end()) {
    if (h.trimmed.value != 0) return new_epoch(stream, h, "never seen, and trimmed");
    epochs[c.epoch].chain = h.trimmed_chain;
  } else if (known->second.rebuilt) {
    const Life& l = known->second;
    if (l.persisted > h.head) return new_epoch(stream, h, "the lakehouse has more");
    if (h.trimmed.value != 0 && (h.wait != WaitLevel::kPersisted || h.trimmed > l.persisted)) {
      return new_epoch(stream, h, "lost what was trimmed");
    }
  } else {
    const Life& l = known->second;
    if (l.received > h.head) return new_epoch(stream, h, "the parent has more");
    if (l.received < h.trimmed) return new_epoch(stream, h, "the child has trimmed more");
    if (l.received == h.trimmed && l.chain != h.trimmed_chain) {
      return new_epoch(stream, h, "another history");
    }
  }
  Life& l = epochs[c.epoch];
  const bool chain_known = !l.rebuilt;
  if (l.rebuilt) {
    l.rebuilt = false;
    l.received = l.durable = l.persisted = h.trimmed;
    l.chain = h.trimmed_chain;
    chains[c.source][c.epoch][l.received.value] = l.chain;
  }
  c.said_hello = true;
  c.granted = c.granted_before = options.credit_bytes;
  send(stream, wire::Welcome{.received = l.received,
                             .received_chain = l.chain,
                             .chain_known = chain_known,
                             .received_txn = l.txn,
                             .durable = l.durable,
                             .persisted = l.persisted,
                             .credit_bytes = options.credit_bytes,
                             .frame_bytes_max = options.frame_bytes_max,
                             .batch_entries_max = options.batch_entries_max});
}

// --- batches ------------------------------------------------------------------------------------

void FakeParent::batch(base::StreamId stream, std::string_view body, std::size_t frame_bytes) {
  Connection& c = connections_.at(stream.value);
  if (!c.said_hello) return violated("a batch before a welcome");
  Life& l = life(c);
  wire::BatchReader reader(body);
  std::uint32_t ref = 0;
  wire::TableDef def;
  while (reader.next_table(&ref, &def)) {
    if (ref >= 10'000) violated("a table number of " + std::to_string(ref));
    if (!c.tables.emplace(ref, def.fingerprint()).second) violated("a table number given twice");
    c.table_names[ref] = def.name;
  }
  const wire::BatchHeader header = reader.header();
  batches.push_back({header.previous_lsn, header.first_lsn, header.last_lsn, header.change_count,
                     frame_bytes, loop_.clock().monotonic().value});
  if (header.change_count > options.batch_entries_max) violated("too many entries");
  if (frame_bytes > options.frame_bytes_max) violated("too long a frame");
  const auto refuse = [&](wire::NackReason reason, std::uint32_t ms) {
    send(stream, wire::Nack{.reason = reason,
                            .resend_after = l.received,
                            .retry_after_ms = ms,
                            .text = "as the rules say"});
  };
  if (!refusals_.empty()) {
    wire::Nack nack = refusals_.front();
    refusals_.erase(refusals_.begin());
    if (nack.resend_after.value == 0) nack.resend_after = l.received;
    return send(stream, nack);
  }
  if (header.previous_lsn > l.received) return refuse(wire::NackReason::kGap, 0);
  std::size_t inflight = 0;
  for (const InFlight& f : c.inflight) inflight += f.bytes;
  const std::uint64_t allowed = std::max(c.granted, c.granted_before);
  if (header.last_lsn > l.received &&
      (inflight > 0 ? inflight + frame_bytes > allowed : allowed == 0)) {
    ++over_credit;
    return refuse(wire::NackReason::kOverCredit, 50);
  }
  wire::ChangeView change;
  ChainHash chain = l.chain;
  std::map<std::uint64_t, Entry> fresh;
  bool meets = header.previous_lsn == l.received;
  TxnId txn = l.txn;
  while (reader.next(&change)) {
    if (!c.tables.contains(change.table_ref)) return violated("an undefined table number");
    if (change.lsn <= l.received) {
      meets = meets || change.lsn == l.received;
      continue;
    }
    chain = wire::fold(chain, c.tables[change.table_ref], change);
    txn = change.txn;
    fresh[change.lsn.value] = {change.op,
                               c.table_names[change.table_ref],
                               change.txn,
                               std::string(change.content),
                               std::string(change.before.bytes),
                               std::string(change.after.bytes)};
  }
  if (!reader.status()) return violated("a batch: " + reader.status().error().text);
  if (fresh.empty()) {
    if (header.last_lsn <= l.durable) ack(stream);
    return;
  }
  if (!meets || chain != header.chain_after) {
    return refuse(wire::NackReason::kChainMismatch, 0);
  }
  l.entries.merge(fresh);
  for (const auto& [lsn, entry] : fresh) {
    // What the lakehouse has of before the journal was lost is filtered by landing.
    if (lsn > l.landed.value) violated("LSN " + std::to_string(lsn) + " twice");
    if (l.entries.at(lsn) != entry) violated("LSN " + std::to_string(lsn) + " differs");
  }
  l.received = header.last_lsn;
  l.chain = chain;
  l.txn = txn;
  chains[c.source][c.epoch][l.received.value] = chain;
  c.inflight.push_back({header.last_lsn, frame_bytes});
  loop_.after(options.durable_ms,
              [this, source = c.source, epoch = c.epoch, last = header.last_lsn] {
                became_durable(source, epoch, last);
              });
  loop_.after(options.persisted_ms,
              [this, source = c.source, epoch = c.epoch, last = header.last_lsn] {
                became_persisted(source, epoch, last);
              });
}

void FakeParent::became_durable(const std::string& source, std::uint64_t epoch, Lsn last) {
  Life& l = lives[source][epoch];
  l.durable = std::max(l.durable, last);
  for (auto& [id, c] : connections_) {
    if (!c.said_hello || c.source != source || c.epoch != epoch) continue;
    std::erase_if(c.inflight, [&](const InFlight& f) { return f.last <= l.durable; });
    ack(base::StreamId(id));
  }
}

void FakeParent::became_persisted(const std::string& source, std::uint64_t epoch, Lsn last) {
  Life& l = lives[source][epoch];
  l.persisted = std::max(l.persisted, std::min(last, l.durable));
  for (auto& [id, c] : connections_) {
    if (c.said_hello && c.source == source && c.epoch == epoch) ack(base::StreamId(id));
  }
}

void FakeParent::ack(base::StreamId stream) {
  Connection& c = connections_.at(stream.value);
  const Life& l = life(c);
  c.granted_before = c.granted;
  c.granted = options.credit_bytes;
  send(stream, wire::Ack{l.durable, l.persisted, options.credit_bytes});
}

}  // namespace evodb::edge
