#include "lakehouse_parent.h"

#include <algorithm>
#include <future>
#include <thread>
#include <utility>

#include "base/posix/epoll_loop.h"
#include "base/posix/posix_disk.h"
#include "base/posix/system_clock.h"
#include "base/posix/thread_executor.h"
#include "data_lock.h"
#include "descriptors.h"
#include "lake/parquet_encoder.h"
#include "parent/pages.h"
#include "store_threads.h"
#include "version.h"

namespace evodb::app {

namespace {

bool is_loopback(const std::string& listen) {
  const std::string host = listen.substr(0, listen.rfind(':'));
  return host == "localhost" || host == "[::1]" || host == "::1" || host.starts_with("127.");
}

store::StoreOptions store_options(const Config& config) {
  store::StoreOptions options;
  options.url = config.text("store.url");
  if (options.url.empty()) options.url = "file:" + config.text("data") + "/warehouse";
  options.endpoint = config.text("store.endpoint");
  options.region = config.text("store.region");
  options.access_key_id = config.text("store.access_key_id");
  options.secret_access_key = config.text("store.secret_access_key");
  options.session_token = config.text("store.session_token");
  options.connect_timeout_ms = config.integer("store.connect_timeout_ms");
  options.request_timeout_ms = config.integer("store.request_timeout_ms");
  options.path_style = config.boolean("store.path_style");
  return options;
}

class RunningParent : public GatedParent {
 public:
  ~RunningParent() override { stop(std::chrono::milliseconds(0)); }

  Result<void> start(const Config& config, const Waiting& waiting) {
    auto options = EVODB_TRY(parent_options(config));
    const auto descriptors =
        EVODB_TRY(plan_descriptors(descriptor_limit(), options.gate.connections_max));
    options.gate.connections_max = descriptors.connections_max;
    lock_ = EVODB_TRY(DataLock::take(config.text("data")));
    auto object_store = EVODB_TRY(store::open_store(store_options(config)));
    auto catalog = EVODB_TRY(
        table::open_sqlite_catalog(config.text("data") + "/catalog.db", "evodb", "evodb"));
    store_ = std::make_unique<StoreThreads>(std::move(object_store), std::move(catalog),
                                            static_cast<unsigned>(options.lake.flushes_max));
    journal_io_ = std::make_unique<base::ThreadExecutor>("journal");
    landing_ = std::make_unique<base::ThreadExecutor>("landing");
    loop_ = EVODB_TRY(base::EpollLoop::create({.streams_max = descriptors.streams_max}));
    parent_ = std::make_unique<parent::Parent>(
        parent::ParentSeams{*loop_, *journal_io_, *landing_, *store_, disk_, clock_, random_,
                            encoder_},
        options);

    std::promise<Result<std::string>> opened;
    auto answer = opened.get_future();
    EVODB_CHECK(parent_->start(
        [&opened](Result<std::string> address) { opened.set_value(std::move(address)); }));
    thread_ = std::thread([this] { loop_->run(); });
    // Behind a lost journal the tables are read before anybody is let in, for as long as that
    // takes.
    std::string said;
    while (answer.wait_for(std::chrono::seconds(1)) != std::future_status::ready) {
      std::string why = status_now().trouble;
      if (why.empty()) why = "reading what the tables hold";
      if (waiting && why != said) waiting(why);
      said = std::move(why);
    }
    auto address = answer.get();
    if (!address) {
      stop(std::chrono::milliseconds(0));
      return fail(std::move(address).error());
    }
    address_ = *address;
    return {};
  }

  std::string address() const override { return address_; }

  LakehouseBufferStats get_buffer_stats() override {
    const auto status = status_now();
    return {.entries = status.lake.buffers.entries,
            .bytes = status.lake.buffers.bytes,
            .oldest_entry_age_ms = status.lake.buffers.oldest_entry_age_ms,
            .child_connections = status.gate.children};
  }

  void with_gate(std::function<void(gate::Gate&)> work) override {
    loop_->post([this, work = std::move(work)] {
      if (gate::Gate* gate = parent_->gate(); gate != nullptr) work(*gate);
    });
  }

  std::string status_json() override { return parent::status_json(status_now()); }

  Result<void> flush() override {
    std::promise<bool> landed;
    loop_->post([&] { parent_->flush([&](bool done) { landed.set_value(done); }); });
    if (!landed.get_future().get()) {
      return fail(ErrorKind::kRetry, "not everything has landed yet; the journal keeps it");
    }
    return {};
  }

  void stop(std::chrono::milliseconds deadline) override {
    if (stopped_) return;
    stopped_ = true;
    if (thread_.joinable()) {
      std::promise<void> done;
      loop_->post([&] { parent_->stop(deadline.count(), [&] { done.set_value(); }); });
      done.get_future().wait();
      loop_->stop();
      thread_.join();
    }
    // In this order: who still runs may post to who comes after.
    if (store_) store_->stop();
    if (landing_) landing_->stop();
    if (journal_io_) journal_io_->stop();
    parent_.reset();
  }

 private:
  parent::ParentStatus status_now() {
    std::promise<parent::ParentStatus> answer;
    loop_->post([&] {
      parent_->status([&](const parent::ParentStatus& status) { answer.set_value(status); });
    });
    return answer.get_future().get();
  }

  std::unique_ptr<DataLock> lock_;
  base::PosixDisk disk_;
  base::SystemClock clock_;
  base::SystemRandom random_;
  lake::ParquetEncoder encoder_;
  std::unique_ptr<base::EpollLoop> loop_;
  std::unique_ptr<base::ThreadExecutor> journal_io_;
  std::unique_ptr<base::ThreadExecutor> landing_;
  std::unique_ptr<StoreThreads> store_;
  std::unique_ptr<parent::Parent> parent_;
  std::thread thread_;  // runs the loop
  std::string address_;
  bool stopped_ = false;
};

}  // namespace

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
  options.ingest.window_ms = config.integer("dedup.window_ms");
  options.ingest.max_entries_per_source = config.integer("dedup.max_entries_per_source");
  options.ingest.max_sources = config.integer("dedup.max_sources");

  options.journal.segment_bytes = config.integer("journal.segment_bytes");
  options.journal.max_bytes = config.integer("fallback.max_local_bytes");
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
  options.flush.retry_ms_max = config.integer("fallback.recovery_interval_ms");
  options.orphan_age_ms_min = config.integer("lake.orphan_age_ms");
  return options;
}

Result<std::unique_ptr<GatedParent>> start_parent(const Config& config, const Waiting& waiting) {
  auto parent = std::make_unique<RunningParent>();
  EVODB_CHECK(parent->start(config, waiting));
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
