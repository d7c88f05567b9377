// The shipped gate with one difference: a whole message is answered with itself, instead of being
// given to a session. HTTP, upgrade, parser, limits, pings, closing, memory, the loop: what ships.
//
//   evodb-echo-gate            prints the port that it listens on; runs until SIGTERM
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>

#include "base/posix/epoll_loop.h"
#include "gate/gate_impl.h"

namespace evodb::gate {
namespace {

// Nobody says hello here, so nobody may ask.
class NoIngest final : public ingest::Ingest {
  Result<Position> restore_checkpoint(std::string_view) override { return Position(0); }
  Result<void> restore_persisted() override { return {}; }
  Result<void> replay(const journal::Record&) override { return {}; }
  void restore_landed(const std::vector<ingest::LandedMark>&) override {}
  std::string checkpoint() const override { return {}; }
  Position checkpoint_position() const override { return Position(0); }
  ingest::HelloOutcome on_hello(ingest::SessionId, const wire::Hello&, UnixMillis) override {
    return {};
  }
  ingest::BatchOutcome on_batch(ingest::SessionId, std::string_view, std::size_t, UnixMillis,
                                ingest::Effects&) override {
    return {};
  }
  Result<void> on_hello_unordered(ingest::SessionId, std::string_view) override { return {}; }
  ingest::BatchOutcome on_batch_unordered(ingest::SessionId, std::span<const std::string>,
                                          std::size_t, std::uint64_t, UnixMillis,
                                          ingest::Effects&) override {
    return {};
  }
  void on_disconnect(ingest::SessionId) override {}
  void on_durable(Position, ingest::Effects&) override {}
  void on_persisted(std::string_view, Epoch, Lsn, ingest::Effects&) override {}
  void on_space(ingest::Effects&) override {}
  std::string save_sessions() override { return {}; }
  Result<void> restore_sessions(std::string_view, const NewSessionId&) override { return {}; }
  ingest::IngestStats stats() const override { return {}; }
  void for_each_source(const std::function<void(const ingest::SourceMark&)>&) const override {}
};

class NoHandlers final : public GateHandlers {
  void on_http(const HttpRequest&, std::function<void(HttpResponse)> respond) override {
    respond({.status = 404, .body = "only WebSockets here\n"});
  }
  void on_appended() override {}
  void on_flush_requested() override {}
  BufferStatus buffer_status() override { return {}; }
};

class EchoGate final : public GateImpl {
 public:
  EchoGate(base::Loop& loop, ingest::Ingest& ingest, GateHandlers& handlers,
           const GateOptions& options)
      : GateImpl(loop, ingest, handlers, options), message_bytes_max_(options.frame_bytes_max) {}

 private:
  // What a child has once its hello was accepted: the cases' messages have up to 16 MiB.
  std::size_t message_bytes_max(const Connection&) const override { return message_bytes_max_; }
  void session_message(StreamId s, const wire::WsMessage& message) override {
    send_message(s, message.opcode, message.payload);
  }

  std::size_t message_bytes_max_;
};

base::EpollLoop* running = nullptr;

int serve() {
  auto loop = base::EpollLoop::create();
  if (!loop) {
    std::fprintf(stderr, "evodb-echo-gate: %s\n", loop.error().text.c_str());
    return 1;
  }
  running = loop->get();
  std::signal(SIGTERM, [](int) { running->stop(); });
  std::signal(SIGPIPE, SIG_IGN);
  NoIngest ingest;
  NoHandlers handlers;
  // Nobody says hello in a case, and a case may last a minute; a whole message waits to be read.
  GateOptions options{.hello_ms_max = 600'000, .output_bytes_max = 64u << 20};
  EchoGate gate(**loop, ingest, handlers, options);
  const auto address = gate.listen("127.0.0.1:0");
  if (!address) {
    std::fprintf(stderr, "evodb-echo-gate: %s\n", address.error().text.c_str());
    return 1;
  }
  std::printf("%s\n", address->c_str());
  std::fflush(stdout);
  (*loop)->run();
  return 0;
}

}  // namespace
}  // namespace evodb::gate

int main() { return evodb::gate::serve(); }
