// `evodb bench memory`: children that send as fast as credit lets them, more than ten times what a
// store takes that stands still (half of the time) and then crawls (the other half). Resident
// memory must stay within what the configuration allows for buffers, plus a constant; and once the
// store is back, so must be the throughput.
//
// The store is a real S3 server in a process of its own, stopped and continued by signals: its
// sockets stay open and answer nothing, which is the worst that a store can do.
#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include "bench/bench_command.h"
#include "bench/load.h"
#include "bench/seconds_since.h"
#include "commands/http_client.h"
#include "version.h"

namespace evodb::app {

namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr char access_key[] = "bench-key", secret_key[] = "bench-secret-bench-secret";
// Slow: it works this much of each cycle.
constexpr std::chrono::milliseconds slow_works(20), slow_stands(980);
constexpr std::uint64_t journal_bytes_max = 512u << 20;
// What is resident beside the buffers that have a budget: the binary, SQLite, Arrow and libcurl
// (30 MB idle), Parquet files being made of sealed buffers and waiting for the store, and what
// malloc holds back.
constexpr double constant_mb = 64;

Result<std::uint16_t> free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  const bool found = fd >= 0 && bind(fd, any, length) == 0 && getsockname(fd, any, &length) == 0;
  close(fd);
  if (!found) return fail(ErrorKind::kInternal, "no free port");
  return ntohs(address.sin_port);
}

