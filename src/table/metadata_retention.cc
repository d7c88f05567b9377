// Which snapshots and schemas a table's metadata keeps, and which files nothing refers to after
// that.
#include <algorithm>
#include <set>

#include "table/metadata.h"

namespace evodb::table {
namespace {

std::string directory_of(const std::string& location) {
  return location.substr(0, location.rfind('/') + 1);
}

}  // namespace

// One line of snapshots, each the parent of the next, and no other ref: only then does "replaced by
// the next" mean "used by none".
bool TableMetadata::is_linear() const {
  const Json* refs = json_member(json_, "refs");
  if (refs != nullptr && refs->size() > 1) return false;
  for (std::size_t i = 1; i < snapshots_.size(); ++i) {
    if (snapshots_[i]->snapshot.parent != snapshots_[i - 1]->snapshot.id) return false;
  }
  const Snapshot* current = current_snapshot();
  return current != nullptr && current == &snapshots_.back()->snapshot;
}

void TableMetadata::drop_unused_schemas() {
  std::set<std::int64_t> used = {current_schema_id()};
  for (const SharedSnapshot& s : snapshots_) {
    if (!s->schema_id) return;  // which schema it means nobody can tell
    used.insert(*s->schema_id);
  }
  Json rest = Json::array();
  for (Json& schema : json_["schemas"]) {
    if (used.contains(json_long(schema, "schema-id").value_or(-1)))
      rest.push_back(std::move(schema));
  }
  json_["schemas"] = std::move(rest);
}

std::vector<std::string> TableMetadata::retain_snapshots(std::uint32_t snapshots_max) {
  std::set<std::int64_t> kept;
  if (const Snapshot* current = current_snapshot()) kept.insert(current->id);
  if (const Json* refs = json_member(json_, "refs")) {
    for (const Json& ref : *refs) {
      if (const auto id = json_long(ref, "snapshot-id")) kept.insert(*id);
    }
  }
  for (auto it = snapshots_.rbegin(); it != snapshots_.rend() && kept.size() < snapshots_max;
       ++it) {
    kept.insert((*it)->snapshot.id);
  }
  if (kept.size() == snapshots_.size()) return {};

  const bool linear = is_linear();
  std::vector<std::string> dropped;
  std::set<std::string> lists_in_use;
  for (const Snapshot& snapshot : snapshots()) {
    if (kept.contains(snapshot.id)) lists_in_use.insert(snapshot.manifest_list);
  }
  for (std::size_t i = 0; i < snapshots_.size(); ++i) {
    const Snapshot& snapshot = snapshots_[i]->snapshot;
    if (kept.contains(snapshot.id)) continue;
    if (!lists_in_use.contains(snapshot.manifest_list)) {
      dropped.push_back(snapshot.manifest_list);
    }
    if (!linear || i + 1 == snapshots_.size()) continue;
    const Snapshot& next = snapshots_[i + 1]->snapshot;
    const auto merged = next.summary.find(std::string(merged_manifests_key));
    if (merged == next.summary.end()) continue;
    std::string_view names = merged->second;
    while (!names.empty()) {
      const std::string_view name = names.substr(0, names.find(','));
      if (!name.empty() && name.find('/') == std::string_view::npos) {
        dropped.push_back(directory_of(next.manifest_list) + std::string(name));
      }
      names.remove_prefix(std::min(names.size(), name.size() + 1));
    }
  }

  const auto gone = [&](const Json& entry) {
    const auto id = json_long(entry, "snapshot-id");
    return id && !kept.contains(*id);
  };
  for (const char* list : {"statistics", "partition-statistics"}) {
    if (!json_.contains(list) || !json_[list].is_array()) continue;
    Json rest = Json::array();
    for (Json& entry : json_[list]) {
      if (!gone(entry)) rest.push_back(std::move(entry));
    }
    json_[list] = std::move(rest);
  }
  // A log with holes would claim states that never were: it begins anew behind the last hole.
  Json log = Json::array();
  for (Json& entry : json_["snapshot-log"]) {
    if (gone(entry)) {
      log.clear();
    } else {
      log.push_back(std::move(entry));
    }
  }
  json_["snapshot-log"] = std::move(log);
  std::erase_if(snapshots_,
                [&](const SharedSnapshot& s) { return !kept.contains(s->snapshot.id); });
  drop_unused_schemas();
  return property("gc.enabled") == "false" ? std::vector<std::string>() : dropped;
}

}  // namespace evodb::table
