// `evodb bench dedup`: what it costs to remember every source for ever.
#include "bench/bench_command.h"
#include "bench/dedup.h"
#include "version.h"

namespace evodb::app {

Result<BenchJson> bench_dedup(const BenchArguments& arguments) {
  const auto scratch = EVODB_TRY(ScratchDirectory::create(arguments.directory, "evodb-bench-"));
  const auto sources = static_cast<std::uint32_t>(
      arguments.entries != 0 ? std::min<std::uint64_t>(arguments.entries, 8'000'000) : 1'000'000);
  const auto figures = EVODB_TRY(bench::measure_dedup(scratch->path(), sources));
  return BenchJson{
      {"bench", "dedup"},
      {"checked", true},
      {"settings",
       {{"version", version()}, {"sources", sources}, {"name_bytes", bench::dedup_name_bytes}}},
      {"metrics",
       {{"bytes_per_source", figures.bytes_per_source},
        {"bytes_per_source_max", figures.bytes_per_source_max},
        {"check_ns", figures.check_ns},
        {"check_by_name_ns", figures.check_by_name_ns},
        {"add_ns", figures.add_ns},
        {"checkpoint_s", figures.checkpoint_s},
        {"restore_s", figures.restore_s},
        {"checkpoint_bytes_per_source", figures.checkpoint_bytes_per_source}}}};
}

}  // namespace evodb::app
