// `evodb bench e2e`: many children to visible rows, then how fresh a plain reader's view is while
// an application commits 1,000 changes a second into a real SQLite file with a real edge beside it.
#include <signal.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

#include "base/posix/system_clock.h"
#include "bench/bench_command.h"
#include "bench/lakehouse_reader.h"
#include "bench/load.h"
#include "bench/process_cost.h"
#include "bench/quantile.h"
#include "capture/install.h"
#include "demo/shop.h"
#include "version.h"

namespace evodb::app {

namespace {

// So many that the second which the last of them may wait for their flush is not most of the time.
constexpr std::uint64_t entries_default = 6'000'000;

using SteadyClock = std::chrono::steady_clock;
constexpr std::uint64_t changes_per_s = 1'000;
constexpr std::int64_t warm_up_s = 2;  // not counted: the first flushes create the table
constexpr std::int64_t idle_s = 5;

double ms_since(SteadyClock::time_point begin) {
  return std::chrono::duration<double, std::milli>(SteadyClock::now() - begin).count();
}

// Commits one row at a time, evenly; notes when each commit returned. LSN i is the i-th insert.
class Application {
 public:
  Application(Shop& shop, std::uint64_t changes) : shop_(shop), changes_(changes) {
    committed_.resize(changes + 1);
  }

  void run() {
    const auto begin = SteadyClock::now();
    for (std::uint64_t lsn = 1; lsn <= changes_ && !failed_; ++lsn) {
      std::this_thread::sleep_until(begin +
                                    std::chrono::microseconds(lsn * 1'000'000 / changes_per_s));
      failed_ = !shop_.insert_one();
      const std::lock_guard lock(mutex_);
      committed_[lsn] = SteadyClock::now();
    }
  }
  SteadyClock::time_point committed(std::uint64_t lsn) {
    const std::lock_guard lock(mutex_);
    return committed_[lsn];
  }
  bool failed() const { return failed_; }

