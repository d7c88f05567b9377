#include "server/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <thread>

extern char** environ;

namespace evodb::app {

namespace {

constexpr std::int64_t ready_timeout_ms = 30'000;
constexpr std::string_view ready_prefix = "evodb ready on http://";

std::string read_from(const std::string& path, std::uint64_t offset) {
  std::ifstream in(path, std::ios::binary);
  in.seekg(static_cast<std::streamoff>(offset));
  return {std::istreambuf_iterator<char>(in), {}};
}

std::uint64_t size_of(const std::string& path) {
  std::error_code none;
  const auto size = std::filesystem::file_size(path, none);
  return none ? 0 : size;
}

}  // namespace

std::vector<char*> exec_words(std::vector<std::string>& words) {
  std::vector<char*> out;
  for (auto& word : words) out.push_back(word.data());
  out.push_back(nullptr);
  return out;
}

int spawn_unblocked(decltype(posix_spawn)* spawn, pid_t* pid, const char* program,
                    const posix_spawn_file_actions_t& files, char* const words[],
                    char* const environment[]) {
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  const int error = spawn(pid, program, &files, &attributes, words, environment);
  posix_spawnattr_destroy(&attributes);
  return error;
}

namespace {

struct Spawn {
  const char* program;
  bool search_path = false;
  std::vector<std::string> words, variables;  // argv, environment
  const char* stdout_path;
  std::string log_path;
};

Result<pid_t> spawn(Spawn& what) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  const int append = O_WRONLY | O_CREAT | O_APPEND;
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, what.stdout_path, append, 0644);
  posix_spawn_file_actions_addopen(&files, 2, what.log_path.c_str(), append, 0644);
  pid_t pid = -1;
  const int error =
      spawn_unblocked(what.search_path ? posix_spawnp : posix_spawn, &pid, what.program, files,
                      exec_words(what.words).data(), exec_words(what.variables).data());
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) {
    return fail(ErrorKind::kInternal,
                "cannot start " + what.words.front() + ": " + strerror(error));
  }
  return pid;
}

// EVODB_* are the caller's settings, not a child's.
std::vector<std::string> inherited_variables() {
  std::vector<std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!std::string_view(*entry).starts_with("EVODB_")) variables.emplace_back(*entry);
  }
  return variables;
}

}  // namespace

Result<std::unique_ptr<ChildProcess>> ChildProcess::start(const std::vector<std::string>& arguments,
                                                          const std::string& log_path) {
  Spawn what{.program = "/proc/self/exe",
             .words = {"evodb"},
             .variables = inherited_variables(),
             .stdout_path = "/dev/null",
             .log_path = log_path};
  what.words.insert(what.words.end(), arguments.begin(), arguments.end());
  return std::unique_ptr<ChildProcess>(new ChildProcess(EVODB_TRY(spawn(what))));
}

Result<std::unique_ptr<ChildProcess>> ChildProcess::start_program(
    const std::string& program, const std::vector<std::string>& arguments,
    const std::vector<std::string>& variables, const std::string& log_path) {
  Spawn what{.program = program.c_str(),
             .search_path = true,
             .words = {program},
             .variables = inherited_variables(),
             .stdout_path = log_path.c_str(),
             .log_path = log_path};
  what.words.insert(what.words.end(), arguments.begin(), arguments.end());
  what.variables.insert(what.variables.end(), variables.begin(), variables.end());
  return std::unique_ptr<ChildProcess>(new ChildProcess(EVODB_TRY(spawn(what))));
}

ChildProcess::~ChildProcess() {
  if (!running()) return;
  signal(SIGKILL);
  (void)wait(10'000);
}

bool ChildProcess::running() {
  if (reaped_) return false;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return true;
  reaped_ = true;
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return false;
}

void ChildProcess::signal(int number) {
  if (!reaped_) kill(pid_, number);
}

Result<int> ChildProcess::wait(std::int64_t timeout_ms) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  while (running()) {
    if (std::chrono::steady_clock::now() > deadline) {
      return fail(ErrorKind::kRetry, "process " + std::to_string(pid_) + " still runs after " +
                                         std::to_string(timeout_ms) + " ms");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return exit_code_;
}

std::uint64_t ChildProcess::resident_bytes() const {
  std::ifstream in("/proc/" + std::to_string(pid_) + "/statm");
  std::uint64_t total = 0, resident = 0;
  if (!(in >> total >> resident)) return 0;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

std::uint16_t ParentProcess::port() const {
  return static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
}

Result<ParentProcess> start_parent_process(const std::string& data, const std::string& listen,
                                           const std::vector<std::string>& settings,
                                           const std::string& log_path,
                                           const std::vector<std::string>& command) {
  std::vector<std::string> arguments = command;
  arguments.insert(arguments.end(), {"--data", data, "--listen", listen});
  for (const auto& setting : settings) {
    arguments.push_back("--set");
    arguments.push_back(setting);
  }
  const std::uint64_t log_begin = size_of(log_path);
  const auto begun = std::chrono::steady_clock::now();
  const auto elapsed_ms = [&] {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun)
        .count();
  };
  ParentProcess parent;
  parent.process = EVODB_TRY(ChildProcess::start(arguments, log_path));
  for (;;) {
    const bool running = parent.process->running();
    const std::string log = read_from(log_path, log_begin);
    if (const auto at = log.find(ready_prefix); at != std::string::npos) {
      const auto end = log.find('\n', at);
      if (end != std::string::npos) {
        parent.start_ms = elapsed_ms();
        const auto from = at + ready_prefix.size();
        parent.address = log.substr(from, end - from);
        return parent;
      }
    }
    if (!running) return fail(ErrorKind::kInvalid, "the parent did not start: " + log);
    if (elapsed_ms() > ready_timeout_ms) {
      return fail(ErrorKind::kRetry, "the parent was not ready in time: " + log);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

Result<std::unique_ptr<ScratchDirectory>> ScratchDirectory::create(const std::string& parent,
                                                                   const std::string& prefix) {
  std::string path = parent + "/" + prefix + "XXXXXX";
  if (mkdtemp(path.data()) == nullptr) {
    return fail(ErrorKind::kInvalid,
                "cannot make a directory in " + parent + ": " + strerror(errno));
  }
  return std::unique_ptr<ScratchDirectory>(new ScratchDirectory(std::move(path)));
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code none;
  if (!keep_) std::filesystem::remove_all(path_, none);
}

}  // namespace evodb::app
