// What the examples in bench leave open; CONTRIBUTING.md, "Examples in headers".
#include <string>

// --- bench/idle_children.h
extern const std::uint16_t port;

// --- bench/lakehouse_reader.h
extern const std::string data;
extern const LoadOptions load;
