// What the examples in src/gate leave open; CONTRIBUTING.md, "Examples in headers".
#include <string_view>

#include "base/limits.h"
#include "gate/connection.h"
#include "ingest/ingest.h"
#include "wire/frame.h"

// --- gate/attachments.h
extern Attachments attachments;
extern Connection record;
extern std::string_view bytes;

// --- gate/gate.h
extern base::Loop& loop;
extern ingest::Ingest& ingest;
extern GateHandlers& handlers;
extern const GateOptions options;
extern ingest::Effects effects;
extern ConnectionId connection;
extern std::string_view text;

// --- gate/http.h
extern std::string_view bytes;
extern ParsedRequest request;
extern HttpError error;
void answer(const ParsedRequest& request);

// --- gate/inflate.h
extern Inflater inflater;
extern wire::FrameEnvelope frame;

// --- gate/tags.h
extern Connection record;
extern std::uint32_t id;

// --- gate/timer_wheel.h
using Slab = ConnectionSlab;
extern Slab slab;
extern std::uint32_t id;

// --- gate/v1_rows.h
extern std::vector<V1RowEntry> entries;
extern const V1BodyLimits limits;
extern evodb::ingest::Ingest& ingest;
extern evodb::ingest::SessionId session;
extern std::size_t bytes;
extern std::uint64_t token;
extern UnixMillis now;
extern evodb::ingest::Effects effects;
