#include "server/running_parent.h"

#include <future>
#include <utility>

#include "parent/pages.h"
#include "server/descriptors.h"

namespace evodb::app {

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

Result<void> RunningParent::prepare(const Config& config) {
  auto object_store = EVODB_TRY(store::open_store(store_options(config)));
  auto catalog = EVODB_TRY(table::open_sqlite_catalog(data_ + "/catalog.db", "evodb", "evodb"));
  store_ = std::make_unique<StoreThreads>(std::move(object_store), std::move(catalog),
                                          static_cast<unsigned>(options_.lake.flushes_max));
  landing_ = std::make_unique<base::ThreadExecutor>("landing");
  const auto descriptors =
      EVODB_TRY(plan_descriptors(descriptor_limit(), options_.gate.connections_max));
  loop_ = EVODB_TRY(base::EpollLoop::create({.streams_max = descriptors.streams_max}));
  return {};
}

void RunningParent::make_parent() {
  parent_ = std::make_unique<parent::Parent>(
      parent::ParentSeams{*loop_, *loop_, *landing_, *store_, disk_, clock_, random_, encoder_},
      options_);
}

Result<void> RunningParent::start(const Config& config, const Waiting& waiting) {
  data_ = config.text("data");
  options_ = EVODB_TRY(parent_options(config));
  if (waiting) options_.say = say_on_stderr;  // an embedder's stderr is its own
  const auto descriptors =
      EVODB_TRY(plan_descriptors(descriptor_limit(), options_.gate.connections_max));
  options_.gate.connections_max = descriptors.connections_max;
  lock_ = EVODB_TRY(DataLock::take(data_));
  EVODB_TRY(prepare(config));
  make_parent();

  std::promise<Result<std::string>> opened;
  auto answer = opened.get_future();
  EVODB_TRY(parent_->start(
      [&opened](Result<std::string> address) { opened.set_value(std::move(address)); }));
  thread_ = std::thread([this] { loop_->run(loop_threads); });
  // Behind a lost journal the tables are read before anybody is let in, for as long as that
  // takes.
  std::string said;
  while (answer.wait_for(std::chrono::seconds(1)) != std::future_status::ready) {
    const auto status = status_now();
    std::string why =
        status.degraded.empty() ? "reading what the tables hold" : status.degraded.front().text;
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

LakehouseBufferStats RunningParent::get_buffer_stats() {
  const auto status = status_now();
  return {.entries = status.lake.buffers.entries,
          .bytes = status.lake.buffers.bytes,
          .oldest_entry_age_ms = status.lake.buffers.oldest_entry_age_ms,
          .child_connections = status.gate.children};
}

void RunningParent::with_gate(std::function<void(gate::Gate&)> work) {
  loop_->post([this, work = std::move(work)] {
    if (gate::Gate* gate = parent_ ? parent_->gate() : nullptr; gate != nullptr) work(*gate);
  });
}

std::string RunningParent::status_json() { return parent::status_json(status_now()); }

Result<void> RunningParent::flush() {
  std::promise<bool> landed;
  loop_->post([&] { parent_->flush([&](bool done) { landed.set_value(done); }); });
  if (!landed.get_future().get()) {
    return fail(ErrorKind::kRetry, "not everything has landed yet; the journal keeps it");
  }
  return {};
}

void RunningParent::stop(std::chrono::milliseconds deadline) {
  if (stopped_) return;
  stopped_ = true;
  if (thread_.joinable()) {
    std::promise<void> done;
    if (parent_) {
      loop_->post([&] { parent_->stop(deadline.count(), [&] { done.set_value(); }); });
      done.get_future().wait();
    }
    loop_->stop();
    thread_.join();
  }
  // In this order: who still runs may post to who comes after.
  if (store_) store_->stop();
  if (landing_) landing_->stop();
  parent_.reset();
}

parent::ParentStatus RunningParent::status_now() {
  std::promise<parent::ParentStatus> answer;
  loop_->post([&] {
    parent_->status([&](const parent::ParentStatus& status) { answer.set_value(status); });
  });
  return answer.get_future().get();
}

}  // namespace evodb::app
