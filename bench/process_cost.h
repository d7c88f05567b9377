// What a process costs, as the kernel counts it.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "evodb/result.h"

namespace evodb::bench {

// Private anonymous memory (smaps_rollup, Anonymous): heap, stacks, and nothing of the binary.
Result<std::uint64_t> anonymous_bytes(pid_t pid);

// CPU time of all threads, nanoseconds (schedstat: exact, not sampled by ticks).
Result<std::uint64_t> cpu_ns(pid_t pid);

// The kernel's own memory, of the whole machine: slabs (sockets, files, epoll registrations, ...)
// and what TCP holds in buffers.
Result<std::uint64_t> kernel_bytes();

}  // namespace evodb::bench
