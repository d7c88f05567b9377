// Very many TCP connections to one port of this machine.
#pragma once

#include <cstdint>

#include "evodb/result.h"

namespace evodb::bench {

// A blocking socket without Nagle's delay, connected to 127.0.0.1:`port`: on loopback the handshake
// is done within the call. Connection `number` comes from one of 64 loopback addresses, so that
// neither ports nor the kernel's search for one are what is measured. The caller closes it. Errors:
// kRetry (what the kernel said).
Result<int> connect_loopback(std::uint16_t port, std::uint32_t number);

}  // namespace evodb::bench