 private:
  Shop& shop_;
  const std::uint64_t changes_;
  std::mutex mutex_;
  std::vector<SteadyClock::time_point> committed_;
  std::atomic<bool> failed_ = false;
};

struct Freshness {
  std::vector<double> ms;  // a change each
  std::uint64_t changes = 0;
  double parent_cpu_cores = 0;  // while the application wrote
  double idle_cpu_cores = 0;    // afterwards, the edge still connected
};

Result<Freshness> measure_freshness(const BenchParent& parent, std::int64_t seconds) {
  const std::string path = parent.scratch->path() + "/shop.db";
  auto shop = EVODB_TRY(Shop::open(path, 1));
  base::SystemClock clock;
  base::SystemRandom random;
  (void)EVODB_TRY(capture::install({.db = path, .source = "freshness"}, clock, random));
  auto edge = EVODB_TRY(
      ChildProcess::start({"edge", "--db", path, "--parent", "ws://" + parent.parent.address},
                          parent.scratch->path() + "/edge.log"));

  const auto changes = static_cast<std::uint64_t>(seconds + warm_up_s) * changes_per_s;
  const pid_t pid = parent.parent.process->pid();
  const double cpu_before = EVODB_TRY(bench::cpu_seconds(pid));
  auto reader = EVODB_TRY(bench::LakehouseReader::open(parent.data));
  Application application(*shop, changes);
  std::thread writer([&] { application.run(); });
  Freshness result;
  std::vector<bool> seen(changes + 1);
  std::string wrong;
  const auto begin = SteadyClock::now();
  const double timeout_ms = static_cast<double>(seconds + warm_up_s + 60) * 1e3;
  while (result.changes < changes && wrong.empty() && ms_since(begin) < timeout_ms) {
    std::vector<std::uint64_t> found;
    const auto read =
        reader.read_new("customers_changes", [&](std::string_view source, Epoch, Lsn lsn) {
          if (source != "freshness" || lsn.value == 0 || lsn.value > changes || seen[lsn.value]) {
            wrong = "a row that nobody wrote, or one that was there before";
            return;
          }
          seen[lsn.value] = true;
          found.push_back(lsn.value);
        });
    if (!read) wrong = read.error().text;
    const auto now = SteadyClock::now();
    for (const std::uint64_t lsn : found) {
      ++result.changes;
      if (lsn <= warm_up_s * changes_per_s) continue;
      result.ms.push_back(
          std::chrono::duration<double, std::milli>(now - application.committed(lsn)).count());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  writer.join();
  result.parent_cpu_cores =
      (EVODB_TRY(bench::cpu_seconds(pid)) - cpu_before) * 1e3 / ms_since(begin);
  std::this_thread::sleep_for(std::chrono::seconds(1));  // the last acknowledgements, trimming
  const double idle_before = EVODB_TRY(bench::cpu_seconds(pid));
  std::this_thread::sleep_for(std::chrono::seconds(idle_s));
  result.idle_cpu_cores = (EVODB_TRY(bench::cpu_seconds(pid)) - idle_before) / idle_s;
  edge->signal(SIGTERM);
  (void)edge->wait(10'000);
  if (application.failed()) return fail(ErrorKind::kInternal, "the application could not write");
  if (!wrong.empty()) return fail(ErrorKind::kCorrupt, wrong);
  if (result.changes != changes) {
    return fail(ErrorKind::kCorrupt, std::to_string(changes - result.changes) + " changes of " +
                                         std::to_string(changes) + " were never visible");
  }
  return result;
}

}  // namespace

Result<BenchJson> bench_e2e(const BenchArguments& arguments) {
  const std::uint64_t entries = arguments.entries != 0 ? arguments.entries : entries_default;
  const auto parent = EVODB_TRY(start_bench_parent(arguments));
  const auto disk = EVODB_TRY(bench::measure_raw_disk(parent.scratch->path()));

  bench::LoadOptions load;
  load.port = parent.parent.port();
  load.rows = bench::RowKind::kTyped4;
  load.until = WaitLevel::kPersisted;
  load.timeout_ms = 600'000;

  load.prefix = "check";
  load.connections = 4;
  load.entries = 10'000;
  (void)EVODB_TRY(bench::run_load(load));
  auto reader = EVODB_TRY(bench::LakehouseReader::open(parent.data));
  EVODB_TRY(reader.expect(load));

  load.prefix = "timed";
  load.connections = std::max<std::uint32_t>(arguments.connections, 200);
  load.window = arguments.window;
  load.batch_entries = arguments.batch_entries;
  load.entries = entries;
  const auto throughput = EVODB_TRY(bench::run_load(load));
  EVODB_TRY(reader.expect(load));

  const auto freshness = EVODB_TRY(measure_freshness(parent, arguments.freshness_s));
  auto eager_arguments = arguments;
  eager_arguments.sets.push_back("buffer.max_age_ms=100");
  const auto eager_parent = EVODB_TRY(start_bench_parent(eager_arguments));
  const auto eager = EVODB_TRY(measure_freshness(eager_parent, arguments.freshness_s));

  BenchJson metrics;
  metrics["rows_per_s"] = static_cast<double>(throughput.entries) / throughput.seconds;
  metrics["freshness_ms_p50"] = bench::quantile(freshness.ms, 0.5);
  metrics["freshness_ms_p99"] = bench::quantile(freshness.ms, 0.99);
  metrics["freshness_ms_max"] = bench::quantile(freshness.ms, 1.0);
  metrics["freshness_changes"] = freshness.ms.size();
  metrics["parent_cpu_cores_at_1000"] = freshness.parent_cpu_cores;
  metrics["idle_cpu_cores"] = freshness.idle_cpu_cores;
  metrics["freshness_ms_p50_age_100"] = bench::quantile(eager.ms, 0.5);
  metrics["freshness_ms_p99_age_100"] = bench::quantile(eager.ms, 0.99);
  metrics["parent_cpu_cores_at_1000_age_100"] = eager.parent_cpu_cores;
  add_raw_disk(metrics, disk);
  return BenchJson{{"bench", "e2e"},
                   {"checked", true},
                   {"settings",
                    {{"version", version()},
                     {"entries", entries},
                     {"connections", load.connections},
                     {"window_batches", load.window},
                     {"batch_entries", load.batch_entries},
                     {"freshness_changes_per_s", changes_per_s},
                     {"freshness_s", arguments.freshness_s},
                     {"set", arguments.sets}}},
                   {"metrics", metrics}};
}

}  // namespace evodb::app
