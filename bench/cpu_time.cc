#include "bench/cpu_time.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace evodb::bench {

double cpu_seconds(pid_t process, std::initializer_list<std::string_view> threads) {
  std::error_code none;
  const std::filesystem::path tasks = "/proc/" + std::to_string(process) + "/task";
  double seconds = 0;
  for (const auto& task : std::filesystem::directory_iterator(tasks, none)) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    if (threads.size() != 0 && std::ranges::find(threads, name) == threads.end()) continue;
    std::uint64_t on_cpu_ns = 0;
    if (std::ifstream(task.path() / "schedstat") >> on_cpu_ns) {
      seconds += static_cast<double>(on_cpu_ns) / 1e9;
    }
  }
  return seconds;
}

}  // namespace evodb::bench
