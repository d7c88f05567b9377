#include "table/metadata.h"

#include <algorithm>
#include <set>

#include "base/assert.h"
#include "table/schema_json.h"

namespace evodb::table {
namespace {

std::unexpected<Error> broken(const std::string& what) {
  return fail(ErrorKind::kCorrupt, "table metadata: " + what);
}

constexpr const char* snapshots_key = "snapshots";

// Ids are 32 bits wide, and set_schema() wants one more.
constexpr std::int64_t schema_id_max = INT32_MAX - 1;

// Nothing: it has none that is one.
std::optional<std::int32_t> id_of(const Json& json, std::string_view name) {
  const auto id = json_long(json, name);
  if (!id || *id < 0 || *id > INT32_MAX) return std::nullopt;
  return static_cast<std::int32_t>(*id);
}

// REQUIRES: parse() has seen the member.
std::int64_t known_long(const Json& json, std::string_view name) {
  const auto v = json_long(json, name);
  EVODB_ASSERT(v.has_value(), "checked when it was parsed");
  return *v;
}

Json& array_member(Json& json, const char* name) {
  Json& member = json[name];
  if (!member.is_array()) member = Json::array();
  return member;
}

Result<Snapshot> read_snapshot(const Json& json) {
  Snapshot out;
  const auto id = json_long(json, "snapshot-id");
  const auto timestamp = json_long(json, "timestamp-ms");
  const auto list = json_string(json, "manifest-list");
  if (!id || !timestamp || !list) {
    return broken("a snapshot lacks snapshot-id, timestamp-ms or manifest-list");
  }
  out.id = *id;
  out.parent = json_long(json, "parent-snapshot-id");
  out.sequence_number = json_long(json, "sequence-number").value_or(0);
  out.timestamp_ms = *timestamp;
  out.manifest_list = *list;
  if (const Json* summary = json_member(json, "summary"); summary && summary->is_object()) {
    for (const auto& [key, value] : summary->items()) {
      if (value.is_string()) out.summary[key] = value.get<std::string>();
    }
  }
  return out;
}

Json snapshot_to_json(const Snapshot& snapshot, std::int32_t schema_id) {
  Json json = {{"snapshot-id", snapshot.id},
               {"sequence-number", snapshot.sequence_number},
               {"timestamp-ms", snapshot.timestamp_ms},
               {"manifest-list", snapshot.manifest_list},
               {"schema-id", schema_id},
               {"summary", snapshot.summary}};
  if (snapshot.parent) json["parent-snapshot-id"] = *snapshot.parent;
  return json;
}

}  // namespace

TableMetadata TableMetadata::create(const NewTable& table) {
  TableMetadata m;
  Schema schema = table.schema;
  schema.schema_id = 0;
  const Json schema_json = schema_to_json(schema);
  Json orders = Json::array({{{"order-id", 0}, {"fields", Json::array()}}});
  if (!table.sort_by.empty()) {
    Json fields = Json::array();
    for (const std::int32_t id : table.sort_by) {
      fields.push_back({{"transform", "identity"},
                        {"source-id", id},
                        {"direction", "asc"},
                        {"null-order", "nulls-first"}});
    }
    orders.push_back({{"order-id", 1}, {"fields", fields}});
  }
  m.json_ = {
      {"format-version", 2},
      {"table-uuid", table.uuid},
      {"location", table.location},
      {"last-sequence-number", 0},
      {"last-updated-ms", table.now.value},
      {"last-column-id", schema.last_column_id()},
      {"schemas", Json::array({schema_json})},
      {"current-schema-id", 0},
      {"partition-specs", Json::array({{{"spec-id", 0}, {"fields", Json::array()}}})},
      {"default-spec-id", 0},
      {"last-partition-id", 999},
      {"sort-orders", orders},
      {"default-sort-order-id", table.sort_by.empty() ? 0 : 1},
      {"properties",
       {{"write.format.default", "parquet"},
        {"write.parquet.compression-codec", "zstd"},
        // Equality deletes are not readable everywhere; whoever deletes shall copy or mark.
        {"write.delete.mode", "copy-on-write"},
        {"schema.name-mapping.default", name_mapping(schema_json)}}},
      {"snapshot-log", Json::array()},
      {"metadata-log", Json::array()},
      {"refs", Json::object()},
      {"statistics", Json::array()},
      {"partition-statistics", Json::array()},
  };
  return m;
}

Result<TableMetadata> TableMetadata::parse(std::string_view text) {
  TableMetadata m;
  auto parsed = parse_json(text);
  if (!parsed) return broken(parsed.error().text);
  m.json_ = std::move(*parsed);
  const Json& json = m.json_;
  if (!json.is_object()) return broken("it is no JSON object");
  const auto version = json_long(json, "format-version");
  if (!version) return broken("it has no format-version");
  if (*version != 2) {
    return fail(ErrorKind::kInvalid, "the table is of Iceberg format version " +
                                         std::to_string(*version) +
                                         "; EvoDB writes 2: another engine has made or changed it");
  }
  if (!json_string(json, "table-uuid")) return broken("it has no table-uuid");
  if (!json_string(json, "location")) return broken("it has no location");
  for (const char* name : {"last-sequence-number", "last-updated-ms", "last-column-id",
                           "current-schema-id", "default-spec-id"}) {
    const auto v = json_long(json, name);
    if (!v || *v < 0) return broken(std::string("it has no sane ") + name);
  }
  if (*json_long(json, "last-column-id") > field_id_max) {
    return broken("last-column-id is too large");
  }
  if (*json_long(json, "last-sequence-number") > INT64_MAX - 2) {
    return broken("last-sequence-number is at its end");
  }
  for (const char* name : {"properties", "refs"}) {
    const Json* member = json_member(json, name);
    if (member != nullptr && !member->is_object())
      return broken(std::string(name) + " is no object");
  }
  if (const Json* refs = json_member(json, "refs")) {
    for (const Json& ref : *refs) {
      if (!ref.is_object()) return broken("a ref is no object");
    }
  }
  const std::int64_t schema_id = *json_long(json, "current-schema-id");
  const Json& schemas = json_array(json, "schemas");
  for (const Json& schema : schemas) {
    const auto id = json_long(schema, "schema-id");
    if (id && (*id < 0 || *id > schema_id_max))
      return broken("a schema's schema-id is out of range");
  }
  if (std::none_of(schemas.begin(), schemas.end(), [&](const Json& schema) {
        return json_long(schema, "schema-id") == schema_id;
      })) {
    return broken("its current schema is not among its schemas");
  }
  bool unpartitioned = false;
  for (const Json& spec : json_array(json, "partition-specs")) {
    const auto id = id_of(spec, "spec-id");
    if (id && json_array(spec, "fields").empty()) {
      m.spec_id_ = *id;
      unpartitioned = true;
      break;
    }
  }
  if (!unpartitioned) {
    return fail(ErrorKind::kInvalid, "the table has no unpartitioned spec, which EvoDB writes by");
  }
  EVODB_TRY(m.take_snapshots());
  return m;
}

Result<void> TableMetadata::take_snapshots() {
  std::set<std::int64_t> ids;
  for (const Json& json : json_array(json_, snapshots_key)) {
    Snapshot snapshot = EVODB_TRY(read_snapshot(json));
    if (!ids.insert(snapshot.id).second) return broken("two snapshots have one id");
    snapshots_.push_back(std::make_shared<const WrittenSnapshot>(
        std::move(snapshot), json_long(json, "schema-id"), dump_json(json)));
  }
  json_.erase(snapshots_key);
  std::ranges::stable_sort(snapshots_, {},
                           [](const SharedSnapshot& s) { return s->snapshot.sequence_number; });
  if (!snapshots_.empty() && snapshots_.back()->snapshot.sequence_number > last_sequence_number()) {
    return broken("a snapshot's sequence number is beyond last-sequence-number");
  }
  const auto current = json_long(json_, "current-snapshot-id");
  if (current && *current != -1 && !ids.contains(*current)) {
    return broken("its current snapshot is not among its snapshots");
  }
  return {};
}

std::string TableMetadata::to_json() const {
  std::string text = dump_json(json_);
  EVODB_ASSERT(text.size() > 2 && text.back() == '}', "an object with members");
  std::size_t bytes = text.size() + 16;
  for (const SharedSnapshot& s : snapshots_) bytes += s->json.size() + 1;
  text.reserve(bytes);
  text.back() = ',';
  text += '"';
  text += snapshots_key;
  text += "\":[";
  for (const SharedSnapshot& s : snapshots_) {
    if (&s != &snapshots_.front()) text += ',';
    text += s->json;
  }
  text += "]}";
  return text;
}

std::string TableMetadata::uuid() const { return *json_string(json_, "table-uuid"); }
std::string TableMetadata::location() const {
  std::string location = *json_string(json_, "location");
  while (location.ends_with('/')) location.pop_back();
  return location;
}
std::int64_t TableMetadata::last_updated_ms() const { return known_long(json_, "last-updated-ms"); }
std::int64_t TableMetadata::last_sequence_number() const {
  return known_long(json_, "last-sequence-number");
}
std::int32_t TableMetadata::last_column_id() const {
  return static_cast<std::int32_t>(known_long(json_, "last-column-id"));
}
std::int32_t TableMetadata::current_schema_id() const {
  return static_cast<std::int32_t>(known_long(json_, "current-schema-id"));
}

const Json& TableMetadata::current_schema() const {
  for (const Json& schema : json_array(json_, "schemas")) {
    if (json_long(schema, "schema-id") == current_schema_id()) return schema;
  }
  EVODB_ASSERT(false, "parse() has found it");
}

std::optional<std::int32_t> TableMetadata::sort_order_of(
    const std::vector<std::int32_t>& columns) const {
  if (columns.empty()) return std::nullopt;
  for (const Json& order : json_array(json_, "sort-orders")) {
    const Json& fields = json_array(order, "fields");
    const auto id = id_of(order, "order-id");
    const bool same = id && fields.size() == columns.size() &&
                      std::equal(fields.begin(), fields.end(), columns.begin(),
                                 [](const Json& field, std::int32_t column) {
                                   return json_long(field, "source-id") == column &&
                                          json_string(field, "transform") == "identity" &&
                                          json_string(field, "direction") == "asc";
                                 });
    if (same) return id;
  }
  return std::nullopt;
}

std::optional<std::string> TableMetadata::property(std::string_view key) const {
  const Json* properties = json_member(json_, "properties");
  return properties == nullptr ? std::nullopt : json_string(*properties, key);
}

const Snapshot* TableMetadata::find_snapshot(std::int64_t id) const {
  for (const SharedSnapshot& s : snapshots_) {
    if (s->snapshot.id == id) return &s->snapshot;
  }
  return nullptr;
}

const Snapshot* TableMetadata::current_snapshot() const {
  const auto id = json_long(json_, "current-snapshot-id");
  return id ? find_snapshot(*id) : nullptr;
}

std::vector<std::string> TableMetadata::metadata_log() const {
  std::vector<std::string> out;
  for (const Json& entry : json_array(json_, "metadata-log")) {
    if (auto file = json_string(entry, "metadata-file")) out.push_back(std::move(*file));
  }
  return out;
}

std::vector<std::string> TableMetadata::statistics_files() const {
  std::vector<std::string> out;
  for (const char* list : {"statistics", "partition-statistics"}) {
    for (const Json& entry : json_array(json_, list)) {
      if (auto path = json_string(entry, "statistics-path")) out.push_back(std::move(*path));
    }
  }
  return out;
}

void TableMetadata::set_property(const std::string& key, const std::string& value) {
  Json& properties = json_["properties"];
  if (!properties.is_object()) properties = Json::object();
  properties[key] = value;
}

void TableMetadata::touch(UnixMillis now) {
  json_["last-updated-ms"] = std::max(last_updated_ms(), now.value);
}

void TableMetadata::set_schema(Json schema) {
  std::int64_t next = 0;
  for (const Json& other : json_["schemas"]) {
    next = std::max(next, json_long(other, "schema-id").value_or(0) + 1);
  }
  schema["schema-id"] = next;
  json_["current-schema-id"] = next;
  if (const auto parsed = schema_from_json(schema)) {
    json_["last-column-id"] = std::max(last_column_id(), parsed->last_column_id());
  }
  set_property("schema.name-mapping.default", name_mapping(schema));
  json_["schemas"].push_back(std::move(schema));
}

void TableMetadata::add_snapshot(const Snapshot& snapshot) {
  EVODB_ASSERT(snapshot.sequence_number == last_sequence_number() + 1,
               "a snapshot has the next sequence number");
  EVODB_ASSERT(find_snapshot(snapshot.id) == nullptr, "a snapshot id is new");
  array_member(json_, "snapshot-log")
      .push_back({{"timestamp-ms", snapshot.timestamp_ms}, {"snapshot-id", snapshot.id}});
  json_["current-snapshot-id"] = snapshot.id;
  json_["last-sequence-number"] = snapshot.sequence_number;
  json_["last-updated-ms"] = snapshot.timestamp_ms;
  Json& refs = json_["refs"];
  if (!refs.is_object()) refs = Json::object();
  Json& main = refs["main"];
  if (!main.is_object()) main = Json::object();
  main["snapshot-id"] = snapshot.id;
  main["type"] = "branch";
  const std::int32_t schema_id = current_schema_id();
  snapshots_.push_back(std::make_shared<const WrittenSnapshot>(
      snapshot, schema_id, dump_json(snapshot_to_json(snapshot, schema_id))));
}

std::vector<std::string> TableMetadata::log_metadata(const std::string& location,
                                                     std::uint32_t log_max) {
  Json& log = array_member(json_, "metadata-log");
  log.push_back({{"metadata-file", location}, {"timestamp-ms", last_updated_ms()}});
  std::vector<std::string> dropped;
  while (log.size() > log_max) {
    if (auto file = json_string(log.front(), "metadata-file")) dropped.push_back(std::move(*file));
    log.erase(log.begin());
  }
  return property("gc.enabled") == "false" ? std::vector<std::string>() : dropped;
}

}  // namespace evodb::table
