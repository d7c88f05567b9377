// The parent that `evodb bench idle` measures: what `evodb serve` runs, and a room above it that
// has something to say to everyone. A benchmark's own, since nobody else may have it said.
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <vector>

#include "bench/bench_idle.h"
#include "commands/command.h"
#include "gate/gate.h"
#include "server/config.h"
#include "server/descriptors.h"
#include "server/lakehouse_parent.h"
#include "wire/frame.h"

namespace evodb::app {

namespace {

struct Arguments {
  std::string data, listen;
  std::vector<std::string> sets;
};

int idle_parent(const Arguments& arguments) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // also in the threads that start now
  Config::Sources sources;
  sources.file = "/dev/null";
  sources.flags = {{"data", arguments.data}, {"listen", arguments.listen}};
  for (const std::string& set : arguments.sets) {
    const auto at = set.find('=');
    sources.flags[set.substr(0, at)] = at == std::string::npos ? "" : set.substr(at + 1);
  }
  const auto config = Config::load(sources);
  if (!config) return report(config.error());
  raise_descriptor_limit();
  auto parent = start_parent(*config);
  if (!parent) return report(parent.error());
  std::fprintf(stderr, "evodb ready on http://%s\n", (*parent)->address().c_str());
  std::uint64_t turn = 0;
  for (int signal = 0; sigwait(&signals, &signal) == 0 && signal == SIGUSR1;) {
    (*parent)->with_gate([frame = wire::encode_frame(wire::Ping{++turn})](gate::Gate& gate) {
      if (!gate.broadcast(wire::WsOpcode::kBinary, frame)) std::abort();
    });
  }
  (*parent)->stop(std::chrono::seconds(10));
  return kExitOk;
}

}  // namespace

void add_idle_parent(CLI::App& bench, int& exit_code) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = bench.add_subcommand("idle-parent", "The parent of bench idle")->group("");
  command->add_option("--data", arguments->data)->required();
  command->add_option("--listen", arguments->listen)->required();
  command->add_option("--set", arguments->sets);
  command->callback([arguments, &exit_code] { exit_code = idle_parent(*arguments); });
}

}  // namespace evodb::app
