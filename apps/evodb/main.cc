// evodb: one binary for both sides. Each command lives in <name>_command.cc.
#include <CLI/CLI.hpp>

#include "command.h"
#include "version.h"

int main(int argc, char** argv) {
  using namespace evodb::app;  // NOLINT(google-build-using-namespace): this is all there is
  CLI::App app(
      "EvoDB: every change of many SQLite databases in one Iceberg lakehouse, exactly once");
  app.set_version_flag("--version", std::string("evodb ") + version());
  app.require_subcommand(1);
  app.failure_message(CLI::FailureMessage::simple);

  int exit_code = kExitOk;
  add_serve(app, exit_code);
  add_edge(app, exit_code);
  add_capture(app, exit_code);
  add_status(app, exit_code);
  add_config(app, exit_code);
  add_bench(app, exit_code);
  add_demo(app, exit_code);
  app.add_subcommand("version", "Print the version")->callback([] {
    std::printf("evodb %s\n", version());
  });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  return exit_code;
}
