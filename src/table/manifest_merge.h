// Merging of manifests, so that a commit's cost does not grow with the table's age.
//
//   std::vector<std::size_t> chosen = manifests_to_merge(lines, spec_id);
//   ManifestMerge merge;
//   for (std::size_t i : chosen) {
//     merge.add(lines[i], EVODB_TRY(read_manifest(bytes_of(lines[i]), lines[i])));
//   }
//   if (merge.worthwhile()) put(merge.write(header, key, store.location(key), snapshot_id));
//
// Every commit adds a manifest of one line or so. Like the levels of a log-structured merge tree,
// 32 manifests of a level become one of the next, so each data file's line is rewritten at most
// twice in its life, and a manifest list holds a few dozen small manifests plus the full ones. A
// manifest is full, and left alone for ever, at 1,024 files or 4 MiB.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "table/manifest.h"

namespace evodb::table {

inline constexpr std::size_t manifests_per_level_max = 32;
inline constexpr std::int64_t manifest_files_max = 1024;
inline constexpr std::int64_t manifest_bytes_max = 4 << 20;

// Indexes into `lines` of manifests that this commit should merge, or none. Only data manifests of
// the unpartitioned spec, unencrypted.
std::vector<std::size_t> manifests_to_merge(const std::vector<ManifestFile>& lines,
                                            std::int32_t spec_id);

// A manifest that is to be written, with its line. The line's sequence numbers and snapshot are the
// commit's, known only when it is tried: see in_commit().
struct NewManifest {
  std::string key;
  std::string bytes;
  ManifestFile line;
  std::vector<std::string> replaces;  // locations
};

class ManifestMerge {
 public:
  // Live entries become EXISTING, deleted ones are left behind. Not added: a manifest with a
  // partitioned entry, which we do not keep whole.
  void add(const ManifestFile& line, std::vector<ManifestEntry> entries);
  bool worthwhile() const { return replaces_.size() > 1; }
  NewManifest write(const ManifestHeader& header, std::string key, std::string location,
                    std::int64_t snapshot_id) const;

 private:
  std::vector<ManifestEntry> entries_;
  std::vector<std::string> replaces_;
};

// The line as the commit with this sequence number lists it. `min_sequence_number` is kept where
// the manifest has entries older than that.
ManifestFile in_commit(ManifestFile line, std::int64_t sequence_number);

}  // namespace evodb::table
