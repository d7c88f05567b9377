// What the commands of `evodb` share: how each joins the command line, and what its exit code says.
//
//   CLI::App app("evodb");
//   int exit_code = 0;
//   add_serve(app, exit_code);
//   CLI11_PARSE(app, argc, argv);
//   return exit_code;
//
// A command reads its arguments, does its work, prints its answer on stdout and one line about a
// failure on stderr, and sets `exit_code`. docs/commands.md lists the codes.
#pragma once

#include <map>
#include <string>

#include <CLI/CLI.hpp>

#include "evodb/result.h"

namespace evodb::app {

// Stable: scripts branch on them.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,       // a fault of ours or of the machine
  kExitUsage = 2,        // wrong arguments, settings, files or input; nothing was done
  kExitUnavailable = 3,  // somebody is away or busy: the same command may succeed later
  kExitCorrupt = 4,      // stored bytes are damaged; nothing was changed
  kExitLimit = 5,        // refused: a limit, or changes that would be lost
  kExitFenced = 6,       // a newer writer owns the lakehouse
};

ExitCode exit_code_of(ErrorKind kind);
// Prints "evodb: <text>" on stderr; returns the code that belongs to the error.
ExitCode report(const Error& error);

// Every EVODB_* and AWS_* variable of this process.
std::map<std::string, std::string> environment();

void add_serve(CLI::App& app, int& exit_code);
void add_config(CLI::App& app, int& exit_code);
void add_capture(CLI::App& app, int& exit_code);
void add_edge(CLI::App& app, int& exit_code);
void add_status(CLI::App& app, int& exit_code);
void add_upgrade(CLI::App& app, int& exit_code);
void add_bench(CLI::App& app, int& exit_code);
void add_demo(CLI::App& app, int& exit_code);
void add_lake(CLI::App& app, int& exit_code);

}  // namespace evodb::app
