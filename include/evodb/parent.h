// LakehouseParent: a whole parent inside your process: what `evodb serve` runs.
//
//   auto parent = evodb::LakehouseParent::start({.data = "./evodb-data"});
//   if (!parent) { puts(parent.error().text.c_str()); return 1; }
//   printf("children connect to ws://%s\n", (*parent)->address().c_str());
//   ...
//   (*parent)->stop(std::chrono::seconds(10));
//
// Threads: it runs its own (a loop, a journal, a landing and a few for the store). Every method may
// be called from any thread. The destructor stops with no deadline for landing: what has not landed
// is in the journal and lands after the next start.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "evodb/result.h"

namespace evodb {

struct LakehouseParentOptions {
  std::string listen = "127.0.0.1:8787";  // port 0 takes a free one
  std::string data = "./evodb-data";
  // Any setting of docs/configuration.md by its key: {"buffer.max_age_ms", "100"}.
  std::map<std::string, std::string> settings;
};

// The names and meanings of the first generation.
struct LakehouseBufferStats {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;
  std::int64_t oldest_entry_age_ms = 0;
  std::uint64_t child_connections = 0;
};

class LakehouseParent {
 public:
  // Returns once children are admitted. Errors: kInvalid (settings, address, credentials: says
  // which), kCorrupt (journal or catalog), kRetry (another process holds the data directory).
  static Result<std::unique_ptr<LakehouseParent>> start(const LakehouseParentOptions& options);
  virtual ~LakehouseParent() = default;

  virtual std::string address() const = 0;  // "127.0.0.1:8787"
  virtual LakehouseBufferStats get_buffer_stats() = 0;
  virtual std::string status_json() = 0;  // what GET /status answers
  // Lands everything that is durable now. Errors: kRetry (it did not within 30 s; the journal keeps
  // it and it goes on).
  virtual Result<void> flush() = 0;
  // Closes the gate, syncs, lands what it can in time, and ends. Idempotent.
  virtual void stop(std::chrono::milliseconds deadline) = 0;
};

}  // namespace evodb
