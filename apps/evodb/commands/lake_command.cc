// `evodb lake relocate`: a warehouse that was moved or copied becomes a lakehouse where it is now.
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/posix/system_clock.h"
#include "commands/command.h"
#include "server/config.h"
#include "server/data_lock.h"
#include "server/running_parent.h"
#include "table/catalog.h"
#include "table/relocate.h"

namespace evodb::app {

namespace {

struct RelocateArguments {
  std::string config_file, data, from;
  std::vector<std::string> sets;
};

Result<table::Relocated> relocate(const RelocateArguments& arguments) {
  Config::Sources sources;
  sources.file = arguments.config_file;
  sources.sets = arguments.sets;
  sources.environment = environment();
  if (!arguments.data.empty()) sources.flags["data"] = arguments.data;
  const Config config = EVODB_TRY(Config::load(sources));
  const std::string data = config.text("data");
  const auto lock = EVODB_TRY(DataLock::take(data));  // no parent runs, nor starts meanwhile
  const auto store = EVODB_TRY(store::open_store(store_options(config)));
  const auto catalog =
      EVODB_TRY(table::open_sqlite_catalog(data + "/catalog.db", "evodb", "evodb"));
  base::SystemRandom random;
  table::WriterEpoch writer = EVODB_TRY(catalog->claim());
  return table::relocate_lakehouse(*store, *catalog, random, writer, arguments.from);
}

int print(const Result<table::Relocated>& done) {
  if (!done) return report(done.error());
  if (done->from == done->to) {
    std::printf("nothing to do: the warehouse is at %s, as its tables say\n", done->to.c_str());
    return kExitOk;
  }
  std::printf("relocated from %s to %s\n", done->from.c_str(), done->to.c_str());
  for (const std::string& table : done->tables) std::printf("  %s\n", table.c_str());
  for (const std::string& left : done->left) std::printf("  left as it is: %s\n", left.c_str());
  for (const auto& [table, why] : done->refused) {
    std::fprintf(stderr,
                 "evodb: table %s was not relocated: %s. It waits and lands nothing until it is: "
                 "then run this again with --from %s\n",
                 table.c_str(), why.text.c_str(), done->from.c_str());
  }
  return done->refused.empty() ? kExitOk : exit_code_of(done->refused.front().why.kind);
}

}  // namespace

void add_lake(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<RelocateArguments>();
  auto* command = app.add_subcommand("lake", "Work on the lakehouse itself; no parent may run");
  command->require_subcommand(1);
  auto* relocate_command = command->add_subcommand(
      "relocate", "Write the tables' metadata anew for the place where the warehouse is now");
  relocate_command->add_option("--config", arguments->config_file, "Settings file of the parent")
      ->type_name("FILE");
  relocate_command->add_option("--set", arguments->sets, "One setting, as key=value; repeatable")
      ->type_name("KEY=VALUE");
  relocate_command->add_option("--data", arguments->data, "The parent's data directory")
      ->type_name("DIR");
  relocate_command
      ->add_option("--from", arguments->from,
                   "Where the warehouse was, if it does not say so itself (any more)")
      ->type_name("LOCATION");
  relocate_command->callback([arguments, &exit_code] { exit_code = print(relocate(*arguments)); });
}

}  // namespace evodb::app
