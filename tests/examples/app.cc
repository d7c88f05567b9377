// What the examples in apps/evodb leave open; CONTRIBUTING.md, "Examples in headers".
#include <string>
#include <vector>

#include "server/hand_over_channel.h"

// --- commands/command.h: not compiled: it is main's

// --- demo/shop.h
extern const std::uint64_t seed;
extern const bool stop;

// --- server/successor.h
extern const std::string binary, bytes;
extern const std::vector<int> sockets;
