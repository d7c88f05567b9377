// A configuration file from anybody: refused with its place, or settings within their bounds that
// can be shown, and that a file of their own makes again.
#include "server/config.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

#include <nlohmann/json.hpp>

#include "base/assert.h"

namespace {

// The loader takes paths: a file in memory has one.
struct MemoryFile {
  explicit MemoryFile(std::string_view content) : fd(memfd_create("config", 0)) {
    EVODB_ASSERT(fd >= 0 && ::write(fd, content.data(), content.size()) ==
                                static_cast<ssize_t>(content.size()),
                 "a file in memory");
    path = "/proc/self/fd/" + std::to_string(fd);
  }
  ~MemoryFile() { ::close(fd); }
  int fd;
  std::string path;
};

evodb::Result<evodb::app::Config> load(std::string_view content) {
  const MemoryFile file(content);
  return evodb::app::Config::load({.file = file.path});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace evodb::app;
  const std::string_view content(reinterpret_cast<const char*>(data), size);
  // A secret's file may be anything that the operator can read, also what never ends.
  if (content.find("_file") != std::string_view::npos ||
      content.find('\\') != std::string_view::npos)
    return 0;
  const auto config = load(content);
  if (!config) {
    EVODB_ASSERT(config.error().text.starts_with("/proc/self/fd/"), "an error names its place");
    return 0;
  }
  for (const Setting& setting : settings()) {
    if (setting.kind == SettingKind::kText || setting.kind == SettingKind::kSecret) continue;
    if (setting.kind == SettingKind::kBoolean) {
      (void)config->boolean(setting.key);
      continue;
    }
    const std::int64_t value = config->integer(setting.key);
    EVODB_ASSERT(value >= setting.min && value <= setting.max, "out of its bounds");
  }
  EVODB_ASSERT(nlohmann::json::accept(config->json(true)), "its JSON is none");
  (void)config->show(true);
  return 0;
}
