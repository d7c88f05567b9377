// A parent's front half as it ships, gate, ingest and journal, on a fake network and a fake disk;
// three clients say what the fuzzer wants, whole sessions of it, in any pieces.
//
// Whatever they say:
//   - what an acknowledgement or a welcome calls durable lies in the journal's durable records, and
//     is there after a power loss
//   - memory stays within the options, and nothing is left of a connection that is gone
//   - what the parent sends can be read by a client
//
// Input: byte 0 is the network's seed; then steps, see Fuzzed::step(). The harness knows what it
// sent through steps that build messages; a client that also sends bytes as they come (`opaque`)
// is held to the weaker rule that somebody's change of that LSN is durable.
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/assert.h"
#include "base/bytes.h"
#include "gate/gate.h"
#include "gate/v1_rows.h"
#include "ingest/batch_record.h"
#include "ingest/checkpoint_store.h"
#include "ingest/ingest.h"
#include "journal/journal.h"
#include "sim/seams/fake_disk.h"
#include "sim/seams/fake_loop.h"
#include "wire/change.h"
#include "wire/frame.h"
#include "wire/v1/codec.h"
#include "wire/v1/text.h"
#include "wire/websocket.h"

namespace {

using namespace evodb;  // NOLINT(google-build-using-namespace)

constexpr std::uint32_t frame_bytes_max = 64u << 10;
const gate::GateOptions gate_options{.connections_max = 5,
                                     .frame_bytes_max = frame_bytes_max,
                                     .output_bytes_max = 128u << 10,
                                     .partial_bytes_max = 256u << 10};
const ingest::IngestOptions ingest_options{.session_credit_bytes = 32u << 10,
                                           .inflight_bytes_max = 64u << 10,
                                           .journal_reserve_bytes = 64u << 10,
                                           .batch_entries_max = 64,
                                           .sources_max = 12,
                                           .sessions_max = 8,
                                           .session_table_bytes_max = 8u << 10,
                                           .table_bytes_max = 16u << 10,
                                           .gap_bytes_max = 4 * 16 * 8,
                                           .gap_runs_per_source = 16};
const journal::JournalOptions journal_options{.segment_bytes = 256u << 10,
                                              .max_bytes = 4 * (256u << 10)};
constexpr const char* sources[] = {"a", "b", "c", ""};

using Life = std::pair<std::string, Epoch>;

// The log that every source has, so that batches of any piece of it are easily made.
struct Log {
  static constexpr std::size_t changes = 400;
  wire::TableDef def{.name = "t", .columns = {{.name = "id", .key_ordinal = 1}, {.name = "v"}}};
  std::vector<std::string> rows;
  std::vector<ChainHash> chains;  // after so many changes

