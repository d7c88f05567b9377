#include "table/append_snapshot.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "base/assert.h"
#include "base/bytes.h"
#include "table/schema_json.h"
#include "table/table_state.h"

namespace evodb::table {
namespace {

std::string file_name(const std::string& location) {
  return location.substr(location.rfind('/') + 1);
}

// "00042-<uuid>.metadata.json": the number before the dash, and one more. Other writers count on.
std::string metadata_name(const std::string& before, const std::string& uuid) {
  std::uint64_t version = 0;
  const std::string name = file_name(before);
  const auto [stop, error] = std::from_chars(name.data(), name.data() + name.size(), version);
  const bool counted = error == std::errc() && stop != name.data() + name.size() && *stop == '-';
  std::string digits = std::to_string(counted && version < 1'000'000'000 ? version + 1 : 0);
  digits.insert(0, digits.size() < 5 ? 5 - digits.size() : 0, '0');
  return digits + "-" + uuid + ".metadata.json";
}

NewObject new_object(const store::ObjectStore& store, std::string key) {
  NewObject object;
  object.location = store.location(key);
  object.key = std::move(key);
  return object;
}

std::string carried(const Snapshot* before, const char* key) {
  if (before == nullptr) return "0";
  const auto it = before->summary.find(key);
  return it == before->summary.end() ? "" : it->second;
}

// Counts come from the manifest list, which is the truth even where another engine left its
// summaries out. Sizes and delete counts are not in it: they are carried on where they are known.
std::map<std::string, std::string> summary_of(const AppendRequest& request, const Snapshot* before,
                                              const std::vector<ManifestFile>& lines) {
  std::int64_t records = 0, bytes = 0;
  for (const DataFile& file : request.files) {
    records += file.record_count;
    bytes += file.file_bytes;
  }
  std::int64_t data_files = 0, delete_files = 0, rows = 0;
  for (const ManifestFile& line : lines) {
    (line.content == 0 ? data_files : delete_files) += line.live_files();
    if (line.content == 0) rows += line.added_rows + line.existing_rows;
  }
  std::map<std::string, std::string> summary = watermark_properties(request.watermark);
  summary["operation"] = "append";
  summary["added-data-files"] = std::to_string(request.files.size());
  summary["added-records"] = std::to_string(records);
  summary["added-files-size"] = std::to_string(bytes);
  summary["changed-partition-count"] = request.files.empty() ? "0" : "1";
  summary["total-data-files"] = std::to_string(data_files);
  summary["total-records"] = std::to_string(rows);
  summary["total-delete-files"] = std::to_string(delete_files);
  std::int64_t size = 0;
  const std::string size_before = carried(before, "total-files-size");
  const char* end = size_before.data() + size_before.size();
  const auto [stop, error] = std::from_chars(size_before.data(), end, size);
  if (error == std::errc() && stop == end && size >= 0 && size <= INT64_MAX - bytes) {
    summary["total-files-size"] = std::to_string(size + bytes);
  }
  for (const char* key : {"total-position-deletes", "total-equality-deletes"}) {
    if (const std::string value = carried(before, key); !value.empty()) summary[key] = value;
  }
  return summary;
}

// File names for Snapshot::summary, so that they can go when the snapshot before this one is
// dropped; only those that lie where ours lie.
std::string merged_names(const NewManifest& merged, const std::string& list_location) {
  const std::string folder = list_location.substr(0, list_location.rfind('/') + 1);
  std::string names;
  for (const std::string& location : merged.replaces) {
    const std::string name = file_name(location);
    if (location != folder + name || name.find(',') != std::string::npos) continue;
    if (!names.empty()) names.push_back(',');
    names += name;
  }
  return names;
}

}  // namespace

std::string random_uuid(base::Random& random) {
  std::string bytes;
  base::put_u64(bytes, random.next());
  base::put_u64(bytes, random.next());
  bytes[6] = static_cast<char>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<char>((bytes[8] & 0x3f) | 0x80);
  std::string hex = base::to_hex(bytes);
  for (const std::size_t dash : {8, 13, 18, 23}) hex.insert(dash, 1, '-');
  return hex;
}

Result<bool> has_landed(const AppendRequest& request, const TableMetadata& metadata,
                        std::int64_t snapshot_id) {
  const Snapshot* snapshot = metadata.find_snapshot(snapshot_id);
  if (snapshot != nullptr && summary_watermark(*snapshot) == request.watermark) return true;
  if (request.expected == request.watermark) return false;
  return EVODB_TRY(read_watermark(metadata)) == request.watermark;
}

Result<void> check_watermark(const AppendRequest& request, const TableMetadata& metadata) {
  const auto there = EVODB_TRY(read_watermark(metadata));
  if (there && there->writer > request.watermark.writer) {
    return fail(ErrorKind::kFenced, "table " + request.table + " was written by a newer parent (" +
                                        describe(there) + "); ours is writer epoch " +
                                        std::to_string(request.watermark.writer.value));
  }
  if (request.create) {
    return fail(ErrorKind::kExists, "table " + request.table + " exists already (watermark: " +
                                        describe(there) + "): load it and append to it");
  }
  if (there == request.expected) return {};
  return fail(ErrorKind::kStale, "table " + request.table +
                                     " has another watermark than expected: "
                                     "there is " +
                                     describe(there) + "; expected " + describe(request.expected) +
                                     ": it was rolled back, replaced or written by another parent");
}

ManifestHeader manifest_header(const TableMetadata& metadata) {
  return {dump_json(metadata.current_schema()), metadata.current_schema_id(),
          metadata.unpartitioned_spec_id()};
}

Result<BegunCommit> begin_commit(const AppendRequest& request, const CommitBase& base,
                                 const CommitNames& names, const store::ObjectStore& store) {
  if (!base.metadata) {
    return BegunCommit{
        TableMetadata::create({names.table_uuid, store.location(request.location_key),
                               request.schema, request.sort_by, request.now}),
        {}};
  }
  BegunCommit begun{*base.metadata, {}};
  begun.dropped = begun.metadata.log_metadata(base.metadata_location, request.metadata_log_max);
  auto evolved = EVODB_TRY(evolve_schema(begun.metadata.current_schema(), request.schema,
                                         begun.metadata.last_column_id()));
  if (evolved) begun.metadata.set_schema(std::move(*evolved));
  return begun;
}

NewManifest added_manifest(const AppendRequest& request, const TableMetadata& metadata,
                           const std::string& location_key, const CommitNames& names,
                           const store::ObjectStore& store) {
  EVODB_ASSERT(!request.files.empty(), "a manifest of nothing is not written");
  const auto sort_order = metadata.sort_order_of(request.sort_by);
  std::vector<ManifestEntry> entries;
  NewManifest out;
  for (const DataFile& file : request.files) {
    ManifestEntry entry;
    entry.snapshot_id = names.snapshot_id;
    entry.file = file;
    entry.sort_order_id = sort_order;
    entries.push_back(std::move(entry));
    ++out.line.added_files;
    out.line.added_rows += file.record_count;
  }
  const ManifestHeader header = manifest_header(metadata);
  out.key = location_key + "/metadata/" + names.uuid + "-m0.avro";
  out.bytes = write_manifest(header, entries);
  out.line.location = store.location(out.key);
  out.line.bytes = static_cast<std::int64_t>(out.bytes.size());
  out.line.spec_id = header.spec_id;
  out.line.added_snapshot_id = names.snapshot_id;
  out.line.partitions.emplace();
  return out;
}

Result<CommitPlan> finish_commit(const AppendRequest& request, const CommitBase& base,
                                 BegunCommit begun, const NewManifest* added,
                                 const NewManifest* merged, const CommitNames& names, int attempt,
                                 const store::ObjectStore& store) {
  TableMetadata& next = begun.metadata;
  const std::string folder = EVODB_TRY(store.key_of(next.location())) + "/metadata/";
  // A clock that was set back must not make the table's history go back.
  const std::int64_t timestamp_ms = std::max(request.now.value, next.last_updated_ms());
  CommitPlan plan;
  std::vector<std::string>& dropped = begun.dropped;
  std::vector<ManifestFile> lines;
  if (added != nullptr) {
    const Snapshot* before = base.metadata ? base.metadata->current_snapshot() : nullptr;
    Snapshot snapshot;
    snapshot.id = names.snapshot_id;
    if (before != nullptr) snapshot.parent = before->id;
    snapshot.sequence_number = next.last_sequence_number() + 1;
    snapshot.timestamp_ms = timestamp_ms;
    lines.push_back(in_commit(added->line, snapshot.sequence_number));
    std::set<std::string> replaced;
    if (merged != nullptr) {
      replaced.insert(merged->replaces.begin(), merged->replaces.end());
      if (merged->line.live_files() > 0) {
        lines.push_back(in_commit(merged->line, snapshot.sequence_number));
      }
    }
    for (const ManifestFile& line : base.lines) {
      if (!replaced.contains(line.location)) lines.push_back(line);
    }
    plan.list = new_object(store, folder + "snap-" + std::to_string(snapshot.id) + "-" +
                                      std::to_string(attempt) + "-" + names.uuid + ".avro");
    plan.list->bytes =
        write_manifest_list({snapshot.id, snapshot.parent, snapshot.sequence_number}, lines);
    snapshot.manifest_list = plan.list->location;
    snapshot.summary = summary_of(request, before, lines);
    if (merged != nullptr) {
      if (std::string gone = merged_names(*merged, plan.list->location); !gone.empty()) {
        snapshot.summary[std::string(merged_manifests_key)] = std::move(gone);
      }
    }
    next.add_snapshot(snapshot);
    const auto more = next.retain_snapshots(std::max(request.snapshots_max, 1u));
    dropped.insert(dropped.end(), more.begin(), more.end());
  } else {
    next.touch(UnixMillis(timestamp_ms));
  }
  for (const auto& [key, value] : watermark_properties(request.watermark)) {
    next.set_property(key, value);
  }
  plan.metadata = new_object(
      store,
      folder + metadata_name(base.metadata ? base.metadata_location : "", names.metadata_uuid));
  plan.metadata.bytes = next.to_json();
  for (const std::string& location : dropped) {
    // Only what lies in this table's own folder: a table that was registered from elsewhere may
    // refer to files that are not ours.
    const auto key = store.key_of(location);
    if (key && key->starts_with(folder)) plan.removable.push_back(*key);
  }
  plan.after = EVODB_TRY(table_state_of(request.table, plan.metadata.location, next, store));
  plan.next = {std::move(next), plan.metadata.location, plan.metadata.bytes.size(),
               std::move(lines)};
  return plan;
}

}  // namespace evodb::table
