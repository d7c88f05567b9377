// What the gate's tests share: a scripted Ingest, a client of raw bytes, and a world of both around
// a gate on a fake network. For tests and fuzz targets only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gate/gate.h"
#include "ingest/ingest.h"
#include "sim/seams/fake_loop.h"
#include "wire/frame.h"
#include "wire/websocket.h"

namespace evodb::gate {

// Accepts everything and remembers it. Durable when the test says so.
class ScriptedIngest final : public ingest::Ingest {
 public:
  using SessionId = ingest::SessionId;

  struct Batch {
    SessionId session;
    std::string body;
    std::size_t frame_bytes = 0;
    std::uint64_t token = 0;
    bool unordered = false;
  };

  Result<Position> restore_checkpoint(std::string_view) override { return Position(0); }
  Result<void> restore_persisted() override { return {}; }
  Result<void> replay(const journal::Record&) override { return {}; }
  void restore_landed(const std::vector<ingest::LandedMark>&) override {}
  std::string checkpoint() const override { return {}; }
  Position checkpoint_position() const override { return Position(0); }

  ingest::HelloOutcome on_hello(SessionId session, const wire::Hello& hello, UnixMillis) override {
    ingest::HelloOutcome outcome = next_hello;
    next_hello = {};
    next_hello.accepted = true;
    hellos.emplace_back(hello.source);
    if (outcome.accepted) sessions.push_back(session);
    return outcome;
  }
  ingest::BatchOutcome on_batch(SessionId session, std::string_view body, std::size_t frame_bytes,
                                UnixMillis, ingest::Effects& effects) override {
    batches.push_back({session, std::string(body), frame_bytes, 0, false});
    effects.acks.insert(effects.acks.end(), next_effects.acks.begin(), next_effects.acks.end());
    next_effects.clear();
    ingest::BatchOutcome outcome = next_batch;
    next_batch = {.verdict = ingest::BatchVerdict::kAppended};
    return outcome;
  }
  Result<void> on_hello_unordered(SessionId session, std::string_view source) override {
    if (next_unordered_error) {
      Error error = *std::exchange(next_unordered_error, std::nullopt);
      return fail(std::move(error));
    }
    hellos.emplace_back(source);
    sessions.push_back(session);
    return {};
  }
  ingest::BatchOutcome on_batch_unordered(SessionId session, std::span<const std::string> bodies,
                                          std::size_t frame_bytes, std::uint64_t token, UnixMillis,
                                          ingest::Effects& effects) override {
    for (const std::string& body : bodies) {
      batches.push_back({session, body, frame_bytes, token, true});
    }
    if (duplicate_at_once) effects.batches.push_back({session, token, true});
    ingest::BatchOutcome outcome = next_batch;
    next_batch = {.verdict = ingest::BatchVerdict::kAppended};
    return outcome;
  }
  ingest::BatchLimits batch_limits() const override { return limits; }
  void on_disconnect(SessionId session) override {
    disconnected.push_back(session);
    std::erase(sessions, session);
  }
  void on_durable(Position, ingest::Effects&) override {}
  void on_persisted(std::string_view, Epoch, Lsn, ingest::Effects&) override {}
  void on_space(ingest::Effects&) override {}
  std::string save_sessions() override { return {}; }
  Result<void> restore_sessions(std::string_view, const NewSessionId&) override { return {}; }
  ingest::IngestStats stats() const override { return {}; }
  void for_each_source(const std::function<void(const ingest::SourceMark&)>&) const override {}

  std::vector<std::string> hellos;
  std::vector<SessionId> sessions, disconnected;
  std::vector<Batch> batches;
  ingest::HelloOutcome next_hello = accepting();
  ingest::BatchOutcome next_batch{.verdict = ingest::BatchVerdict::kAppended};
  ingest::Effects next_effects;
  std::optional<Error> next_unordered_error;
  bool duplicate_at_once = false;
  ingest::BatchLimits limits;

 private:
  static ingest::HelloOutcome accepting() {
    ingest::HelloOutcome outcome;
    outcome.accepted = true;
    return outcome;
  }
};

class ScriptedHandlers final : public GateHandlers {
 public:
  void on_http(const HttpRequest& request, std::function<void(HttpResponse)> respond) override {
    requests.push_back(std::string(request.method) + " " + std::string(request.path) + "?" +
                       std::string(request.query));
    if (request.path == "/later") {
      later.push_back(std::move(respond));
      return;
    }
    HttpResponse response;
    response.body = "you asked for " + std::string(request.path) + std::string(request.body);
    if (request.path == "/big") response.body.assign(1u << 20, 'b');
    if (request.path == "/huge") {  // over every output limit
      response.body.assign(8u << 20, '#');
      response.kept = kept;
    }
    if (request.path == "/nothing") response = {.status = 204, .headers = "X-Why: none\r\n"};
    respond(response);
  }
  void on_appended() override { ++appended; }
  void on_flush_requested() override { ++flushes; }
  BufferStatus buffer_status() override { return {1, 2, 3, 0.5}; }

