#include "server/upgrade_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>

#include <nlohmann/json.hpp>

namespace evodb::app {

namespace {

using Json = nlohmann::json;

std::string request_path(const std::string& data) { return data + "/upgrade.json"; }
std::string result_path(const std::string& data) { return data + "/upgrade-result.json"; }

constexpr std::size_t request_bytes_max = 64u << 10;
constexpr std::int64_t request_age_ms_max = 60'000;

std::int64_t unix_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

// Whole or not at all for whoever reads; nobody needs it after a power loss. The asker may be root,
// and the directory somebody else's: no file that is there already is written through its name.
Result<void> replace_file(const std::string& path, const Json& content) {
  const std::string made =
      path + "." + std::to_string(getpid()) + "-" + std::to_string(std::random_device{}()) + ".tmp";
  const std::string text = content.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  const int fd =
      ::open(made.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (fd < 0) {
    return fail(ErrorKind::kInvalid, "cannot write " + made + ": " + std::strerror(errno));
  }
  // Read by the other side's user, whatever our umask is.
  const ssize_t written = ::fchmod(fd, 0644) == 0 ? ::write(fd, text.data(), text.size()) : -1;
  int error = written == static_cast<ssize_t>(text.size()) ? 0 : written < 0 ? errno : ENOSPC;
  ::close(fd);
  if (error == 0 && std::rename(made.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    (void)::unlink(made.c_str());
    return fail(ErrorKind::kInvalid, "cannot write " + path + ": " + std::strerror(error));
  }
  return {};
}

// Of a request. nullopt: there is no such file. Errors: kInvalid (says why).
Result<std::optional<std::string>> read_trusted_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return std::nullopt;
  if (fd < 0) return fail(ErrorKind::kInvalid, std::strerror(errno));
  std::string text(request_bytes_max + 1, '\0');
  struct stat about{};
  const int known = ::fstat(fd, &about);
  const ssize_t n = known == 0 && S_ISREG(about.st_mode) ? ::read(fd, text.data(), text.size()) : 0;
  const int error = errno;
  ::close(fd);
  if (known != 0 || n < 0) return fail(ErrorKind::kInvalid, std::strerror(error));
  if (!S_ISREG(about.st_mode)) return fail(ErrorKind::kInvalid, "it is no regular file");
  if ((about.st_uid != 0 && about.st_uid != geteuid()) ||
      (about.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return fail(ErrorKind::kInvalid,
                "it must belong to root or the parent's user, and nobody else may write it");
  }
  text.resize(static_cast<std::size_t>(n));
  if (text.size() > request_bytes_max) return fail(ErrorKind::kInvalid, "it is too long");
  return text;
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
  return replace_file(
      request_path(data),
      {{"id", request.id}, {"binary", request.binary}, {"asked_unix_ms", unix_ms()}});
}

UpgradeRequest take_upgrade_request(const std::string& data) {
  const auto refused = [&](const std::string& why, std::string id = {}) {
    return UpgradeRequest{.id = std::move(id),
                          .refused = "the request " + request_path(data) + " is refused: " + why};
  };
  const auto text = read_trusted_file(request_path(data));
  (void)std::remove(request_path(data).c_str());
  if (!text) return refused(text.error().text);
  if (!*text) return {};
  const Json object = Json::parse(**text, nullptr, false);
  if (!object.is_object()) return refused("it is no JSON object, or cut off");
  const auto has = [&](const char* key, Json::value_t type) {
    return object.contains(key) && object[key].type() == type;
  };
  if (!has("id", Json::value_t::string)) return refused("id is no string");
  const auto id = object["id"].get<std::string>();
  if (!has("binary", Json::value_t::string)) return refused("binary is no string", id);
  if (!has("asked_unix_ms", Json::value_t::number_unsigned)) {
    return refused("asked_unix_ms is no time", id);
  }
  const std::int64_t age_ms = unix_ms() - object["asked_unix_ms"].get<std::int64_t>();
  if (age_ms > request_age_ms_max) {
    std::fprintf(stderr, "evodb: a request to upgrade from %lld s ago is not carried out\n",
                 static_cast<long long>(age_ms / 1'000));
    return {};
  }
  return {.id = id, .binary = object["binary"].get<std::string>(), .refused = {}};
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
