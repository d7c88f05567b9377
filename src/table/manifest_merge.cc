#include "table/manifest_merge.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/assert.h"

namespace evodb::table {
namespace {

// Level 0 holds fewer than 32 files, level 1 fewer than 1,024; nothing: full, or not ours to merge.
std::optional<std::size_t> level_of(const ManifestFile& line, std::int32_t spec_id) {
  if (line.content != 0 || line.spec_id != spec_id || line.key_metadata) return std::nullopt;
  if (line.live_files() >= manifest_files_max || line.bytes >= manifest_bytes_max) {
    return std::nullopt;
  }
  return line.live_files() < static_cast<std::int64_t>(manifests_per_level_max) ? 0 : 1;
}

}  // namespace

std::vector<std::size_t> manifests_to_merge(const std::vector<ManifestFile>& lines,
                                            std::int32_t spec_id) {
  std::vector<std::size_t> levels[2];
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (const auto level = level_of(lines[i], spec_id)) levels[*level].push_back(i);
  }
  for (auto& level : levels) {
    if (level.size() < manifests_per_level_max) continue;
    // The oldest first, so that the lines of a manifest stay close in time, and so do its bounds.
    std::stable_sort(level.begin(), level.end(), [&](std::size_t a, std::size_t b) {
      return lines[a].sequence_number < lines[b].sequence_number;
    });
    std::int64_t bytes = 0;
    std::size_t taken = 0;
    for (; taken < std::min(level.size(), 2 * manifests_per_level_max); ++taken) {
      bytes += lines[level[taken]].bytes;
      if (taken > 1 && bytes > 2 * manifest_bytes_max) break;
    }
    level.resize(taken);
    return std::move(level);
  }
  return {};
}

void ManifestMerge::add(const ManifestFile& line, std::vector<ManifestEntry> entries) {
  if (std::any_of(entries.begin(), entries.end(), [](const ManifestEntry& entry) {
        return entry.partitioned || entry.content != 0;
      })) {
    return;
  }
  replaces_.push_back(line.location);
  for (ManifestEntry& entry : entries) {
    if (entry.status == EntryStatus::kDeleted) continue;
    entry.status = EntryStatus::kExisting;
    entries_.push_back(std::move(entry));
  }
}

NewManifest ManifestMerge::write(const ManifestHeader& header, std::string key,
                                 std::string location, std::int64_t snapshot_id) const {
  EVODB_ASSERT(worthwhile(), "there is something to merge");
  NewManifest out;
  out.key = std::move(key);
  out.bytes = write_manifest(header, entries_);
  out.replaces = replaces_;
  out.line.location = std::move(location);
  out.line.bytes = static_cast<std::int64_t>(out.bytes.size());
  out.line.spec_id = header.spec_id;
  out.line.added_snapshot_id = snapshot_id;
  out.line.min_sequence_number = INT64_MAX;
  for (const ManifestEntry& entry : entries_) {
    ++out.line.existing_files;
    out.line.existing_rows += entry.file.record_count;
    out.line.min_sequence_number = std::min(out.line.min_sequence_number, *entry.sequence_number);
  }
  out.line.partitions.emplace();
  return out;
}

ManifestFile in_commit(ManifestFile line, std::int64_t sequence_number) {
  line.sequence_number = sequence_number;
  if (line.existing_files == 0) line.min_sequence_number = sequence_number;
  line.min_sequence_number = std::min(line.min_sequence_number, sequence_number);
  return line;
}

}  // namespace evodb::table
