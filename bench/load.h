// Load: many children in one thread, speaking wire v2 over real sockets as fast as credit and
// window allow. What they send is known exactly, so that a reader can be asked for it afterwards.
//
//   LoadOptions options{.host = "127.0.0.1", .port = 8787, .connections = 32, .entries = 1'000'000};
//   LoadResult result = EVODB_TRY(run_load(options));
//
// Source i is "<prefix>-<i>" and sends the LSNs 1 .. its share, in epoch 1, of one table.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/rows.h"
#include "evodb/result.h"
#include "evodb/types.h"

namespace evodb::bench {

struct LoadOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  std::string prefix = "load";
  RowKind rows = RowKind::kPayload200;
  std::uint32_t connections = 32;
  std::uint32_t window = 8;  // batches in flight, a connection
  std::uint32_t batch_entries = 100;
  std::uint64_t entries = 1'000'000;  // of all connections together
  std::uint32_t tables = 1;           // batches take turns; see load_table_names
  WaitLevel until = WaitLevel::kDurable;
  std::int64_t timeout_ms = 120'000;
  // Called once all are connected, before the first batch.
  std::function<void()> on_connected;
  // Called when a child's last batch in flight is durable, before it sends the next one. What it
  // takes counts for no batch. An error ends the run.
  std::function<Result<void>()> on_window_empty;
  // Set by another thread: ends the run, whatever is acknowledged by then.
  const std::atomic<bool>* stop = nullptr;

  // How many of the entries are child i's.
  std::uint64_t share_of(std::uint32_t i) const {
    return entries * (i + 1) / connections - entries * i / connections;
  }
};

struct LoadResult {
  std::uint64_t entries = 0, batches = 0;
  std::uint64_t refused = 0;           // batches sent again: over credit, or behind such a one
  std::uint64_t wire_bytes = 0;        // of batch frames, those sent again included
  double seconds = 0;                  // all connected, to last acknowledgement of `until`
  std::vector<double> durable_ack_ms;  // a batch each, sampled (at most 100,000)
};

// The lakehouse's tables of such a load.
std::vector<std::string> load_table_names(RowKind rows, std::uint32_t tables);

// Errors: kInvalid (a child was refused: says why), kRetry (not done in time, connection lost).
Result<LoadResult> run_load(const LoadOptions& options);

}  // namespace evodb::bench
