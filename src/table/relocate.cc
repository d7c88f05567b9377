#include "table/relocate.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "table/append_snapshot.h"
#include "table/claim.h"
#include "table/json.h"
#include "table/manifest.h"
#include "table/metadata.h"
#include "table/open_lakehouse.h"
#include "table/table_state.h"

namespace evodb::table {
namespace {

// "file:/x" and "/x" are what Java's and other writers make of "file:///x".
std::string spelled_as(const std::string& location, const std::string& root) {
  if (!root.starts_with("file://") || location.starts_with("file://")) return location;
  if (location.starts_with("file:/")) return "file://" + location.substr(5);
  return location.starts_with('/') ? "file://" + location : location;
}

class Relocation {
 public:
  Relocation(store::ObjectStore& store, base::Random& random, std::string from, std::string to)
      : store_(store), random_(random), from_(std::move(from)), to_(std::move(to)) {}

  // Nothing: it was not under the old root.
  std::optional<std::string> key_of(const std::string& location) const {
    const std::string spelled = spelled_as(location, from_);
    if (!spelled.starts_with(from_)) return std::nullopt;
    return spelled.substr(from_.size());
  }

  // The table whose metadata file this is, written anew; gives the new file's location.
  Result<std::string> rewrite(const std::string& metadata_key) {
    const std::string text = EVODB_TRY(store_.get(metadata_key));
    const TableMetadata metadata = EVODB_TRY(TableMetadata::parse(text));
    Json json = EVODB_TRY(parse_json(text));
    const auto root = key_of(metadata.location());
    if (!root) return fail(ErrorKind::kInvalid, "its location is " + metadata.location());
    folder_ = *root + "/metadata/";
    header_ = manifest_header(metadata);
    json["location"] = to_ + *root;
    for (Json& snapshot : json["snapshots"]) {
      const auto list = json_string(snapshot, "manifest-list");
      if (list) snapshot["manifest-list"] = EVODB_TRY(rewrite_list(*list, snapshot));
    }
    json["metadata-log"] = Json::array();
    // They would have to be written anew, too, and say nothing that the data does not.
    json["statistics"] = Json::array();
    json["partition-statistics"] = Json::array();
    if (json["properties"].is_object()) {
      for (Json& value : json["properties"]) {
        if (!value.is_string()) continue;
        if (const auto key = key_of(value.get<std::string>())) value = to_ + *key;
      }
    }
    const std::string key = folder_ + metadata_name(metadata_key, random_uuid(random_));
    EVODB_TRY(put(key, dump_json(json)));
    return to_ + key;
  }

 private:
  Result<void> put(const std::string& key, const std::string& bytes) {
    const store::NewObject object{key, bytes};
    return store_.put_all({&object, 1});
  }

  Result<std::string> rewrite_list(const std::string& location, const Json& snapshot) {
    const auto key = key_of(location);
    if (!key) return fail(ErrorKind::kInvalid, "its manifest list " + location + " lies elsewhere");
    std::vector<ManifestFile> lines = EVODB_TRY(read_manifest_list(EVODB_TRY(store_.get(*key))));
    for (ManifestFile& line : lines) {
      const ManifestFile& moved = *EVODB_TRY(rewrite_manifest(line));
      line.location = moved.location;
      line.bytes = moved.bytes;
    }
    const ManifestListHeader header{json_long(snapshot, "snapshot-id").value_or(0),
                                    json_long(snapshot, "parent-snapshot-id"),
                                    json_long(snapshot, "sequence-number").value_or(0)};
    const std::string new_key = folder_ + "snap-" + std::to_string(header.snapshot_id) + "-0-" +
                                random_uuid(random_) + ".avro";
    EVODB_TRY(put(new_key, write_manifest_list(header, lines)));
    return to_ + new_key;
  }

