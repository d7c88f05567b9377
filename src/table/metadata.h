// TableMetadata: one table metadata file of format v2, read, changed and written again.
//
//   TableMetadata m = EVODB_TRY(TableMetadata::parse(json));
//   m.log_metadata(location_of_this_one, 20);
//   m.add_snapshot(snapshot);
//   std::vector<std::string> dropped = m.retain_snapshots(100);
//   EVODB_TRY(store.put(key, m.to_json(), store::PutMode::kIfAbsent));
//
// It stays the JSON document that it was: what other engines wrote and we do not know is kept. Most
// of a document are its snapshots, and a commit changes none of them: each stays the text that it
// is, shared by copies: a commit copies it to the new file, no more.
// Source: "Table Metadata Fields" of the Iceberg spec.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <vector>

#include "evodb/result.h"
#include "evodb/types.h"
#include "table/json.h"
#include "table/schema.h"

namespace evodb::table {

// Summary of a snapshot that merged manifests: the file names of those it replaced, by commas. They
// can go when the snapshot before it is dropped.
inline constexpr std::string_view merged_manifests_key = "evodb.merged-manifests";

struct Snapshot {
  std::int64_t id = 0;
  std::optional<std::int64_t> parent;
  std::int64_t sequence_number = 0;
  std::int64_t timestamp_ms = 0;
  std::string manifest_list;
  std::map<std::string, std::string> summary;
};

struct NewTable {
  std::string uuid, location;
  Schema schema;
  std::vector<std::int32_t> sort_by;
  UnixMillis now;
};

// A value: copies and compares like its document.
class TableMetadata {
 public:
  static TableMetadata create(const NewTable& table);
  // kCorrupt: a document that breaks the spec, with the member that does. kInvalid: one that EvoDB
  // does not write to (another format version, no unpartitioned spec).
  static Result<TableMetadata> parse(std::string_view json);
  std::string to_json() const;

  std::string uuid() const;
  std::string location() const;
  std::int64_t last_updated_ms() const;
  std::int64_t last_sequence_number() const;
  std::int32_t last_column_id() const;
  std::int32_t unpartitioned_spec_id() const { return spec_id_; }
  const Json& current_schema() const;
  std::int32_t current_schema_id() const;
  // The id of the sort order over exactly these columns, as create() writes one.
  std::optional<std::int32_t> sort_order_of(const std::vector<std::int32_t>& columns) const;
  std::optional<std::string> property(std::string_view key) const;
  auto snapshots() const {  // by sequence number
    return snapshots_ | std::views::transform(
                            [](const SharedSnapshot& s) -> const Snapshot& { return s->snapshot; });
  }
  const Snapshot* current_snapshot() const;
  const Snapshot* find_snapshot(std::int64_t id) const;
  std::vector<std::string> metadata_log() const;      // locations, oldest first
  std::vector<std::string> statistics_files() const;  // locations that statistics refer to

  void set_property(const std::string& key, const std::string& value);
  // A change without a snapshot: last-updated-ms becomes `now`, if that is later.
  void touch(UnixMillis now);
  // Makes it the current one, under the next free id, and writes the name mapping.
  void set_schema(Json schema);
  // Appends it, moves main to it. REQUIRES: its sequence number is the next one.
  void add_snapshot(const Snapshot& snapshot);
  // Notes that `location` held this table until now. Returns the log's entries that fell out.
  std::vector<std::string> log_metadata(const std::string& location, std::uint32_t log_max);
  // Drops the oldest snapshots beyond `snapshots_max` that no branch or tag names. Returns the
  // locations of manifest lists and manifests that nothing refers to any more; never a data file.
  // Schemas that only they were written by go too, or a table whose columns came one by one would
  // carry a schema a column for ever.
  std::vector<std::string> retain_snapshots(std::uint32_t snapshots_max);

 private:
  struct WrittenSnapshot {
    Snapshot snapshot;
    std::optional<std::int64_t> schema_id;
    std::string json;
  };
  using SharedSnapshot = std::shared_ptr<const WrittenSnapshot>;

  Result<void> take_snapshots();
  bool is_linear() const;
  void drop_unused_schemas();

  Json json_;  // without "snapshots"
  std::vector<SharedSnapshot> snapshots_;
  std::int32_t spec_id_ = 0;
};

}  // namespace evodb::table
