#include "parent/iceberg_rest.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace evodb::parent {
namespace {

using RestJson = nlohmann::ordered_json;

constexpr const char* served_endpoints[] = {
    "GET /v1/{prefix}/namespaces",
    "GET /v1/{prefix}/namespaces/{namespace}",
    "HEAD /v1/{prefix}/namespaces/{namespace}",
    "GET /v1/{prefix}/namespaces/{namespace}/tables",
    "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}",
};

// Bytes that are no UTF-8, as another engine's table may be called, become U+FFFD.
std::string rest_text(const RestJson& json) {
  return json.dump(-1, ' ', false, RestJson::error_handler_t::replace);
}

gate::HttpResponse rest_response(const RestJson& json) {
  return {.content_type = "application/json", .body = rest_text(json)};
}

gate::HttpResponse come_back(const char* type, std::string message) {
  return iceberg_error({.status = 503,
                        .type = type,
                        .message = std::move(message),
                        .headers = "Retry-After: 1\r\n"});
}

gate::HttpResponse failed(const Error& why) {
  switch (why.kind) {
    case ErrorKind::kRetry:
    case ErrorKind::kOutcomeUnknown:
    case ErrorKind::kStale:
    case ErrorKind::kNoSpace: return come_back("ServiceUnavailableException", why.text);
    default:
      return iceberg_error({.status = 500, .type = "InternalServerError", .message = why.text});
  }
}

gate::HttpResponse no_such_table(const IcebergRequest& request) {
  return iceberg_error({.status = 404,
                        .type = "NoSuchTableException",
                        .message = "Table does not exist: " + shown_namespace(request.name_space) +
                                   "." + request.table});
}

gate::HttpResponse it_exists() { return {.status = 204, .content_type = "application/json"}; }

gate::HttpResponse config_answer(const IcebergRestOptions& options) {
  RestJson defaults = RestJson::object();
  for (const auto& [key, value] : options.defaults) defaults[key] = value;
  return rest_response({{"defaults", defaults},
                        {"overrides", {{"rest-metrics-reporting-enabled", "false"}}},
                        {"endpoints", served_endpoints}});
}

// The page of sorted `names` that was asked for, and the token of the next one.
struct Page {
  std::vector<std::string> names;
  RestJson next = nullptr;
};

Page page_of(std::vector<std::string> names, const IcebergRequest& request) {
  Page page;
  std::ranges::sort(names);
  // By name, not by number: tables come and go between two pages.
  const auto begin = request.after && !request.after->empty()
                         ? std::ranges::upper_bound(names, *request.after)
                         : names.begin();
  const auto count = std::min<std::uint64_t>(request.page_size.value_or(names.size()),
                                             static_cast<std::uint64_t>(names.end() - begin));
  const auto end = begin + static_cast<std::ptrdiff_t>(count);
  page.names.assign(begin, end);
  if (end != names.end()) page.next = page_token_of(page.names.back());
  return page;
}

gate::HttpResponse namespaces_answer(const IcebergRequest& request,
                                     const IcebergRestOptions& options) {
  std::vector<std::string> names;  // ours has no children
  if (request.name_space.empty()) names.push_back(options.name_space);
  const Page page = page_of(std::move(names), request);
  RestJson namespaces = RestJson::array();
  for (const std::string& name : page.names) namespaces.push_back(RestJson::array({name}));
  return rest_response({{"next-page-token", page.next}, {"namespaces", namespaces}});
}

gate::HttpResponse tables_answer(const IcebergRequest& request,
                                 const std::vector<table::TableEntry>& tables) {
  std::vector<std::string> names;
  for (const table::TableEntry& table : tables) names.push_back(table.name);
  const Page page = page_of(std::move(names), request);
  RestJson identifiers = RestJson::array();
  for (const std::string& name : page.names) {
    identifiers.push_back({{"namespace", request.name_space}, {"name", name}});
  }
  return rest_response({{"next-page-token", page.next}, {"identifiers", identifiers}});
}

gate::HttpResponse table_answer(const table::ServedTable& table) {
  std::string body = R"({"metadata-location":)" + rest_text(table.metadata_location);
  body.reserve(body.size() + table.metadata.size() + 32);
  body.append(R"(,"metadata":)").append(table.metadata).append(R"(,"config":{}})");
  return {.content_type = "application/json", .body = std::move(body)};
}

}  // namespace

gate::HttpResponse iceberg_error(const IcebergRefusal& refusal) {
  return {
      .status = refusal.status,
      .content_type = "application/json",
      .body = rest_text(RestJson::object(
          {{"error",
            {{"message", refusal.message}, {"type", refusal.type}, {"code", refusal.status}}}})),
      .headers = refusal.headers};
}