  // Snapshots share most of them.
  Result<const ManifestFile*> rewrite_manifest(const ManifestFile& line) {
    if (const auto done = manifests_.find(line.location); done != manifests_.end()) {
      return &done->second;
    }
    const auto key = key_of(line.location);
    if (!key) return fail(ErrorKind::kInvalid, "its manifest " + line.location + " lies elsewhere");
    if (line.content != 0 || line.spec_id != header_.spec_id || line.key_metadata) {
      return fail(
          ErrorKind::kInvalid,
          "its manifest " + line.location +
              " has deletes, partitions or encryption, which only the engine that made them can "
              "write anew: where the warehouse was, let it compact the table and expire its older "
              "snapshots, and copy the table's folder here");
    }
    auto entries = EVODB_TRY(read_manifest(EVODB_TRY(store_.get(*key)), line));
    for (ManifestEntry& entry : entries) {
      if (entry.partitioned) {
        return fail(ErrorKind::kInvalid, "its manifest " + line.location + " has partitions");
      }
      if (const auto data = key_of(entry.file.location)) entry.file.location = to_ + *data;
    }
    const std::string bytes = write_manifest(header_, entries);
    const std::string new_key =
        folder_ + random_uuid(random_) + "-m" + std::to_string(manifests_.size()) + ".avro";
    EVODB_TRY(put(new_key, bytes));
    ManifestFile moved = line;
    moved.location = to_ + new_key;
    moved.bytes = static_cast<std::int64_t>(bytes.size());
    return &manifests_.emplace(line.location, std::move(moved)).first->second;
  }

