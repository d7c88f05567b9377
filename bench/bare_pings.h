// BarePings: what pings cost a server that does nothing but answer them. As many TCP connections
// and pings as IdleChildren's, as many bytes each way; a process of its own calls epoll_wait, recv
// and send. What a parent takes beside it is ours, the rest is the kernel's.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "evodb/result.h"

namespace evodb::bench {

class BarePings {
 public:
  // Starts the server. Before the process has threads, since it forks.
  static Result<std::unique_ptr<BarePings>> start();
  ~BarePings();  // ends it
  BarePings(const BarePings&) = delete;
  BarePings& operator=(const BarePings&) = delete;

  // Connects so many, sends one ping on each every `ping_every_s`, evenly spread, for `seconds`,
  // and closes them. Cores that the server took. Errors: kInternal (an answer was missing).
  Result<double> cores(std::uint32_t connections, double seconds, double ping_every_s);

 private:
  BarePings(pid_t pid, std::uint16_t port) : pid_(pid), port_(port) {}
  Result<void> connect_all(std::uint32_t connections, int epoll, std::vector<int>& sockets) const;

  pid_t pid_;
  std::uint16_t port_;
};

}  // namespace evodb::bench
