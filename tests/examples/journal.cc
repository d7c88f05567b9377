// What the examples in src/journal leave open; CONTRIBUTING.md, "Examples in headers".
#include <string>
#include <string_view>

#include "base/disk.h"

// --- journal/journal.h
extern base::Disk& disk;
extern base::Random& random;
extern std::string_view header, body;

// --- journal/journal_world.h
extern const std::uint64_t seed;
extern const JournalOptions options;
extern base::Random& random;
using sim::CrashModel;

// --- journal/recovery.h
extern base::Disk& disk;
extern std::string directory;
extern const JournalOptions options;

// --- journal/segment_format.h
extern SegmentHeader header;
extern RecordHeader record;
extern char* at;
extern std::uint64_t salt;
extern Position position;

// --- journal/segment_writer.h
extern SegmentWriter writer;
extern SegmentHeader header;
extern std::uint64_t offset;
extern std::string_view bytes;
