// The parts of `evodb bench idle` that lie in files of their own.
#pragma once

#include <cstdint>
#include <string>

#include <CLI/CLI.hpp>

#include "evodb/result.h"

namespace evodb::app {

// Bytes and times of `count` hibernated children on an in-memory transport: the real gate, ingest
// and journal, no sockets, and time that moves when it is told to.
struct IdleRecords {
  double source_bytes = 0;      // of a source, for ever: marks, name, index
  double connection_bytes = 0;  // of gate and ingest; the loop's 16 a stream are not in it
  double open_ns = 0;           // handshake, hello and welcome, a connection
  double hibernate_ns = 0;      // the wheel's work until all hibernate, a connection
  double ping_ns = 0;           // one auto-response, in random order
  double broadcast_ns = 0;      // a connection
};
// Measured in a process of its own (forked), whose memory is then its alone. `directory` is for a
// journal. Errors: an answer that is not right.
Result<IdleRecords> measure_idle_records(std::uint32_t count, const std::string& directory);

// A hidden command: a parent like `evodb serve`, that broadcasts a wire v2 ping to all on SIGUSR1.
void add_idle_parent(CLI::App& bench, int& exit_code);

}  // namespace evodb::app