  std::vector<std::string> requests;
  std::vector<std::function<void(HttpResponse)>> later;
  std::shared_ptr<int> kept = std::make_shared<int>(0);  // by answers to /huge
  int appended = 0, flushes = 0;
};

// Sends raw bytes; reads raw bytes, or messages once upgraded.
class TestClient final : public base::StreamEvents {
 public:
  TestClient(sim::FakeNetwork& network, sim::FakeLoop& loop) : network_(network), loop_(loop) {
    auto stream = loop_.dial("parent", 8787, *this);
    stream_ = *stream;
    network_.run_while_not([this] { return connected_ || closed(); }, 1000);
  }
  ~TestClient() override {
    if (!closed() && !left_) loop_.close(stream_, true);
  }

  void send(std::string_view bytes) {
    pending_ += bytes;
    on_writable(stream_);
    network_.run_for(20);
  }
  void upgrade(std::string_view path = "/") {
    send("GET " + std::string(path) +
         " HTTP/1.1\r\nHost: parent\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
    const std::size_t end = received.find("\r\n\r\n");
    if (!received.starts_with("HTTP/1.1 101") || end == std::string::npos) return;
    received.erase(0, end + 4);
    upgraded = true;
  }
  static std::string message_bytes(wire::WsOpcode opcode, std::string_view payload) {
    std::string out;
    const std::uint32_t mask = 0x12345678;
    wire::encode_ws_frame(out, opcode, payload, &mask);
    return out;
  }
  void text(std::string_view payload) { send(message_bytes(wire::WsOpcode::kText, payload)); }
  void binary(std::string_view payload) { send(message_bytes(wire::WsOpcode::kBinary, payload)); }
  void frame(const wire::Frame& frame) { binary(wire::encode_frame(frame)); }
  void hello(std::string_view source = "db1") {
    wire::Hello hello;
    hello.source = source;
    hello.epoch = Epoch(1);
    hello.frame_bytes_max = 1u << 20;
    frame(hello);
  }
  // The next message, taken from what was received.
  struct Message {
    wire::WsOpcode opcode = wire::WsOpcode::kContinuation;  // kContinuation: there is none
    std::string payload;
    std::uint16_t close_code() const {
      return payload.size() < 2
                 ? 0
                 : static_cast<std::uint16_t>(static_cast<unsigned char>(payload[0]) << 8 |
                                              static_cast<unsigned char>(payload[1]));
    }
  };
  Message next() {
    wire::WsParser parser(wire::WsParser::Role::kClient, 64u << 20);
    std::string copy = received;
    parser.feed(copy.data(), copy.size());
    wire::WsMessage message;
    wire::WsError error;
    if (parser.next(&message, &error) != wire::WsParser::Step::kMessage) return {};
    Message result{message.opcode, std::string(message.payload)};
    std::string again;  // servers do not mask: encoding anew tells the length
    wire::encode_ws_frame(again, message.opcode, result.payload, nullptr);
    received.erase(0, again.size());
    return result;
  }
  // The next message as a wire v2 frame of type T.
  template <class T>
  std::optional<T> next_frame() {
    last_ = next();
    auto frame = wire::decode_frame(last_.payload);
    if (!frame || !std::holds_alternative<T>(*frame)) return std::nullopt;
    return std::get<T>(*frame);
  }
  void leave() {
    loop_.close(stream_, false);
    left_ = true;
    network_.run_for(20);
  }
  void pause(bool paused) { loop_.pause_reading(stream_, paused); }
  bool closed() const { return !closed_why.empty(); }

  void on_accept(base::StreamId, std::string_view) override {}
  void on_connected(base::StreamId) override { connected_ = true; }
  void on_data(base::StreamId, std::span<char> bytes) override {
    received += std::string_view(bytes);
  }
  void on_writable(base::StreamId) override {
    if (!closed()) pending_.erase(0, loop_.write(stream_, pending_));
  }
  void on_closed(base::StreamId, std::string_view why) override { closed_why = std::string(why); }

  std::string received, closed_why;
  bool upgraded = false;

 private:
  sim::FakeNetwork& network_;
  sim::FakeLoop& loop_;
  base::StreamId stream_;
  bool connected_ = false, left_ = false;
  std::string pending_;
  Message last_;
};

struct GateWorld {
  explicit GateWorld(GateOptions options = {}, std::uint64_t seed = 1)
      : network(seed),
        parent(network, "parent"),
        edges(network, "edges"),
        gate(Gate::create(parent, ingest, handlers, options)) {
    (void)*gate->listen("parent:8787");
  }
  std::unique_ptr<TestClient> client() { return std::make_unique<TestClient>(network, edges); }
  std::unique_ptr<TestClient> websocket() {
    auto c = client();
    c->upgrade();
    return c;
  }
  // Said hello, welcome read.
  std::unique_ptr<TestClient> child(std::string_view source = "db1") {
    auto c = websocket();
    c->hello(source);
    (void)c->next();
    return c;
  }
  void ack(std::uint32_t session, std::uint64_t durable, std::uint64_t persisted = 0) {
    ingest::Effects effects;
    effects.acks.push_back({ingest::SessionId(session), {Lsn(durable), Lsn(persisted), 1000}});
    gate->deliver(effects);
    network.run_for(20);
  }

  sim::FakeNetwork network;
  sim::FakeLoop parent, edges;
  ScriptedIngest ingest;
  ScriptedHandlers handlers;
  std::unique_ptr<Gate> gate;
};

}  // namespace evodb::gate
