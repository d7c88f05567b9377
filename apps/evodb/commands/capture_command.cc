// `evodb capture`: triggers and outbox in an application's database.
#include <cstdio>

#include <nlohmann/json.hpp>

#include "base/posix/system_clock.h"
#include "capture/install.h"
#include "commands/command.h"

namespace evodb::app {

namespace {

using OrderedJson = nlohmann::ordered_json;

int install(const capture::InstallOptions& options) {
  base::SystemClock clock;
  base::SystemRandom random;
  const auto done = capture::install(options, clock, random);
  if (!done) return report(done.error());
  std::printf("%s: source %s, epoch %lu, %zu tables captured%s\n", options.db.c_str(),
              done->source.c_str(), done->epoch.value, done->captured.size(),
              done->changed ? "" : " (nothing to change)");
  if (done->snapshot_rows > 0) {
    std::printf("  %lu rows that were there already will be sent as SNAPSHOT\n",
                done->snapshot_rows);
  }
  if (done->pending_rows > 0) {
    std::printf("  of those about %lu are read from the tables by evodb edge, bit by bit\n",
                done->pending_rows);
  }
  for (const auto& [name, reason] : done->skipped) {
    std::printf("  not captured: %s (%s)\n", name.c_str(), reason.c_str());
  }
  for (const auto& warning : done->warnings) std::printf("  note: %s\n", warning.c_str());
  return kExitOk;
}

OrderedJson to_json(const capture::CaptureStatus& s) {
  OrderedJson tables = OrderedJson::array();
  for (const auto& table : s.tables) {
    tables.push_back({{"name", table.name},
                      {"captured", table.captured},
                      {"stale", table.stale},
                      {"resending", table.resending},
                      {"schema_version", table.schema_version},
                      {"reason", table.reason}});
  }
  return {{"source", s.source},
          {"epoch", s.epoch.value},
          {"trimmed_lsn", s.trimmed.value},
          {"head_lsn", s.head.value},
          {"held_changes", s.held_changes},
          {"held_bytes", s.held_bytes},
          {"paused", s.paused},
          {"broken", s.broken.value_or("")},
          {"writes_fail", s.writes_fail},
          {"all_tables", s.all_tables},
          {"tables", tables},
          {"warnings", s.warnings}};
}

int show_status(const std::string& db, bool as_json) {
  const auto s = capture::status(db);
  if (!s) return report(s.error());
  if (as_json) {
    // `replace`: a table's name may be any bytes.
    std::printf("%s\n",
                to_json(*s).dump(2, ' ', false, OrderedJson::error_handler_t::replace).c_str());
    return kExitOk;
  }
  std::printf("%s: source %s, epoch %lu%s\n", db.c_str(), s->source.c_str(), s->epoch.value,
              s->broken   ? ", NOT WHOLE"
              : s->paused ? ", paused"
                          : "");
  std::printf("  %lu changes (about %lu bytes) wait to be acknowledged; newest LSN %lu\n",
              s->held_changes, s->held_bytes, s->head.value);
  for (const auto& table : s->tables) {
    std::printf("  %-30s %s%s%s\n", table.name.c_str(),
                !table.captured   ? "not captured"
                : table.stale     ? "captured, schema changed since"
                : table.resending ? "captured, its rows are being sent"
                                  : "captured",
                table.reason.empty() ? "" : ": ", table.reason.c_str());
  }
  for (const auto& warning : s->warnings) std::printf("  note: %s\n", warning.c_str());
  return kExitOk;
}

int remove(const std::string& db, bool force) {
  const auto before = capture::status(db);
  if (!before && !force) return report(before.error());
  const auto done = capture::remove(db, force);
  if (!done) {
    const int code = report(done.error());
    return before && before->held_changes > 0 && !force ? kExitLimit : code;
  }
  const bool unsent = before && before->held_changes > 0;
  std::printf("%s: capture removed%s\n", db.c_str(),
              unsent ? ", and with it changes that were not sent" : "");
  return kExitOk;
}

}  // namespace

void add_capture(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<capture::InstallOptions>();
  auto no_snapshot = std::make_shared<bool>(false);
  auto as_json = std::make_shared<bool>(false);
  auto force = std::make_shared<bool>(false);

  auto* command = app.add_subcommand("capture", "Capture an application's SQLite database");
  command->require_subcommand(1);
  const auto add = [&](const char* name, const char* what) {
    auto* sub = command->add_subcommand(name, what);
    sub->add_option("--db", options->db, "The application's database")
        ->required()
        ->type_name("FILE");
    return sub;
  };

  auto* sub = add("install", "Put triggers and outbox in; again after a schema change or a pause");
  sub->add_option("--table", options->tables, "Only these tables; repeatable (default: all)");
  sub->add_option("--exclude", options->exclude, "Not these tables; repeatable");
  sub->add_option("--source", options->source, "The database's name (default: a random one)");
  sub->add_flag("--no-snapshot", *no_snapshot, "Do not send the rows that are there already");
  sub->callback([=, &exit_code] {
    options->snapshot = !*no_snapshot;
    exit_code = install(*options);
  });

  sub = add("status", "What is captured, what waits");
  sub->add_flag("--json", *as_json, "Print one JSON object");
  sub->callback([=, &exit_code] { exit_code = show_status(options->db, *as_json); });

  sub = add("pause", "Take the triggers away for a migration; install puts them back");
  sub->callback([=, &exit_code] {
    const auto done = capture::pause(options->db);
    exit_code = done ? kExitOk : report(done.error());
  });

  sub = add("remove", "Take triggers and outbox away");
  sub->add_flag("--force", *force, "Even if changes are unsent: they are lost");
  sub->callback([=, &exit_code] { exit_code = remove(options->db, *force); });
}

}  // namespace evodb::app
