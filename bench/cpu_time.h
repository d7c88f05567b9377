// CPU time that another process, or some of its threads by name, has had: the kernel's own count
// (/proc/PID/task/TID/schedstat, nanoseconds), so that a rate a core does not depend on who else
// ran on the machine.
#pragma once

#include <sys/types.h>

#include <initializer_list>
#include <string_view>

namespace evodb::bench {

// Seconds of user and system time of the threads that have one of these names; no names: of all
// that run. Threads that have ended do not count. 0 for a process that has ended.
double cpu_seconds(pid_t process, std::initializer_list<std::string_view> threads = {});

}  // namespace evodb::bench
