#include "lake/flush_machine.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

#include "base/assert.h"
#include "base/backoff.h"
#include "base/bytes.h"

namespace evodb::lake {
namespace {

std::string describe(const table::IoRequest& io) {
  struct {
    std::string operator()(const table::PutObjects& put) const {
      return "put of " + std::to_string(put.objects.size()) + " objects" +
             (put.objects.empty() ? "" : ", " + put.objects.front().key + " the first");
    }
    std::string operator()(const table::GetObject& get) const { return "get of " + get.key; }
    std::string operator()(const table::RemoveObject& gone) const {
      return "removal of " + gone.key;
    }
    std::string operator()(const table::ListObjects& list) const {
      return "list of " + list.prefix;
    }
    std::string operator()(const table::LoadTable& load) const {
      return "load of " + load.table + " from the catalog";
    }
    std::string operator()(const table::SwapTable& swap) const {
      return "commit of " + swap.table + " to the catalog";
    }
  } const names;
  return std::visit(names, io);
}

}  // namespace

struct FlushMachine::Impl {
  enum class State : std::uint8_t { kEncode, kCommit, kDone };

  Impl(std::unique_ptr<FlushJob> j, FileEncoder& e, const store::ObjectStore& s, base::Clock& c,
       base::Random& r, const FlushOptions& o, std::shared_ptr<table::CommitCache> known)
      : job(std::move(j)),
        encoder(e),
        store(s),
        clock(c),
        random(r),
        options(o),
        backoff(o.retry_ms_min, o.retry_ms_max),
        cache(std::move(known)) {
    // The position sorts a table's files by age for people; the random part makes the name ours.
    name = job->location_key + "/data/" + base::hex16(job->watermark.position.value) + "-" +
           base::hex16(random.next());
  }

  std::unique_ptr<FlushJob> job;
  FileEncoder& encoder;
  const store::ObjectStore& store;
  base::Clock& clock;
  base::Random& random;
  FlushOptions options;
  base::Backoff backoff;
  std::shared_ptr<table::CommitCache> cache;
  std::string name;

  State state = State::kEncode;
  std::vector<table::DataFile> files;
  table::PutObjects puts;    // the files, until they are in the store
  bool putting_all = false;  // the request under way has them with the commit's own
  std::optional<table::AppendCommit> commit;
  bool resume = false;  // the commit's outcome must be looked up
  Result<table::TableState> outcome = fail(ErrorKind::kInternal, "the flush has not ended");

  mutable std::mutex
      mutex;  // guards what follows: status, hurry and give_up come from other threads
  std::optional<Error> last_error;
  std::optional<StoreCall> under_way;
  std::optional<base::MonotonicMillis> wait_until;
  bool hurried = false;
  bool given_up = false;

  std::string key_of(std::size_t file) const {
    return name + "-" + std::to_string(file) + ".parquet";
  }

  void finish(Result<table::TableState> with) {
    outcome = std::move(with);
    state = State::kDone;
    puts.objects.clear();
    commit.reset();
    const std::lock_guard lock(mutex);
    last_error = outcome ? std::nullopt : std::optional(outcome.error());
  }

  // With jitter, so that many tables do not come back at once.
  void wait_after(const Error& error) {
    const std::int64_t wait_ms = backoff.next_ms_half_jitter(random);
    const std::lock_guard lock(mutex);
    last_error = error;
    wait_until = base::MonotonicMillis(clock.monotonic().value + wait_ms);
  }

  void all_is_well() {
    backoff.reset();
    const std::lock_guard lock(mutex);
    last_error.reset();
  }

  // How long to wait still; 0: go on. Gives the flush up if that was asked.
  std::int64_t waiting_ms() {
    std::string error;
    {
      const std::lock_guard lock(mutex);
      if (!wait_until) return 0;
      if (!given_up) {
        const std::int64_t left = wait_until->value - clock.monotonic().value;
        if (left > 0 && !hurried) return left;
        wait_until.reset();
        hurried = false;
        return 0;
      }
      wait_until.reset();
      if (last_error) error = last_error->text;
    }
    finish(fail(ErrorKind::kRetry, "given up while waiting: " + error));
    return 0;
  }

