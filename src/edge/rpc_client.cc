// RpcClient: an outbox that the application's threads fill, and a thread with a loop and an uplink
// that empties it.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/posix/poll_loop.h"
#include "edge/change_encoder.h"
#include "edge/file_outbox.h"
#include "edge/uplink.h"
#include "evodb/client.h"

namespace evodb::edge {
namespace {

constexpr auto stats_wait = std::chrono::seconds(1);

class Client final : public RpcClient, public UplinkObserver {
 public:
  Client(RpcClientOptions options, ParentUrl parent, std::unique_ptr<AppendableOutbox> outbox)
      : options_(std::move(options)),
        parent_(std::move(parent)),
        outbox_(std::move(outbox)),
        encoder_(options_.dedup.max_entries) {
    // What an outbox file holds from before counts as sent.
    if (const auto state = outbox_->state()) {
      head_ = state->head;
      done_ = state->trimmed;
    }
  }

  ~Client() override {
    disconnect();
    fail_all({ErrorKind::kOutcomeUnknown,
              options_.outbox.file.empty()
                  ? "the client ended before the parent acknowledged this"
                  : "the client ended before the parent acknowledged this; it is in the outbox"});
  }

  Result<void> register_table(const ClientTable& table) override {
    const std::lock_guard lock(mutex_);
    return encoder_.register_table(table);
  }

  Result<void> connect() override;
  Result<Lsn> send(const ClientChange& change) override { return append({&change, 1}, {}); }
  Result<Lsn> send_batch(const std::vector<ClientChange>& changes,
                         BatchCompletion completion) override {
    return append(changes, std::move(completion));
  }
  Result<void> flush(std::int64_t deadline_ms) override;
  void disconnect() override;
  ClientStats get_stats() override;

 private:
  struct Waiting {
    Lsn last;
    BatchCompletion completion;
    bool durable_told = false;
  };

  Result<Lsn> append(std::span<const ClientChange> changes, BatchCompletion completion);
  void notify();
  ClientStats collect();  // loop thread
  void tell_stats();
  void fail_all(const Error& error);
  void acknowledged(Lsn lsn, BatchStage stage);
  BatchStage final_stage() const {
    return options_.wait == WaitLevel::kPersisted ? BatchStage::kPersisted : BatchStage::kDurable;
  }
  bool on_own_thread() const { return std::this_thread::get_id() == thread_id_.load(); }

  void on_durable(Lsn lsn) override { acknowledged(lsn, BatchStage::kDurable); }
  void on_persisted(Lsn lsn) override { acknowledged(lsn, BatchStage::kPersisted); }
  void on_fatal(const Error& error) override;

  const RpcClientOptions options_;
  const ParentUrl parent_;
  const std::unique_ptr<AppendableOutbox> outbox_;
  base::SystemClock clock_;
  base::SystemRandom random_;

  std::mutex lifecycle_;  // connect() and disconnect(), one at a time
  std::unique_ptr<base::PollLoop> loop_;
  std::unique_ptr<Uplink> uplink_;  // used on thread_ only, while that runs
  std::thread thread_;
  std::atomic<std::thread::id> thread_id_;

