// `evodb bench land`: journal to columns to Parquet to commit, for 4 and for 20 typed columns, and
// beside it PyArrow's write_table on the very rows that landed.
//
// A core's rate is rows over CPU seconds: of the parent's threads "landing" and "store" (all that a
// row costs behind the journal: reading it back, columns, Parquet, files with their syncs, Iceberg,
// catalog), and of PyArrow's process around write_table alone. Load and sockets run at the same
// time on the same cores; they are in neither. Rounds alternate; medians count.
#include <sys/wait.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>

#include "bench/bench_command.h"
#include "bench/bench_land_pyarrow.h"
#include "bench/lakehouse_reader.h"
#include "bench/load.h"
#include "bench/process_cost.h"
#include "bench/quantile.h"
#include "bench/seconds_since.h"
#include "demo/duckdb_script.h"
#include "lake/parquet_encoder.h"
#include "version.h"

namespace evodb::app {

namespace {

constexpr int rounds = 5;
constexpr int peer_repeats = 3;

struct Round {
  double rows_per_s = 0, rows_per_cpu_s = 0, landing_share = 0;
  double peer_all = 0, peer_all_default = 0, peer_values = 0;
};

struct Peer {
  std::string python, script, scratch, data;
  std::string pyarrow_version;
};

Result<BenchJson> run_peer(const Peer& peer, const BenchJson& ask) {
  const std::string command = "'" + peer.python + "' '" + peer.script + "' '" + ask.dump() + "'";
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return fail(ErrorKind::kInternal, "cannot start " + peer.python);
  std::string out;
  char chunk[4096];
  while (const std::size_t n = fread(chunk, 1, sizeof chunk, pipe)) out.append(chunk, n);
  const int status = pclose(pipe);
  auto answer = BenchJson::parse(out, nullptr, /*allow_exceptions=*/false);
  if (status != 0 || !answer.is_object()) {
    return fail(ErrorKind::kInvalid, peer.python +
                                         " cannot run the comparison; it needs the packages "
                                         "pyarrow and duckdb (--python FILE names another)");
  }
  return answer;
}

// What the sums over all sources must be: source i has the LSNs 1 .. its share.
struct Expected {
  double ids = 0, amounts = 0, kinds = 0;
};
Expected expected_of(const bench::LoadOptions& load) {
  Expected sums;
  for (std::uint32_t i = 0; i < load.connections; ++i) {
    const std::uint64_t share =
        load.entries * (i + 1) / load.connections - load.entries * i / load.connections;
    for (std::uint64_t lsn = 1; lsn <= share; ++lsn) {
      sums.ids += static_cast<double>(lsn);
      sums.amounts += static_cast<double>(lsn) / 7;
      sums.kinds += static_cast<double>(lsn % 97);
    }
  }
  return sums;
}

Result<void> check_peer(const BenchJson& answer, const bench::LoadOptions& load) {
  const auto wrong = [&](const std::string& what) {
    return fail(ErrorKind::kCorrupt, "DuckDB reads something else than was sent: " + what);
  };
  if (answer["rows"] != load.entries || answer["distinct"] != load.entries) {
    return wrong(answer["rows"].dump() + " rows, " + answer["distinct"].dump() + " distinct, of " +
                 std::to_string(load.entries));
  }
  const Expected sums = expected_of(load);
  const std::pair<const char*, double> columns[] = {
      {"id", sums.ids}, {"amount", sums.amounts}, {"kind", sums.kinds}};
  for (const auto& [name, expected] : columns) {
    const double sum = answer["sums"][name][0];
    // Doubles, added in another order.
    if (std::abs(sum - expected) > expected * 1e-9 || answer["sums"][name][1] != load.entries) {
      return wrong(std::string("the sum of ") + name + " is " + std::to_string(sum) + ", not " +
                   std::to_string(expected));
    }
  }
  return {};
}

Result<Round> run_round(const BenchParent& parent, Peer& peer, bench::LoadOptions load) {
  const pid_t pid = parent.parent.process->pid();
  const double landing_before = EVODB_TRY(bench::cpu_seconds(pid, {"landing"}));
  const double before = EVODB_TRY(bench::cpu_seconds(pid, {"landing", "store"}));
  const auto begun = std::chrono::steady_clock::now();
  const auto loaded = EVODB_TRY(bench::run_load(load));
  EVODB_TRY(land_everything(parent.parent, 300'000));
  const double seconds = bench::seconds_since(begun);
  const double cpu_s = EVODB_TRY(bench::cpu_seconds(pid, {"landing", "store"})) - before;
  const double landing_s = EVODB_TRY(bench::cpu_seconds(pid, {"landing"})) - landing_before;

  const auto table = bench::load_table(load.rows).name + "_changes";
  const auto answer = EVODB_TRY(run_peer(peer, {{"data", peer.data},
                                                {"table", table},
                                                {"prefix", load.prefix + "-"},
                                                {"sum", BenchJson::array({"id", "amount", "kind"})},
                                                {"scratch", peer.scratch},
                                                {"level", lake::ParquetOptions().zstd_level},
                                                {"repeats", peer_repeats}}));
  EVODB_TRY(check_peer(answer, load));
  peer.pyarrow_version = answer["pyarrow"];
  Round round;
  const auto entries = static_cast<double>(loaded.entries);
  round.rows_per_s = entries / seconds;
  round.rows_per_cpu_s = entries / cpu_s;
  round.landing_share = landing_s / cpu_s;
  round.peer_all_default = answer["all_default"];
  round.peer_all = std::max(answer["all_default"].get<double>(), answer["all_plain"].get<double>());
  round.peer_values =
      std::max(answer["values_default"].get<double>(), answer["values_plain"].get<double>());
  return round;
}

void add_metrics(BenchJson& metrics, const std::vector<Round>& all, const std::string& suffix) {
  const auto median = [&](auto value) {
    std::vector<double> samples;
    for (const Round& round : all) samples.push_back(value(round));
    return bench::quantile(samples, 0.5);
  };
  metrics["rows_per_s" + suffix] = median([](const Round& r) { return r.rows_per_s; });
  metrics["per_core_over_pyarrow" + suffix] =
      median([](const Round& r) { return r.rows_per_cpu_s / r.peer_all; });
  metrics["per_core_over_pyarrow_defaults" + suffix] =
      median([](const Round& r) { return r.rows_per_cpu_s / r.peer_all_default; });
  metrics["per_core_over_pyarrow_values_only" + suffix] =
      median([](const Round& r) { return r.rows_per_cpu_s / r.peer_values; });
  metrics["rows_per_core_s" + suffix] = median([](const Round& r) { return r.rows_per_cpu_s; });
  metrics["pyarrow_rows_per_core_s" + suffix] = median([](const Round& r) { return r.peer_all; });
  metrics["landing_thread_share" + suffix] = median([](const Round& r) { return r.landing_share; });
}

}  // namespace

Result<BenchJson> bench_land(const BenchArguments& arguments) {
  const auto parent = EVODB_TRY(start_bench_parent(arguments));
  const auto disk = EVODB_TRY(bench::measure_raw_disk(parent.scratch->path()));
  Peer peer{.python = arguments.python,
            .script = parent.scratch->path() + "/peer.py",
            .scratch = parent.scratch->path() + "/peer.parquet",
            .data = parent.data,
            .pyarrow_version = {}};
  std::ofstream(peer.script) << duckdb_script << bench_land_pyarrow_script;

  BenchJson metrics;
  const std::uint64_t entries = arguments.entries != 0 ? arguments.entries : 1'000'000;
  const std::pair<bench::RowKind, const char*> widths[] = {{bench::RowKind::kTyped4, ""},
                                                           {bench::RowKind::kTyped20, "_20"}};
  for (const auto& [rows, suffix] : widths) {
    bench::LoadOptions load;
    load.port = parent.parent.port();
    load.rows = rows;
    load.timeout_ms = 600'000;
    load.prefix = std::string("check") + suffix;
    load.connections = 4;
    load.entries = 10'000;
    (void)EVODB_TRY(run_round(parent, peer, load));  // its answer is checked, its time is not used

    load.connections = arguments.connections;
    load.window = arguments.window;
    load.batch_entries = arguments.batch_entries;
    load.entries = entries;
    std::vector<Round> all;
    for (int i = 0; i < rounds; ++i) {
      load.prefix = "timed-" + std::to_string(i) + suffix;
      all.push_back(EVODB_TRY(run_round(parent, peer, load)));
    }
    add_metrics(metrics, all, suffix);
  }
  add_raw_disk(metrics, disk);
  return BenchJson{{"bench", "land"},
                   {"checked", true},
                   {"settings",
                    {{"version", version()},
                     {"entries", entries},
                     {"rounds", rounds},
                     {"connections", arguments.connections},
                     {"window_batches", arguments.window},
                     {"batch_entries", arguments.batch_entries},
                     {"codec", "zstd"},
                     {"level", lake::ParquetOptions().zstd_level},
                     {"pyarrow", peer.pyarrow_version},
                     {"set", arguments.sets}}},
                   {"metrics", metrics}};
}

}  // namespace evodb::app
