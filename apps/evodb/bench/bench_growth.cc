// `evodb bench growth`: does a row cost more where there is more of everything else? Four curves:
// sources that the parent knows, tables, commits that a table has had, and a journal that is
// behind.
//
// A row's cost is CPU time of the parent's process over rows, from the socket to the commit, with
// the same load at every point; rows/s stand beside it. Every point has a parent of its own, and
// a reader counts what landed.
#include <signal.h>

#include <chrono>
#include <thread>

#include "bench/bench_command.h"
#include "bench/commit_growth.h"
#include "bench/lakehouse_reader.h"
#include "bench/load.h"
#include "bench/process_cost.h"
#include "bench/seconds_since.h"
#include "version.h"

namespace evodb::app {

namespace {

constexpr std::uint32_t crowd = 1'000;       // sources that come and go at the same time
constexpr std::uint64_t commit_window = 64;  // two rounds of merging

struct RowCost {
  double cpu_us = 0, rows_per_s = 0;
};

// One load until everything is committed; checked.
Result<RowCost> cost_of_load(const BenchParent& parent, bench::LoadOptions load) {
  load.port = parent.parent.port();
  load.until = WaitLevel::kPersisted;
  load.timeout_ms = 600'000;
  const pid_t pid = parent.parent.process->pid();
  const double cpu_before = EVODB_TRY(bench::cpu_seconds(pid));
  const auto loaded = EVODB_TRY(bench::run_load(load));
  const double cpu_s = EVODB_TRY(bench::cpu_seconds(pid)) - cpu_before;
  auto reader = EVODB_TRY(bench::LakehouseReader::open(parent.data));
  EVODB_TRY(reader.expect(load));
  const auto rows = static_cast<double>(loaded.entries);
  return RowCost{cpu_s * 1e6 / rows, rows / loaded.seconds};
}

bench::LoadOptions typed_load(const std::string& prefix, std::uint64_t entries) {
  bench::LoadOptions load;
  load.prefix = prefix;
  load.rows = bench::RowKind::kTyped4;
  load.entries = entries;
  return load;
}

void add_point(BenchJson& metrics, const std::string& curve, double at, const RowCost& cost) {
  metrics[curve].push_back(at);
  metrics[curve + "_row_cpu_us"].push_back(cost.cpu_us);
  metrics[curve + "_rows_per_s"].push_back(cost.rows_per_s);
}

// --- sources ------------------------------------------------------------------------------------

// `sources` have connected, said hello, had one change landed and gone, 1,000 at a time.
Result<double> introduce(const BenchParent& parent, std::uint64_t sources) {
  const pid_t pid = parent.parent.process->pid();
  const double cpu_before = EVODB_TRY(bench::cpu_seconds(pid));
  for (std::uint64_t known = 0; known < sources; known += crowd) {
    bench::LoadOptions load = typed_load("known-" + std::to_string(known), 0);
    load.port = parent.parent.port();
    load.connections = static_cast<std::uint32_t>(std::min<std::uint64_t>(crowd, sources - known));
    load.entries = load.connections;
    (void)EVODB_TRY(bench::run_load(load));
  }
  const double cpu_s = EVODB_TRY(bench::cpu_seconds(pid)) - cpu_before;
  EVODB_TRY(land_everything(parent.parent, 300'000));
  return cpu_s * 1e6 / static_cast<double>(sources);
}

Result<void> sources_curve(const BenchArguments& arguments, std::uint64_t entries,
                           BenchJson& metrics) {
  std::vector<std::uint64_t> points = {1, 1'000, 100'000};
  if (arguments.full) points.push_back(1'000'000);
  for (const std::uint64_t sources : points) {
    const auto parent = EVODB_TRY(start_bench_parent(arguments));
    (void)EVODB_TRY(cost_of_load(parent, typed_load("warm", entries / 10)));
    const double hello_us = EVODB_TRY(introduce(parent, sources));
    add_point(metrics, "sources", static_cast<double>(sources),
              EVODB_TRY(cost_of_load(parent, typed_load("timed", entries))));
    metrics["sources_first_change_cpu_us"].push_back(hello_us);
    metrics["sources_rss_mb"].push_back(
        static_cast<double>(parent.parent.process->resident_bytes()) / 1e6);
  }
  return {};
}

// --- tables -------------------------------------------------------------------------------------

Result<void> tables_curve(const BenchArguments& arguments, std::uint64_t entries,
                          BenchJson& metrics) {
  for (const std::uint32_t tables : {1u, 100u, 1'000u}) {
    const auto parent = EVODB_TRY(start_bench_parent(arguments));
    // Each table's first commit creates it: not what a row costs.
    auto warm = typed_load("warm", std::uint64_t{tables} * 100);
    warm.tables = tables;
    warm.connections = 1;
    (void)EVODB_TRY(cost_of_load(parent, warm));
    auto load = typed_load("timed", entries);
    load.tables = tables;
    add_point(metrics, "tables", tables, EVODB_TRY(cost_of_load(parent, load)));
  }
  return {};
}

// --- commits ------------------------------------------------------------------------------------

Result<void> commits_curve(const BenchArguments& arguments, BenchJson& metrics) {
  const auto scratch = EVODB_TRY(ScratchDirectory::create(arguments.directory, "evodb-bench-"));
  std::vector<std::uint64_t> points = {10, 200, 1'000};
  points.push_back(arguments.full ? 10'000 : 3'000);
  const auto costs = EVODB_TRY(bench::measure_commits(scratch->path(), points, commit_window));
  for (const bench::CommitCost& cost : costs) {
    metrics["commits"].push_back(cost.commits);
    metrics["commits_cpu_us"].push_back(cost.cpu_us);
    metrics["commits_ms_p50"].push_back(cost.ms_p50);
    metrics["commits_put_bytes"].push_back(cost.put_bytes);
    metrics["commits_puts"].push_back(cost.puts);
    metrics["commits_gets"].push_back(cost.gets);
  }
  return {};
}

// --- backlog ------------------------------------------------------------------------------------

// Journals `entries` changes while nothing can land: the store's address has nobody.
Result<RowCost> fill_journal(BenchArguments arguments, BenchParent& parent,
                             const bench::LoadOptions& shape) {
  arguments.sets.insert(arguments.sets.end(),
                        {"store.url=s3://nowhere/lake", "store.endpoint=http://127.0.0.1:9",
                         "store.access_key_id=none", "store.secret_access_key=none",
                         "shutdown.deadline_ms=0", "fallback.max_local_bytes=32GiB"});
  parent = EVODB_TRY(start_bench_parent(arguments));
  auto load = shape;
  load.port = parent.parent.port();
  load.until = WaitLevel::kDurable;
  load.timeout_ms = 600'000;
  const double cpu_before = EVODB_TRY(bench::cpu_seconds(parent.parent.process->pid()));
  const auto loaded = EVODB_TRY(bench::run_load(load));
  const double cpu_s = EVODB_TRY(bench::cpu_seconds(parent.parent.process->pid())) - cpu_before;
  parent.parent.process->signal(SIGTERM);
  (void)EVODB_TRY(parent.parent.process->wait(60'000));
  const auto rows = static_cast<double>(loaded.entries);
  return RowCost{cpu_s * 1e6 / rows, rows / loaded.seconds};
}

// A parent that finds a journal of `bytes` which has not landed: how long until it serves, and what
// a row costs to land from it. Both points have the same shape; the first is a tenth of a GB.
Result<void> backlog_curve(const BenchArguments& arguments, BenchJson& metrics) {
  constexpr double bytes_a_row = 206;
  for (const double gigabytes : {0.1, arguments.full ? 10.0 : 1.0}) {
    bench::LoadOptions load;
    load.prefix = "backlog";
    load.rows = bench::RowKind::kPayload200;
    load.entries = static_cast<std::uint64_t>(gigabytes * 1e9 / bytes_a_row);
    BenchParent parent;
    const RowCost filled = EVODB_TRY(fill_journal(arguments, parent, load));
    parent.parent = EVODB_TRY(start_parent_process(parent.data, "127.0.0.1:0", arguments.sets,
                                                   parent.scratch->path() + "/parent.log"));
    const auto begun = std::chrono::steady_clock::now();
    const pid_t pid = parent.parent.process->pid();
    EVODB_TRY(land_everything(parent.parent, 600'000));
    const double seconds = bench::seconds_since(begun);
    const auto rows = static_cast<double>(load.entries);
    const RowCost landed{EVODB_TRY(bench::cpu_seconds(pid)) * 1e6 / rows, rows / seconds};
    auto reader = EVODB_TRY(bench::LakehouseReader::open(parent.data));
    EVODB_TRY(reader.expect(load));
    metrics["backlog_gb"].push_back(gigabytes);
    metrics["backlog_filling_row_cpu_us"].push_back(filled.cpu_us);
    metrics["backlog_filling_rows_per_s"].push_back(filled.rows_per_s);
    metrics["backlog_start_ms"].push_back(parent.parent.start_ms);
    metrics["backlog_landing_row_cpu_us"].push_back(landed.cpu_us);
    metrics["backlog_landing_rows_per_s"].push_back(landed.rows_per_s);
  }
  return {};
}

}  // namespace

Result<BenchJson> bench_growth(const BenchArguments& arguments) {
  const std::uint64_t entries = arguments.entries != 0 ? arguments.entries : 1'000'000;
  BenchJson metrics;
  EVODB_TRY(sources_curve(arguments, entries, metrics));
  EVODB_TRY(tables_curve(arguments, entries, metrics));
  EVODB_TRY(commits_curve(arguments, metrics));
  EVODB_TRY(backlog_curve(arguments, metrics));
  const auto curve = [&](const std::string& name, const char* title, const char* y,
                         const std::string& x,
                         std::vector<std::pair<const char*, std::string>> lines) {
    BenchJson drawn = BenchJson::array();
    for (const auto& [line, metric] : lines) {
      BenchJson points = BenchJson::array();
      for (std::size_t i = 0; i < metrics[x].size(); ++i) {
        points.push_back(BenchJson::array({metrics[x][i], metrics[metric][i]}));
      }
      drawn.push_back(BenchJson::object({{"name", line}, {"points", points}}));
    }
    return BenchJson::object(
        {{"name", name}, {"title", title}, {"x", x}, {"y", y}, {"log_x", true}, {"lines", drawn}});
  };
  BenchJson curves = BenchJson::array(
      {curve("sources", "CPU of the parent a row", "microseconds", "sources",
             {{"known sources, 32 sending", "sources_row_cpu_us"}}),
       curve("tables", "CPU of the parent a row", "microseconds", "tables",
             {{"32 sources", "tables_row_cpu_us"}}),
       curve("commits", "One commit", "microseconds", "commits", {{"CPU", "commits_cpu_us"}}),
       curve("backlog", "CPU of the parent a row", "microseconds", "backlog_gb",
             {{"taking it in", "backlog_filling_row_cpu_us"},
              {"landing it", "backlog_landing_row_cpu_us"}})});
  return BenchJson{{"bench", "growth"},
                   {"checked", true},
                   {"settings",
                    {{"version", version()},
                     {"entries", entries},
                     {"connections", 32},
                     {"full", arguments.full},
                     {"commit_window", commit_window},
                     {"set", arguments.sets}}},
                   {"metrics", metrics},
                   {"curves", curves}};
}

}  // namespace evodb::app