  // "00042-..." becomes "00043-<uuid>.metadata.json".
  static std::string metadata_name(const std::string& before, const std::string& uuid) {
    const std::string name = before.substr(before.rfind('/') + 1);
    std::uint64_t number = 0;
    (void)std::from_chars(name.data(), name.data() + name.size(), number);
    std::string digits = std::to_string(number < 1'000'000'000 ? number + 1 : 0);
    digits.insert(0, digits.size() < 5 ? 5 - digits.size() : 0, '0');
    return digits + "-" + uuid + ".metadata.json";
  }

  store::ObjectStore& store_;
  base::Random& random_;
  const std::string from_, to_;  // both end with a slash
  std::string folder_;           // of the table's metadata, a key
  ManifestHeader header_;
  std::map<std::string, ManifestFile> manifests_;  // by old location
};

std::string with_slash(std::string root) {
  if (!root.ends_with('/')) root += '/';
  return root;
}

bool passes(const Error& error) {
  return error.kind == ErrorKind::kRetry || error.kind == ErrorKind::kOutcomeUnknown;
}

// The newest pointer of each folder, or why it cannot be read.
Result<std::map<std::string, Result<Pointer>>> pointers_of(store::ObjectStore& store) {
  std::map<std::string, std::string> newest;
  for (const auto& object : EVODB_TRY(store.list(std::string(pointers_prefix)))) {
    if (const auto key = parse_pointer_key(object.key)) newest[key->location_key] = object.key;
  }
  std::map<std::string, Result<Pointer>> pointers;
  for (const auto& [location_key, key] : newest) {
    const auto bytes = store.get(key);
    if (!bytes && passes(bytes.error())) return fail(bytes.error());
    pointers.emplace(location_key,
                     bytes ? decode_pointer(*bytes) : Result<Pointer>(fail(bytes.error())));
  }
  return pointers;
}

std::string folder_of(const std::string& metadata_key) {
  const std::size_t at = metadata_key.rfind("/metadata/");
  return at == std::string::npos ? "" : metadata_key.substr(0, at);
}

// Of one that stays where it was, and has none yet: with it the lakehouse knows that the folder is
// taken, and the table waits instead of beginning anew beside its old files.
Result<void> point_at(store::ObjectStore& store, WriterEpoch writer, const std::string& name,
                      const std::string& metadata_key) {
  const std::string folder = folder_of(metadata_key);
  const auto json = store.get(metadata_key);
  const auto metadata =
      json ? TableMetadata::parse(*json) : Result<TableMetadata>(fail(json.error()));
  if (folder.empty() || !metadata) return {};
  const Pointer pointer{name, metadata->uuid(), metadata_key, "",
                        EVODB_TRY(read_watermark(*metadata))};
  const std::string key = pointer_key({folder, writer, 1});
  return store.put(key, encode(pointer), store::PutMode::kOverwrite);
}

}  // namespace

Result<Relocated> relocate_lakehouse(store::ObjectStore& store, Catalog& catalog,
                                     base::Random& random, WriterEpoch& writer, std::string from) {
  const std::string record_key(warehouse_key);
  const auto bytes = store.get(record_key);
  if (!bytes && bytes.error().kind != ErrorKind::kNotFound) return fail(bytes.error());
  std::optional<WarehouseRecord> record;
  if (bytes) record = EVODB_TRY(decode_warehouse(*bytes));
  if (from.empty() && record) from = record->location;
  if (from.empty()) {
    return fail(ErrorKind::kInvalid,
                "this warehouse does not say where it was: name that place with --from, as the "
                "tables' locations begin");
  }
  Relocated done{with_slash(from), with_slash(store.location("")), {}, {}, {}};
  if (done.from != done.to && EVODB_TRY(store.is_at(from))) done.to = done.from;  // another path
  if (done.from == done.to) return done;

  struct Todo {
    std::string metadata_key;
    std::optional<std::string> in_catalog;  // its location there
    bool has_pointer = false;
    std::optional<Error> refused;
  };
  auto pointers = EVODB_TRY(pointers_of(store));
  std::map<std::string, Todo> todo;  // by name
  bool any_here = false;
  for (const TableEntry& entry : EVODB_TRY(catalog.list())) {
    Relocation where(store, random, done.from, done.to);
    const auto here = store.key_of(entry.metadata_location);
    if (here) {  // an earlier call has come so far
      any_here = true;
      pointers.erase(folder_of(*here));
      continue;
    }
    const auto key = where.key_of(entry.metadata_location);
    if (!key) {
      done.left.push_back(entry.name + ": it lies elsewhere, at " + entry.metadata_location);
      continue;
    }
    Todo& table = todo[entry.name] = {*key, entry.metadata_location, false, std::nullopt};
    const auto found = pointers.extract(folder_of(*key));
    if (!found) continue;
    table.has_pointer = true;
    const Result<Pointer>& pointer = found.mapped();
    if (!pointer) {
      table.refused = pointer.error();
      continue;
    }
    // What the pointer names was said to be persisted; the catalog may be an older copy, or ahead
    // by other engines' commits.
    if (pointer->metadata_key == *key) continue;
    const auto json = store.get(*key);
    const auto metadata =
        json ? TableMetadata::parse(*json) : Result<TableMetadata>(fail(json.error()));
    const auto watermark =
        metadata ? read_watermark(*metadata) : Result<std::optional<Watermark>>(std::nullopt);
    const bool ahead = watermark && *watermark == pointer->watermark;
    if (!ahead) table.metadata_key = pointer->metadata_key;
  }
  for (const auto& [location_key, pointer] : pointers) {
    std::string name = pointer ? pointer->table : location_key.substr(location_key.rfind('/') + 1);
    while (todo.contains(name)) name += "_2";
    todo[name] = {pointer ? pointer->metadata_key : "", std::nullopt, true,
                  pointer ? std::nullopt : std::optional(pointer.error())};
  }
  for (auto& [name, table] : todo) {
    Relocation relocation(store, random, done.from, done.to);
    auto moved = table.refused ? Result<std::string>(fail(*table.refused))
                               : relocation.rewrite(table.metadata_key);
    if (!moved && passes(moved.error())) return fail(moved.error());
    if (!moved) {
      done.refused.push_back({name, moved.error()});
      continue;
    }
    EVODB_TRY(catalog.swap(writer, name, table.in_catalog, *moved));
    done.tables.push_back(name);
  }
  if (done.tables.empty() && !any_here && !(done.left.empty() && done.refused.empty())) {
    const std::string why = done.refused.empty()
                                ? done.left.front()
                                : done.refused.front().table + ": " + done.refused.front().why.text;
    return fail(ErrorKind::kInvalid, "no table can be relocated from " + done.from + ": " + why);
  }
  for (const auto& refused : done.refused) {
    const Todo& table = todo.at(refused.table);
    if (!table.has_pointer) {
      EVODB_TRY(point_at(store, writer, refused.table, table.metadata_key));
    }
  }
  const auto known = EVODB_TRY(catalog.property(warehouse_id_property));
  if (!record) {
    record.emplace();
    record->id = known ? *known : random_uuid(random);
  }
  record->location = store.location("");
  EVODB_TRY(store.put(record_key, encode(*record), store::PutMode::kOverwrite));
  // Claims it, and points at what is there now.
  (void)EVODB_TRY(open_lakehouse(store, catalog, random, writer));
  return done;
}

}  // namespace evodb::table