// versitygw over a directory. Continued before it is killed, or it would not notice.
class S3Process {
 public:
  static Result<S3Process> start(const std::string& program, const std::string& directory) {
    S3Process s3;
    std::filesystem::create_directories(directory + "/objects/lake");
    s3.endpoint_ = "127.0.0.1:" + std::to_string(EVODB_TRY(free_port()));
    s3.process_ = EVODB_TRY(ChildProcess::start_program(
        program, {"--port", s3.endpoint_, "posix", directory + "/objects"},
        {std::string("ROOT_ACCESS_KEY=") + access_key,
         std::string("ROOT_SECRET_KEY=") + secret_key},
        directory + "/s3.log"));
    const auto begun = SteadyClock::now();
    while (!http_request("GET", "http://" + s3.endpoint_, 1'000)) {
      if (!s3.process_->running() || bench::seconds_since(begun) > 20) {
        return fail(ErrorKind::kInvalid, program +
                                             " does not serve; --versitygw FILE names it (make "
                                             "setup builds one in .deps/bin)");
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return s3;
  }
  std::vector<std::string> settings() const {
    return {"store.url=s3://lake/warehouse",
            "store.endpoint=http://" + endpoint_,
            std::string("store.access_key_id=") + access_key,
            std::string("store.secret_access_key=") + secret_key,
            "store.request_timeout_ms=5000",
            "fallback.recovery_interval_ms=500"};
  }
  void stand() { process_->signal(SIGSTOP); }
  void go_on() { process_->signal(SIGCONT); }

 private:
  std::unique_ptr<ChildProcess> process_;
  std::string endpoint_;
};

// Of the parent's process, looked at often.
class ResidentMemory {
 public:
  explicit ResidentMemory(const ChildProcess& process)
      : thread_([this, &process] {
          while (!done_) {
            peak_ = std::max(peak_.load(), process.resident_bytes());
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
          }
        }) {}
  ~ResidentMemory() {
    done_ = true;
    thread_.join();
  }
  double take_peak_mb() { return static_cast<double>(peak_.exchange(0)) / 1e6; }

 private:
  std::atomic<bool> done_ = false;
  std::atomic<std::uint64_t> peak_ = 0;
  std::thread thread_;
};

Result<std::uint64_t> entries_landed(const BenchParent& parent) {
  std::uint64_t landed = 0;
  const auto status = EVODB_TRY(status_of(parent.parent));
  for (const auto& table : status["tables"]) landed += table["entries_landed"].get<std::uint64_t>();
  return landed;
}

bench::LoadOptions load_of(const BenchParent& parent, const std::string& prefix) {
  bench::LoadOptions load;
  load.port = parent.parent.port();
  load.prefix = prefix;
  load.rows = bench::RowKind::kTyped4;
  load.until = WaitLevel::kPersisted;
  load.timeout_ms = 600'000;
  return load;
}

Result<double> landed_rows_per_s(const BenchParent& parent, const std::string& prefix,
                                 std::uint64_t entries) {
  auto load = load_of(parent, prefix);
  load.entries = entries;
  // To the last commit, without the second (`buffer.max_age_ms`) that the last rows may wait for.
  load.until = WaitLevel::kDurable;
  const auto begun = SteadyClock::now();
  const auto loaded = EVODB_TRY(bench::run_load(load));
  EVODB_TRY(land_everything(parent.parent, 300'000));
  return static_cast<double>(loaded.entries) / bench::seconds_since(begun);
}

// A load without an end in a thread of its own, until stop().
class Overload {
 public:
  explicit Overload(const BenchParent& parent)
      : thread_([this, &parent] {
          auto load = load_of(parent, "overload");
          load.entries = 4'000'000'000;
          load.stop = &stop_;
          result_ = bench::run_load(load);
        }) {}
  ~Overload() { (void)stop(); }
  Result<bench::LoadResult> stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    return result_;
  }

 private:
  std::atomic<bool> stop_ = false;
  Result<bench::LoadResult> result_ = fail(ErrorKind::kInternal, "the load has not ended");
  std::thread thread_;
};

}  // namespace

Result<BenchJson> bench_memory(const BenchArguments& arguments) {
  const std::uint64_t entries = arguments.entries != 0 ? arguments.entries : 1'000'000;
  const auto scratch = EVODB_TRY(ScratchDirectory::create(arguments.directory, "evodb-bench-"));
  auto s3 = EVODB_TRY(S3Process::start(arguments.versitygw, scratch->path()));
  auto with_store = arguments;
  for (const auto& setting : s3.settings()) with_store.sets.push_back(setting);
  with_store.sets.push_back("fallback.max_local_bytes=" + std::to_string(journal_bytes_max));
  const auto parent = EVODB_TRY(start_bench_parent(with_store));
  BenchJson metrics;
  metrics["rss_idle_mb"] = static_cast<double>(parent.parent.process->resident_bytes()) / 1e6;
  ResidentMemory memory(*parent.parent.process);

  (void)EVODB_TRY(landed_rows_per_s(parent, "warm", entries / 4));
  const double before = EVODB_TRY(landed_rows_per_s(parent, "before", entries));
  metrics["rss_peak_before_mb"] = memory.take_peak_mb();

  // The overload's children stay connected to the end: what they hold is in the peak.
  const auto half = std::chrono::milliseconds(arguments.overload_s * 500);
  const std::uint64_t landed_before = EVODB_TRY(entries_landed(parent));
  Overload overload(parent);
  s3.stand();
  std::this_thread::sleep_for(half);
  metrics["rss_peak_stopped_mb"] = memory.take_peak_mb();
  const auto slow_begun = SteadyClock::now();
  while (SteadyClock::now() - slow_begun < half) {
    s3.go_on();
    std::this_thread::sleep_for(slow_works);
    s3.stand();
    std::this_thread::sleep_for(slow_stands);
  }
  metrics["rss_peak_slow_mb"] = memory.take_peak_mb();
  const std::uint64_t landed_slow = EVODB_TRY(entries_landed(parent)) - landed_before;
  const double slow_s = bench::seconds_since(slow_begun);
  s3.go_on();
  const auto back = SteadyClock::now();
  const auto sent = EVODB_TRY(overload.stop());

  // All that was held lands.
  EVODB_TRY(land_everything(parent.parent, 300'000));
  metrics["recovery_s"] = bench::seconds_since(back);
  metrics["rss_peak_recovery_mb"] = memory.take_peak_mb();
  const double after = EVODB_TRY(landed_rows_per_s(parent, "after", entries));

  EVODB_TRY(land_everything(parent.parent, 300'000));
  metrics["rss_peak_after_mb"] = memory.take_peak_mb();
  const std::uint64_t landed = EVODB_TRY(entries_landed(parent));
  const auto status = EVODB_TRY(status_of(parent.parent));
  const auto taken = status["ingest"]["entries"].get<std::uint64_t>();
  if (landed != taken) {
    return fail(ErrorKind::kCorrupt, std::to_string(taken) + " changes were taken and " +
                                         std::to_string(landed) + " have landed");
  }

  double peak = 0;
  for (const char* part : {"before", "stopped", "slow", "recovery", "after"}) {
    peak = std::max(peak, metrics[std::string("rss_peak_") + part + "_mb"].get<double>());
  }
  // Defaults: buffer.max_bytes, ingest.inflight_bytes_max.
  const double budget_mb = 50.0 + 67.1;
  metrics["rss_peak_mb"] = peak;
  metrics["budget_mb"] = budget_mb;
  metrics["constant_mb"] = constant_mb;
  metrics["overload_sent_entries"] = sent.entries;
  metrics["overload_landed_entries"] = landed_slow;
  // What these children can send, and did before, over what such a store takes.
  const double overload_factor =
      before * slow_s / static_cast<double>(std::max<std::uint64_t>(landed_slow, 1));
  metrics["overload_factor"] = overload_factor;
  metrics["rows_per_s_before"] = before;
  metrics["rows_per_s_after"] = after;
  metrics["throughput_after_over_before"] = after / before;
  if (overload_factor < 10) {
    return fail(ErrorKind::kInternal,
                "children can send only " + std::to_string(overload_factor) +
                    " times what the slow store took: it was no tenfold overload");
  }
  if (peak > budget_mb + constant_mb) {
    return fail(ErrorKind::kOverLimit, "resident memory reached " + std::to_string(peak) +
                                           " MB; the budgets and the constant make " +
                                           std::to_string(budget_mb + constant_mb));
  }
  return BenchJson{{"bench", "memory"},
                   {"checked", true},
                   {"settings",
                    {{"version", version()},
                     {"entries", entries},
                     {"overload_s", arguments.overload_s},
                     {"store", "versitygw"},
                     {"set", with_store.sets}}},
                   {"metrics", metrics}};
}

}  // namespace evodb::app
