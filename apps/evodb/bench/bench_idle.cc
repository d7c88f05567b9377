// `evodb bench idle`: what connections cost that say nothing, or hardly anything. A parent in a
// process of its own, its children in another one, real handshakes over loopback.
#include "bench/bench_idle.h"

#include <signal.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "bench/bare_pings.h"
#include "bench/bench_command.h"
#include "bench/idle_children.h"
#include "bench/process_cost.h"
#include "bench/quantile.h"
#include "commands/http_client.h"
#include "server/descriptors.h"
#include "version.h"

namespace evodb::app {

namespace {

constexpr double stream_bytes = 16;  // base::EpollLoop's, which an in-memory transport has not
constexpr double ping_every_s = 30;
constexpr double wake_s = 10;
constexpr double wake_share_per_s = 0.01;

struct Memory {
  double user = 0, kernel = 0;
};

// Waits until the parent has so many children, all hibernated, and its memory has stayed the same
// for a second.
Result<Memory> settled(const ParentProcess& parent, std::uint32_t children) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  std::uint64_t before = 0;
  for (int same = 0; same < 4;) {
    const BenchJson status = EVODB_TRY(status_of(parent));
    const std::uint64_t now = EVODB_TRY(bench::anonymous_bytes(parent.process->pid()));
    const bool right = status["connections"]["children"] == children &&
                       status["connections"]["hibernated"] == children;
    same = right && now == before ? same + 1 : 0;
    before = now;
    if (std::chrono::steady_clock::now() > deadline) {
      return fail(ErrorKind::kRetry, "the parent does not come to rest with " +
                                         std::to_string(children) +
                                         " children: " + status["connections"].dump());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(250));
  }
  return Memory{static_cast<double>(before), static_cast<double>(EVODB_TRY(bench::kernel_bytes()))};
}

// Bytes a connection, from the difference between few and many.
struct Slope {
  double user = 0, kernel = 0;
  double open_s = 0;  // of the many
};
Result<Slope> measure_slope(const ParentProcess& parent, bench::IdleChildren& children,
                            std::uint32_t few, std::uint32_t all) {
  (void)EVODB_TRY(children.open(parent.port(), 0, few));
  const Memory low = EVODB_TRY(settled(parent, few));
  const auto rest = EVODB_TRY(children.open(parent.port(), few, all));
  const Memory high = EVODB_TRY(settled(parent, all));
  const double added = all - few;
  return Slope{(high.user - low.user) / added, (high.kernel - low.kernel) / added, rest.seconds};
}

Result<double> idle_cores(const ParentProcess& parent, bench::IdleChildren& children,
                          double seconds) {
  const double before = EVODB_TRY(bench::cpu_seconds(parent.process->pid()));
  const auto begun = std::chrono::steady_clock::now();
  EVODB_TRY(children.idle(seconds, ping_every_s));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
  return (EVODB_TRY(bench::cpu_seconds(parent.process->pid())) - before) / took.count();
}

// One frame to all, from the signal that asks for it to the last child that has it.
Result<double> broadcast_ms(const ParentProcess& parent, bench::IdleChildren& children,
                            std::uint64_t turn) {
  EVODB_TRY(children.begin_broadcast(turn));
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  const double begun_s = static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
  parent.process->signal(SIGUSR1);
  return (EVODB_TRY(children.end_broadcast()).last_at_s - begun_s) * 1e3;
}

// A million records need no million sockets.
Result<void> add_records(const BenchArguments& arguments, const std::string& scratch,
                         BenchJson& metrics) {
  if (arguments.records == 0) return {};
  const IdleRecords records =
      EVODB_TRY(measure_idle_records(arguments.records, scratch + "/records"));
  metrics["records_1m_bytes_per_connection"] = records.connection_bytes + stream_bytes;
  metrics["records_1m_bytes_per_source"] = records.source_bytes;
  metrics["records_1m_open_ns"] = records.open_ns;
  metrics["records_1m_hibernate_ns"] = records.hibernate_ns;
  metrics["records_1m_ping_ns"] = records.ping_ns;
  metrics["records_1m_broadcast_ns"] = records.broadcast_ns;
  return {};
}

}  // namespace

