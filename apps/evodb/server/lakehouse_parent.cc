#include "server/lakehouse_parent.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <utility>

#include "server/running_parent.h"
#include "version.h"

namespace evodb::app {

namespace {

// Where the warehouse is, as PyIceberg and Java call it; whoever reads has credentials of its own.
std::map<std::string, std::string> reader_defaults(const Config& config) {
  if (!config.text("store.url").starts_with("s3://")) return {};
  const bool path_style = config.boolean("store.path_style");
  const std::string region = config.text("store.region");
  const std::string named = region == "auto" ? "us-east-1" : region;
  std::map<std::string, std::string> defaults = {
      {"s3.region", named},
      {"client.region", named},
      {"s3.path-style-access", path_style ? "true" : "false"},
      {"s3.force-virtual-addressing", path_style ? "false" : "true"}};
  if (const std::string endpoint = config.text("store.endpoint"); !endpoint.empty()) {
    defaults["s3.endpoint"] = endpoint;
  }
  return defaults;
}

bool is_loopback(const std::string& listen) {
  const std::string host = listen.substr(0, listen.rfind(':'));
  return host == "localhost" || host == "[::1]" || host == "::1" || host.starts_with("127.");
}

}  // namespace

void say_on_stderr(const std::string& line) { std::fprintf(stderr, "evodb: %s\n", line.c_str()); }

Result<parent::ParentOptions> parent_options(const Config& config) {
  parent::ParentOptions options;
  options.version = version();
  options.listen = config.text("listen");
  if (!is_loopback(options.listen) && !config.boolean("insecure")) {
    return fail(ErrorKind::kInvalid,
                "listen = " + options.listen +
                    " is beyond loopback, and there are no tokens yet: anyone who reaches it could "
                    "write as any source. Put a proxy that authenticates in front, or say "
                    "--insecure if the network is trusted");
  }
  options.journal_directory = config.text("data") + "/journal";

  options.gate.connections_max = config.integer("gate.connections_max");
  options.gate.header_ms_max = config.integer("gate.header_ms_max");
  options.gate.hello_ms_max = config.integer("gate.hello_ms_max");
  options.gate.message_ms_max = config.integer("gate.message_ms_max");
  options.gate.idle_ping_ms = config.integer("gate.idle_ping_ms");
  options.gate.hibernate_after_ms = config.integer("gate.hibernate_after_ms");
  options.gate.output_bytes_max = config.integer("gate.output_bytes_max");
  options.gate.partial_bytes_max = config.integer("gate.partial_bytes_max");

  options.ingest.session_credit_bytes = config.integer("ingest.session_credit_bytes");
  options.ingest.inflight_bytes_max = config.integer("ingest.inflight_bytes_max");
  const std::uint64_t runs_per_source = config.integer("dedup.max_entries_per_source");
  const std::uint64_t sources_with_gaps = config.integer("dedup.max_sources");
  constexpr std::uint64_t run_bytes = 8;
  options.ingest.gap_runs_per_source = static_cast<std::uint32_t>(runs_per_source);
  options.ingest.gap_bytes_max = runs_per_source * sources_with_gaps * run_bytes;

  options.journal.segment_bytes = config.integer("journal.segment_bytes");
  options.journal.max_bytes = config.integer("fallback.max_local_bytes");
  options.set_aside_bytes_max =
      static_cast<std::uint64_t>(config.integer("fallback.set_aside_max_bytes"));
  if (!config.boolean("fallback.enabled")) {
    options.journal.max_bytes =
        std::min<std::uint64_t>(options.journal.max_bytes, 4 * options.journal.segment_bytes);
  }
  if (options.journal.max_bytes < 2 * options.journal.segment_bytes) {
    return fail(ErrorKind::kInvalid,
                "fallback.max_local_bytes = " + std::to_string(options.journal.max_bytes) +
                    " must hold at least two segments of journal.segment_bytes = " +
                    std::to_string(options.journal.segment_bytes));
  }
  if (options.journal.segment_bytes < 2ull * options.gate.frame_bytes_max) {
    options.gate.frame_bytes_max = static_cast<std::uint32_t>(options.journal.segment_bytes / 2);
  }

  options.lake.buffer_bytes_max = config.integer("buffer.max_bytes");
  options.lake.buffer_entries_max = config.integer("buffer.max_entries");
  options.lake.flush_threshold_entries = config.integer("buffer.flush_threshold");
  options.lake.buffer_age_ms_max = config.integer("buffer.max_age_ms");
  options.lake.file_bytes_max = config.integer("lake.file_bytes_max");
  options.lake.flushes_max = config.integer("lake.flushes_max");
  options.lake.definition_reach_bytes =
      std::max<std::uint64_t>(options.lake.definition_reach_bytes, options.journal.segment_bytes);
  options.flush.file_bytes_max = options.lake.file_bytes_max;
  options.flush.snapshots_max = static_cast<std::uint32_t>(config.integer("lake.snapshots_max"));
  options.flush.metadata_files_max =
      static_cast<std::uint32_t>(config.integer("lake.metadata_files_max"));
  options.flush.metadata_cache_bytes_max = config.integer("lake.metadata_cache_bytes_max");
  options.flush.retry_ms_max = config.integer("fallback.recovery_interval_ms");
  options.orphan_age_ms_min = config.integer("lake.orphan_age_ms");
  options.store_health.call_ms_max = config.integer("ready.store_call_ms_max");
  options.store_health.unlanded_ms_max =
      config.integer("ready.unlanded_ms_max") + options.lake.buffer_age_ms_max;
  options.store_health.probe_retry_ms_max = options.flush.retry_ms_max;
  options.iceberg.enabled = config.boolean("http.iceberg");
  options.iceberg.defaults = reader_defaults(config);
  options.say = [](const std::string& line) { std::fprintf(stderr, "evodb: %s\n", line.c_str()); };
  return options;
}

Result<std::unique_ptr<ServedParent>> start_parent(const Config& config, const Waiting& waiting) {
  auto parent = std::make_unique<RunningParent>();
  EVODB_TRY(parent->start(config, waiting));
  return parent;
}

}  // namespace evodb::app

namespace evodb {

Result<std::unique_ptr<LakehouseParent>> LakehouseParent::start(
    const LakehouseParentOptions& options) {
  app::Config::Sources sources;
  sources.file = "/dev/null";  // an embedder's settings are its own
  sources.flags = {{"listen", options.listen}, {"data", options.data}};
  for (const auto& [key, value] : options.settings) sources.flags[key] = value;
  return app::start_parent(EVODB_TRY(app::Config::load(sources)));
}

}  // namespace evodb
