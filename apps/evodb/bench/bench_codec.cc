// `evodb bench codec`: wire v2 both ways as a share of memcpy of the same bytes (1: as fast as
// that), wire v1 beside it. In memory, one thread.
#include "bench/bench_command.h"
#include "bench/codec.h"
#include "version.h"

namespace evodb::app {

namespace {

void add(BenchJson& metrics, const std::string& suffix, const bench::CodecFigures& figures) {
  const auto per_s = [&](const char* name, double ns) { metrics[name + suffix] = 1e9 / ns; };
  metrics["encode_over_memcpy" + suffix] = figures.memcpy_ns / figures.encode_ns;
  metrics["decode_over_memcpy" + suffix] = figures.memcpy_ns / figures.decode_ns;
  metrics["decode_without_checksums_over_memcpy" + suffix] = figures.memcpy_ns / figures.views_ns;
  per_s("encode_entries_per_s", figures.encode_ns);
  per_s("decode_entries_per_s", figures.decode_ns);
  per_s("decode_without_checksums_entries_per_s", figures.views_ns);
  per_s("v1_binary_decode_entries_per_s", figures.v1_binary_ns);
  per_s("v1_binary_to_v2_entries_per_s", figures.v1_to_v2_ns);
  per_s("v1_json_decode_entries_per_s", figures.v1_json_ns);
  metrics["frame_bytes_per_entry" + suffix] = figures.frame_bytes_per_entry;
  metrics["memcpy_gb_per_s" + suffix] = figures.frame_bytes_per_entry / figures.memcpy_ns;
}

}  // namespace

Result<BenchJson> bench_codec(const BenchArguments& arguments) {
  bench::CodecOptions options;
  options.batch_entries = arguments.batch_entries;
  BenchJson metrics;
  add(metrics, "", EVODB_TRY(bench::measure_codecs(options)));
  options.rows = bench::RowKind::kTyped4;
  add(metrics, "_typed4", EVODB_TRY(bench::measure_codecs(options)));
  return BenchJson{{"bench", "codec"},
                   {"checked", true},
                   {"settings",
                    {{"version", version()},
                     {"batch_entries", options.batch_entries},
                     {"frames_a_pass", options.frames},
                     {"passes", options.passes}}},
                   {"metrics", metrics}};
}

}  // namespace evodb::app
