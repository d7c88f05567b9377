// `evodb bench ingest`: durable changes a second, and what a million of them costs on each side.
#include <sys/resource.h>

#include <chrono>

#include "bench/bench_command.h"
#include "bench/load.h"
#include "bench/process_cost.h"
#include "bench/quantile.h"
#include "bench/raw_disk.h"
#include "bench/seconds_since.h"
#include "commands/http_client.h"
#include "server/descriptors.h"
#include "version.h"

namespace evodb::app {

namespace {

// One way to send: the goal's, or one with more or fewer rows a batch or connections.
struct Shape {
  std::uint32_t connections = 32, window = 8, batch_entries = 100;
  std::uint64_t entries = 0;
};

struct Timed {
  bench::LoadResult load;
  double server_cpu_s = 0, client_cpu_s = 0, commits = 0, landed_s = 0;
  double per_s() const { return static_cast<double>(load.entries) / load.seconds; }
  double per_million(double cpu_s) const { return cpu_s * 1e6 / static_cast<double>(load.entries); }
};

double own_cpu_s() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

Result<double> commits_of(const BenchParent& parent) {
  const auto json = EVODB_TRY(status_of(parent.parent));
  const BenchJson::json_pointer commits("/journal/commits");
  if (!json.contains(commits)) {
    return fail(ErrorKind::kInvalid, "the parent's /status has no journal.commits");
  }
  return json[commits].get<double>();
}

Result<Timed> time_load(const BenchParent& parent, const Shape& shape) {
  Timed timed;
  Result<double> server_s = 0;
  bench::LoadOptions options{.port = parent.parent.port(),
                             .prefix = "timed",
                             .connections = shape.connections,
                             .window = shape.window,
                             .batch_entries = shape.batch_entries,
                             .entries = shape.entries,
                             .timeout_ms = 600'000};
  const pid_t server = parent.parent.process->pid();
  const double commits = EVODB_TRY(commits_of(parent));
  options.on_connected = [&] {
    server_s = bench::cpu_seconds(server);
    timed.client_cpu_s = own_cpu_s();
  };
  timed.load = EVODB_TRY(bench::run_load(options));
  timed.client_cpu_s = own_cpu_s() - timed.client_cpu_s;
  const double before = EVODB_TRY(server_s);
  timed.server_cpu_s = EVODB_TRY(bench::cpu_seconds(server)) - before;
  timed.commits = EVODB_TRY(commits_of(parent)) - commits;
  const auto begun = std::chrono::steady_clock::now();
  EVODB_TRY(check_landed(parent, options));
  timed.landed_s = bench::seconds_since(begun);
  return timed;
}

void put_cost(BenchJson& metrics, const std::string& suffix, const Timed& timed) {
  metrics["durable_entries_per_s" + suffix] = timed.per_s();
  metrics["server_cpu_s_per_million" + suffix] = timed.per_million(timed.server_cpu_s);
  metrics["client_cpu_s_per_million" + suffix] = timed.per_million(timed.client_cpu_s);
  metrics["syncs_per_s" + suffix] = timed.commits / timed.load.seconds;
  metrics["batches_refused" + suffix] = timed.load.refused;
}

// The other shapes, each with a parent of its own; two curves, with the goal's shape in each.
Result<void> add_series(const BenchArguments& arguments, const Timed& goal, BenchJson& metrics,
                        BenchJson& curves) {
  struct Series {
    const char *name, *what;
    std::vector<std::pair<std::uint32_t, Shape>> shapes;
  };
  const Series series[] = {
      {"rows",
       "rows a batch (32 connections)",
       {{1, {.batch_entries = 1, .entries = 200'000}},
        {10, {.batch_entries = 10, .entries = 1'000'000}},
        {1000, {.batch_entries = 1'000, .entries = 3'000'000}}}},
      {"connections",
       "connections (100 rows a batch; window 8, from 1,000 on 1)",
       {{1, {.connections = 1, .entries = 1'000'000}},
        {1000, {.connections = 1'000, .window = 1, .entries = 3'000'000}},
        {10000, {.connections = 10'000, .window = 1, .entries = 3'000'000}}}},
  };
  for (const Series& one : series) {
    const std::uint32_t goal_at = one.name == std::string_view("rows") ? 100 : 32;
    BenchJson rate = BenchJson::array(), server = rate, client = rate;
    const auto add = [&](std::uint32_t at, const Timed& timed) {
      rate.push_back(BenchJson::array({at, timed.per_s()}));
      server.push_back(BenchJson::array({at, timed.per_million(timed.server_cpu_s)}));
      client.push_back(BenchJson::array({at, timed.per_million(timed.client_cpu_s)}));
    };
    add(goal_at, goal);
    for (const auto& [at, shape] : one.shapes) {
      const auto parent = EVODB_TRY(start_bench_parent(arguments));
      const Timed timed = EVODB_TRY(time_load(parent, shape));
      put_cost(metrics, "_" + std::string(one.name) + "_" + std::to_string(at), timed);
      add(at, timed);
    }
    const auto curve = [&](const std::string& name, const char* title, const char* y,
                           std::vector<std::pair<const char*, BenchJson>> lines) {
      BenchJson drawn = BenchJson::array();
      for (const auto& [line, points] : lines) {
        drawn.push_back(BenchJson::object({{"name", line}, {"points", points}}));
      }
      curves.push_back(BenchJson::object({{"name", name},
                                          {"title", title},
                                          {"x", one.what},
                                          {"y", y},
                                          {"log_x", true},
                                          {"lines", drawn}}));
    };
    curve(one.name, "Durable entries a second", "entries a second", {{"200-byte rows", rate}});
    curve(std::string(one.name) + "-cpu", "Core-seconds a million entries", "core-seconds",
          {{"parent, landing included", server}, {"generator", client}});
  }
  return {};
}

}  // namespace

Result<BenchJson> bench_ingest(const BenchArguments& arguments) {
  raise_descriptor_limit();
  const Shape shape{arguments.connections, arguments.window, arguments.batch_entries,
                    arguments.entries != 0 ? arguments.entries : 3'000'000};
  BenchJson metrics, curves = BenchJson::array();
  {
    const auto parent = EVODB_TRY(start_bench_parent(arguments));
    const double idle_rss = static_cast<double>(parent.parent.process->resident_bytes());
    const auto disk = EVODB_TRY(bench::measure_raw_disk(parent.scratch->path()));
    EVODB_TRY(check_answer(parent, bench::RowKind::kPayload200));
    const Timed timed = EVODB_TRY(time_load(parent, shape));
    put_cost(metrics, "", timed);
    metrics["seconds"] = timed.load.seconds;
    metrics["wire_mb_per_s"] =
        static_cast<double>(timed.load.wire_bytes) / 1e6 / timed.load.seconds;
    metrics["durable_ack_ms_p50"] = bench::quantile(timed.load.durable_ack_ms, 0.5);
    metrics["durable_ack_ms_p99"] = bench::quantile(timed.load.durable_ack_ms, 0.99);
    metrics["landed_and_counted_after_s"] = timed.landed_s;
    metrics["parent_start_ms"] = parent.parent.start_ms;
    metrics["parent_idle_rss_mb"] = idle_rss / 1e6;
    metrics["parent_rss_after_mb"] =
        static_cast<double>(parent.parent.process->resident_bytes()) / 1e6;
    add_raw_disk(metrics, disk);
    if (arguments.series) EVODB_TRY(add_series(arguments, timed, metrics, curves));
  }
  BenchJson report{{"bench", "ingest"},
                   {"checked", true},
                   {"settings",
                    {{"version", version()},
                     {"entries", shape.entries},
                     {"connections", shape.connections},
                     {"window_batches", shape.window},
                     {"batch_entries", shape.batch_entries},
                     {"set", arguments.sets}}},
                   {"metrics", metrics}};
  if (!curves.empty()) report["curves"] = curves;
  return report;
}

}  // namespace evodb::app
