// What a process costs, as the kernel counts it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "evodb/result.h"

namespace evodb::bench {

// Private anonymous memory (smaps_rollup, Anonymous): heap, stacks, and nothing of the binary.
Result<std::uint64_t> anonymous_bytes(pid_t pid);

// Seconds of user and system time that the threads with one of these names have had; no names: all
// that run (schedstat: exact, not sampled by ticks). Threads that have ended do not count. Errors:
// kInvalid (no such thread: the process has ended).
Result<double> cpu_seconds(pid_t pid, std::initializer_list<std::string_view> threads = {});

// The kernel's own memory, of the whole machine: slabs (sockets, files, epoll registrations, ...)
// and what TCP holds in buffers.
Result<std::uint64_t> kernel_bytes();

}  // namespace evodb::bench
