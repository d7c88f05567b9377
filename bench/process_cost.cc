#include "bench/process_cost.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

namespace evodb::bench {

namespace {

// The number behind `word`, anywhere in the file.
Result<std::uint64_t> number_after(const std::string& path, const std::string& word) {
  std::ifstream in(path);
  std::string found;
  std::uint64_t number = 0;
  while (in >> found) {
    if (found == word && in >> number) return number;
  }
  return fail(ErrorKind::kInvalid, path + " has no '" + word + "'");
}

}  // namespace

Result<std::uint64_t> anonymous_bytes(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/smaps_rollup";
  return EVODB_TRY(number_after(path, "Anonymous:")) * 1024;
}

Result<double> cpu_seconds(pid_t pid, std::initializer_list<std::string_view> threads) {
  std::uint64_t sum_ns = 0;
  bool found = false;
  std::error_code error;
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks, error)) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    if (threads.size() != 0 && std::ranges::find(threads, name) == threads.end()) continue;
    std::uint64_t run_ns = 0;
    std::ifstream in(task.path() / "schedstat");
    if (!(in >> run_ns)) continue;
    sum_ns += run_ns;
    found = true;
  }
  if (error || !found) return fail(ErrorKind::kInvalid, "no CPU times in " + tasks);
  return static_cast<double>(sum_ns) / 1e9;
}

Result<std::uint64_t> kernel_bytes() {
  const std::uint64_t slab = EVODB_TRY(number_after("/proc/meminfo", "Slab:")) * 1024;
  const std::uint64_t pages = EVODB_TRY(number_after("/proc/net/sockstat", "mem"));
  return slab + pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace evodb::bench
