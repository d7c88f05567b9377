// What the examples in src/lake leave open; CONTRIBUTING.md, "Examples in headers".
#include "lake/lake.h"

#include <string>
#include <vector>

#include <parquet/metadata.h>

#include "base/clock.h"
#include "journal/journal.h"
#include "store/store.h"
#include "table/catalog.h"

// --- lake/column_chunk.h
extern std::string file;
extern parquet::ColumnChunkMetaDataBuilder& metadata;
extern PageWorkspace& workspace;
extern const std::int64_t* values;
extern const std::int64_t n;

// --- lake/dictionary_chunk.h
extern std::string file;
extern parquet::ColumnChunkMetaDataBuilder& metadata;
extern PageWorkspace& workspace;
extern const std::int64_t rows;

// --- lake/flush_machine.h
extern std::unique_ptr<FlushJob> job;
extern FileEncoder& encoder;
extern store::ObjectStore& store;
extern table::Catalog& catalog;
extern base::Clock& clock;
extern base::Random& random;
extern const FlushOptions options;
extern Lake& lake;
extern const base::MonotonicMillis now;
void sleep_ms(std::int64_t ms);

// --- lake/lake.h
extern const LakeOptions options;
extern const Lake::Identity identity;
extern const table::TableState state;
extern journal::Journal& journal;
extern journal::JournalCursor& cursor;
extern journal::Record record;
extern const UnixMillis wall;
extern const base::MonotonicMillis now;
extern const FlushId id;
extern const Result<table::TableState> result;
extern std::vector<PersistedMark> marks;
void flush_elsewhere(std::unique_ptr<FlushJob> job);

// --- lake/lake_world.h: not compiled: it is a test's

// --- lake/landed_filter.h
extern LandedFilter& filter;
extern const Lsn lsn;

// --- lake/landing_progress.h
extern LandingProgress& progress;
extern const Position position, end_of_record;
extern const std::string source;
extern const Epoch epoch;
extern const Lsn last_lsn;
extern std::vector<PersistedMark> marks;

// --- lake/parquet_encoder.h
extern const FlushJob& job;

// --- lake/parquet_file.h
extern const FlushJob& job;
extern std::vector<ParquetLeaf>& leaves;
extern PageWorkspace& workspace;
extern const int level;
extern std::string bytes;
extern const RowRange rows;

// --- lake/row_buffer.h
extern RowHead head;

// --- lake/table_columns.h
extern const wire::ColumnDef column_def;
extern const ValueView value;

// --- lake/table_set.h
extern table::TableState state;
