// In place of bench/ in a build without it (EVODB_BENCH=OFF, as `make demo` makes one).
#include <cstdio>

#include "commands/command.h"

namespace evodb::app {

void add_bench(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("bench", "Measure (not in this build: `make build` has it)");
  command->allow_extras()->callback([&exit_code] {
    std::fprintf(stderr, "evodb: this build has no benchmarks; `make build` makes one that has\n");
    exit_code = kExitUsage;
  });
}

}  // namespace evodb::app
