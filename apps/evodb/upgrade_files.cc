#include "upgrade_files.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>

#include <nlohmann/json.hpp>

namespace evodb::app {

namespace {

using Json = nlohmann::json;

std::string request_path(const std::string& data) { return data + "/upgrade.json"; }
std::string result_path(const std::string& data) { return data + "/upgrade-result.json"; }

// Whole or not at all for whoever reads; nobody needs it after a power loss.
Result<void> replace_file(const std::string& path, const Json& content) {
  const std::string made = path + ".tmp";
  {
    std::ofstream out(made, std::ios::binary | std::ios::trunc);
    out << content.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
    out.flush();
    if (!out) return fail(ErrorKind::kInvalid, "cannot write " + made);
  }
  if (std::rename(made.c_str(), path.c_str()) != 0) {
    return fail(ErrorKind::kInvalid, "cannot write " + path + ": " + std::strerror(errno));
  }
  return {};
}

Json read_object(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  Json parsed = Json::parse(text, nullptr, false);
  return parsed.is_object() ? parsed : Json::object();
}

template <class T>
T value(const Json& object, const char* key, T otherwise) {
  try {
    return object.value(key, otherwise);
  } catch (const Json::exception&) {  // of another type
    return otherwise;
  }
}

}  // namespace

Result<void> write_upgrade_request(const std::string& data, const UpgradeRequest& request) {
  return replace_file(request_path(data), {{"id", request.id}, {"binary", request.binary}});
}

UpgradeRequest take_upgrade_request(const std::string& data) {
  const Json object = read_object(request_path(data));
  (void)std::remove(request_path(data).c_str());
  return {.id = value(object, "id", std::string()),
          .binary = value(object, "binary", std::string())};
}

Result<void> write_upgrade_result(const std::string& data, const UpgradeResult& result) {
  return replace_file(result_path(data), {{"id", result.id},
                                          {"upgraded", result.upgraded},
                                          {"text", result.text},
                                          {"pid", result.pid},
                                          {"connections", result.connections},
                                          {"pause_ms", result.pause_ms}});
}

std::optional<UpgradeResult> read_upgrade_result(const std::string& data) {
  const Json object = read_object(result_path(data));
  if (!object.contains("upgraded")) return std::nullopt;
  UpgradeResult result;
  result.id = value(object, "id", std::string());
  result.upgraded = value(object, "upgraded", false);
  result.text = value(object, "text", std::string());
  result.pid = value(object, "pid", pid_t{0});
  result.connections = value(object, "connections", std::uint64_t{0});
  result.pause_ms = value(object, "pause_ms", std::int64_t{0});
  return result;
}

}  // namespace evodb::app
