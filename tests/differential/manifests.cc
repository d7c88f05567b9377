// manifests: cases are JSON.
//
//   {"schema": [field, ...]}                     gives Iceberg's JSON of that schema
//   {"write": "manifest", "name": n, "entries": [...]}   writes DIRECTORY/n
//   {"write": "list", "name": n, "files": [...]}
//   {"read": "manifest", "name": n, "listed": file}      gives the entries, in the form above
//   {"read": "list", "name": n}
// Bytes are hexadecimal.
#include <fstream>
#include <iterator>

#include <nlohmann/json.hpp>

#include "differential.h"
#include "table/manifest.h"
#include "table/schema_json.h"

namespace evodb::differential {
namespace {

using nlohmann::json;
using table::ManifestEntry;
using table::ManifestFile;

std::string bytes_of(const std::string& hexadecimal) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hexadecimal.size(); i += 2) {
    out.push_back(static_cast<char>(std::stoi(hexadecimal.substr(i, 2), nullptr, 16)));
  }
  return out;
}
template <class T>
std::optional<T> maybe(const json& j, const char* name) {
  return j.at(name).is_null() ? std::nullopt : std::optional<T>(j.at(name).get<T>());
}
std::optional<std::string> maybe_bytes(const json& j, const char* name) {
  const auto text = maybe<std::string>(j, name);
  return text ? std::optional(bytes_of(*text)) : std::nullopt;
}
template <class T>
json or_null(const std::optional<T>& value) {
  return value ? json(*value) : json();
}
json hex_or_null(const std::optional<std::string>& bytes) {
  return bytes ? json(hex(*bytes)) : json();
}

std::map<std::int32_t, std::int64_t> counts(const json& j) {
  std::map<std::int32_t, std::int64_t> out;
  for (const auto& [id, n] : j.items()) out[std::stoi(id)] = n;
  return out;
}
std::map<std::int32_t, std::string> bounds(const json& j) {
  std::map<std::int32_t, std::string> out;
  for (const auto& [id, text] : j.items()) out[std::stoi(id)] = bytes_of(text);
  return out;
}
json counts(const std::map<std::int32_t, std::int64_t>& from) {
  json out = json::object();
  for (const auto& [id, n] : from) out[std::to_string(id)] = n;
  return out;
}
json bounds(const std::map<std::int32_t, std::string>& from) {
  json out = json::object();
  for (const auto& [id, bytes] : from) out[std::to_string(id)] = hex(bytes);
  return out;
}

ManifestEntry entry_of(const json& j) {
  ManifestEntry e;
  e.status = static_cast<table::EntryStatus>(j.at("status").get<int>());
  e.snapshot_id = j.at("snapshot_id");
  e.sequence_number = maybe<std::int64_t>(j, "sequence_number");
  e.file_sequence_number = maybe<std::int64_t>(j, "file_sequence_number");
  e.content = j.at("content");
  e.file.location = j.at("location");
  e.file.record_count = j.at("record_count");
  e.file.file_bytes = j.at("file_bytes");
  e.file.column_bytes = counts(j.at("column_bytes"));
  e.file.value_counts = counts(j.at("value_counts"));
  e.file.null_counts = counts(j.at("null_counts"));
  e.file.nan_counts = counts(j.at("nan_counts"));
  e.file.lower_bounds = bounds(j.at("lower_bounds"));
  e.file.upper_bounds = bounds(j.at("upper_bounds"));
  e.file.split_offsets = j.at("split_offsets").get<std::vector<std::int64_t>>();
  e.key_metadata = maybe_bytes(j, "key_metadata");
  e.equality_ids = j.at("equality_ids").get<std::vector<std::int32_t>>();
  e.sort_order_id = maybe<std::int32_t>(j, "sort_order_id");
  return e;
}
json json_of(const ManifestEntry& e) {
  return {{"status", static_cast<int>(e.status)},
          {"snapshot_id", e.snapshot_id},
          {"sequence_number", or_null(e.sequence_number)},
          {"file_sequence_number", or_null(e.file_sequence_number)},
          {"content", e.content},
          {"location", e.file.location},
          {"record_count", e.file.record_count},
          {"file_bytes", e.file.file_bytes},
          {"column_bytes", counts(e.file.column_bytes)},
          {"value_counts", counts(e.file.value_counts)},
          {"null_counts", counts(e.file.null_counts)},
          {"nan_counts", counts(e.file.nan_counts)},
          {"lower_bounds", bounds(e.file.lower_bounds)},
          {"upper_bounds", bounds(e.file.upper_bounds)},
          {"split_offsets", e.file.split_offsets},
          {"key_metadata", hex_or_null(e.key_metadata)},
          {"equality_ids", e.equality_ids},
          {"sort_order_id", or_null(e.sort_order_id)}};
}

