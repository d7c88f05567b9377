// What the examples in src/table leave open; CONTRIBUTING.md, "Examples in headers".
#include <string>
#include <vector>

#include "base/clock.h"
#include "store/store.h"
#include "table/append.h"
#include "table/manifest.h"

// --- table/absent_columns.h
extern const Schema schema;
extern ManifestEntry entry;

// --- table/adopt.h
extern store::ObjectStore& store;
extern const std::vector<store::ObjectInfo> objects_of_the_folder;

// --- table/append.h
extern const AppendRequest request;
extern store::ObjectStore& store;
extern Catalog& catalog;
extern base::Random& random;

// --- table/append_snapshot.h
extern const AppendRequest request;
extern const CommitBase base;
extern const CommitNames names;
extern const int attempt;
extern store::ObjectStore& store;
void put(const std::string& key, const std::string& bytes);
void swap_entry_to(const std::string& location);

// --- table/avro.h
extern const std::string schema_json, bytes;
void take(const AvroValue* value);

// --- table/bounds.h
extern DataFile file;
extern const std::int32_t id;
extern const std::int64_t min;
extern const std::string max;

// --- table/commit_cache.h
extern CommitCache& cache;
extern const std::string location_in_the_catalog;
extern CommitBase left;

// --- table/manifest.h
extern const std::string schema_json;
extern const std::int64_t snapshot_id, parent, sequence;
extern const std::vector<ManifestEntry> entries;
extern const ManifestFile its_line_in_the_list;
extern const std::vector<ManifestFile> files;

// --- table/manifest_merge.h
extern const std::vector<ManifestFile> lines;
extern const std::int32_t spec_id;
extern const ManifestHeader header;
extern const std::int64_t snapshot_id;
extern const std::string key;
extern const store::ObjectStore& store;
std::string bytes_of(const ManifestFile& line);
void put(const NewManifest& manifest);

// --- table/metadata.h
extern const std::string json, key, location_of_this_one;
extern const Snapshot snapshot;
extern store::ObjectStore& store;

// --- table/open_lakehouse.h
extern store::ObjectStore& store;
extern Catalog& catalog;
extern base::Random& random;
extern WriterEpoch writer;
extern const OpenOptions options;
extern AppendRequest commit;

// --- table/relocate.h
extern store::ObjectStore& store;
extern Catalog& catalog;
extern base::Random& random;
extern WriterEpoch writer;

// --- table/served_table.h
extern store::ObjectStore& store;
extern Catalog& catalog;

// --- table/table_state.h
extern const Watermark w;
extern TableMetadata metadata;
