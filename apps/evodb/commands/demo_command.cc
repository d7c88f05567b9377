// `evodb demo`: three shops write, a parent takes their changes, is killed with -9 in the middle
// and started again, and DuckDB says whether the lakehouse equals the databases.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

#include "commands/command.h"
#include "commands/http_client.h"
#include "demo/demo_compare.h"
#include "demo/duckdb_script.h"
#include "demo/shop.h"
#include "server/child_process.h"

namespace evodb::app {

namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr int shop_count = 3;
constexpr char marker[] = "made-by-evodb-demo";

struct DemoArguments {
  std::string directory = "evodb-demo";
  std::string python = "python3";
  double seconds = 8;
};

class Demo {
 public:
  explicit Demo(const DemoArguments& arguments) : arguments_(arguments) {}

  Result<bool> run() {
    EVODB_TRY(make_directory());
    const std::string data = arguments_.directory + "/parent";
    const std::string log = arguments_.directory + "/parent.log";
    auto parent = EVODB_TRY(start_parent_process(data, "127.0.0.1:0", {}, log));
    say("parent started in %.0f ms: http://%s", parent.start_ms, parent.address.c_str());

    std::vector<std::unique_ptr<Shop>> shops;
    std::vector<std::unique_ptr<ChildProcess>> edges;
    for (int i = 0; i < shop_count; ++i) {
      shops.push_back(EVODB_TRY(Shop::open(database(i), 1000 + static_cast<unsigned>(i))));
      EVODB_TRY(shops.back()->transact());  // rows that were there before capture
      edges.push_back(EVODB_TRY(
          ChildProcess::start({"edge", "--db", database(i), "--parent", "ws://" + parent.address},
                              arguments_.directory + "/edge-" + std::to_string(i + 1) + ".log")));
    }
    say("3 shops opened, each with an edge beside it: %s ...", database(0).c_str());

    std::atomic<bool> stop = false;
    std::atomic<std::uint64_t> transactions = 0;
    std::atomic<bool> failed = false;
    std::vector<std::thread> writers;
    for (auto& shop : shops) {
      writers.emplace_back([&, &shop = *shop] {
        while (!stop) {
          if (!shop.transact()) failed = true;
          ++transactions;
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
      });
    }
    const auto pause = [](double seconds) {
      std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    };
    pause(arguments_.seconds * 0.4);
    say("%lu transactions written; now: kill -9 of the parent (pid %d)", transactions.load(),
        parent.process->pid());
    parent.process->signal(SIGKILL);
    (void)parent.process->wait(5'000);
    pause(arguments_.seconds * 0.2);
    say("%lu transactions written; nobody listens, the shops do not notice", transactions.load());
    auto again = start_parent_process(data, parent.address, {}, log);
    if (again) {
      parent = std::move(*again);
      say("parent started again in %.0f ms, from its journal", parent.start_ms);
    }
    pause(arguments_.seconds * 0.4);
    stop = true;
    for (auto& writer : writers) writer.join();
    if (!again) return fail(again.error());
    if (failed) return fail(ErrorKind::kInternal, "a shop could not write");
    say("%lu transactions written; the shops stop", transactions.load());

    EVODB_TRY(catch_up(edges, parent.address));
    say("every change is acknowledged as persisted; DuckDB counts (%s):",
        (data + "/warehouse").c_str());
    const bool equal = EVODB_TRY(compare(data));
    parent.process->signal(SIGTERM);
    const int code = EVODB_TRY(parent.process->wait(20'000));
    say("parent stopped, exit code %d", code);
    std::printf("\n%s\nAll of it is in %s/: look with any SQLite shell, and DuckDB or PyIceberg.\n",
                equal ? "The lakehouse equals the databases, every change in it exactly once."
                      : "NOT EQUAL: this is a bug, please report it with that directory.",
                arguments_.directory.c_str());
    return equal && code == 0;
  }

 private:
  void say(const char* format, ...) __attribute__((format(printf, 2, 3))) {
    std::printf("%6.2f s  ", std::chrono::duration<double>(SteadyClock::now() - begun_).count());
    va_list arguments;
    va_start(arguments, format);
    std::vprintf(format, arguments);
    va_end(arguments);
    std::printf("\n");
    std::fflush(stdout);
  }

  std::string database(int shop) const {
    return arguments_.directory + "/shop-" + std::to_string(shop + 1) + ".db";
  }

  // A directory that an earlier demo made is made anew; anybody else's is left alone.
  Result<void> make_directory() {
    namespace fs = std::filesystem;
    std::error_code error;
    const fs::path directory = arguments_.directory;
    if (fs::exists(directory, error) && !fs::exists(directory / marker, error)) {
      return fail(ErrorKind::kInvalid,
                  arguments_.directory + " exists and no demo made it; say --dir for another");
    }
    fs::remove_all(directory, error);
    fs::create_directories(directory, error);
    if (error) {
      return fail(ErrorKind::kInvalid,
                  "cannot make " + arguments_.directory + ": " + error.message());
    }
    std::ofstream(directory / marker) << "evodb demo may delete this directory\n";
    return {};
  }

  // Edges run on until nothing is left to send; then they end by SIGTERM, as a service would.
  Result<void> catch_up(std::vector<std::unique_ptr<ChildProcess>>& edges,
                        const std::string& address) {
    for (int i = 0; i < shop_count; ++i) {
      edges[static_cast<std::size_t>(i)]->signal(SIGTERM);
      (void)EVODB_TRY(edges[static_cast<std::size_t>(i)]->wait(20'000));
      auto last = EVODB_TRY(ChildProcess::start(
          {"edge", "--db", database(i), "--parent", "ws://" + address, "--until-caught-up"},
          arguments_.directory + "/edge-" + std::to_string(i + 1) + ".log"));
      const int code = EVODB_TRY(last->wait(60'000));
      if (code != 0) {
        return fail(ErrorKind::kInternal,
                    "the edge of " + database(i) + " ended with code " + std::to_string(code));
      }
    }
    return {};
  }

  Result<bool> compare(const std::string& data) {
    const std::string script = arguments_.directory + "/compare.py";
    std::ofstream(script) << duckdb_script << demo_compare_script;
    std::string command = "'" + arguments_.python + "' '" + script + "' '" + data + "'";
    for (int i = 0; i < shop_count; ++i) command += " '" + database(i) + "'";
    std::fflush(stdout);
    const int status = std::system(command.c_str());
    if (WIFEXITED(status) && WEXITSTATUS(status) <= 1) return WEXITSTATUS(status) == 0;
    return fail(ErrorKind::kInvalid, arguments_.python +
                                         " cannot run the comparison; it needs the duckdb package "
                                         "(make demo brings one)");
  }

  DemoArguments arguments_;
  SteadyClock::time_point begun_ = SteadyClock::now();
};

}  // namespace

void add_demo(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<DemoArguments>();
  auto* command =
      app.add_subcommand("demo", "See it work: edges, a parent that is killed, DuckDB that counts");
  command->add_option("--dir", arguments->directory, "Where everything is kept (made anew)")
      ->type_name("DIR");
  command->add_option("--python", arguments->python, "A Python that has the duckdb package")
      ->type_name("FILE");
  command->add_option("--seconds", arguments->seconds, "How long the shops write")
      ->check(CLI::Range(1, 3600));
  command->callback([arguments, &exit_code] {
    const auto equal = Demo(*arguments).run();
    exit_code = !equal ? static_cast<int>(report(equal.error())) : (*equal ? kExitOk : kExitFailed);
  });
}

}  // namespace evodb::app