ManifestFile file_of(const json& j) {
  ManifestFile f{.location = j.at("location"),
                 .bytes = j.at("bytes"),
                 .spec_id = j.at("spec_id"),
                 .content = j.at("content"),
                 .sequence_number = j.at("sequence_number"),
                 .min_sequence_number = j.at("min_sequence_number"),
                 .added_snapshot_id = j.at("added_snapshot_id")};
  const std::vector<std::int64_t> n = j.at("counts");
  f.added_files = static_cast<std::int32_t>(n[0]);
  f.existing_files = static_cast<std::int32_t>(n[1]);
  f.deleted_files = static_cast<std::int32_t>(n[2]);
  f.added_rows = n[3];
  f.existing_rows = n[4];
  f.deleted_rows = n[5];
  f.key_metadata = maybe_bytes(j, "key_metadata");
  if (!j.at("partitions").is_null()) {
    f.partitions.emplace();
    for (const json& p : j.at("partitions")) {
      f.partitions->push_back({p.at("contains_null"), maybe<bool>(p, "contains_nan"),
                               maybe_bytes(p, "lower_bound"), maybe_bytes(p, "upper_bound")});
    }
  }
  return f;
}
json json_of(const ManifestFile& f) {
  json partitions;
  if (f.partitions) {
    partitions = json::array();
    for (const auto& p : *f.partitions) {
      partitions.push_back({{"contains_null", p.contains_null},
                            {"contains_nan", or_null(p.contains_nan)},
                            {"lower_bound", hex_or_null(p.lower_bound)},
                            {"upper_bound", hex_or_null(p.upper_bound)}});
    }
  }
  return {{"location", f.location},
          {"bytes", f.bytes},
          {"spec_id", f.spec_id},
          {"content", f.content},
          {"sequence_number", f.sequence_number},
          {"min_sequence_number", f.min_sequence_number},
          {"added_snapshot_id", f.added_snapshot_id},
          {"counts",
           {f.added_files, f.existing_files, f.deleted_files, f.added_rows, f.existing_rows,
            f.deleted_rows}},
          {"key_metadata", hex_or_null(f.key_metadata)},
          {"partitions", partitions}};
}

table::Field field_of(const json& j) {
  static const std::map<std::string, table::Type> types = {
      {"boolean", table::Type::kBoolean},
      {"int", table::Type::kInt},
      {"long", table::Type::kLong},
      {"double", table::Type::kDouble},
      {"string", table::Type::kString},
      {"binary", table::Type::kBinary},
      {"timestamptz", table::Type::kTimestampTz},
      {"struct", table::Type::kStruct},
      {"map", table::Type::kMapStringString}};
  table::Field f{.id = j.at("id"),
                 .name = j.at("name"),
                 .type = types.at(j.at("type")),
                 .required = j.at("required")};
  if (f.type == table::Type::kStruct) {
    for (const json& child : j.at("children")) f.children.push_back(field_of(child));
  }
  if (f.type == table::Type::kMapStringString) {
    f.key_id = j.at("key_id");
    f.value_id = j.at("value_id");
  }
  return f;
}

json perform(const json& said, const std::string& directory) {
  if (said.contains("schema")) {
    table::Schema schema{.schema_id = 3};
    for (const json& f : said["schema"]) schema.fields.push_back(field_of(f));
    const table::Json out = table::schema_to_json(schema);
    const auto again = table::schema_from_json(out);
    return {{"json", out.dump()}, {"again", again && again->same_fields(schema)}};
  }
  const std::string path = directory + "/" + said.at("name").get<std::string>();
  if (said.contains("write")) {
    std::string bytes;
    if (said["write"] == "manifest") {
      std::vector<ManifestEntry> entries;
      for (const json& e : said["entries"]) entries.push_back(entry_of(e));
      bytes =
          table::write_manifest({R"({"type":"struct","schema-id":0,"fields":[]})", 0, 0}, entries);
    } else {
      std::vector<ManifestFile> files;
      for (const json& f : said["files"]) files.push_back(file_of(f));
      bytes = table::write_manifest_list({7, 6, 9}, files);
    }
    std::ofstream(path, std::ios::binary) << bytes;
    return {{"bytes", bytes.size()}};
  }
  std::ifstream in(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  json out = json::array();
  if (said["read"] == "manifest") {
    const auto entries = table::read_manifest(bytes, file_of(said["listed"]));
    if (!entries) return {{"error", entries.error().text}};
    for (const auto& e : *entries) out.push_back(json_of(e));
  } else {
    const auto files = table::read_manifest_list(bytes);
    if (!files) return {{"error", files.error().text}};
    for (const auto& f : *files) out.push_back(json_of(f));
  }
  return {{"read", out}};
}

}  // namespace

int manifests(const char* directory) {
  for (std::string input; next_case(&input);) {
    std::puts(perform(json::parse(input), directory).dump().c_str());
  }
  return 0;
}

}  // namespace evodb::differential
