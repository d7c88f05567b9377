// What the examples in capture leave open; CONTRIBUTING.md, "Examples in headers".
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/clock.h"
#include "capture/outbox.h"
#include "capture/refresh.h"
#include "capture/sqlite_outbox.h"

extern const evodb::capture::Database db;
extern const std::string path;

// --- capture/install.h
extern base::Clock& clock;
extern base::Random& random;

// --- capture/capture_plan.h
extern const CaptureState state;
extern const std::vector<SelectedName> selection;

// --- capture/held_bytes.h
extern const Lsn mark, head;
extern const std::uint64_t bytes, limit;

// --- capture/log_memory.h
extern const LogMemory memory;

// --- capture/memory_file.h
extern const SqliteOutbox outbox;

// --- capture/outbox_row.h
extern const Statement statement;
extern const KnownTable table;
extern ChangeSink& sink;

// --- capture/polite_writer.h
extern Database db;
extern base::Clock& clock;
extern const bool others_wrote;
bool delete_a_few_rows();

// --- capture/reinstall.h
extern const LogMemory memory;
extern const Epoch at_least;

// --- capture/repair.h
extern base::Clock& clock;
extern base::Random& random;
void say(const std::string& what);

// --- capture/resend.h
extern base::Clock& clock;
extern const CapturedTable table;

// --- capture/space_reserve.h
extern const Error error;

// --- capture/sqlite_db.h
void use(std::string_view text);

// --- capture/sqlite_outbox.h
extern const Lsn last;
extern ChangeSink& sink;

// --- capture/table_shape.h
void report(const std::string& table, const std::string& reason);

// --- capture/trigger_reach.h
extern const SchemaText schema;
struct TriggerText {
  std::string sql;
};
extern const TriggerText trigger;

// --- capture/triggers.h
extern const TableShape shape;
extern const std::int64_t slot, definition_id;

// --- capture/unique_conflicts.h
extern const TableShape shape;
