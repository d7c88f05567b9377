// A whole client session, Uplink and ParentLink over a fake network, with the fuzzer as the parent:
// any bytes, and well-formed frames that say wild things in any order.
//
// Whatever the parent does:
//   - nothing is trimmed that no acknowledgement of this session, sent when the parent had it, has
//     allowed; never with a wrong chain hash; never after a welcome whose chain hash differs
//   - what waits for the socket stays bounded; dials and new epochs stay rare
//   - a parent that behaves gets everything that is left, within minutes of virtual time
//
// Input: byte 0 is the network's seed and the level waited for; then steps, see Fuzzed::step().
#include "edge/uplink.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/assert.h"
#include "base/bytes.h"
#include "edge/memory_outbox.h"
#include "sim/seams/fake_loop.h"
#include "wire/websocket.h"

namespace {

using namespace evodb;        // NOLINT(google-build-using-namespace)
using namespace evodb::edge;  // NOLINT(google-build-using-namespace)

constexpr std::int64_t network_ms = 5;  // more than a byte needs, both ways
constexpr std::int64_t recovery_ms = 1'200'000;
constexpr std::size_t dials_a_second_max = 60;
constexpr std::size_t epochs_a_second_max = 60;
// Twice: 256 KiB beyond which nothing is encoded, one batch of 8, a few pongs.
constexpr std::size_t held_bytes_max = 2 * ((256u << 10) + 8 * 20'100 + (64u << 10));

const wire::TableDef& table() {
  static const wire::TableDef def{.name = "t", .columns = {{.name = "v"}}};
  return def;
}

void count_in_a_second(std::vector<std::int64_t>& times, std::int64_t now, std::size_t most) {
  times.push_back(now);
  if (times.size() <= most) return;
  EVODB_ASSERT(now - times[times.size() - 1 - most] > 1'000, "too often in one second");
}

// What the parent said in this session, and when.
struct Promise {
  Lsn lsn;
  std::int64_t at_ms = 0;
};

class CheckedOutbox final : public capture::Outbox {
 public:
  CheckedOutbox(sim::FakeNetwork& network, WaitLevel wait)
      : network_(network), wait_(wait), inner_("db", Epoch(5), {.bytes_max = 4u << 20}) {}

  void append(std::size_t n, std::size_t bytes) {
    const std::string text(bytes, 'x');
    std::vector<std::string> values(n);
    std::vector<NewChange> changes(n);
    for (std::size_t i = 0; i < n; ++i) {
      wire::put_value(values[i], ValueView::of_text(text));
      changes[i] = {.table = &table(),
                    .table_fingerprint = table().fingerprint(),
                    .after = {true, 1, values[i]},
                    .committed_at = UnixMillis(1)};
    }
    if (const auto head = inner_.append(changes)) head_ = *head;  // else it is full
  }
  // What the child itself said: this is the chain there. Of an earlier epoch, and under way when
  // this one began, it says nothing.
  void said(Epoch epoch, Lsn lsn, ChainHash chain) {
    if (epoch == inner_.state()->epoch) chains_[lsn] = chain;
  }
  std::optional<ChainHash> chain_at(Lsn lsn) const {
    const auto found = chains_.find(lsn);
    if (found == chains_.end()) return {};
    return found->second;
  }
  // The parent has all up to here since now.
  void received(Epoch epoch, Lsn lsn) {
    if (epoch != inner_.state()->epoch) return;
    if (received_.empty() || received_.rbegin()->first < lsn) {
      received_.emplace(lsn, network_.now().value);
    }
  }
  void begin_session() { promises_.clear(); }
  void promise(Lsn durable, Lsn persisted) {
    promises_.push_back({wait_ == WaitLevel::kDurable ? durable : persisted, network_.now().value});
  }

  Result<capture::OutboxState> state() override { return inner_.state(); }
  Result<void> read(Lsn after, capture::ChangeSink& sink) override {
    return inner_.read(after, sink);
  }
  void resume_group(TxnId label) override { inner_.resume_group(label); }
  Result<void> trim(Epoch epoch, Lsn through, ChainHash chain) override {
    EVODB_ASSERT(may_trim, "trimmed although the histories differ");
    // The first moment at which the parent had everything up to `through`.
    const auto had = received_.lower_bound(through);
    if (exact) {
      EVODB_ASSERT(had != received_.end(), "trimmed what the parent never had");
      bool allowed = false;
      for (const Promise& p : promises_) {
        allowed |= p.lsn >= through && had->second <= p.at_ms + network_ms;
      }
      EVODB_ASSERT(allowed, "trimmed what was not acknowledged when the parent had it");
    }
    EVODB_ASSERT(chain_at(through).value_or(chain) == chain, "trimmed with another chain hash");
    trimmed = std::max(trimmed, through);
    return inner_.trim(epoch, through, chain);
  }
  Result<Epoch> begin_epoch(Epoch at_least) override {
    count_in_a_second(epochs_, network_.now().value, epochs_a_second_max);
    const Epoch before = inner_.state()->epoch;
    auto begun = inner_.begin_epoch(at_least);
    EVODB_ASSERT(begun && *begun > before && *begun >= at_least, "an epoch that is no later one");
    received_.clear();
    chains_.clear();
    return begun;
  }
  Lsn head() const { return head_; }
  void forget_epochs() { epochs_.clear(); }

  bool may_trim = true;
  bool exact = true;  // false: bytes may lie about, and times say nothing
  Lsn trimmed;

 private:
  sim::FakeNetwork& network_;
  const WaitLevel wait_;
  MemoryOutbox inner_;
  Lsn head_;
  std::map<Lsn, std::int64_t> received_;  // by LSN: since when the parent has it
  std::map<Lsn, ChainHash> chains_;       // of this epoch
  std::vector<Promise> promises_;
  std::vector<std::int64_t> epochs_;
};

class Observer final : public UplinkObserver {
 public:
  void on_fatal(const Error& error) override {
    EVODB_ASSERT(!error.text.empty(), "an end has a reason");
  }
};

class Fuzzed final : public base::StreamEvents {
 public:
  explicit Fuzzed(std::uint8_t mode)
      : network_(mode >> 1),
        parent_(network_, "parent"),
        edge_(network_, "edge"),
        outbox_(network_, mode & 1 ? WaitLevel::kDurable : WaitLevel::kPersisted),
        uplink_(edge_, network_.random(), outbox_,
                {.link = {.parent = {.host = "parent"}},
                 .wait = mode & 1 ? WaitLevel::kDurable : WaitLevel::kPersisted,
                 .batch_entries = 8},
                observer_) {
    (void)*parent_.listen("parent:8787", *this);
    uplink_.start();
    network_.run_for(network_ms);
  }

  void run(base::ByteReader in) {
    for (int steps = 0; steps < 200 && step(in); ++steps) {
      network_.run_for(network_ms);
      EVODB_ASSERT(uplink_.stats().unsent_bytes <= held_bytes_max, "unbounded output");
    }
    recover();
  }

 private:
  // One step of the input; false at its end.
  bool step(base::ByteReader& in) {
    std::uint8_t op = 0, n = 0;
    std::string_view bytes;
    if (!in.u8(&op)) return false;
    switch (op % 16) {
      case 0: return in.u8(&n) && take(in, n, &bytes) && (write(bytes), true);
      case 1: return upgrade(), true;
      case 2: return in.u8(&n) && message(in, n);
      case 3: return in.u8(&n) && envelope(in, n);
      case 4: return welcome(in);
      case 5: return ack(in);
      case 6: return nack(in);
      case 7: return in.u8(&n) && other(n, in);
      case 8: {
        std::uint16_t ms = 0;
        return in.u16(&ms) && (network_.run_for(ms), true);
      }
      case 9: return in.u8(&n) && (grow(n), true);
      case 10: return in.u8(&n) && (hang_up(n % 2 == 0), true);
      case 11:
        if (stream_) parent_.pause_reading(*stream_, op < 128);
        outbox_.exact = false;
        return true;
      case 12: return uplink_.hurry(), true;
      case 13: return uplink_.stop(), network_.run_for(network_ms), start(), true;
      case 14: return flood(in);
      default: return start(), true;
    }
  }

  static bool take(base::ByteReader& in, std::size_t n, std::string_view* bytes) {
    return in.bytes(std::min(n, in.remaining()), bytes);
  }
  // LSNs near what there is, or anything.
  bool lsn(base::ByteReader& in, Lsn* out) {
    std::uint8_t which = 0;
    if (!in.u8(&which)) return false;
    switch (which % 8) {
      case 0: *out = Lsn(0); return true;
      case 1: *out = had_; return true;
      case 2: *out = Lsn(had_.value + 1); return true;
      case 3: *out = outbox_.head(); return true;
      case 4: *out = outbox_.trimmed; return true;
      case 5: return in.u64(&out->value);
      case 6: *out = Lsn(which / 8); return true;
      default: *out = Lsn(UINT64_MAX - which / 8); return true;
    }
  }

  void upgrade() {
    const std::size_t key = request_.find("Sec-WebSocket-Key: ");
    if (key == std::string::npos || upgraded_) return;
    const std::string_view value = std::string_view(request_).substr(key + 19, 24);
    write(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: " +
        wire::websocket_accept(value) + "\r\n\r\n");
    upgraded_ = true;
    network_.run_for(network_ms);
  }
  bool message(base::ByteReader& in, std::uint8_t opcode) {
    std::uint8_t n = 0;
    std::string_view bytes;
    if (!in.u8(&n) || !take(in, n, &bytes)) return false;
    std::string out;
    wire::encode_ws_frame(out, static_cast<wire::WsOpcode>(opcode & 15),
                          opcode & 8 ? bytes.substr(0, 125) : bytes, nullptr);
    out[0] = static_cast<char>(out[0] ^ (opcode & 0xf0));  // fin and the reserved bits
    write(out);
    return true;
  }
  bool envelope(base::ByteReader& in, std::uint8_t type) {
    std::uint8_t n = 0;
    std::string_view bytes;
    if (!in.u8(&n) || !take(in, n, &bytes)) return false;
    std::string frame;
    wire::encode_envelope(frame, static_cast<wire::FrameType>(type & 15), type >> 7, bytes);
    if (const auto decoded = wire::decode_frame(frame)) note(*decoded);
    binary(frame);
    return true;
  }
  bool welcome(base::ByteReader& in) {
    std::uint8_t flags = 0, limits = 0;
    wire::Welcome w;
    if (!in.u8(&flags) || !lsn(in, &w.received) || !lsn(in, &w.durable) || !lsn(in, &w.persisted) ||
        !in.u8(&limits)) {
      return false;
    }
    w.verdict = flags & 1 ? wire::WelcomeVerdict::kNewEpoch : wire::WelcomeVerdict::kResume;
    w.chain_known = (flags & 2) == 0;
    w.received_chain = outbox_.chain_at(w.received).value_or(ChainHash());
    if (flags & 4) w.received_chain.value ^= 1;
    if (flags & 8) w.received_txn = TxnId(w.received.value);
    w.epoch_min = Epoch(flags & 16 ? UINT64_MAX - (flags >> 5) : flags);
    w.credit_bytes = limits & 1 ? UINT64_MAX : std::uint64_t{limits} * 1024;
    w.frame_bytes_max = limits & 2 ? 0 : 1u << (limits >> 3);
    w.batch_entries_max = limits & 4 ? 0 : limits;
    send(w);
    return true;
  }
  bool ack(base::ByteReader& in) {
    wire::Ack a;
    std::uint8_t credit = 0;
    if (!lsn(in, &a.durable) || !lsn(in, &a.persisted) || !in.u8(&credit)) return false;
    a.credit_bytes = credit == 255 ? UINT64_MAX : std::uint64_t{credit} * 4096;
    send(a);
    return true;
  }
  bool nack(base::ByteReader& in) {
    std::uint8_t reason = 0;
    wire::Nack n;
    if (!in.u8(&reason) || !lsn(in, &n.resend_after)) return false;
    n.reason = static_cast<wire::NackReason>(reason % 8);
    n.retry_after_ms = reason & 8 ? UINT32_MAX : (reason >> 4) * 10u;
    n.text = "no";
    send(n);
    return true;
  }
  bool other(std::uint8_t which, base::ByteReader& in) {
    switch (which % 4) {
      case 0: send(wire::Ping{which}); return true;
      case 1: send(wire::Pong{barrier_}); return true;
      case 2: send(wire::Bye{static_cast<wire::ByeReason>(which / 4 % 4), "bye"}); return true;
      default: {
        std::uint64_t opaque = 0;
        return in.u64(&opaque) && (send(wire::Pong{opaque}), true);
      }
    }
  }
  // The application's own starts are no storm.
  void start() {
    uplink_.start();
    dials_.clear();
    outbox_.forget_epochs();
  }
  void grow(std::uint8_t n) {
    outbox_.append(n % 16 + 1, n & 128 ? 20'000 : n / 16);
    uplink_.notify();
  }
  bool flood(base::ByteReader& in) {
    std::uint8_t n = 0;
    if (!in.u8(&n)) return false;
    std::string out;
    const std::string payload(100, 'p');
    for (int i = 0; i < 1'000; ++i) {
      if (n & 1) {
        wire::encode_ws_frame(out, wire::WsOpcode::kPing, payload, nullptr);
      } else {
        wire::encode_ws_frame(out, wire::WsOpcode::kBinary, wire::encode_frame(wire::Ping{7}),
                              nullptr);
      }
    }
    write(out);
    return true;
  }
  void hang_up(bool abort) {
    if (!stream_) return;
    parent_.close(*stream_, abort);
    stream_.reset();
  }

  // Before a frame leaves: what it allows.
  void note(const wire::Frame& frame) {
    if (const auto* a = std::get_if<wire::Ack>(&frame)) outbox_.promise(a->durable, a->persisted);
    const auto* w = std::get_if<wire::Welcome>(&frame);
    // Before the upgrade it is no frame, and the session that would end by it has not begun.
    if (w == nullptr || welcomed_ || !upgraded_) return;
    welcomed_ = true;
    outbox_.promise(w->durable, w->persisted);
    // A parent that lost its journal is believed what it says to have, if the log has it, too.
    const auto known = outbox_.chain_at(w->received);
    if (hello_seen_ && w->chain_known && known && *known != w->received_chain) {
      outbox_.may_trim = false;
    }
    if (known || !w->chain_known) outbox_.received(outbox_.state()->epoch, w->received);
  }
  void send(const wire::Frame& frame) {
    note(frame);
    binary(wire::encode_frame(frame));
  }
  void binary(std::string_view payload) {
    std::string out;
    wire::encode_ws_frame(out, wire::WsOpcode::kBinary, payload, nullptr);
    write(out);
  }
  void write(std::string_view bytes) {
    if (!stream_) return;
    output_ += bytes;
    on_writable(*stream_);
  }

  // A parent as it should be, from what the child says that it still holds.
  void recover() {
    good_ = true;
    hang_up(true);
    network_.run_for(network_ms);
    for (std::int64_t ms = 0; ms < recovery_ms; ms += 1'000) {
      uplink_.start();
      network_.run_for(1'000);
      if (outbox_.trimmed >= outbox_.head()) return;
    }
    EVODB_ASSERT(false, "a parent that behaves does not get what is left");
  }
  void behave(const wire::Frame& frame) {
    if (const auto* hello = std::get_if<wire::Hello>(&frame)) {
      had_ = hello->trimmed;
      send(wire::Welcome{.received = had_,
                         .received_chain = hello->trimmed_chain,
                         .durable = had_,
                         .persisted = had_,
                         .credit_bytes = 1u << 20,
                         .frame_bytes_max = 1u << 20,
                         .batch_entries_max = 1'000});
    } else if (std::holds_alternative<wire::Batch>(frame)) {
      send(wire::Ack{had_, had_, 1u << 20});
    }
  }

  void on_accept(base::StreamId stream, std::string_view) override {
    count_in_a_second(dials_, network_.now().value, dials_a_second_max);
    hang_up(true);
    stream_ = stream;
    request_.clear();
    output_.clear();
    parser_ = wire::WsParser(wire::WsParser::Role::kServer, 16u << 20);
    upgraded_ = welcomed_ = hello_seen_ = false;
  }
  void on_connected(base::StreamId) override {}
  void on_data(base::StreamId stream, std::span<char> bytes) override {
    if (!stream_ || *stream_ != stream) return;
    if (!upgraded_) {
      request_ += std::string_view(bytes);
      if (good_ && request_.find("\r\n\r\n") != std::string::npos) upgrade_later();
      return;
    }
    parser_.feed(bytes.data(), bytes.size());
    wire::WsMessage message;
    wire::WsError error;
    while (parser_.next(&message, &error) == wire::WsParser::Step::kMessage) {
      if (message.opcode != wire::WsOpcode::kBinary) continue;
      const auto frame = wire::decode_frame(message.payload);
      EVODB_ASSERT(frame.has_value(), "the child sent what nobody can read");
      take_frame(*frame);
      if (good_) behave(*frame);
    }
  }
  // Answered from outside of the event: run_for() is not called within it.
  void upgrade_later() {
    parent_.post([this] {
      const std::size_t key = request_.find("Sec-WebSocket-Key: ");
      if (upgraded_ || key == std::string::npos) return;
      write("HTTP/1.1 101 x\r\nSec-WebSocket-Accept: " +
            wire::websocket_accept(std::string_view(request_).substr(key + 19, 24)) + "\r\n\r\n");
      upgraded_ = true;
    });
  }
  void take_frame(const wire::Frame& frame) {
    if (const auto* ping = std::get_if<wire::Ping>(&frame)) barrier_ = ping->opaque;
    if (const auto* hello = std::get_if<wire::Hello>(&frame)) {
      epoch_ = hello->epoch;
      // Until then what an earlier session acknowledged may still be trimmed.
      outbox_.may_trim = true;
      hello_seen_ = true;
      outbox_.begin_session();
      outbox_.said(epoch_, hello->trimmed, hello->trimmed_chain);
      had_ = hello->trimmed;
    }
    const auto* batch = std::get_if<wire::Batch>(&frame);
    if (batch == nullptr) return;
    wire::BatchReader reader(batch->body);
    std::uint32_t ref = 0;
    for (wire::TableDef def; reader.next_table(&ref, &def);) {
    }
    for (wire::ChangeView change; reader.next(&change);) {
    }
    EVODB_ASSERT(reader.status().has_value(), "the child sent a malformed batch");
    had_ = reader.header().last_lsn;
    outbox_.said(epoch_, had_, reader.header().chain_after);
    outbox_.received(epoch_, had_);
  }
  void on_writable(base::StreamId stream) override {
    if (!stream_ || *stream_ != stream) return;
    output_.erase(0, parent_.write(stream, output_));
  }
  void on_closed(base::StreamId stream, std::string_view) override {
    if (stream_ && *stream_ == stream) stream_.reset();
  }

  sim::FakeNetwork network_;
  sim::FakeLoop parent_, edge_;
  Observer observer_;
  CheckedOutbox outbox_;
  Uplink uplink_;

  std::optional<base::StreamId> stream_;
  std::string request_, output_;
  wire::WsParser parser_{wire::WsParser::Role::kServer, 16u << 20};
  bool upgraded_ = false, hello_seen_ = false, welcomed_ = false, good_ = false;
  Epoch epoch_;
  Lsn had_;
  std::uint64_t barrier_ = 0;
  std::vector<std::int64_t> dials_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 8192) return 0;
  Fuzzed fuzzed(data[0]);
  fuzzed.run(base::ByteReader({reinterpret_cast<const char*>(data) + 1, size - 1}));
  return 0;
}
