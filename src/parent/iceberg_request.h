// What a request to the Iceberg REST catalog asks for. Pure: bytes in, a request or a refusal out.
//
//   auto request = parse_iceberg_request("GET", "/iceberg/v1/namespaces/evodb/tables", "");
//   if (!request) refuse(request.error());
//
// Source: the Iceberg REST catalog specification (open-api/rest-catalog-open-api.yaml). Names are
// percent-encoded in a path; a '+' is a blank, as Java's client writes one, and every client writes
// a plus as %2B. Levels of a namespace are separated by %1F.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "table/served_table.h"

namespace evodb::parent {

inline constexpr std::string_view iceberg_path = "/iceberg";

struct IcebergRequest {
  enum class What : std::uint8_t { kConfig, kNamespaces, kNamespace, kTables, kTable };
  What what = What::kConfig;
  bool exists = false;                  // HEAD: is it there?
  std::vector<std::string> name_space;  // its levels; kNamespaces: whose children; none: the top
  std::string table;
  // Lists. Without both, all in one answer.
  std::optional<std::uint64_t> page_size;
  std::optional<std::string> after;  // the last name of the page before; "": none before
  table::SnapshotsServed snapshots = table::SnapshotsServed::kAll;

  friend bool operator==(const IcebergRequest&, const IcebergRequest&) = default;
};

struct IcebergRefusal {
  int status = 400;
  const char* type = "BadRequestException";
  std::string message;  // for people
  const char* headers = "";
};

// Is this path the catalog's?
bool is_iceberg_path(std::string_view path);

// REQUIRES: is_iceberg_path(path). `query` without the '?'.
std::expected<IcebergRequest, IcebergRefusal> parse_iceberg_request(std::string_view method,
                                                                    std::string_view path,
                                                                    std::string_view query);

// The token that stands for `after` in a next request.
std::string page_token_of(std::string_view after);

// "a.b", for people.
std::string shown_namespace(const std::vector<std::string>& levels);

}  // namespace evodb::parent
