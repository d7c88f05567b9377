// The real seams of a parent, wired: the only place that does so for the server's rooms.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "evodb/parent.h"
#include "parent/parent.h"
#include "server/config.h"

namespace evodb::app {

// It also gives its gate to code of this process.
class GatedParent : public LakehouseParent {
 public:
  // `work` runs on the loop's thread, unless the parent stops before.
  virtual void with_gate(std::function<void(gate::Gate&)> work) = 0;
};

class HandOverChannel;  // hand_over_channel.h
class Successor;        // successor.h

struct HandOverPatience {
  std::int64_t landing_ms_max = 10'000;  // until running flushes have ended; children are served
  std::int64_t pause_ms_max = 5'000;     // of which children notice something
};
struct HandOverReport {
  std::uint64_t connections = 0;
  std::int64_t pause_ms = 0;  // since when everybody waited, until the next process went on
};

// What `evodb serve` can do with its parent, and an embedder cannot.
class ServedParent : public GatedParent {
 public:
  // Gives everything that it has to the next process. With a report, this process is only to end,
  // at once and without destroying anything. Errors: kRetry, kInvalid (says why; this parent goes
  // on as before, the other process is gone), kInternal (the parent is lost: end, to be started
  // again).
  virtual Result<HandOverReport> hand_over_to(Successor& next,
                                              const HandOverPatience& patience) = 0;
};

// From a loaded configuration; LakehouseParent::start makes one from its options. Where a start
// takes longer than a second, `waiting` is told why, once for each reason, in the calling thread.
using Waiting = std::function<void(const std::string& why)>;
Result<std::unique_ptr<ServedParent>> start_parent(const Config& config,
                                                   const Waiting& waiting = {});
// Takes over from the process at the other end; calls `taking` just before there is no way back. On
// an error the caller tells the other end and ends this process at once: what it holds is still the
// other's.
Result<std::unique_ptr<ServedParent>> take_over_parent(const Config& config,
                                                       HandOverChannel& channel,
                                                       const std::function<void()>& taking);

// The offline half: everything that can be wrong with the settings without touching the network.
Result<parent::ParentOptions> parent_options(const Config& config);
// What the parent says to its operator, a line each.
void say_on_stderr(const std::string& line);

}  // namespace evodb::app
