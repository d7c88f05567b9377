// What a table still refers to, and what lies beside it without being referred to.
#include <algorithm>
#include <map>
#include <set>

#include "table/append.h"
#include "table/manifest.h"
#include "table/metadata.h"

namespace evodb::table {
namespace {

Result<std::string> get(store::ObjectStore& store, const std::string& location) {
  return store.get(EVODB_TRY(store.key_of(location)));
}

Error in(const std::string& location, const Error& error) {
  return {error.kind, location + ": " + error.text};
}

// Everything that the snapshots of one metadata file name. Manifests that snapshots share are read
// once.
struct References {
  std::vector<DataFile> current_data;    // of the current snapshot, unless every one was asked for
  std::set<std::string> data, metadata;  // locations, of every snapshot
};

Result<std::vector<ManifestEntry>> read_listed(store::ObjectStore& store,
                                               const ManifestFile& line) {
  auto bytes = get(store, line.location);
  if (!bytes) return fail(in(line.location, bytes.error()));
  auto entries = read_manifest(*bytes, line);
  if (!entries) return fail(in(line.location, entries.error()));
  return entries;
}

Result<References> collect(store::ObjectStore& store, const std::string& metadata_location,
                           const TableMetadata& metadata, bool every_snapshot) {
  References found;
  found.metadata.insert(metadata_location);
  for (auto& location : metadata.metadata_log()) found.metadata.insert(std::move(location));
  for (auto& location : metadata.statistics_files()) found.metadata.insert(std::move(location));
  const Snapshot* current = metadata.current_snapshot();
  for (const Snapshot& snapshot : metadata.snapshots()) {
    found.metadata.insert(snapshot.manifest_list);
    auto bytes = get(store, snapshot.manifest_list);
    if (!bytes) return fail(in(snapshot.manifest_list, bytes.error()));
    const auto lines = read_manifest_list(*bytes);
    if (!lines) return fail(in(snapshot.manifest_list, lines.error()));
    const bool is_current = &snapshot == current;
    for (const ManifestFile& line : *lines) {
      const bool is_new = found.metadata.insert(line.location).second;
      if (every_snapshot ? !is_new : !is_current || line.content != 0) continue;
      for (ManifestEntry& entry : EVODB_TRY(read_listed(store, line))) {
        // What an entry deletes may still be in an older snapshot: that one's manifest says so.
        if (entry.status == EntryStatus::kDeleted) continue;
        found.data.insert(entry.file.location);
        if (!every_snapshot && entry.content == 0)
          found.current_data.push_back(std::move(entry.file));
      }
    }
  }
  return found;
}

Result<TableMetadata> load_metadata(store::ObjectStore& store, const std::string& location) {
  const std::string json = EVODB_TRY(get(store, location));
  auto metadata = TableMetadata::parse(json);
  if (!metadata) return fail(in(location, metadata.error()));
  return metadata;
}

// The references as a listing can be compared with them. A location that is not in this warehouse
// by its spelling may be all the same (another scheme, a mount): then its file name alone protects.
class KeepSet {
 public:
  void add(const store::ObjectStore& store, const std::string& location) {
    if (const auto key = store.key_of(location)) {
      keys_.insert(*key);
    } else {
      names_.insert(name_of(location));
    }
  }
  bool holds(const std::string& key) const {
    return keys_.contains(key) || names_.contains(name_of(key));
  }

 private:
  static std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }
  std::set<std::string> keys_, names_;
};

// What is referred to, lies in the listed folder and was not listed. What was written since the
// listing is listed when it is asked for.
Result<std::vector<std::string>> missing_of(store::ObjectStore& store, const std::string& folder,
                                            const std::vector<store::ObjectInfo>& objects,
                                            const std::set<std::string>& referred) {
  std::set<std::string> listed;
  for (const auto& object : objects) listed.insert(object.key);
  std::vector<std::string> missing;
  for (const std::string& location : referred) {
    const auto key = store.key_of(location);
    if (!key || !key->starts_with(folder) || listed.contains(*key)) continue;
    // Not by reading it: it may be large.
    const auto again = EVODB_TRY(store.list(*key));
    const bool there = std::ranges::any_of(
        again, [&](const store::ObjectInfo& object) { return object.key == *key; });
    if (!there) missing.push_back(location);
  }
  return missing;
}

}  // namespace

Result<LiveFiles> list_live_files(store::ObjectStore& store, const std::string& metadata_location) {
  const TableMetadata metadata = EVODB_TRY(load_metadata(store, metadata_location));
  References found = EVODB_TRY(collect(store, metadata_location, metadata, false));
  LiveFiles live;
  live.data = std::move(found.current_data);
  for (const std::string& location : found.metadata) {
    if (auto key = store.key_of(location)) live.metadata_keys.push_back(std::move(*key));
  }
  return live;
}

Result<std::uint64_t> remove_orphans(store::ObjectStore& store, Catalog& catalog,
                                     const std::string& table, std::int64_t min_age_ms,
                                     UnixMillis now) {
  return EVODB_TRY(tidy_table(store, catalog, table, true, min_age_ms, now)).removed;
}

Result<Tidied> tidy_table(store::ObjectStore& store, Catalog& catalog, const std::string& table,
                          bool may_remove, std::int64_t min_age_ms, UnixMillis now) {
  Tidied done;
  const auto first = EVODB_TRY(catalog.load(table));
  if (!first) return done;
  const TableMetadata before = EVODB_TRY(load_metadata(store, *first));
  const std::string folder = EVODB_TRY(store.key_of(before.location())) + "/";
  for (const TableEntry& other : EVODB_TRY(catalog.list())) {
    const auto key = store.key_of(other.metadata_location);
    if (other.name != table && key && key->starts_with(folder)) {
      return fail(ErrorKind::kInvalid, "table " + other.name + " lies inside the folder of table " +
                                           table + ": its orphans cannot be told apart");
    }
  }
  // First the listing, then the references: what was referred to in between is seen, and what was
  // written in between is not listed.
  const auto objects = EVODB_TRY(store.list(folder));
  const auto location = EVODB_TRY(catalog.load(table));
  if (!location) return done;
  const TableMetadata metadata = EVODB_TRY(load_metadata(store, *location));
  if (metadata.uuid() != before.uuid()) return done;
  const References found = EVODB_TRY(collect(store, *location, metadata, true));
  done.missing = EVODB_TRY(missing_of(store, folder, objects, found.data));
  if (!may_remove || metadata.property("gc.enabled") == "false") return done;
  KeepSet keep;
  for (const auto* locations : {&found.data, &found.metadata}) {
    for (const std::string& referred : *locations) keep.add(store, referred);
  }
  // Ages are taken by the store's own clock where ours is ahead of it: no clock that jumped makes a
  // young file old.
  std::int64_t newest = INT64_MIN;
  for (const auto& object : objects) newest = std::max(newest, object.modified.value);
  const std::int64_t reference = std::min(now.value, newest);
  for (const auto& object : objects) {
    if (reference - object.modified.value <= min_age_ms || keep.holds(object.key)) continue;
    EVODB_TRY(store.remove(object.key));
    ++done.removed;
  }
  return done;
}

}  // namespace evodb::table
