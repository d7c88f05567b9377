// Arbitrary methods, paths and queries: a request that holds what the protocol allows, or a refusal
// that can be sent.
#include "parent/iceberg_request.h"

#include <cstdint>
#include <cstdlib>
#include <string>

#include "wire/utf8.h"

namespace {

using evodb::parent::IcebergRequest;

void check(bool holds) {
  if (!holds) std::abort();
}

// As a client writes a name into a path.
std::string encoded(const std::string& text) {
  constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    out += {'%', digits[u >> 4], digits[u & 15]};
  }
  return out;
}

// What was understood, written again, is understood the same.
void check_written_again(const IcebergRequest& request) {
  if (request.what != IcebergRequest::What::kTable) return;
  std::string space;
  for (const std::string& level : request.name_space) {
    space += (space.empty() ? "" : "%1F") + encoded(level);
  }
  const bool refs = request.snapshots == evodb::table::SnapshotsServed::kRefs;
  const auto again = evodb::parent::parse_iceberg_request(
      request.exists ? "HEAD" : "GET",
      "/iceberg/v1/namespaces/" + space + "/tables/" + encoded(request.table),
      refs ? "snapshots=refs" : "");
  check(again && *again == request);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 16384) return 0;
  // "METHOD path?query", the path below /iceberg.
  const std::string text(reinterpret_cast<const char*>(data), size);
  const std::size_t blank = text.find(' ');
  const std::string method = blank == std::string::npos ? "GET" : text.substr(0, blank);
  const std::string target = blank == std::string::npos ? text : text.substr(blank + 1);
  const std::size_t question = target.find('?');
  const std::string path = "/iceberg/" + target.substr(0, question);
  const std::string query = question == std::string::npos ? "" : target.substr(question + 1);
  check(evodb::parent::is_iceberg_path(path));
  const auto request = evodb::parent::parse_iceberg_request(method, path, query);
  if (!request) {
    check(request.error().status >= 400 && request.error().status < 500);
    check(!request.error().message.empty() && request.error().type[0] != 0);
    return 0;
  }
  check(method == "GET" || method == "HEAD");
  for (const std::string& level : request->name_space) {
    check(!level.empty() && level.find('\x1f') == std::string::npos);
    check(evodb::wire::is_valid_utf8(level));
  }
  check(request->table.empty() == (request->what != IcebergRequest::What::kTable));
  check(request->page_size.value_or(1) > 0);
  if (request->after) {
    check(evodb::parent::page_token_of(*request->after).size() == 2 * request->after->size());
  }
  check_written_again(*request);
  return 0;
}
