// What all benchmarks have in common. Each checks the answer on the very build, disk and settings
// that it then times, and checks what it timed as well.
#include "bench/bench_command.h"

#include <chrono>
#include <cstdio>
#include <set>
#include <string_view>

#include "bench/bench_idle.h"
#include "bench/lakehouse_reader.h"
#include "bench/raw_disk.h"
#include "commands/command.h"
#include "commands/http_client.h"

namespace evodb::app {

namespace {

constexpr std::uint64_t check_entries = 10'000;

void print_report(const BenchJson& report, bool json) {
  if (json) {
    std::printf("%s\n", report.dump(2).c_str());
    return;
  }
  std::printf("bench %s (answer checked)\n", report["bench"].get<std::string>().c_str());
  for (const auto& [name, value] : report["metrics"].items()) {
    if (!value.is_array()) {
      std::printf("  %-34s %14.3f\n", name.c_str(), value.get<double>());
      continue;
    }
    std::printf("  %-34s", name.c_str());  // a curve, from left to right
    for (const auto& point : value) std::printf(" %14.3f", point.get<double>());
    std::printf("\n");
  }
}

}  // namespace

void add_raw_disk(BenchJson& metrics, const bench::RawDisk& disk) {
  metrics["raw_disk_sync_20k_ms_p50"] = disk.sync_20k_ms_p50;
  metrics["raw_disk_sync_20k_ms_p99"] = disk.sync_20k_ms_p99;
  metrics["raw_disk_sequential_mb_per_s"] = disk.sequential_mb_per_s;
}

Result<BenchParent> start_bench_parent(const BenchArguments& arguments) {
  BenchParent bench;
  bench.scratch = EVODB_TRY(ScratchDirectory::create(arguments.directory, "evodb-bench-"));
  bench.data = bench.scratch->path() + "/data";
  bench.parent = EVODB_TRY(start_parent_process(bench.data, "127.0.0.1:0", arguments.sets,
                                                bench.scratch->path() + "/parent.log"));
  return bench;
}

Result<BenchJson> status_of(const ParentProcess& parent) {
  const auto answer =
      EVODB_TRY(http_request("GET", "http://" + parent.address + "/status", 10'000));
  auto status = BenchJson::parse(answer.body, nullptr, /*allow_exceptions=*/false);
  if (answer.status != 200 || !status.is_object()) {
    return fail(ErrorKind::kInternal, "the parent has no status: " + answer.body);
  }
  return status;
}

Result<void> land_everything(const ParentProcess& parent, std::int64_t timeout_ms) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  for (;;) {
    const auto answer =
        EVODB_TRY(http_request("POST", "http://" + parent.address + "/flush", 60'000));
    if (answer.status == 200) return {};
    if (std::chrono::steady_clock::now() > deadline) {
      return fail(ErrorKind::kRetry, "the parent has not landed everything: " + answer.body);
    }
  }
}

Result<void> check_answer(const BenchParent& parent, bench::RowKind rows) {
  bench::LoadOptions options;
  options.port = parent.parent.port();
  options.prefix = "check";
  options.rows = rows;
  options.connections = 4;
  options.entries = check_entries;
  options.until = WaitLevel::kPersisted;
  (void)EVODB_TRY(bench::run_load(options));
  return check_landed(parent, options);
}

Result<void> check_landed(const BenchParent& parent, const bench::LoadOptions& load) {
  EVODB_TRY(land_everything(parent.parent, 300'000));
  auto reader = EVODB_TRY(bench::LakehouseReader::open(parent.data));
  return reader.expect(load);
}

void add_bench(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<BenchArguments>();
  auto* command = app.add_subcommand("bench", "Measure this build on this machine's disk");
  command->require_subcommand(1);
  const auto add = [&](const char* name, const char* what,
                       Result<BenchJson> (*run)(const BenchArguments&),
                       const std::set<std::string_view>& takes) {
    auto* sub = command->add_subcommand(name, what);
    sub->add_flag("--json", arguments->json, "Print one JSON object");
    sub->add_option("--dir", arguments->directory, "Where scratch data goes")->type_name("DIR");
    if (takes.contains("set")) {
      sub->add_option("--set", arguments->sets, "A setting of the parent, as key=value");
    }
    if (takes.contains("entries")) {
      sub->add_option("--entries", arguments->entries, "Changes in the timed part");
    }
    if (takes.contains("connections")) {
      sub->add_option("--connections", arguments->connections, "Children")
          ->check(CLI::Range(1, 19'000));
    }
    if (takes.contains("window")) {
      sub->add_option("--window", arguments->window, "Batches in flight, a child")
          ->check(CLI::Range(1, 1'000));
    }
    if (takes.contains("batch")) {
      sub->add_option("--batch", arguments->batch_entries, "Changes a batch")
          ->check(CLI::Range(1, 10'000));
    }
    if (std::string_view(name) == "land") {
      sub->add_option("--python", arguments->python, "A Python that has pyarrow and duckdb")
          ->type_name("FILE");
    }
    if (std::string_view(name) == "ingest") {
      sub->add_flag("--series", arguments->series, "Also other batch sizes and connection counts");
    }
    if (std::string_view(name) == "growth") {
      sub->add_flag("--full", arguments->full, "1,000,000 sources, 10,000 commits, 10 GB too");
    }
    if (std::string_view(name) == "memory") {
      sub->add_option("--versitygw", arguments->versitygw, "An S3 server: the program versitygw")
          ->type_name("FILE");
      sub->add_option("--seconds", arguments->overload_s, "How long the store stands, then crawls")
          ->check(CLI::Range(2, 3600));
    }
    if (std::string_view(name) == "e2e") {
      sub->add_option("--freshness-seconds", arguments->freshness_s, "Length of that part")
          ->check(CLI::Range(1, 3600));
    }
    if (std::string_view(name) == "idle") {
      sub->add_option("--idle-seconds", arguments->idle_s, "How long everyone only pings")
          ->check(CLI::Range(1, 3600));
      sub->add_option("--rounds", arguments->rounds, "Rounds of connecting and closing all")
          ->check(CLI::Range(0, 1'000));
      sub->add_option("--records", arguments->records, "Connections on an in-memory transport")
          ->check(CLI::Range(0, 4'000'000));
    }
    sub->callback([arguments, run, sub, &exit_code] {
      const bool idle = sub->get_name() == "idle" || sub->get_name() == "upgrade";
      if (idle && sub->count("--connections") == 0) {
        arguments->connections = 18'000;
      }
      const auto report_of = run(*arguments);
      if (!report_of) {
        exit_code = report(report_of.error());
        return;
      }
      print_report(*report_of, arguments->json);
    });
  };
  const std::set<std::string_view> load = {"set", "entries", "connections", "window", "batch"};
  add("ingest", "Durable changes a second: sockets to synced journal", bench_ingest, load);
  add("land", "Rows a second: sockets to committed snapshots, a core beside PyArrow", bench_land,
      load);
  add("e2e", "Many children to visible rows, and how fresh a reader's view is", bench_e2e, load);
  add("idle", "Memory, CPU and latency of connections that hardly say anything", bench_idle,
      {"set", "connections"});
  add("ack", "One batch at a time: sent to durable, beside the raw disk's sync", bench_ack,
      {"set", "entries"});
  add("dedup", "What it costs to remember every source for ever (--entries: sources)", bench_dedup,
      {"entries"});
  add("codec", "Encode and decode, beside memcpy of the same bytes", bench_codec, {"batch"});
  add_idle_parent(*command, exit_code);
  add("growth", "A row's cost as sources, tables, commits and the journal grow", bench_growth,
      {"set", "entries"});
  add("memory", "Resident memory while the store stands still, then crawls", bench_memory,
      {"set", "entries"});
  add("upgrade", "A new process takes over: connections kept, and how long it takes", bench_upgrade,
      load);
  add("capture", "What the triggers cost the application", bench_capture, {});
  add("polite", "Transactions of applications that fail for an edge (--entries: a setting)",
      bench_polite, {"set", "entries"});
}

}  // namespace evodb::app
