// `evodb serve`: a parent until SIGTERM or SIGINT, or until another process has its place.
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <mutex>
#include <thread>

#include "commands/command.h"
#include "server/config.h"
#include "server/descriptors.h"
#include "server/hand_over_channel.h"
#include "server/lakehouse_parent.h"
#include "server/service_manager.h"
#include "server/successor.h"
#include "server/upgrade_files.h"

namespace evodb::app {

namespace {

struct ServeArguments {
  std::string config_file;
  std::vector<std::string> sets;
  std::string listen, data;
  bool insecure = false;
  int take_over = -1;  // descriptor of the hand-over's channel
};

Config::Sources sources_of(const ServeArguments& arguments) {
  Config::Sources sources;
  sources.file = arguments.config_file;
  sources.sets = arguments.sets;
  sources.environment = environment();
  if (!arguments.listen.empty()) sources.flags["listen"] = arguments.listen;
  if (!arguments.data.empty()) sources.flags["data"] = arguments.data;
  if (arguments.insecure) sources.flags["insecure"] = "true";
  return sources;
}

void add_settings(CLI::App& command, ServeArguments& arguments) {
  command.add_option("--config", arguments.config_file, "Settings file (default: ./evodb.toml)")
      ->type_name("FILE");
  command.add_option("--set", arguments.sets, "One setting, as key=value; repeatable")
      ->type_name("KEY=VALUE");
  command.add_option("--listen", arguments.listen, "Address of the one port (127.0.0.1:8787)")
      ->type_name("HOST:PORT");
  command.add_option("--data", arguments.data, "Directory of journal, catalog and warehouse")
      ->type_name("DIR");
  command.add_flag("--insecure", arguments.insecure,
                   "Listen beyond loopback although there are no tokens yet");
}

// In the order of what a parent was asked: SIGUSR2 any number of times, then SIGTERM or SIGINT.
// Waited for by a thread of their own; whatever the process is doing then may be cut short: what is
// acknowledged is in the journal.
class Signals {
 public:
  // Blocks them in this thread and in those that it starts later.
  Signals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGTERM);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);  // a file over its limit is a full disk: EFBIG, not our end
  }

  // Until ready() a signal to stop ends the process at once: no child has been admitted.
  void watch_start() {
    std::thread([this] {
      for (int signal = SIGUSR2; signal == SIGUSR2;) {
        sigwait(&set_, &signal);
        const std::lock_guard lock(mutex_);
        if (!ready_ && signal != SIGUSR2) _exit(kExitOk);
        came_.push_back(signal);
        wake_.notify_one();
      }
    }).detach();
  }
  void ready() {
    const std::lock_guard lock(mutex_);
    ready_ = true;
  }
  int wait() {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return !came_.empty(); });
    const int signal = came_.front();
    came_.pop_front();
    // Many requests to upgrade are one.
    while (signal == SIGUSR2 && !came_.empty() && came_.front() == SIGUSR2) came_.pop_front();
    return signal;
  }

  // One to stop has come, and nobody has waited for it.
  int stop_asked() {
    const std::lock_guard lock(mutex_);
    return came_.empty() || came_.back() == SIGUSR2 ? 0 : came_.back();
  }

  // Ends the process when a second signal comes, or when stopping takes far longer than it may.
  void watch_stop(std::int64_t deadline_ms) {
    sigdelset(&set_, SIGUSR2);
    std::thread([set = set_, until = Steady::now() + std::chrono::milliseconds(deadline_ms) +
                                     std::chrono::seconds(5)] {
      int signal = 0;
      do {
        // Interrupted when the process was stopped and continued, or a debugger looked: no end.
        const auto left = std::max<Steady::duration>(until - Steady::now(), {});
        const auto whole = std::chrono::floor<std::chrono::seconds>(left);
        const timespec patience{whole.count(), std::chrono::nanoseconds(left - whole).count()};
        signal = sigtimedwait(&set, nullptr, &patience);
      } while (signal < 0 && errno == EINTR);
      const bool asked_again = signal > 0;
      std::fprintf(stderr, "evodb stopped %s; the journal holds what has not landed\n",
                   asked_again ? "at once" : "late");
      _exit(asked_again ? kExitOk : kExitFailed);
    }).detach();
  }

 private:
  using Steady = std::chrono::steady_clock;

  sigset_t set_;
  std::mutex mutex_;
  bool ready_ = false;
  std::condition_variable wake_;
  std::deque<int> came_;
};

// The arguments again, for the process that takes over.
std::vector<std::string> arguments_again(const ServeArguments& arguments) {
  std::vector<std::string> words = {"serve"};
  const auto add = [&](const char* flag, const std::string& value) {
    if (!value.empty()) words.insert(words.end(), {flag, value});
  };
  add("--config", arguments.config_file);
  for (const auto& set : arguments.sets) add("--set", set);
  add("--listen", arguments.listen);
  add("--data", arguments.data);
  if (arguments.insecure) words.emplace_back("--insecure");
  return words;
}

std::string own_path() {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::string() : path.string();
}