gate::HttpResponse iceberg_answer(const IcebergRequest& request, const IcebergRestOptions& options,
                                  store::ObjectStore& store, table::Catalog& catalog) {
  if (request.what == IcebergRequest::What::kTables) {
    const auto tables = catalog.list();
    return tables ? tables_answer(request, *tables) : failed(tables.error());
  }
  if (request.exists) {
    const auto location = catalog.load(request.table);
    if (!location) return failed(location.error());
    return *location ? it_exists() : no_such_table(request);
  }
  const auto table = table::read_served_table(store, catalog, request.table, request.snapshots,
                                              options.metadata_bytes_max);
  if (!table) return failed(table.error());
  return *table ? table_answer(**table) : no_such_table(request);
}

// --- what waits ---------------------------------------------------------------------------------

class IcebergRest::Held {
 public:
  explicit Held(IcebergRest& rest) : rest_(rest.weak_from_this()) { ++rest.held_requests_; }
  ~Held() {
    if (const auto rest = rest_.lock()) rest->let_go(bytes_);
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

  void count(IcebergRest& rest, std::uint64_t bytes) {
    bytes_ += bytes;
    rest.held_bytes_ += bytes;
  }

 private:
  const std::weak_ptr<IcebergRest> rest_;
  std::uint64_t bytes_ = 0;
};

void IcebergRest::answer(const gate::HttpRequest& request, Respond respond) {
  using enum IcebergRequest::What;
  if (!options_.enabled) {
    return respond(iceberg_error({.status = 404,
                                  .type = "NotFoundException",
                                  .message = "this parent serves no Iceberg catalog: the setting "
                                             "http.iceberg is false"}));
  }
  auto asked = parse_iceberg_request(request.method, request.path, request.query);
  if (!asked) return respond(iceberg_error(asked.error()));
  const bool ours = asked->name_space == std::vector<std::string>{options_.name_space};
  if (!asked->name_space.empty() && !ours) {
    return respond(iceberg_error(
        {.status = 404,
         .type = "NoSuchNamespaceException",
         .message = "Namespace does not exist: " + shown_namespace(asked->name_space) +
                    " (this catalog has one: " + options_.name_space + ")"}));
  }
  switch (asked->what) {
    case kConfig: return respond(config_answer(options_));
    case kNamespaces: return respond(namespaces_answer(*asked, options_));
    case kNamespace:
      if (asked->exists) return respond(it_exists());
      return respond(
          rest_response({{"namespace", asked->name_space}, {"properties", RestJson::object()}}));
    case kTables:
    case kTable: break;
  }
  if (held_requests_ >= options_.requests_max) {
    return respond(
        come_back("SlowDownException", std::to_string(options_.requests_max) +
                                           " requests for tables wait already; try again later"));
  }
  wait(*std::move(asked), std::move(respond));
}

void IcebergRest::wait(IcebergRequest request, Respond respond) {
  const Number number = ++last_;
  const base::TimerId timer =
      seams_.loop.after(options_.wait_ms_max, [weak = weak_from_this(), number] {
        if (const auto self = weak.lock()) {
          self->give(number, come_back("ServiceUnavailableException",
                                       "the store has not answered within " +
                                           std::to_string(self->options_.wait_ms_max) +
                                           " ms; /status says what landing waits for"));
        }
      });
  waiting_.emplace(number, Waiting{std::move(request), std::move(respond), timer,
                                   std::make_shared<Held>(*this)});
  read_next();
}

void IcebergRest::read_next() {
  if (reading_ || held_bytes_ > options_.answers_bytes_max) return;
  const auto next = waiting_.upper_bound(last_read_);
  if (next == waiting_.end()) return;
  last_read_ = next->first;
  reading_ = true;
  seams_.store.run(
      [self = shared_from_this(), number = next->first, request = next->second.request](
          store::ObjectStore& store, table::Catalog& catalog) {
        auto response = std::make_shared<gate::HttpResponse>(
            iceberg_answer(request, self->options_, store, catalog));
        self->seams_.loop.post([self, number, response] {
          self->reading_ = false;
          self->give(number, std::move(*response));
          self->read_next();
        });
      });
}

void IcebergRest::give(Number number, gate::HttpResponse response) {
  const auto found = waiting_.find(number);
  if (found == waiting_.end()) return;  // it was told already that this takes too long
  Waiting waiting = std::move(found->second);
  waiting_.erase(found);
  seams_.loop.cancel(waiting.timer);
  waiting.held->count(*this, response.body.size());
  response.kept = std::move(waiting.held);
  waiting.respond(std::move(response));
}

void IcebergRest::give_up(const std::string& why) {
  while (!waiting_.empty()) {
    give(waiting_.begin()->first,
         come_back("ServiceUnavailableException", why + "; try again later"));
  }
}

void IcebergRest::let_go(std::uint64_t bytes) {
  --held_requests_;
  held_bytes_ -= bytes;
  if (reading_ || waiting_.empty()) return;
  seams_.loop.post([self = shared_from_this()] { self->read_next(); });
}

}  // namespace evodb::parent
