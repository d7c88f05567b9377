#include "parent/iceberg_request.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/bytes.h"
#include "wire/utf8.h"

namespace evodb::parent {
namespace {

constexpr char level_separator = '\x1f';
constexpr std::size_t parameters_max = 32;
constexpr std::size_t shown_bytes_max = 200;

using Refused = std::unexpected<IcebergRefusal>;

Refused bad_request(std::string message) { return Refused({.message = std::move(message)}); }

// What a refusal quotes of a request.
std::string in_quotes(std::string_view text) {
  std::string shown = "'";
  for (const char c : text.substr(0, shown_bytes_max)) {
    const auto u = static_cast<unsigned char>(c);
    shown.push_back(u >= 0x20 && u < 0x7f ? c : '?');
  }
  return shown + (text.size() > shown_bytes_max ? "...'" : "'");
}

std::expected<std::string, IcebergRefusal> decoded(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i] == '+' ? ' ' : text[i]);
      continue;
    }
    const std::string_view digits = text.substr(i + 1, 2);
    const auto byte = base::from_hex(digits);
    if (!byte || digits.empty()) {
      return bad_request(in_quotes(text) +
                         " has a '%' that two hexadecimal digits do not follow; write %25 for a "
                         "percent sign");
    }
    out += *byte;
    i += 2;
  }
  if (!wire::is_valid_utf8(out)) return bad_request(in_quotes(text) + " is no UTF-8 when decoded");
  return out;
}

std::expected<std::vector<std::string>, IcebergRefusal> namespace_of(const std::string& text) {
  if (text.empty()) return bad_request("the namespace is empty");
  std::vector<std::string> levels(1);
  for (const char c : text) {
    if (c == level_separator) {
      levels.emplace_back();
    } else {
      levels.back().push_back(c);
    }
  }
  for (const std::string& level : levels) {
    if (level.empty()) return bad_request("the namespace has an empty level");
  }
  return levels;
}

Refused no_such_route(std::string_view path) {
  return Refused({.status = 404,
                  .type = "NotFoundException",
                  .message = "there is no " + in_quotes(path) +
                             " in this catalog: /iceberg/v1/config lists what is served"});
}

// The rest of a path, segment by segment.
using Segments = std::vector<std::string>;

std::expected<Segments, IcebergRefusal> segments_of(std::string_view path) {
  constexpr std::size_t segments_max = 16;  // more than any route of the protocol has
  Segments segments;
  std::string_view rest = path.substr(iceberg_path.size());
  while (!rest.empty()) {
    rest.remove_prefix(1);  // a '/'
    const std::size_t end = rest.find('/');
    if (segments.size() == segments_max) return no_such_route(path);
    auto segment = decoded(rest.substr(0, end));
    if (!segment) return Refused(std::move(segment).error());
    segments.push_back(*std::move(segment));
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end);
  }
  return segments;
}

std::expected<std::uint64_t, IcebergRefusal> page_size_of(const std::string& text) {
  std::uint64_t size = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
  if (error != std::errc() || end != text.data() + text.size() || size == 0) {
    return bad_request("pageSize is " + in_quotes(text) + "; it must be a number, 1 or more");
  }
  return size;
}

std::expected<std::string, IcebergRefusal> after_of(const std::string& token) {
  auto after = base::from_hex(token);
  if (!after || page_token_of(*after) != token) {
    return bad_request("pageToken is " + in_quotes(token) +
                       ", which is no next-page-token of this catalog: leave it empty to begin");
  }
  return *std::move(after);
}

struct Query {
  std::optional<std::string> parent, page_size, page_token, snapshots;
};

// Parameters that we do not know are somebody's extension, such as `warehouse`.
std::expected<Query, IcebergRefusal> query_of(std::string_view text) {
  Query query;
  const std::pair<std::string_view, std::optional<std::string>*> known[] = {
      {"parent", &query.parent},
      {"pageSize", &query.page_size},
      {"pageToken", &query.page_token},
      {"snapshots", &query.snapshots}};
  for (std::size_t count = 0; !text.empty(); ++count) {
    if (count == parameters_max) {
      return bad_request("the query has more than " + std::to_string(parameters_max) +
                         " parameters");
    }
    const std::string_view one = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(one.size() + 1, text.size()));
    const std::string_view name = one.substr(0, one.find('='));
    for (const auto& [key, value] : known) {
      if (name != key) continue;
      if (*value) return bad_request("the query has " + std::string(key) + " twice");
      auto given = decoded(one.substr(std::min(name.size() + 1, one.size())));
      if (!given) return Refused(std::move(given).error());
      *value = *std::move(given);
    }
  }
  return query;
}

