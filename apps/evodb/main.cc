// evodb: one binary for both sides. Each command lives in <name>_command.cc.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include <CLI/CLI.hpp>

#include "commands/command.h"
#include "version.h"

namespace {

// One line, as for every other failure: what is wrong, and which help to read.
int refuse_arguments(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  std::string command = "evodb";
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
    command += " " + at->get_name();
  }
  std::string text = error.what();
  if (at == &app && argc > 1 && argv[1][0] != '-') {
    text = "there is no command '" + std::string(argv[1]) + "'";
  }
  std::fprintf(stderr, "evodb: %s; see %s --help\n", text.c_str(), command.c_str());
  return evodb::app::kExitUsage;
}

// An answer that nobody could read is no success: a full disk, a closed stdout.
int answer_is_out(int exit_code) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return exit_code;
  std::fprintf(stderr, "evodb: cannot write the answer to stdout: %s\n", std::strerror(errno));
  return exit_code != evodb::app::kExitOk ? exit_code : int{evodb::app::kExitFailed};
}

}  // namespace

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
  add_upgrade(app, exit_code);
  add_config(app, exit_code);
  add_bench(app, exit_code);
  add_demo(app, exit_code);
  add_lake(app, exit_code);
  app.add_subcommand("version", "Print the version")->callback([] {
    std::printf("evodb %s\n", version());
  });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) return refuse_arguments(app, error, argc, argv);
    app.exit(error);  // --help and --version: not failures
    return answer_is_out(kExitOk);
  }
  return answer_is_out(exit_code);
}
