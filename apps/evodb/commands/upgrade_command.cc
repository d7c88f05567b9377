// `evodb upgrade`: asks a running parent to be replaced with a new binary, and says what came of
// it. docs/upgrade.md.
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <thread>

#include <nlohmann/json.hpp>

#include "commands/command.h"
#include "server/config.h"
#include "server/data_lock.h"
#include "server/upgrade_files.h"

namespace evodb::app {

namespace {

struct UpgradeArguments {
  std::string config_file, data, binary;
  std::int64_t timeout_s = 60;
  bool as_json = false;
};

using Steady = std::chrono::steady_clock;

// Not one that has ended, and that nobody has waited for.
bool runs(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const auto name_end = text.rfind(')');  // a name may hold anything
  return name_end != std::string::npos && text.size() > name_end + 2 && text[name_end + 2] != 'Z';
}

// Of /proc/PID/status and the like: is `signal` in its line `field` ("SigCgt:")?
bool has_signal(const std::filesystem::path& status, const std::string& field, int signal) {
  std::ifstream in(status);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(field)) continue;
    const auto set = std::strtoull(line.c_str() + field.size(), nullptr, 16);
    return (set >> (signal - 1) & 1) != 0;
  }
  return false;
}

// Would SIGUSR2 not end this process? Every thread of `evodb serve` blocks it; the one that waits
// for it is shown as if it did not. An application that has a parent inside need not block it; and
// who died and left its pid in the lock may have been replaced by anybody.
bool expects_signal(pid_t pid) {
  const std::filesystem::path process = "/proc/" + std::to_string(pid);
  if (has_signal(process / "status", "SigCgt:", SIGUSR2)) return true;
  if (!has_signal(process / "status", "SigBlk:", SIGUSR2)) return false;  // its first thread
  std::error_code error;
  int not_blocked = 0;
  std::filesystem::directory_iterator tasks(process / "task", error);
  for (; !error && tasks != std::filesystem::directory_iterator(); tasks.increment(error)) {
    const auto status = tasks->path() / "status";
    std::error_code ended;
    if (has_signal(status, "SigBlk:", SIGUSR2) || !std::filesystem::exists(status, ended)) continue;
    ++not_blocked;
  }
  return !error && not_blocked <= 1;
}

Result<UpgradeResult> ask(const std::string& data, const UpgradeArguments& arguments) {
  const pid_t pid = EVODB_TRY(DataLock::holder(data));
  UpgradeRequest request;
  request.id = std::to_string(getpid()) + "-" + std::to_string(std::random_device{}());
  if (!arguments.binary.empty()) {
    std::error_code error;
    request.binary = std::filesystem::absolute(arguments.binary, error).string();
    if (access(request.binary.c_str(), X_OK) != 0) {
      return fail(ErrorKind::kInvalid,
                  "cannot run " + arguments.binary + ": " + std::strerror(errno));
    }
  }
  if (!expects_signal(pid)) {
    return fail(ErrorKind::kInvalid,
                "process " + std::to_string(pid) +
                    ", which holds the data directory, does not wait for SIGUSR2, or cannot be "
                    "looked at: only a parent that `evodb serve` runs can be upgraded");
  }
  EVODB_TRY(write_upgrade_request(data, request));
  if (kill(pid, SIGUSR2) != 0) {
    const std::string why = std::strerror(errno);
    (void)take_upgrade_request(data);
    return fail(ErrorKind::kInvalid,
                "cannot signal the parent (process " + std::to_string(pid) + "): " + why);
  }
  const auto until = Steady::now() + std::chrono::seconds(arguments.timeout_s);
  auto gone_since = Steady::time_point::max();
  for (;;) {
    if (auto result = read_upgrade_result(data); result && result->id == request.id) {
      return *std::move(result);
    }
    const auto now = Steady::now();
    // Its answer is written before it ends.
    if (gone_since == Steady::time_point::max() && !runs(pid)) gone_since = now;
    if (gone_since != Steady::time_point::max() && now - gone_since > std::chrono::seconds(1)) {
      return fail(ErrorKind::kOutcomeUnknown, "the parent (process " + std::to_string(pid) +
                                                  ") ended without an answer; see its log and "
                                                  "`evodb status`");
    }
    if (now > until) {
      return fail(
          ErrorKind::kOutcomeUnknown,
          "no answer within " + std::to_string(arguments.timeout_s) + " s; see the parent's log");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

ExitCode upgrade(const UpgradeArguments& arguments) {
  Config::Sources sources;
  sources.file = arguments.config_file;
  sources.environment = environment();
  if (!arguments.data.empty()) sources.flags["data"] = arguments.data;
  const auto config = Config::load(sources);
  if (!config) return report(config.error());
  const auto result = ask(config->text("data"), arguments);
  if (!result) return report(result.error());
  if (arguments.as_json) {
    const nlohmann::ordered_json out = {{"upgraded", result->upgraded},
                                        {"pid", result->pid},
                                        {"connections", result->connections},
                                        {"pause_ms", result->pause_ms},
                                        {"text", result->text}};
    std::printf("%s\n", out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  }
  if (!result->upgraded) return report({ErrorKind::kInternal, result->text});
  if (!arguments.as_json) std::printf("%s\n", result->text.c_str());
  return kExitOk;
}

}  // namespace

void add_upgrade(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<UpgradeArguments>();
  auto* command = app.add_subcommand(
      "upgrade", "Give a running parent's place to a new process, without closing a connection");
  command->add_option("--data", arguments->data, "Data directory of the parent")->type_name("DIR");
  command->add_option("--config", arguments->config_file, "Settings file that names it")
      ->type_name("FILE");
  command
      ->add_option("--binary", arguments->binary,
                   "The new binary (default: the path that the parent was started from)")
      ->type_name("PATH");
  command->add_option("--timeout", arguments->timeout_s, "Longest wait for the outcome")
      ->type_name("SECONDS")
      ->check(CLI::Range(1, 3600));
  command->add_flag("--json", arguments->as_json, "Print one JSON object");
  command->callback([arguments, &exit_code] { exit_code = upgrade(*arguments); });
}

}  // namespace evodb::app
