// What the examples in include/evodb leave open; CONTRIBUTING.md, "Examples in headers".

// --- evodb/dedup.h
using evodb::DeduplicationTracker;
using evodb::Lsn;
extern evodb::UnixMillis now;

// --- evodb/protocol.h
extern evodb::WalEntry entry;

// --- evodb/result.h: at namespace scope
struct Address {
  int port = 0;
};
