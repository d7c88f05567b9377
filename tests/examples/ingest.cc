// What the examples in src/ingest leave open; CONTRIBUTING.md, "Examples in headers".
#include "ingest/ingest.h"

#include <string>
#include <string_view>

#include "journal/journal.h"

// --- ingest/checkpoint_store.h
extern base::Disk& disk;
extern std::string directory;
extern evodb::journal::Journal& journal;
extern Ingest& ingest;
extern Position position;

// --- ingest/ingest.h
using namespace evodb::ingest;
extern Ingest& ingest;
extern SessionId session;
extern wire::Hello hello;
extern std::string_view body, source;
extern std::size_t frame_bytes;
extern UnixMillis now;
extern Effects effects;
extern Position position;
extern Epoch epoch;
extern Lsn lsn;

// --- ingest/lives.h
extern Lives lives;
extern std::string_view source;
extern wire::Hello hello;
extern std::uint64_t connected;
extern Epoch newest;
extern UnixMillis now;

// --- ingest/source_table.h
extern SourceTable table;

// --- ingest/table_sets.h
extern TableRegistry registry;
extern TableSets::Handle handle;
extern TableSets::Bindings bindings;
extern std::uint32_t table_ref;

// --- ingest/unordered_table.h
extern UnorderedTable table;
