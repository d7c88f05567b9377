// ChildLoop: what stands between an edge and its network in the simulated world: it keeps what the
// edge sent, so that it can be sent again by somebody else, and it can make a child of a later
// minor version out of it (docs/formats/wire-v2.md, "Versions": longer frames, unknown options,
// frames of unknown types).
//
//   ChildLoop loop(fake_loop, /*newer_minor=*/true);
//   edge::Uplink uplink(loop, random, outbox, options, observer);
//   Replayer replayer(network, loop.sent());
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/loop.h"
#include "sim/seams/fake_loop.h"
#include "wire/websocket.h"

namespace evodb::sim {

class ChildLoop final : public base::Loop, private base::StreamEvents {
 public:
  ChildLoop(FakeLoop& loop, bool newer_minor) : loop_(loop), newer_minor_(newer_minor) {}

  // Everything that went over the newest connection, handshake included; at most 256 KiB.
  const std::string& sent() const { return sent_; }

  void post(std::function<void()> work) override { loop_.post(std::move(work)); }
  base::Clock& clock() override { return loop_.clock(); }
  base::TimerId after(std::int64_t delay_ms, std::function<void()> work) override {
    return loop_.after(delay_ms, std::move(work));
  }
  void cancel(base::TimerId timer) override { loop_.cancel(timer); }
  Result<std::string> listen(const std::string& address, base::StreamEvents& events) override {
    return loop_.listen(address, events);
  }
  void stop_listening() override { loop_.stop_listening(); }
  Result<base::StreamId> dial(const std::string& host, std::uint16_t port,
                              base::StreamEvents& events) override;
  std::size_t write(base::StreamId stream, std::string_view bytes) override;
  void pause_reading(base::StreamId stream, bool paused) override {
    loop_.pause_reading(stream, paused);
  }
  void close(base::StreamId stream, bool abort) override;

 private:
  void on_accept(base::StreamId, std::string_view) override {}
  void on_connected(base::StreamId stream) override { events_->on_connected(stream); }
  void on_data(base::StreamId stream, std::span<char> bytes) override {
    events_->on_data(stream, bytes);
  }
  void on_writable(base::StreamId stream) override;
  void on_closed(base::StreamId stream, std::string_view why) override {
    events_->on_closed(stream, why);
  }
  void translate(std::string_view bytes);

  FakeLoop& loop_;
  const bool newer_minor_;
  base::StreamEvents* events_ = nullptr;  // an edge has one connection
  std::string sent_;
  // Of a newer child.
  bool handshake_over_ = false;
  std::string head_;
  std::string output_;  // translated, and not taken yet
  wire::WsParser parser_{wire::WsParser::Role::kServer, 16u << 20};
};

// Sends bytes that somebody sent once, in a connection of its own, and listens to no answer.
class Replayer final : private base::StreamEvents {
 public:
  Replayer(FakeNetwork& network, std::string bytes);
  bool done() const { return done_; }

 private:
  void on_accept(base::StreamId, std::string_view) override {}
  void on_connected(base::StreamId stream) override { on_writable(stream); }
  void on_data(base::StreamId, std::span<char>) override {}
  void on_writable(base::StreamId stream) override;
  void on_closed(base::StreamId, std::string_view) override { done_ = true; }

  FakeLoop loop_;
  std::string bytes_;
  bool done_ = false;
};

}  // namespace evodb::sim