// Ends the process if another one took over, or if the parent was lost on the way.
void upgrade(ServedParent& parent, const Config& config, const ServeArguments& arguments,
             const std::string& own_binary, Signals& signals) {
  const std::string data = config.text("data");
  const UpgradeRequest request = take_upgrade_request(data);
  const std::string binary = request.binary.empty() ? own_binary : request.binary;
  UpgradeResult result{.id = request.id, .pid = getpid()};
  const auto not_upgraded = [&](const Error& why) {
    const bool lost = why.kind == ErrorKind::kInternal;
    result.text = "not upgraded: " + why.text;
    if (!lost) result.text += "; process " + std::to_string(result.pid) + " goes on as before";
    (void)write_upgrade_result(data, result);
    std::fprintf(stderr, "evodb %s\n", result.text.c_str());
    if (lost) _exit(kExitFailed);
  };
  if (request.refused) return not_upgraded({ErrorKind::kInvalid, *request.refused});
  std::fprintf(stderr, "evodb upgrading: %s\n", binary.c_str());
  const std::int64_t ready_ms_max = config.integer("upgrade.ready_ms_max");
  auto next = Successor::start(binary, arguments_again(arguments), ready_ms_max);
  Result<HandOverReport> done =
      next ? parent.hand_over_to(**next, {.landing_ms_max = ready_ms_max,
                                          .pause_ms_max = config.integer("upgrade.pause_ms_max")})
           : fail(next.error());
  if (done) {
    result.upgraded = true;
    result.pid = (*next)->pid();
    result.connections = done->connections;
    result.pause_ms = done->pause_ms;
    result.text = "process " + std::to_string(result.pid) + " (evodb " + (*next)->version() +
                  ") has taken over " + std::to_string(done->connections) + " connections in " +
                  std::to_string(done->pause_ms) + " ms";
    tell_service_manager("MAINPID=" + std::to_string(result.pid));
    (void)write_upgrade_result(data, result);
    std::fprintf(stderr, "evodb upgraded: %s\n", result.text.c_str());
    if (const int stop = signals.stop_asked(); stop != 0) kill(result.pid, stop);
    _exit(kExitOk);  // nothing is closed or shut down: it all is the other's
  }
  not_upgraded(done.error());
}

Result<std::unique_ptr<ServedParent>> begin(const Config& config, const ServeArguments& arguments,
                                            Signals& signals) {
  if (arguments.take_over < 0) {
    return start_parent(config, [](const std::string& why) {
      std::fprintf(stderr, "evodb is not ready yet: %s\n", why.c_str());
    });
  }
  HandOverChannel channel(arguments.take_over);
  // From kTaken on children are ours, also if this thread has not come back from there.
  auto parent = take_over_parent(config, channel, [&signals] { signals.ready(); });
  if (parent) return parent;
  refuse_to_take_over(channel, parent.error());
}

int serve(const ServeArguments& arguments) {
  const auto config = Config::load(sources_of(arguments));
  if (!config && arguments.take_over >= 0) {
    HandOverChannel channel(arguments.take_over);
    refuse_to_take_over(channel, config.error());
  }
  if (!config) return report(config.error());
  const std::string own_binary = own_path();  // before a file of that name is replaced

  raise_descriptor_limit();
  const auto wanted = static_cast<std::uint32_t>(config->integer("gate.connections_max"));
  const auto plan = plan_descriptors(descriptor_limit(), wanted);
  if (plan && plan->connections_max < wanted) {
    std::fprintf(stderr, "evodb: at most %u connections, not %u: the limit of open files is %llu\n",
                 plan->connections_max, wanted,
                 static_cast<unsigned long long>(descriptor_limit()));
  }

  static Signals signals;  // its threads outlive this function
  signals.watch_start();
  auto parent = begin(*config, arguments, signals);
  if (!parent) return report(parent.error());
  signals.ready();
  std::fprintf(stderr, "evodb ready on http://%s\n", (*parent)->address().c_str());
  tell_service_manager("READY=1");

  int signal = signals.wait();
  for (; signal == SIGUSR2; signal = signals.wait()) {
    upgrade(**parent, *config, arguments, own_binary, signals);
  }
  std::fprintf(stderr, "evodb stopping: %s\n", signal == SIGTERM ? "SIGTERM" : "SIGINT");
  const std::int64_t deadline_ms = config->integer("shutdown.deadline_ms");
  signals.watch_stop(deadline_ms);
  (*parent)->stop(std::chrono::milliseconds(deadline_ms));
  std::fprintf(stderr, "evodb stopped\n");
  return kExitOk;
}

int validate(const ServeArguments& arguments) {
  const auto config = Config::load(sources_of(arguments));
  if (!config) return report(config.error());
  const auto options = parent_options(*config);
  if (!options) return report(options.error());
  std::printf("valid\n");
  return kExitOk;
}

}  // namespace

void add_serve(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<ServeArguments>();
  auto* command =
      app.add_subcommand("serve", "Run a parent: receive changes, land them in Iceberg");
  add_settings(*command, *arguments);
  command->add_option("--take-over", arguments->take_over)->group("");  // an upgrading parent's
  command->callback([arguments, &exit_code] { exit_code = serve(*arguments); });
}

void add_config(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<ServeArguments>();
  auto with_origin = std::make_shared<bool>(false);
  auto as_json = std::make_shared<bool>(false);

  auto* command = app.add_subcommand("config", "Show settings");
  command->require_subcommand(1);
  auto* show = command->add_subcommand("show", "Print every setting that holds");
  add_settings(*show, *arguments);
  show->add_flag("--origin", *with_origin, "Say where each value came from");
  show->add_flag("--json", *as_json, "Print one JSON object");
  show->callback([=, &exit_code] {
    const auto config = Config::load(sources_of(*arguments));
    if (!config) {
      exit_code = report(config.error());
      return;
    }
    const std::string text = *as_json ? config->json(*with_origin) : config->show(*with_origin);
    std::fputs(text.c_str(), stdout);
  });
  command->add_subcommand("docs", "Print docs/configuration.md")->callback([] {
    std::fputs(configuration_page().c_str(), stdout);
  });

  auto* check = app.add_subcommand("validate", "Check settings without starting anything");
  add_settings(*check, *arguments);
  check->callback([=, &exit_code] { exit_code = validate(*arguments); });
}

}  // namespace evodb::app