  std::mutex mutex_;  // everything below; taken before the outbox's own
  std::condition_variable changed_;
  ChangeEncoder encoder_;
  std::deque<Waiting> waiting_;  // in LSN order
  Lsn head_, done_;              // appended; acknowledged at the level waited for
  Lsn durable_told_;
  std::optional<Error> fatal_;
  base::PollLoop* notified_ = nullptr;  // the running loop, or null
  bool notice_under_way_ = false;
  ClientStats last_stats_;
};

// --- sending ------------------------------------------------------------------------------------

Result<Lsn> Client::append(std::span<const ClientChange> changes, BatchCompletion completion) {
  std::unique_lock lock(mutex_);
  if (fatal_) return fail(*fatal_);
  if (changes.empty()) return fail(ErrorKind::kInvalid, "a batch has at least one change");
  const auto encoded = EVODB_TRY(encoder_.encode(changes, clock_.wall()));
  if (!encoded.empty()) {
    head_ = EVODB_TRY(outbox_->append(encoded));
    encoder_.taken();
  }
  // A batch of repetitions only completes with what was sent before it.
  const Lsn last = head_;
  if (completion) waiting_.push_back({last, std::move(completion)});
  if (!encoded.empty()) {
    notify();
  } else if (last <= done_ && notified_ != nullptr) {
    notified_->post([this, done = done_] { acknowledged(done, final_stage()); });
  }
  return last;
}

// With mutex_ held: the loop may not end meanwhile.
void Client::notify() {
  if (notified_ == nullptr || notice_under_way_) return;
  notice_under_way_ = true;
  notified_->post([this] {
    {
      const std::lock_guard lock(mutex_);
      notice_under_way_ = false;
    }
    uplink_->notify();
  });
}

Result<void> Client::flush(std::int64_t deadline_ms) {
  std::unique_lock lock(mutex_);
  const Lsn target = head_;
  if (notified_ != nullptr && done_ < target) {
    notified_->post([this] { uplink_->hurry(); });
  }
  const bool in_time = changed_.wait_for(lock, std::chrono::milliseconds(deadline_ms),
                                         [&] { return done_ >= target || fatal_; });
  if (done_ >= target) return {};
  if (in_time) return fail(*fatal_);
  std::string text = "changes " + std::to_string(done_.value + 1) + " to " +
                     std::to_string(target.value) + " are not acknowledged after " +
                     std::to_string(deadline_ms) + " ms; they stay in the outbox";
  if (notified_ == nullptr) text += "; call connect";
  return fail(ErrorKind::kRetry, std::move(text));
}

// --- the thread ---------------------------------------------------------------------------------

Result<void> Client::connect() {
  const std::lock_guard lifecycle(lifecycle_);
  if (thread_.joinable()) {
    const std::lock_guard lock(mutex_);
    fatal_.reset();
    loop_->post([this] { uplink_->start(); });
    return {};
  }
  loop_ = EVODB_TRY(base::PollLoop::create());
  uplink_ = std::make_unique<Uplink>(
      *loop_, random_, *outbox_,
      UplinkOptions{.link = {.parent = parent_, .agent = "evodb-client/0.1.0"},
                    .token = options_.token,
                    .wait = options_.wait,
                    .batch_entries = options_.batching.max_size,
                    .batch_bytes = options_.batching.max_bytes,
                    .batch_delay_ms = options_.batching.max_delay_ms},
      *this);
  {
    const std::lock_guard lock(mutex_);
    fatal_.reset();
    notified_ = loop_.get();
    notice_under_way_ = false;
  }
  thread_ = std::thread([this] {
    thread_id_ = std::this_thread::get_id();
    uplink_->start();
    if (options_.on_stats) tell_stats();
    loop_->run();
    uplink_->stop();
    thread_id_ = std::thread::id();
  });
  return {};
}

void Client::disconnect() {
  if (on_own_thread()) return;  // from a callback: it cannot wait for itself
  const std::lock_guard lifecycle(lifecycle_);
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    notified_ = nullptr;
  }
  loop_->stop();
  thread_.join();
  const ClientStats stats = uplink_->stats();
  uplink_.reset();
  loop_.reset();
  const std::lock_guard lock(mutex_);
  last_stats_ = stats;
}

void Client::tell_stats() {
  options_.on_stats(collect());
  loop_->after(options_.stats_interval_ms, [this] { tell_stats(); });
}

ClientStats Client::collect() {
  ClientStats stats = uplink_->stats();
  {
    const std::lock_guard lock(mutex_);
    last_stats_ = stats;
  }
  if (const auto held = outbox_->state()) stats.held_bytes = held->held_bytes;
  return stats;
}

ClientStats Client::get_stats() {
  if (on_own_thread()) return collect();
  struct Answer {
    std::mutex mutex;
    std::condition_variable there;
    std::optional<ClientStats> stats;
  };
  const auto answer = std::make_shared<Answer>();  // the loop's too, if it answers late
  bool asked = false;
  {
    const std::lock_guard lock(mutex_);
    if (notified_ != nullptr) {
      asked = true;
      notified_->post([this, answer] {
        const std::lock_guard answering(answer->mutex);
        answer->stats = collect();
        answer->there.notify_one();
      });
    }
  }
  // A loop that looks up a name answers later than we wait; one that ends does not answer.
  if (asked) {
    std::unique_lock lock(answer->mutex);
    if (answer->there.wait_for(lock, stats_wait, [&] { return answer->stats.has_value(); })) {
      return *answer->stats;
    }
  }
  ClientStats stats;
  {
    const std::lock_guard lock(mutex_);
    stats = last_stats_;
  }
  stats.connected = false;
  stats.pending_batches = 0;
  if (const auto held = outbox_->state()) stats.held_bytes = held->held_bytes;
  return stats;
}

// --- acknowledgements ---------------------------------------------------------------------------

void Client::acknowledged(Lsn lsn, BatchStage stage) {
  if (stage > final_stage()) return;  // nobody waits for it
  struct Call {
    BatchCompletion completion;
    BatchStage stage;
    Lsn last;
  };
  std::vector<Call> calls;
  {
    const std::lock_guard lock(mutex_);
    // Those before were told already; there may be many, and an acknowledgement comes often.
    auto w = std::ranges::lower_bound(waiting_, durable_told_, {}, &Waiting::last);
    if (stage == final_stage()) w = waiting_.begin();
    for (; w != waiting_.end() && w->last <= lsn; ++w) {
      if (!std::exchange(w->durable_told, true)) {
        calls.push_back({w->completion, BatchStage::kDurable, w->last});
      }
      if (stage == BatchStage::kPersisted) {
        calls.push_back({std::move(w->completion), BatchStage::kPersisted, w->last});
      }
    }
    if (stage == final_stage()) {
      waiting_.erase(waiting_.begin(), w);
      done_ = std::max(done_, lsn);
      changed_.notify_all();
    } else {
      durable_told_ = std::max(durable_told_, lsn);
    }
  }
  for (const Call& call : calls) call.completion(call.stage, call.last, nullptr);
}

void Client::on_fatal(const Error& error) {
  {
    const std::lock_guard lock(mutex_);
    fatal_ = error;
    changed_.notify_all();
  }
  fail_all(error);
}

void Client::fail_all(const Error& error) {
  std::deque<Waiting> all;
  {
    const std::lock_guard lock(mutex_);
    all.swap(waiting_);
  }
  for (const Waiting& w : all) w.completion(BatchStage::kFailed, w.last, &error);
}

}  // namespace
}  // namespace evodb::edge

