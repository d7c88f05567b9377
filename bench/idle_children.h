// IdleChildren: thousands of children that hardly ever say anything, in a process of their own
// (forked: it has its own descriptors and its own core), over real sockets with real handshakes.
//
//   auto children = EVODB_TRY(IdleChildren::start(18'000));
//   OpenResult storm = EVODB_TRY(children->open(port, 0, 18'000));   // handshake, hello, welcome
//   EVODB_TRY(children->idle(30, 30));                               // everyone pings each 30 s
//   WakeResult wake = EVODB_TRY(children->wake(10, 180));            // 180 a second, at random
//
// Each call waits for its answer, and fails if a connection ended, an answer was missing or
// differed from what was due. Child i is source "idle-<i>", epoch 1; it remembers its LSN and chain
// through any number of connections. Sockets come from many loopback addresses, so that neither
// ports nor the kernel's search for one are what is measured.
//
// Threads: call from one; start() before the process has others, since it forks.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>

#include "evodb/result.h"

namespace evodb::bench {

struct OpenResult {
  double seconds = 0;  // first connect to last welcome
};
struct WakeResult {
  // A wire v2 ping to its pong: the connection's first byte was processed. Milliseconds.
  double ping_ms_p50 = 0, ping_ms_p99 = 0, ping_ms_max = 0;
  // A batch of one row to its durable acknowledgement: with the journal's sync.
  double batch_ms_p50 = 0, batch_ms_p99 = 0;
};
struct BroadcastResult {
  double last_at_s = 0;  // CLOCK_MONOTONIC
};

class IdleChildren {
 public:
  static Result<std::unique_ptr<IdleChildren>> start(std::uint32_t children_max);
  ~IdleChildren();  // ends the process
  IdleChildren(const IdleChildren&) = delete;
  IdleChildren& operator=(const IdleChildren&) = delete;

  pid_t pid() const { return pid_; }
  // Connects the children [first, end); at most 1,000 of them are on their way at once.
  Result<OpenResult> open(std::uint16_t port, std::uint32_t first, std::uint32_t end);
  // For `seconds`, each connection sends a WebSocket ping every `ping_every_s`, evenly spread; as
  // many pongs came.
  Result<void> idle(double seconds, double ping_every_s);
  // For `seconds`, `per_s` connections a second, chosen at random, send a wire v2 ping or a batch
  // of one row, in turns.
  Result<WakeResult> wake(double seconds, double per_s);
  // Waits until each connection got a wire v2 ping with `opaque`; begin to wait before it is sent.
  Result<void> begin_broadcast(std::uint64_t opaque);
  Result<BroadcastResult> end_broadcast();
  // Closes all: with a reset, or the usual way.
  Result<void> close_all(bool reset);

 private:
  struct Request;
  struct Reply;
  friend class IdleGenerator;
  IdleChildren(pid_t pid, int socket) : pid_(pid), socket_(socket) {}
  Result<Reply> ask(const Request& request);
  Result<void> tell(const Request& request);
  Result<Reply> answer();

  pid_t pid_;
  int socket_;
};

}  // namespace evodb::bench
