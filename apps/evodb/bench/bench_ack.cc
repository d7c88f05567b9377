// `evodb bench ack`: one child, one batch in the air. From the moment it is sent to the moment its
// durable ack has come, beside one pwrite and fdatasync of as many bytes on the same file system,
// taken in turns: a batch, a raw sync, a batch, ...
#include <utility>
#include <vector>

#include "bench/bench_command.h"
#include "bench/load.h"
#include "bench/quantile.h"
#include "bench/raw_disk.h"
#include "version.h"

namespace evodb::app {

namespace {

constexpr std::uint64_t batches_default = 10'000;  // p99 is the 100 slowest

struct Size {
  const char* name;
  std::uint32_t batch_entries;  // of 200 bytes
};
constexpr Size sizes[] = {{"20k", 100}, {"200", 1}};

Result<void> measure(const Size& size, std::uint64_t batches, const BenchParent& parent,
                     bench::RawSyncFile& raw, BenchJson& metrics) {
  std::vector<double> raw_ms;
  const std::size_t bytes = std::size_t{200} * size.batch_entries;
  bench::LoadOptions options;
  options.port = parent.parent.port();
  options.prefix = std::string("ack-") + size.name;
  options.connections = options.window = 1;
  options.batch_entries = size.batch_entries;
  options.entries = batches * size.batch_entries;
  options.timeout_ms = 300'000;
  options.on_window_empty = [&]() -> Result<void> {
    raw_ms.push_back(EVODB_TRY(raw.write_and_sync(bytes)));
    return {};
  };
  const auto result = EVODB_TRY(bench::run_load(options));
  EVODB_TRY(check_landed(parent, options));
  if (raw_ms.size() != batches || result.durable_ack_ms.size() != batches) {
    return fail(ErrorKind::kInternal, "the raw disk and the batches were not timed in turns");
  }
  for (const auto& [quantile, q] : {std::pair{"p50", 0.5}, std::pair{"p99", 0.99}}) {
    const double ack = bench::quantile(result.durable_ack_ms, q), disk = bench::quantile(raw_ms, q);
    const std::string name = quantile;
    metrics[name + "_over_raw_" + size.name] = ack / disk;
    metrics["ack_ms_" + name + "_" + size.name] = ack;
    metrics["raw_ms_" + name + "_" + size.name] = disk;
  }
  return {};
}

}  // namespace

Result<BenchJson> bench_ack(const BenchArguments& arguments) {
  const auto parent = EVODB_TRY(start_bench_parent(arguments));
  EVODB_TRY(check_answer(parent, bench::RowKind::kPayload200));
  const auto raw = EVODB_TRY(bench::RawSyncFile::create(parent.scratch->path()));
  const std::uint64_t batches = arguments.entries != 0 ? arguments.entries : batches_default;
  BenchJson metrics;
  for (const Size& size : sizes) EVODB_TRY(measure(size, batches, parent, *raw, metrics));
  return BenchJson{{"bench", "ack"},
                   {"checked", true},
                   {"settings",
                    {{"version", version()},
                     {"batches_a_size", batches},
                     {"connections", 1},
                     {"window_batches", 1},
                     {"set", arguments.sets}}},
                   {"metrics", metrics}};
}

}  // namespace evodb::app
