// What the examples in src/parent leave open; CONTRIBUTING.md, "Examples in headers".
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/disk.h"
#include "gate/gate.h"
#include "parent/landing.h"
#include "parent/recovery.h"

// --- parent/iceberg_request.h
void refuse(const IcebergRefusal& refusal);

// --- parent/iceberg_rest.h
extern base::Loop& loop;
extern StoreRunner& store;
extern const IcebergRestOptions options;
extern const gate::HttpRequest request;
extern IcebergRest::Respond respond;

// --- parent/own_epochs.h
extern base::Disk& disk;
extern const std::string directory;
extern const JournalExtent journal;
extern const table::Watermark mark;
extern const table::WriterEpoch writer;
extern const Position end;

// --- parent/parent.h
struct RunningLoop : base::Loop {
  void run();
};
extern RunningLoop& loop;
extern const ParentSeams seams;
extern const ParentOptions options;
extern const std::int64_t deadline_ms;

// --- parent/refusals.h
extern Refusals refusals;
extern const Error why;
extern base::Clock& clock;

// --- parent/set_aside.h
extern base::Disk& disk;
extern journal::Journal& journal;
extern const journal::JournalId journal_id;
extern const std::uint64_t bytes_max;
extern const journal::Record record;
extern const std::vector<std::string> definitions;

// --- parent/store_health.h
extern const StoreHealth::Seams seams;
extern const StoreHealthOptions options;
extern const LandingStats landing_stats;
void say(const std::string& line);

// --- parent/unchecked_end.h
extern base::Disk& disk;
extern const std::string directory;
extern const JournalExtent journal;
extern const OwnEpochs own;
extern const std::vector<table::FoundTable> tables;
