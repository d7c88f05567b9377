// ChildProcess: a command of this binary as a process of its own, for `evodb demo` and `evodb
// bench`. It is killed when its owner goes.
#pragma once

#include <spawn.h>
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "evodb/result.h"

namespace evodb::app {

// Words as exec wants them; points into `words`.
std::vector<char*> exec_words(std::vector<std::string>& words);

// posix_spawn or posix_spawnp, of a process that blocks no signal, whatever we block. Returns what
// those do: 0, or an errno.
int spawn_unblocked(decltype(posix_spawn)* spawn, pid_t* pid, const char* program,
                    const posix_spawn_file_actions_t& files, char* const words[],
                    char* const environment[]);

class ChildProcess {
 public:
  // Starts this very executable with `arguments`; its stderr goes to `log_path` (appended), its
  // stdout to /dev/null. EVODB_* variables are not inherited: they are the caller's, not its.
  static Result<std::unique_ptr<ChildProcess>> start(const std::vector<std::string>& arguments,
                                                     const std::string& log_path);
  // Any program, found as a shell finds it; `variables` ("NAME=value") come on top of ours. Both
  // its outputs go to `log_path`.
  static Result<std::unique_ptr<ChildProcess>> start_program(
      const std::string& program, const std::vector<std::string>& arguments,
      const std::vector<std::string>& variables, const std::string& log_path);
  ~ChildProcess();  // kill -9 and wait
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  bool running();
  void signal(int number);
  // Waits; the exit code, or 128 + the signal that ended it. Errors: kRetry (still running then).
  Result<int> wait(std::int64_t timeout_ms);
  // Resident memory now, bytes. 0 if it has ended.
  std::uint64_t resident_bytes() const;

 private:
  explicit ChildProcess(pid_t pid) : pid_(pid) {}
  pid_t pid_;
  bool reaped_ = false;
  int exit_code_ = 0;
};

// An `evodb serve` that said it was ready.
struct ParentProcess {
  std::unique_ptr<ChildProcess> process;
  std::string address;  // "127.0.0.1:40123"
  double start_ms = 0;  // from exec to ready
  std::uint16_t port() const;
};

// `settings` are --set arguments; `command` is `serve`, or one that takes and says the same.
// Errors: what the process said on stderr.
Result<ParentProcess> start_parent_process(const std::string& data, const std::string& listen,
                                           const std::vector<std::string>& settings,
                                           const std::string& log_path,
                                           const std::vector<std::string>& command = {"serve"});

// A new directory below `parent`, removed with all it holds when this goes.
class ScratchDirectory {
 public:
  static Result<std::unique_ptr<ScratchDirectory>> create(const std::string& parent,
                                                          const std::string& prefix);
  ~ScratchDirectory();
  const std::string& path() const { return path_; }
  void keep() { keep_ = true; }

 private:
  explicit ScratchDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
  bool keep_ = false;
};

}  // namespace evodb::app
