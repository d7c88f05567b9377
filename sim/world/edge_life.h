// EdgeLife: one process of an edge: an uplink over an outbox that outlives it. Destroying it is
// kill -9.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "edge/uplink.h"
#include "sim/plants/plant.h"
#include "sim/seams/fake_loop.h"
#include "sim/world/child_loop.h"
#include "sim/world/model_outbox.h"

namespace evodb::sim {

// What an edge believes at the moment at which it begins to.
class EdgeWitness {
 public:
  virtual ~EdgeWitness() = default;
  virtual void on_told_durable(const ModelOutbox& outbox, Lsn lsn) = 0;
  virtual void on_told_persisted(const ModelOutbox& outbox, Lsn lsn) = 0;
  virtual void on_trimmed(const ModelOutbox& outbox, Lsn lsn) = 0;
  virtual void on_new_epoch(const ModelOutbox& outbox, std::string_view why) = 0;
  // It was told that it is a copy.
  virtual void on_renamed(const ModelOutbox& outbox, std::string_view why) {
    (void)outbox, (void)why;
  }
};

struct EdgeLifeOptions {
  WaitLevel wait = WaitLevel::kPersisted;
  edge::CopyRule on_copy = edge::CopyRule::kWait;
  bool newer_minor = false;
  std::int64_t wall_offset_ms = 0;
};

class EdgeLife final : private edge::UplinkObserver {
 public:
  // `log` is what is streamed: `outbox` itself, or a real database of which it is the memory.
  EdgeLife(FakeNetwork& network, base::Random& random, ModelOutbox& outbox, capture::Outbox& log,
           const EdgeLifeOptions& options, EdgeWitness& witness, Plant& plant)
      : loop_(network, outbox.source()),
        child_loop_(loop_, options.newer_minor),
        outbox_(outbox),
        witness_(witness),
        uplink_(child_loop_, random, plant.outbox(log), uplink_options(options, plant), *this) {
    loop_.set_wall_offset_ms(options.wall_offset_ms);
    uplink_.start();
  }

  static constexpr std::uint32_t batch_entries = 20;

  // Connected, and told to send nothing.
  bool starved() const { return uplink_.stats().connected && uplink_.stats().credit_bytes == 0; }
  bool is_connected() const { return uplink_.stats().connected; }
  void notify() { uplink_.notify(); }
  Lsn persisted() const { return persisted_; }
  const std::string& sent() const { return child_loop_.sent(); }
  FakeLoop& loop() { return loop_; }
  // An error that the edge takes for final.
  const std::optional<std::string>& failure() const { return failure_; }
  std::string describe() const {
    const auto s = uplink_.stats();
    return std::string(s.connected ? "connected" : "not connected") + ", durable " +
           std::to_string(s.last_ack_lsn.value) + ", persisted " +
           std::to_string(s.last_persisted_lsn.value) + ", " +
           (s.last_error ? s.last_error->text : "");
  }

 private:
  static edge::UplinkOptions uplink_options(const EdgeLifeOptions& of, Plant& plant) {
    edge::UplinkOptions options;
    options.link.parent.host = "parent";
    options.wait = of.wait;
    options.on_copy = of.on_copy;
    options.batch_entries = batch_entries;
    options.batch_bytes = 8u << 10;
    options.link.ping_idle_ms = 3'000;
    options.link.dead_peer_ms = 3'000;
    options.link.open_ms_max = 3'000;
    options.reconnect_ms_max = 2'000;
    plant.edge_options(options);
    return options;
  }

  void on_durable(Lsn lsn) override { witness_.on_told_durable(outbox_, lsn); }
  void on_persisted(Lsn lsn) override {
    persisted_ = lsn;
    witness_.on_told_persisted(outbox_, lsn);
  }
  void on_trimmed(Lsn lsn) override { witness_.on_trimmed(outbox_, lsn); }
  void on_new_epoch(Epoch, std::optional<std::string_view> why) override {
    persisted_ = Lsn();
    witness_.on_new_epoch(outbox_, why.value_or(""));
  }
  void on_renamed(std::string_view, std::string_view why) override {
    witness_.on_renamed(outbox_, why);
  }
  void on_fatal(const Error& error) override { failure_ = error.text; }

  FakeLoop loop_;
  ChildLoop child_loop_;
  const ModelOutbox& outbox_;
  EdgeWitness& witness_;
  edge::Uplink uplink_;
  Lsn persisted_;
  std::optional<std::string> failure_;
};

}  // namespace evodb::sim
