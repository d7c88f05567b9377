// Manifests and manifest lists, format v2: which data files a snapshot has.
//
//   std::string bytes = write_manifest({schema_json, 0, 0}, entries);
//   std::vector<ManifestEntry> read = EVODB_TRY(read_manifest(bytes, its_line_in_the_list));
//   std::string list = write_manifest_list({snapshot_id, parent, sequence}, files);
//
// Source: "Manifests" and "Manifest Lists" of the Iceberg spec; field ids are theirs. Everything
// that v2 knows is kept when an entry is read and written again, so foreign writers lose nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "evodb/result.h"
#include "table/data_file.h"

namespace evodb::table {

enum class EntryStatus : std::uint8_t { kExisting = 0, kAdded = 1, kDeleted = 2 };

struct ManifestEntry {
  EntryStatus status = EntryStatus::kAdded;
  std::int64_t snapshot_id = 0;
  // Nothing only in ADDED entries that are being written: then readers inherit the commit's.
  std::optional<std::int64_t> sequence_number, file_sequence_number;
  std::int32_t content = 0;  // 0 data, 1 position deletes, 2 equality deletes
  std::string file_format = "PARQUET";
  DataFile file;
  std::optional<std::string> key_metadata;
  std::vector<std::int32_t> equality_ids;
  std::optional<std::int32_t> sort_order_id;
  bool partitioned = false;  // read only: it has a partition, which we neither keep nor write
};

// One line of a manifest list.
struct ManifestFile {
  struct FieldSummary {
    bool contains_null = false;
    std::optional<bool> contains_nan;
    std::optional<std::string> lower_bound, upper_bound;
    friend bool operator==(const FieldSummary&, const FieldSummary&) = default;
  };
  std::string location;
  std::int64_t bytes = 0;
  std::int32_t spec_id = 0;
  std::int32_t content = 0;  // 0 data, 1 deletes
  std::int64_t sequence_number = 0, min_sequence_number = 0;
  std::int64_t added_snapshot_id = 0;
  std::int32_t added_files = 0, existing_files = 0, deleted_files = 0;
  std::int64_t added_rows = 0, existing_rows = 0, deleted_rows = 0;
  std::optional<std::vector<FieldSummary>> partitions;
  std::optional<std::string> key_metadata;

  std::int64_t live_files() const { return std::int64_t{added_files} + existing_files; }
  friend bool operator==(const ManifestFile&, const ManifestFile&) = default;
};

struct ManifestHeader {
  std::string schema_json;
  std::int32_t schema_id = 0;
  std::int32_t spec_id = 0;  // of a spec without fields
};

// REQUIRES: no entry is partitioned; only ADDED ones lack sequence numbers.
std::string write_manifest(const ManifestHeader& header, const std::vector<ManifestEntry>& entries);

// Sequence numbers and snapshot ids that the entries inherit from `listed` are filled in.
Result<std::vector<ManifestEntry>> read_manifest(std::string_view bytes,
                                                 const ManifestFile& listed);

struct ManifestListHeader {
  std::int64_t snapshot_id = 0;
  std::optional<std::int64_t> parent_snapshot_id;
  std::int64_t sequence_number = 0;
};
std::string write_manifest_list(const ManifestListHeader& header,
                                const std::vector<ManifestFile>& files);
Result<std::vector<ManifestFile>> read_manifest_list(std::string_view bytes);

}  // namespace evodb::table