Result<BenchJson> bench_idle(const BenchArguments& asked) {
  BenchArguments arguments = asked;
  // Sooner than by default, so that less of the time here is waiting. A later --set wins.
  arguments.sets.insert(arguments.sets.begin(), "gate.hibernate_after_ms=1000");
  raise_descriptor_limit();
  const std::uint32_t all = arguments.connections;
  const std::uint32_t few = all / 9;  // 2,000 of 18,000
  const auto children = EVODB_TRY(bench::IdleChildren::start(all));
  const auto bare = EVODB_TRY(bench::BarePings::start());
  BenchParent bench;
  bench.scratch = EVODB_TRY(ScratchDirectory::create(arguments.directory, "evodb-bench-"));
  bench.data = bench.scratch->path() + "/data";
  const std::string log = bench.scratch->path() + "/parent.log";
  BenchJson metrics;
  EVODB_TRY(add_records(arguments, bench.scratch->path(), metrics));
  bench.parent = EVODB_TRY(start_parent_process(bench.data, "127.0.0.1:0", arguments.sets, log,
                                                {"bench", "idle-parent"}));

  // Sources that the parent has never seen: each costs its marks for ever, beside the connection.
  const Slope fresh = EVODB_TRY(measure_slope(bench.parent, *children, few, all));
  EVODB_TRY(children->close_all(false));
  (void)EVODB_TRY(settled(bench.parent, 0));
  metrics["handshakes_new_sources_per_s"] = (all - few) / fresh.open_s;

  const auto storm = EVODB_TRY(children->open(bench.parent.port(), 0, all));
  metrics["handshake_s"] = storm.seconds;
  (void)EVODB_TRY(settled(bench.parent, all));
  const auto idle_s = static_cast<double>(arguments.idle_s);
  const double cores = EVODB_TRY(idle_cores(bench.parent, *children, idle_s));
  metrics["idle_cpu_cores"] = cores;

  const auto wake = EVODB_TRY(children->wake(wake_s, wake_share_per_s * all));
  metrics["wake_ms_p50"] = wake.ping_ms_p50;
  metrics["wake_ms_p99"] = wake.ping_ms_p99;
  metrics["wake_ms_max"] = wake.ping_ms_max;
  metrics["wake_durable_ack_ms_p50"] = wake.batch_ms_p50;
  metrics["wake_durable_ack_ms_p99"] = wake.batch_ms_p99;
  std::vector<double> broadcasts;
  for (std::uint64_t turn = 1; turn <= 5; ++turn) {
    broadcasts.push_back(EVODB_TRY(broadcast_ms(bench.parent, *children, turn)));
  }
  metrics["broadcast_ms"] = bench::quantile(broadcasts, 0.5);
  metrics["broadcast_ms_max"] = bench::quantile(broadcasts, 1);
  EVODB_TRY(children->close_all(false));
  const Memory before_rounds = EVODB_TRY(settled(bench.parent, 0));
  double round_s = 0;
  for (std::uint32_t round = 0; round < arguments.rounds; ++round) {
    round_s += EVODB_TRY(children->open(bench.parent.port(), 0, all)).seconds;
    EVODB_TRY(children->close_all(round % 2 == 0));  // with a reset, or with a close frame
  }
  const Memory after_rounds = EVODB_TRY(settled(bench.parent, 0));
  metrics["rounds_growth_bytes"] = after_rounds.user - before_rounds.user;
  if (arguments.rounds > 0) metrics["rounds_handshake_s"] = round_s / arguments.rounds;

  // The same sources again, known from the checkpoint: what is left is the connection's.
  bench.parent.process->signal(SIGTERM);
  (void)EVODB_TRY(bench.parent.process->wait(60'000));
  bench.parent = EVODB_TRY(start_parent_process(bench.data, "127.0.0.1:0", arguments.sets, log));
  const Slope known = EVODB_TRY(measure_slope(bench.parent, *children, few, all));
  const BenchJson status = EVODB_TRY(status_of(bench.parent));
  if (status["sources"]["known"] != all || status["sources"]["sessions"] != all) {
    return fail(ErrorKind::kCorrupt, "the parent knows other sources: " + status["sources"].dump());
  }
  // Last: the kernel is busy for seconds after so many connections have ended.
  const double bare_cores = EVODB_TRY(bare->cores(all, idle_s, ping_every_s));
  metrics["idle_cpu_bare_cores"] = bare_cores;
  metrics["idle_cpu_over_bare"] = cores / bare_cores;
  metrics["user_bytes_per_connection"] = known.user;
  metrics["user_bytes_per_connection_and_new_source"] = fresh.user;
  metrics["user_bytes_per_new_source"] = fresh.user - known.user;
  metrics["kernel_bytes_per_connection"] = known.kernel;
  metrics["parent_rss_mb"] = static_cast<double>(bench.parent.process->resident_bytes()) / 1e6;

  return BenchJson{{"bench", "idle"},
                   {"checked", true},
                   {"settings",
                    {{"version", version()},
                     {"connections", all},
                     {"slope_from", few},
                     {"ping_every_s", ping_every_s},
                     {"idle_s", arguments.idle_s},
                     {"wake_share_per_s", wake_share_per_s},
                     {"rounds", arguments.rounds},
                     {"records", arguments.records},
                     {"set", arguments.sets}}},
                   {"metrics", metrics}};
}

}  // namespace evodb::app
