// `evodb serve`: a parent until SIGTERM or SIGINT.
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <future>
#include <thread>

#include "command.h"
#include "config.h"
#include "descriptors.h"
#include "lakehouse_parent.h"

namespace evodb::app {

namespace {

struct ServeArguments {
  std::string config_file;
  std::vector<std::string> sets;
  std::string listen, data;
  bool insecure = false;
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

// The signals of one parent's life, waited for by a thread of their own. Whatever the process is
// doing then may be cut short: what is acknowledged is in the journal.
class Signals {
 public:
  // Blocks them in this thread and in those that it starts later.
  Signals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGTERM);
    sigaddset(&set_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);  // a file over its limit is a full disk: EFBIG, not our end
  }

  // Until ready() a signal ends the process at once: no child has been admitted.
  void watch_start() {
    std::thread([this] {
      int signal = 0;
      sigwait(&set_, &signal);
      if (!ready_) _exit(kExitOk);
      stop_.set_value(signal);
    }).detach();
  }
  void ready() { ready_ = true; }
  int wait() { return stop_.get_future().get(); }

  // Ends the process when a second signal comes, or when stopping takes far longer than it may.
  void watch_stop(std::int64_t deadline_ms) {
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
  std::atomic<bool> ready_ = false;
  std::promise<int> stop_;
};

int serve(const ServeArguments& arguments) {
  const auto config = Config::load(sources_of(arguments));
  if (!config) return report(config.error());

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
  auto parent = start_parent(*config, [](const std::string& why) {
    std::fprintf(stderr, "evodb is not ready yet: %s\n", why.c_str());
  });
  if (!parent) return report(parent.error());
  signals.ready();
  std::fprintf(stderr, "evodb ready on http://%s\n", (*parent)->address().c_str());

  const int signal = signals.wait();
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
