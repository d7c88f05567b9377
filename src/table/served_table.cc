#include "table/served_table.h"

#include <set>
#include <string_view>
#include <utility>

#include "table/json.h"

namespace evodb::table {
namespace {

// A file that is gone was the current one a moment ago: so many commits may come in between.
constexpr int loads_max = 3;

constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

std::unexpected<Error> of_file(const std::string& location, ErrorKind kind, std::string why) {
  return fail(kind, "the metadata file " + location + " " + std::move(why));
}

Json referred_snapshots(const Json& document) {
  std::set<std::int64_t> referred;
  if (const auto current = json_long(document, "current-snapshot-id")) referred.insert(*current);
  if (const Json* refs = json_member(document, "refs"); refs != nullptr && refs->is_object()) {
    for (const auto& [name, ref] : refs->items()) {
      if (const auto id = json_long(ref, "snapshot-id")) referred.insert(*id);
    }
  }
  Json kept = Json::array();
  for (const Json& snapshot : json_array(document, "snapshots")) {
    const auto id = json_long(snapshot, "snapshot-id");
    if (id && referred.contains(*id)) kept.push_back(snapshot);
  }
  return kept;
}

Result<std::string> served_document(const std::string& location, std::string bytes,
                                    SnapshotsServed snapshots) {
  if (bytes.starts_with(byte_order_mark)) bytes.erase(0, byte_order_mark.size());
  const std::size_t begin = bytes.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos || bytes[begin] != '{' || !Json::accept(bytes)) {
    return of_file(location, ErrorKind::kCorrupt, "is no JSON object");
  }
  if (snapshots == SnapshotsServed::kAll) return bytes;
  auto document = parse_json(bytes);
  if (!document)
    return of_file(location, document.error().kind, "is damaged: " + document.error().text);
  if (json_member(*document, "snapshots") != nullptr) {
    (*document)["snapshots"] = referred_snapshots(*document);
  }
  return dump_json(*document);
}

}  // namespace

Result<std::optional<ServedTable>> read_served_table(store::ObjectStore& store, Catalog& catalog,
                                                     const std::string& name,
                                                     SnapshotsServed snapshots,
                                                     std::uint64_t bytes_max) {
  for (int loads = 1;; ++loads) {
    const auto location = EVODB_TRY(catalog.load(name));
    if (!location) return std::nullopt;
    auto bytes = store.get_at_most(EVODB_TRY(store.key_of(*location)), bytes_max);
    if (!bytes && bytes.error().kind == ErrorKind::kNotFound) {
      if (loads < loads_max && EVODB_TRY(catalog.load(name)) != *location) continue;
      return of_file(*location, ErrorKind::kNotFound,
                     "of the table " + name + " is gone: put it back");
    }
    if (!bytes && bytes.error().kind == ErrorKind::kOverLimit) {
      return of_file(*location, ErrorKind::kOverLimit,
                     "has more than " + std::to_string(bytes_max) +
                         " bytes, which is not served: let fewer snapshots stay "
                         "(lake.snapshots_max), or read the file itself");
    }
    if (!bytes) return fail(std::move(bytes).error());
    std::string metadata = EVODB_TRY(served_document(*location, *std::move(bytes), snapshots));
    return ServedTable{*location, std::move(metadata)};
  }
}

}  // namespace evodb::table
