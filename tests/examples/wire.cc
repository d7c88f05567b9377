// What the examples in src/wire leave open; CONTRIBUTING.md, "Examples in headers".
#include <string>
#include <string_view>

// --- wire/change.h
extern std::string_view body;
extern ValuesView after;
extern ValueView value;
extern BatchWriter writer;
extern Lsn previous_lsn, lsn;
extern ChainHash chain;
extern TableDef def;
extern std::uint32_t ref;
extern TxnId txn;
extern UnixMillis time;
extern std::string out;

// --- wire/v1/codec.h
extern std::string_view message;

// --- wire/v1/text.h
extern std::string_view text;
extern V1Heartbeat heartbeat;
extern UnixMillis now;