std::expected<void, IcebergRefusal> take_query(const Query& query, IcebergRequest& request) {
  using enum IcebergRequest::What;
  const bool lists = request.what == kNamespaces || request.what == kTables;
  if (lists && query.page_size) {
    auto size = page_size_of(*query.page_size);
    if (!size) return Refused(std::move(size).error());
    request.page_size = *size;
  }
  if (lists && query.page_token) {
    auto after = after_of(*query.page_token);
    if (!after) return Refused(std::move(after).error());
    request.after = *std::move(after);
  }
  if (request.what == kNamespaces && query.parent && !query.parent->empty()) {
    auto levels = namespace_of(*query.parent);
    if (!levels) return Refused(std::move(levels).error());
    request.name_space = *std::move(levels);
  }
  if (request.what == kTable && query.snapshots) {
    if (*query.snapshots != "all" && *query.snapshots != "refs") {
      return bad_request("snapshots is " + in_quotes(*query.snapshots) +
                         "; it must be all or refs");
    }
    if (*query.snapshots == "refs") request.snapshots = table::SnapshotsServed::kRefs;
  }
  return {};
}

// Which resource of the protocol the segments name.
std::expected<IcebergRequest, IcebergRefusal> route_of(const Segments& segments,
                                                       std::string_view path) {
  using enum IcebergRequest::What;
  const auto is = [&](std::size_t at, std::string_view word) {
    return at < segments.size() && segments[at] == word;
  };
  const std::size_t count = segments.size();
  IcebergRequest request;
  if (is(0, "v1") && is(1, "config") && count == 2) return request;
  if (!is(0, "v1") || !is(1, "namespaces")) return no_such_route(path);
  request.what = kNamespaces;
  if (count == 2) return request;
  auto levels = namespace_of(segments[2]);
  if (!levels) return Refused(std::move(levels).error());
  request.name_space = *std::move(levels);
  request.what = kNamespace;
  if (count == 3) return request;
  if (is(3, "views") && count == 5) {
    return Refused({.status = 404,
                    .type = "NoSuchViewException",
                    .message = "View does not exist: this catalog has no views"});
  }
  request.what = kTables;
  if (is(3, "tables") && count == 4) return request;
  request.what = kTable;
  if (!is(3, "tables") || count != 5) return no_such_route(path);
  if (segments[4].empty()) return bad_request("the table's name is empty");
  request.table = segments[4];
  return request;
}

}  // namespace

bool is_iceberg_path(std::string_view path) {
  return path.starts_with(iceberg_path) &&
         (path.size() == iceberg_path.size() || path[iceberg_path.size()] == '/');
}

std::string page_token_of(std::string_view after) { return base::to_hex(after); }

std::string shown_namespace(const std::vector<std::string>& levels) {
  std::string shown;
  for (const std::string& level : levels) shown += (shown.empty() ? "" : ".") + level;
  return shown;
}

std::expected<IcebergRequest, IcebergRefusal> parse_iceberg_request(std::string_view method,
                                                                    std::string_view path,
                                                                    std::string_view query) {
  auto segments = segments_of(path);
  if (!segments) return Refused(std::move(segments).error());
  if (segments->size() == 3 && (*segments)[1] == "oauth") {
    return Refused({.status = 404,
                    .type = "NotFoundException",
                    .message = "there are no tokens here: leave credential and token out"});
  }
  // Also where there is no such thing: what would be made, would be made here.
  if (method != "GET" && method != "HEAD") {
    return Refused({.status = 405,
                    .type = "UnsupportedOperationException",
                    .message = std::string(method) +
                               " is not answered: this catalog is read-only, its tables are "
                               "written by EvoDB; use GET or HEAD",
                    .headers = "Allow: GET, HEAD\r\n"});
  }
  auto request = route_of(*segments, path);
  if (!request) return request;
  using enum IcebergRequest::What;
  request->exists = method == "HEAD" && (request->what == kNamespace || request->what == kTable);
  const auto given = query_of(query);
  if (!given) return Refused(given.error());
  if (auto taken = take_query(*given, *request); !taken) return Refused(std::move(taken).error());
  return request;
}

}  // namespace evodb::parent