  void encode() {
    auto encoded = encoder.encode(*job, options.file_bytes_max);
    if (!encoded) return finish(fail(std::move(encoded).error()));
    for (EncodedFile& file : *encoded) {
      const std::string key = key_of(files.size());
      file.metrics.location = store.location(key);
      file.metrics.file_bytes = static_cast<std::int64_t>(file.bytes.size());
      puts.objects.push_back({key, std::make_shared<const std::string>(std::move(file.bytes))});
      files.push_back(std::move(file.metrics));
    }
    state = State::kCommit;
  }

  // The commit's request, and the data files with its first put.
  table::IoRequest with_files(table::IoRequest io) {
    auto* const put = std::get_if<table::PutObjects>(&io);
    putting_all = put != nullptr;
    if (putting_all) {
      put->objects.insert(put->objects.begin(), puts.objects.begin(), puts.objects.end());
    }
    return io;
  }

  table::IoRequest begin_call(table::IoRequest io) {
    const std::lock_guard lock(mutex);
    under_way = StoreCall{describe(io), clock.monotonic()};
    return io;
  }

  void on_response(table::IoResponse response) {
    {
      const std::lock_guard lock(mutex);
      under_way.reset();
    }
    if (std::exchange(putting_all, false) && response) {
      puts.objects.clear();
      all_is_well();
    }
    commit->on_response(std::move(response));
  }

  void begin_commit() {
    if (commit && resume) {
      commit->resume();
      resume = false;
      return;
    }
    table::AppendRequest request;
    request.table = job->table;
    request.create = job->create;
    request.location_key = job->location_key;
    request.schema = job->schema;
    request.sort_by = job->sort_by;
    request.files = files;
    request.expected = job->expected;
    request.watermark = job->watermark;
    request.now = clock.wall();
    request.claim = job->claim;
    request.snapshots_max = options.snapshots_max;
    request.metadata_log_max = options.metadata_files_max;
    commit.emplace(std::move(request), store, random, cache);
  }

  void end_commit() {
    Result<table::TableState> ended = commit->outcome();
    if (ended) return finish(std::move(ended));
    switch (ended.error().kind) {
      case ErrorKind::kOutcomeUnknown: resume = true; return wait_after(ended.error());
      case ErrorKind::kRetry: commit.reset(); return wait_after(ended.error());
      default: return finish(std::move(ended));
    }
  }
};

FlushMachine::FlushMachine(std::unique_ptr<FlushJob> job, FileEncoder& encoder,
                           const store::ObjectStore& store, base::Clock& clock,
                           base::Random& random, const FlushOptions& options,
                           std::shared_ptr<table::CommitCache> cache)
    : impl_(std::make_unique<Impl>(std::move(job), encoder, store, clock, random, options,
                                   std::move(cache))) {}
FlushMachine::~FlushMachine() = default;
FlushMachine::FlushMachine(FlushMachine&&) noexcept = default;

FlushId FlushMachine::id() const { return impl_->job->id; }
const std::string& FlushMachine::table() const { return impl_->job->table; }

FlushStep FlushMachine::next() {
  Impl& m = *impl_;
  for (;;) {
    if (const std::int64_t wait_ms = m.waiting_ms(); wait_ms > 0) return {.wait_ms = wait_ms};
    switch (m.state) {
      case Impl::State::kEncode: m.encode(); break;
      case Impl::State::kCommit: {
        if (!m.commit || m.resume) m.begin_commit();
        if (auto io = m.commit->next()) return {.io = m.begin_call(m.with_files(*std::move(io)))};
        m.end_commit();
        break;
      }
      case Impl::State::kDone: return {};
    }
  }
}

void FlushMachine::on_response(table::IoResponse response) {
  Impl& m = *impl_;
  EVODB_ASSERT(m.state == Impl::State::kCommit && m.commit, "an answer belongs to a request");
  m.on_response(std::move(response));
}

std::optional<Error> FlushMachine::last_error() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->last_error;
}

std::optional<StoreCall> FlushMachine::call_under_way() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->under_way;
}

void FlushMachine::hurry() {
  const std::lock_guard lock(impl_->mutex);
  impl_->hurried = impl_->wait_until.has_value();
}

void FlushMachine::give_up() {
  const std::lock_guard lock(impl_->mutex);
  impl_->given_up = true;
}

Result<table::TableState> FlushMachine::outcome() const { return impl_->outcome; }

}  // namespace evodb::lake