namespace evodb {

Result<std::unique_ptr<RpcClient>> create_rpc_client(RpcClientOptions options) {
  auto parent = EVODB_TRY(edge::parse_parent_url(options.url));
  if (options.child_id.empty() || options.child_id.size() > base::source_name_bytes_max) {
    return fail(ErrorKind::kInvalid, "child_id must have 1 to " +
                                         std::to_string(base::source_name_bytes_max) + " bytes");
  }
  if (options.batching.max_size == 0 || options.batching.max_bytes == 0 ||
      options.batching.max_delay_ms < 0 || options.stats_interval_ms <= 0) {
    return fail(ErrorKind::kInvalid, "batching's sizes and stats_interval_ms must be above 0");
  }
  base::SystemClock clock;
  // Memory begins a life with each process; wall time gives it a number that no other had.
  const Epoch epoch(static_cast<std::uint64_t>(std::max<std::int64_t>(1, clock.wall().value)));
  std::unique_ptr<edge::AppendableOutbox> outbox;
  if (options.outbox.file.empty()) {
    outbox = std::make_unique<edge::MemoryOutbox>(
        options.child_id, epoch,
        edge::AppendableOutboxOptions{options.outbox.max_bytes, base::SystemRandom().next()});
  } else {
    outbox = EVODB_TRY(edge::FileOutbox::open(
        options.outbox.file, options.child_id, epoch,
        {.bytes_max = options.outbox.max_bytes, .sync = options.outbox.sync}));
  }
  return std::make_unique<edge::Client>(std::move(options), std::move(parent), std::move(outbox));
}

}  // namespace evodb