  Log() : rows(1), chains(1) {
    wire::BatchWriter writer;
    for (std::size_t i = 1; i <= changes; ++i) {
      rows.emplace_back();
      wire::put_value(rows[i], ValueView::of_integer(static_cast<std::int64_t>(i)));
      wire::put_value(rows[i], ValueView::of_text(std::string(i % 7 == 0 ? 3'000 : 3, 'v')));
      writer.reset(Lsn(i - 1), chains.back());
      add_to(writer, i);
      chains.push_back(writer.chain());
    }
  }
  void add_to(wire::BatchWriter& writer, std::size_t i, std::uint32_t ref = 0) const {
    writer.add_change(Op::kInsert, ref, def.fingerprint(), Lsn(i), TxnId(i), UnixMillis(1), {}, {},
                      {true, 2, rows[i]});
  }
  // (from, to], 0 <= from < to <= changes
  std::string body(std::size_t from, std::size_t to, bool with_table, bool right) const {
    wire::BatchWriter writer;
    writer.reset(Lsn(from), right ? chains[from] : ChainHash(7));
    if (with_table) writer.add_table(0, def);
    for (std::size_t i = from + 1; i <= to; ++i) add_to(writer, i);
    return writer.finish();
  }
};
const Log& the_log() {
  static const Log log;
  return log;
}

// What is durable, as a reader of the journal finds it.
struct DurableSide {
  std::map<Life, Lsn> highest;
  std::map<std::string, std::set<std::uint64_t>> unordered;
  Lsn highest_of_all;

  void add(const journal::Record& record) {
    if (record.type != journal::RecordType::kBatch) return;
    const auto batch = ingest::decode_batch_record(record.payload);
    EVODB_ASSERT(batch.has_value(), "a journal record that cannot be read");
    Lsn& highest_here = highest[{std::string(batch->source), batch->epoch}];
    wire::BatchReader reader(batch->body);
    std::uint32_t ref = 0;
    for (wire::TableDef def; reader.next_table(&ref, &def);) {
    }
    for (wire::ChangeView change; reader.next(&change);) {
      highest_here = std::max(highest_here, change.lsn);
      if (!batch->ordered) unordered[std::string(batch->source)].insert(change.lsn.value);
    }
    EVODB_ASSERT(reader.status().has_value(), "a malformed batch in the journal");
    highest_of_all = std::max(highest_of_all, highest_here);
  }
};

class Client final : public base::StreamEvents {
 public:
  Client(sim::FakeNetwork& network, sim::FakeLoop& loop) : network_(network), loop_(loop) {}

  void connect() {
    if (stream_) return;
    auto stream = loop_.dial("parent", 8787, *this);
    if (!stream) return;
    stream_ = *stream;
    output_.clear();
    head_.clear();
    parser_ = wire::WsParser(wire::WsParser::Role::kClient, 16u << 20);
    upgraded = broken = opaque = false;
    hello.reset();
    v1_source.reset();
    v1_sent.clear();
    network_.run_for(5);
  }
  void send(std::string_view bytes) {
    connect();
    output_ += bytes;
    if (stream_ && connected_) on_writable(*stream_);
  }
  void message(wire::WsOpcode opcode, std::string_view payload, std::uint8_t flip = 0) {
    std::string out;
    const std::uint32_t mask = 0x12345678;
    wire::encode_ws_frame(out, opcode, payload, &mask);
    out[0] = static_cast<char>(out[0] ^ flip);
    send(out);
  }
  void hang_up(bool abort) {
    if (stream_) loop_.close(*stream_, abort);
    stream_.reset();
    connected_ = false;
  }
  void pause(bool paused) {
    if (stream_) loop_.pause_reading(*stream_, paused);
  }
  // Calls `see` for every message that came since.
  template <class See>
  void read(See see) {
    if (!upgraded || broken) return;
    parser_.feed(input_.data(), input_.size());
    wire::WsMessage message;
    wire::WsError error;
    for (;;) {
      const auto step = parser_.next(&message, &error);
      EVODB_ASSERT(step != wire::WsParser::Step::kError, "the parent broke the WebSocket protocol");
      if (step != wire::WsParser::Step::kMessage) break;
      if (message.opcode == wire::WsOpcode::kClose) {
        broken = true;
        break;
      }
      see(message);
    }
    input_.clear();
  }

  bool upgraded = false;
  bool broken = false;  // the parent said close
  bool opaque = false;  // bytes were sent that the harness did not make
  std::optional<Life> hello;
  Lsn hello_trimmed;
  std::optional<std::string> v1_source;
  std::map<std::string, std::vector<std::uint64_t>> v1_sent;  // by correlation id

 private:
  void on_accept(base::StreamId, std::string_view) override {}
  void on_connected(base::StreamId stream) override {
    connected_ = true;
    on_writable(stream);
  }
  void on_data(base::StreamId, std::span<char> bytes) override {
    if (upgraded) {
      input_ += std::string_view(bytes);
      return;
    }
    head_ += std::string_view(bytes);
    const std::size_t end = head_.find("\r\n\r\n");
    if (end == std::string::npos || !head_.starts_with("HTTP/1.1 101")) return;
    upgraded = true;
    input_ = head_.substr(end + 4);
    head_.clear();
  }
  void on_writable(base::StreamId stream) override {
    output_.erase(0, loop_.write(stream, output_));
  }
  void on_closed(base::StreamId, std::string_view) override {
    stream_.reset();
    connected_ = false;
  }

  sim::FakeNetwork& network_;
  sim::FakeLoop& loop_;
  std::optional<base::StreamId> stream_;
  bool connected_ = false;
  std::string output_, head_, input_;
  wire::WsParser parser_{wire::WsParser::Role::kClient, 16u << 20};
};

class Fuzzed final : public gate::GateHandlers {
 public:
  explicit Fuzzed(std::uint8_t seed)
      : network_(seed),
        parent_(network_, "parent"),
        edges_(network_, "edges"),
        random_(seed),
        journal_(*journal::Journal::open(disk_, "j", journal_options, random_, nullptr)),
        cursor_(journal_->read_from(journal_->first())),
        ingest_(ingest::Ingest::create(ingest_options, *journal_)),
        gate_(gate::Gate::create(parent_, *ingest_, *this, gate_options)) {
    (void)*gate_->listen("parent:8787");
    for (int i = 0; i < 3; ++i) clients_.push_back(std::make_unique<Client>(network_, edges_));
  }

  void run(base::ByteReader in) {
    for (int steps = 0; steps < 200 && step(in); ++steps) {
      network_.run_for(5);
      check();
    }
    disk_.fail_all_mutations(std::nullopt);
    end();
  }

 private:
  bool step(base::ByteReader& in) {
    std::uint8_t op = 0, n = 0, m = 0;
    std::string_view bytes;
    if (!in.u8(&op)) return false;
    Client& c = *clients_[(op >> 4) % 3];
    switch (op & 15) {
      case 0: c.opaque = true; return in.u8(&n) && take(in, n, &bytes) && (c.send(bytes), true);
      case 1: return upgrade(c), true;
      case 2:
        c.opaque = true;
        if (!in.u8(&n) || !in.u8(&m) || !take(in, m, &bytes)) return false;
        if (n & 8) bytes = bytes.substr(0, 125);
        return c.message(static_cast<wire::WsOpcode>(n & 15), bytes, n & 0xf0), true;
      case 3: {
        c.opaque = true;
        if (!in.u8(&n) || !in.u8(&m) || !take(in, m, &bytes)) return false;
        std::string frame;
        wire::encode_envelope(frame, static_cast<wire::FrameType>(n & 15), n >> 7, bytes);
        return c.message(wire::WsOpcode::kBinary, frame), true;
      }
      case 4: return hello(c, in);
      case 5: return batch(c, in);
      case 6: return v1_batch(c, in);
      case 7: return v1_text(c, in);
      case 8: return commit(op & 0x80), true;
      case 9: return persisted(in);
      case 10: {
        std::uint16_t ms = 0;
        return in.u16(&ms) && (network_.run_for(ms), true);
      }
      case 11: return c.hang_up(op & 0x80), true;
      case 12: return c.pause(op & 0x80), true;
      case 13: return trim(), true;
      case 14:
        if (op & 0x80) {
          disk_.fail_all_mutations(
              Error{op & 0x40 ? ErrorKind::kOverLimit : ErrorKind::kInternal, "the disk says no"});
        } else {
          disk_.fail_all_mutations(std::nullopt);
        }
        return true;
      default:
        if (!in.u8(&n) || !take(in, n, &bytes)) return false;
        c.send("GET /" + std::string(bytes) + " HTTP/1.1\r\nHost: x\r\n\r\n");
        return true;
    }
  }
  static bool take(base::ByteReader& in, std::size_t n, std::string_view* bytes) {
    return in.bytes(std::min(n, in.remaining()), bytes);
  }

  void upgrade(Client& c) {
    c.send(
        "GET / HTTP/1.1\r\nHost: parent\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
  }
  bool hello(Client& c, base::ByteReader& in) {
    std::uint8_t what = 0, trimmed = 0, head = 0;
    if (!in.u8(&what) || !in.u8(&trimmed) || !in.u8(&head)) return false;
    wire::Hello h;
    h.source = sources[what & 3];
    h.epoch = Epoch(what & 0x80 ? UINT64_MAX : what >> 2 & 3);
    h.ordered = (what & 16) == 0;
    h.wait = what & 32 ? WaitLevel::kDurable : WaitLevel::kPersisted;
    h.trimmed = Lsn(trimmed);
    h.trimmed_chain = what & 64 ? ChainHash(9) : the_log().chains[trimmed];
    h.head = Lsn(head);
    h.frame_bytes_max = 1u << 20;
    if (what & 8 && h.ordered) h.head = Lsn(UINT64_MAX);
    // A second hello ends the first one's session, and both are in the air: nothing exact then.
    if (c.hello) c.opaque = true;
    c.hello = Life(h.source, h.ordered ? h.epoch : Epoch(0));
    c.hello_trimmed = h.trimmed;
    trimmed_said_ = std::max(trimmed_said_, h.trimmed);
    c.message(wire::WsOpcode::kBinary, wire::encode_frame(h));
    return true;
  }
  bool batch(Client& c, base::ByteReader& in) {
    std::uint8_t from = 0, n = 0, how = 0;
    if (!in.u8(&from) || !in.u8(&n) || !in.u8(&how)) return false;
    std::string body = the_log().body(from, from + 1u + n % 32, how & 1, !(how & 2));
    if (how & 4) body[(how / 8 + from) % body.size()] ^= static_cast<char>(1 << n % 8);
    std::string frame;
    wire::encode_envelope(frame, wire::FrameType::kBatch, 0, body);
    // A changed LSN is one that the harness does not know.
    c.opaque |= (how & 4) != 0;
    c.message(wire::WsOpcode::kBinary, frame);
    return true;
  }
  // Others go to the rejects under numbers made of their content.
  static bool has_lsn(std::uint64_t sequence) {
    return sequence != 0 && sequence < gate::v1_own_lsn_min;
  }
  bool v1_batch(Client& c, base::ByteReader& in) {
    std::uint8_t what = 0, n = 0, lsn = 0, size = 0;
    std::string_view row;
    if (!in.u8(&what) || !in.u8(&n) || !in.u8(&lsn) || !in.u8(&size) || !take(in, size, &row)) {
      return false;
    }
    const std::string id = "id" + std::to_string(++ids_);
    const std::string good = R"({"a":1,"b":"x"})";
    std::vector<std::uint64_t>& lsns = c.v1_sent[id];
    std::vector<wire::V1Entry> entries(n % 9);
    for (std::size_t i = 0; i < entries.size(); ++i) {
      entries[i].sequence = lsn + i * (what >> 6) + (what & 32 ? UINT64_MAX - 300 : 0);
      entries[i].op = static_cast<Op>(what >> 2 & 1);
      entries[i].table = what & 8 ? "u" : "t";
      entries[i].row_id = "r";
      entries[i].after = what & 16 ? row : std::string_view(good);
      if (has_lsn(entries[i].sequence)) lsns.push_back(entries[i].sequence);
    }
    wire::V1BatchHeader header;
    header.source = sources[what & 3];
    header.correlation_id = id;
    header.batch_sequence = ids_;
    header.entry_count = static_cast<std::uint32_t>(entries.size());
    std::string bytes;
    wire::encode_v1_batch(bytes, header, entries);
    if (n & 0x80) {
      c.opaque = true;
      bytes[bytes.size() - 1 - std::min<std::size_t>(bytes.size() - 1, n)] ^= lsn;
    }
    if (!c.v1_source) c.v1_source = header.source;
    if (*c.v1_source != header.source) c.opaque = true;
    c.message(wire::WsOpcode::kBinary, bytes);
    return true;
  }
  bool v1_text(Client& c, base::ByteReader& in) {
    std::uint8_t which = 0, n = 0;
    std::string_view bytes;
    if (!in.u8(&which) || !in.u8(&n) || !take(in, n, &bytes)) return false;
    const std::string source = sources[which & 3];
    const std::string named = R"(,"sourceDoId":")" + source + R"(","timestamp":5)";
    std::string text;
    switch (which >> 2 & 7) {
      case 0: text = R"({"type":"connect","lastAckSequence":0)" + named + "}"; break;
      case 1: text = R"({"type":"heartbeat","pendingEntries":1)" + named + "}"; break;
      case 2: text = R"({"type":"flush_request","reason":"x")" + named + "}"; break;
      case 3: text = R"({"type":"disconnect")" + named + "}"; break;
      case 4: text = "ping"; break;
      case 5: {
        const std::string id = "id" + std::to_string(++ids_);
        const std::uint64_t lsn = n;
        auto& lsns = c.v1_sent[id];
        if (has_lsn(lsn)) lsns.push_back(lsn);
        text = R"({"type":"cdc_batch","sequenceNumber":1,"correlationId":")" + id + "\"" + named +
               R"(,"entries":[{"sequence":)" + std::to_string(lsn) +
               R"(,"timestamp":1,"operation":"INSERT","table":"t","rowId":"r","after":{"a":1}}]})";
        break;
      }
      default: text = bytes; c.opaque = true;
    }
    if (!c.v1_source) c.v1_source = source;
    if (*c.v1_source != source) c.opaque = true;
    c.message(wire::WsOpcode::kText, text);
    return true;
  }

  // --- the parent's other half ---
  // As two threads do it: what is appended between a sync and the word of it waits for the next
  // one.
  void commit(bool tell_later) {
    if (synced_) tell_durable();
    const auto durable = journal_->commit();
    read_durable();
    if (!durable) return;
    synced_ = *durable;
    if (!tell_later) tell_durable();
  }
  void tell_durable() {
    ingest::Effects effects;
    ingest_->on_durable(*std::exchange(synced_, std::nullopt), effects);
    gate_->deliver(effects);
  }
  bool persisted(base::ByteReader& in) {
    std::uint8_t what = 0, lsn = 0;
    if (!in.u8(&what) || !in.u8(&lsn)) return false;
    const Life life(sources[what & 3], Epoch(what >> 2 & 3));
    const auto durable = side_.highest.find(life);
    if (durable == side_.highest.end()) return true;
    const Lsn through = std::min(durable->second, Lsn(lsn));
    persisted_[life] = std::max(persisted_[life], through);
    ingest::Effects effects;
    ingest_->on_persisted(life.first, life.second, through, effects);
    gate_->deliver(effects);
    return true;
  }
  void trim() {
    if (journal_->poisoned()) return;
    const Position to = std::min(ingest_->checkpoint_position(), journal_->durable_end());
    if (!ingest::write_checkpoint(disk_, "j", journal_->id(), ingest_->checkpoint())) return;
    if (to <= journal_->first() || !journal_->trim(to)) return;
    ingest::Effects effects;
    ingest_->on_space(effects);
    gate_->deliver(effects);
  }
  void read_durable() {
    journal::Record record;
    for (;;) {
      const auto more = cursor_->next(&record);
      EVODB_ASSERT(more.has_value(), "a durable record that cannot be read");
      if (!*more) return;
      side_.add(record);
    }
  }

  // --- invariants ---
  void check() {
    for (auto& c : clients_) {
      c->read([&](const wire::WsMessage& m) {
        if (m.opcode == wire::WsOpcode::kText) {
          text_came(*c, m.payload);
        } else if (m.opcode == wire::WsOpcode::kBinary) {
          if (wire::has_v1_magic(m.payload)) {
            binary_v1_came(*c, m.payload);
          } else {
            frame_came(*c, m.payload);
          }
        }
      });
    }
    EVODB_ASSERT(
        gate_->stats().held_bytes <= gate_options.partial_bytes_max + gate_options.output_bytes_max,
        "the gate holds more than it may");
    EVODB_ASSERT(
        ingest_->stats().inflight_bytes <= ingest_options.inflight_bytes_max + frame_bytes_max,
        "ingest holds more than it may");
    EVODB_ASSERT(journal_->held_bytes() <= journal_options.max_bytes, "the journal is too large");
  }
  void frame_came(const Client& c, std::string_view bytes) {
    const auto frame = wire::decode_frame(bytes);
    EVODB_ASSERT(frame.has_value(), "the parent sent a frame that cannot be read");
    if (const auto* ack = std::get_if<wire::Ack>(&*frame)) {
      told(c, ack->durable, ack->persisted);
    } else if (const auto* welcome = std::get_if<wire::Welcome>(&*frame)) {
      EVODB_ASSERT(welcome->durable <= welcome->received, "durable beyond received");
      if (welcome->verdict == wire::WelcomeVerdict::kResume) {
        told(c, welcome->durable, welcome->persisted);
      }
    } else {
      EVODB_ASSERT(!std::holds_alternative<wire::Hello>(*frame) &&
                       !std::holds_alternative<wire::Batch>(*frame),
                   "what only a child sends");
    }
  }
  void told(const Client& c, Lsn durable, Lsn persisted) {
    if (c.opaque || !c.hello) {
      EVODB_ASSERT(durable <= std::max({side_.highest_of_all, trimmed_said_}) || c.opaque,
                   "nobody's change of that LSN is durable");
      return;
    }
    const bool unordered = c.hello->second.value == 0;
    // An unordered child is told again what it says itself.
    const Lsn own = unordered ? c.hello_trimmed : Lsn();
    const auto highest = side_.highest.find(*c.hello);
    const Lsn known = highest == side_.highest.end() ? Lsn() : highest->second;
    EVODB_ASSERT(durable <= std::max(known, own), "acknowledged what is not durable");
    EVODB_ASSERT(persisted <= std::max(persisted_[*c.hello], own), "persisted before it landed");
    if (!unordered) acked_[*c.hello] = std::max(acked_[*c.hello], durable);
  }
  void binary_v1_came(Client& c, std::string_view bytes) {
    const auto type = wire::v1_type(bytes);
    EVODB_ASSERT(type.has_value() && *type != wire::V1Type::kBatch, "no v1 answer");
    if (*type == wire::V1Type::kNack) {
      EVODB_ASSERT(wire::decode_v1_nack(bytes).has_value(), "a NACK that cannot be read");
      return;
    }
    const auto ack = wire::decode_v1_ack(bytes);
    EVODB_ASSERT(ack.has_value(), "an ACK that cannot be read");
    if (ack->correlation_id) v1_acked(c, std::string(*ack->correlation_id));
  }
  void text_came(Client& c, std::string_view text) {
    const auto message = wire::decode_v1_text(text);
    EVODB_ASSERT(message.has_value(), "text that cannot be read");
    const auto* ack = std::get_if<wire::V1TextAck>(&*message);
    if (ack != nullptr && ack->correlation_id) v1_acked(c, *ack->correlation_id);
  }
  void v1_acked(Client& c, const std::string& id) {
    const auto sent = c.v1_sent.find(id);
    if (c.opaque) return;
    EVODB_ASSERT(sent != c.v1_sent.end(), "acknowledged what was not sent, or twice");
    for (const std::uint64_t lsn : sent->second) {
      EVODB_ASSERT(side_.unordered[*c.v1_source].contains(lsn),
                   "acknowledged before it is durable");
      v1_acked_[*c.v1_source].insert(lsn);
    }
    c.v1_sent.erase(sent);
  }

  void end() {
    for (auto& c : clients_) c->hang_up(false);
    network_.run_for(60'000);
    const gate::GateStats stats = gate_->stats();
    EVODB_ASSERT(stats.connections == 0 && stats.websockets == 0 && stats.children == 0 &&
                     stats.held_bytes == 0,
                 "the gate keeps something of connections that are gone");
    EVODB_ASSERT(ingest_->stats().sessions == 0, "ingest keeps sessions that are gone");
    power_loss();
  }
  void power_loss() {
    gate_.reset();
    disk_.crash();
    ingest_.reset();
    cursor_.reset();
    journal_.reset();
    disk_.restart(sim::CrashModel::kLost, random_);
    auto opened = journal::Journal::open(disk_, "j", journal_options, random_, nullptr);
    EVODB_ASSERT(opened.has_value(), "the journal does not open after a power loss");
    const auto again = ingest::Ingest::create(ingest_options, **opened);
    const auto checkpoint = ingest::load_checkpoint(disk_, "j", (*opened)->id());
    EVODB_ASSERT(checkpoint.has_value(), "no checkpoint can be read");
    Position from = (*opened)->first();
    if (*checkpoint) from = std::max(from, *again->restore_checkpoint((*checkpoint)->bytes));
    const auto cursor = (*opened)->read_from(from);
    journal::Record record;
    while (*cursor->next(&record)) EVODB_ASSERT(again->replay(record).has_value(), "no replay");
    std::map<Life, Lsn> marks;
    again->for_each_source([&](const ingest::SourceMark& mark) {
      if (mark.ordered) marks[{mark.source, mark.epoch}] = mark.durable;
    });
    for (const auto& [life, lsn] : acked_) {
      EVODB_ASSERT(marks[life] >= lsn, "what was acknowledged is gone after a power loss");
    }
  }

  void on_http(const gate::HttpRequest&, std::function<void(gate::HttpResponse)> respond) override {
    gate::HttpResponse response;
    response.body.assign(30'000, 'b');
    respond(response);
  }
  void on_appended() override {}
  void on_flush_requested() override {}
  BufferStatus buffer_status() override { return {}; }

  sim::FakeNetwork network_;
  sim::FakeLoop parent_, edges_;
  sim::SeededRandom random_;
  sim::FakeDisk disk_;
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<journal::JournalCursor> cursor_;
  std::unique_ptr<ingest::Ingest> ingest_;
  std::unique_ptr<gate::Gate> gate_;
  std::vector<std::unique_ptr<Client>> clients_;

  std::optional<Position> synced_;  // and ingest was not told
  DurableSide side_;
  std::map<Life, Lsn> persisted_, acked_;
  std::map<std::string, std::set<std::uint64_t>> v1_acked_;
  Lsn trimmed_said_;
  std::uint64_t ids_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 8192) return 0;
  Fuzzed fuzzed(data[0]);
  fuzzed.run(base::ByteReader({reinterpret_cast<const char*>(data) + 1, size - 1}));
  return 0;
}
