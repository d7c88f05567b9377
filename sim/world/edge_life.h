// EdgeLife: one process of an edge: an uplink over an outbox that outlives it. Destroying it is
// kill -9.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include "edge/uplink.h"
#include "sim/seams/fake_loop.h"
#include "sim/world/model_outbox.h"

namespace evodb::sim {

class EdgeLife final : private edge::UplinkObserver {
 public:
  EdgeLife(FakeNetwork& network, base::Random& random, ModelOutbox& outbox, WaitLevel wait)
      : loop_(network, outbox.source()), uplink_(loop_, random, outbox, options(wait), *this) {
    uplink_.start();
  }

  void notify() { uplink_.notify(); }
  Lsn persisted() const { return persisted_; }
  // An error that the edge takes for final.
  const std::optional<std::string>& failure() const { return failure_; }
  std::string describe() const {
    const auto s = uplink_.stats();
    return std::string(s.connected ? "connected" : "not connected") + ", durable " +
           std::to_string(s.last_ack_lsn.value) + ", persisted " +
           std::to_string(s.last_persisted_lsn.value) + ", " + s.last_error;
  }

 private:
  static edge::UplinkOptions options(WaitLevel wait) {
    edge::UplinkOptions options;
    options.host = "parent";
    options.port = 8787;
    options.wait = wait;
    options.batch_entries = 20;
    options.batch_bytes = 8u << 10;
    options.ping_idle_ms = 3'000;
    options.dead_peer_ms = 3'000;
    options.open_ms_max = 3'000;
    options.reconnect_ms_max = 2'000;
    return options;
  }

  void on_persisted(Lsn lsn) override { persisted_ = std::max(persisted_, lsn); }
  void on_fatal(const Error& error) override { failure_ = error.text; }

  FakeLoop loop_;
  edge::Uplink uplink_;
  Lsn persisted_;
  std::optional<std::string> failure_;
};

}  // namespace evodb::sim
