// `evodb bench upgrade`: a parent is replaced by a new process, with many idle connections, and
// with traffic beside them. What the children notice is measured by them: a connection that ends,
// an answer that is missing, an acknowledgement that is late.
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <thread>

#include "bench/bench_command.h"
#include "bench/idle_children.h"
#include "bench/quantile.h"
#include "bench/seconds_since.h"
#include "commands/command.h"
#include "commands/http_client.h"
#include "server/data_lock.h"
#include "server/descriptors.h"
#include "server/upgrade_files.h"
#include "version.h"

namespace evodb::app {

namespace {

using Steady = std::chrono::steady_clock;

constexpr int rounds_idle = 5;
constexpr int rounds_traffic = 3;
constexpr std::uint64_t traffic_entries_per_s = 100'000;
constexpr std::uint32_t traffic_connections = 32;
constexpr std::uint64_t traffic_entries_default = 600'000;

// The parent's process changes with every upgrade, and none after the first is a child of ours.
class LastParent {
 public:
  explicit LastParent(std::string data) : data_(std::move(data)) {}
  ~LastParent() {
    const auto pid = DataLock::holder(data_);
    if (!pid) return;
    kill(*pid, SIGTERM);
    for (int i = 0; i < 2'000 && DataLock::holder(data_); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    if (const auto still = DataLock::holder(data_)) kill(*still, SIGKILL);
  }
  LastParent(const LastParent&) = delete;
  LastParent& operator=(const LastParent&) = delete;

 private:
  std::string data_;
};

struct Upgrade {
  double seconds = 0;  // the whole command: from its start to its end
  double pause_ms = 0;
  std::uint64_t connections = 0;
};

Result<Upgrade> upgrade_once(const BenchParent& bench) {
  const auto begun = Steady::now();
  const auto command = EVODB_TRY(ChildProcess::start({"upgrade", "--data", bench.data},
                                                     bench.scratch->path() + "/upgrade.log"));
  const int code = EVODB_TRY(command->wait(60'000));
  Upgrade upgrade{.seconds = bench::seconds_since(begun)};
  const auto result = read_upgrade_result(bench.data);
  if (code != kExitOk || !result || !result->upgraded) {
    return fail(ErrorKind::kInternal,
                "the upgrade failed: " + (result ? result->text : "there is no result"));
  }
  upgrade.pause_ms = static_cast<double>(result->pause_ms);
  upgrade.connections = result->connections;
  return upgrade;
}

Result<std::uint64_t> children_of(const BenchParent& bench) {
  const auto status = EVODB_TRY(status_of(bench.parent));
  return status["connections"]["children"].get<std::uint64_t>();
}

struct Rounds {
  std::vector<double> seconds, pause_ms;
  void add(const Upgrade& upgrade) {
    seconds.push_back(upgrade.seconds);
    pause_ms.push_back(upgrade.pause_ms);
  }
  double worst_seconds() const { return *std::ranges::max_element(seconds); }
};

}  // namespace

Result<BenchJson> bench_upgrade(const BenchArguments& arguments) {
  raise_descriptor_limit();
  const std::uint32_t all = arguments.connections;
  const std::uint64_t entries =
      arguments.entries != 0 ? arguments.entries : traffic_entries_default;
  const auto children = EVODB_TRY(bench::IdleChildren::start(all));
  auto bench = EVODB_TRY(start_bench_parent(arguments));
  const LastParent last(bench.data);
  (void)EVODB_TRY(children->open(bench.parent.port(), 0, all));

  Rounds idle;
  for (int round = 0; round < rounds_idle; ++round) {
    idle.add(EVODB_TRY(upgrade_once(bench)));
    // Each connection pings and is answered, or this fails.
    EVODB_TRY(children->idle(1, 1));
  }
  const std::uint64_t kept = EVODB_TRY(children_of(bench));

  // The same with traffic: paced, and every acknowledgement is waited for. (When it is read is the
  // pacing's affair: how long one takes is not measured here.)
  std::uint64_t windows = 0;
  const auto begun = Steady::now();
  bench::LoadOptions load{.port = bench.parent.port(),
                          .prefix = "traffic",
                          .connections = traffic_connections,
                          .window = arguments.window,
                          .batch_entries = arguments.batch_entries,
                          .entries = entries};
  load.on_window_empty = [&]() -> Result<void> {
    const double due_s = static_cast<double>(++windows * load.window * load.batch_entries) /
                         static_cast<double>(traffic_entries_per_s);
    std::this_thread::sleep_until(begun + std::chrono::duration<double>(due_s));
    return {};
  };
  auto loaded = std::async(std::launch::async, [&] { return bench::run_load(load); });
  Rounds traffic;
  const double traffic_s = static_cast<double>(entries) / traffic_entries_per_s;
  for (int round = 0; round < rounds_traffic; ++round) {
    std::this_thread::sleep_until(
        begun + std::chrono::duration<double>(traffic_s * (round + 1) / (rounds_traffic + 2)));
    auto upgraded = upgrade_once(bench);
    if (!upgraded) {
      (void)loaded.get();
      return fail(std::move(upgraded).error());
    }
    traffic.add(*upgraded);
  }
  const bool in_time = loaded.wait_for(std::chrono::seconds(0)) != std::future_status::ready;
  const auto sent = EVODB_TRY(loaded.get());
  if (!in_time) {
    return fail(ErrorKind::kInvalid, "the traffic ended before the last upgrade; --entries more");
  }
  EVODB_TRY(children->idle(1, 1));
  const std::uint64_t kept_after = EVODB_TRY(children_of(bench));
  EVODB_TRY(check_landed(bench, load));

  BenchJson metrics = {
      {"connections_kept", std::min(kept, kept_after)},
      {"connections_lost", all - std::min<std::uint64_t>(all, std::min(kept, kept_after))},
      {"seconds", std::max(idle.worst_seconds(), traffic.worst_seconds())},
      {"idle_seconds_p50", bench::quantile(idle.seconds, 0.5)},
      {"idle_pause_ms_p50", bench::quantile(idle.pause_ms, 0.5)},
      {"idle_pause_ms_max", bench::quantile(idle.pause_ms, 1)},
      {"traffic_entries_per_s", static_cast<double>(sent.entries) / sent.seconds},
      {"traffic_seconds_p50", bench::quantile(traffic.seconds, 0.5)},
      {"traffic_pause_ms_p50", bench::quantile(traffic.pause_ms, 0.5)},
      {"traffic_pause_ms_max", bench::quantile(traffic.pause_ms, 1)}};
  return BenchJson{{"bench", "upgrade"},
                   {"checked", true},
                   {"settings",
                    {{"version", version()},
                     {"connections", all},
                     {"upgrades_idle", rounds_idle},
                     {"upgrades_with_traffic", rounds_traffic},
                     {"traffic_connections", traffic_connections},
                     {"traffic_entries", entries},
                     {"set", arguments.sets}}},
                   {"metrics", metrics}};
}

}  // namespace evodb::app
