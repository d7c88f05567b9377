#include "edge/path_outbox.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>
#ifdef __linux__
#include <sys/sysmacros.h>
#endif

#include "capture/memory_file.h"

namespace evodb::edge {
namespace {

// SQLite's file format, 1.3: the header says how many pages there are, if what wrote it last says
// so for this very version of it. A file that is being copied is shorter.
bool is_whole(const std::string& path, std::int64_t size) {
  struct stat log{};
  if (::stat((path + "-wal").c_str(), &log) == 0 && log.st_size > 0)
    return true;  // it has the rest
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return true;  // opening it says why
  unsigned char header[100];
  const ssize_t n = ::pread(descriptor, header, sizeof header, 0);
  ::close(descriptor);
  if (n != static_cast<ssize_t>(sizeof header)) return false;
  const auto u32 = [&](int at) {
    return static_cast<std::uint32_t>(header[at]) << 24 |
           static_cast<std::uint32_t>(header[at + 1]) << 16 |
           static_cast<std::uint32_t>(header[at + 2]) << 8 | header[at + 3];
  };
  const std::uint32_t page = static_cast<std::uint32_t>(header[16]) << 8 | header[17];
  const std::int64_t page_bytes = page == 1 ? 65'536 : page;
  return u32(24) != u32(92) || size >= page_bytes * static_cast<std::int64_t>(u32(28));
}

// Every connection holds a lock on the file while its log is in use. The system's list of locks is
// read, since asking for one on a descriptor of our own would drop those of our connection when it
// is closed. Where there is no such list, others may have it open.
#ifdef __linux__
bool is_open_elsewhere(std::uint64_t device, std::uint64_t inode) {
  std::ifstream locks("/proc/locks");
  char file[64];
  std::snprintf(file, sizeof file, "%02x:%02x:%llu", major(device), minor(device),
                static_cast<unsigned long long>(inode));
  const std::string self = std::to_string(::getpid());
  bool any = false;
  // "12: POSIX  ADVISORY  READ 4711 08:01:1234567 1073741826 1073742335"
  for (std::string line; std::getline(locks, line);) {
    any = true;
    std::istringstream words(line);
    std::string number, kind, advisory, access, process, of;
    words >> number >> kind >> advisory >> access >> process >> of;
    if (of == file && process != self) return true;
  }
  return !any;
}
#else
bool is_open_elsewhere(std::uint64_t, std::uint64_t) { return true; }
#endif

std::int64_t nanoseconds(const timespec& t) { return t.tv_sec * 1'000'000'000 + t.tv_nsec; }

}  // namespace

PathOutbox::PathOutbox(std::string path, base::Clock& clock, PathOutboxOptions options)
    : path_(std::move(path)), clock_(clock), options_(std::move(options)) {}

PathOutbox::~PathOutbox() {
  const auto found = look_at(path_);
  if (!outbox_) return;
  if (found && found->first == file_) {
    keep_memory();
  } else {
    outbox_->abandon();
  }
}

void PathOutbox::keep_memory() {
  remembered_at_ = clock_.monotonic();
  capture::save_memory(path_, outbox_->memory());
}

Result<std::unique_ptr<PathOutbox>> PathOutbox::open(const std::string& path, base::Clock& clock,
                                                     PathOutboxOptions options) {
  std::unique_ptr<PathOutbox> outbox(new PathOutbox(path, clock, std::move(options)));
  // Its error for a file that is not there is the better one.
  const auto found = look_at(path);
  outbox->memory_ = capture::load_memory(path);
  EVODB_TRY(outbox->open_file(found ? found->first : File(), std::nullopt));
  return outbox;
}

Result<std::pair<PathOutbox::File, PathOutbox::Stamp>> PathOutbox::look_at(
    const std::string& path) {
  struct stat s{};
  if (::stat(path.c_str(), &s) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) {
      return fail(ErrorKind::kNotFound, "there is no file '" + path + "' now");
    }
    return fail(ErrorKind::kInvalid, "cannot look at '" + path + "': " + std::strerror(errno));
  }
  return std::pair(File{.device = s.st_dev, .inode = s.st_ino},
                   Stamp{.size = s.st_size,
#ifdef __APPLE__
                         .modified_ns = nanoseconds(s.st_mtimespec),
                         .changed_ns = nanoseconds(s.st_ctimespec)});
#else
                         .modified_ns = nanoseconds(s.st_mtim),
                         .changed_ns = nanoseconds(s.st_ctim)});
#endif
}

void PathOutbox::tell(const std::string& what) const {
  if (options_.on_event) options_.on_event(what);
}

// Said once; and passed on as something that passes.
Error PathOutbox::wait(Error error) {
  error.kind = ErrorKind::kRetry;
  if (!waiting_ || waiting_->text != error.text) {
    tell(error.text + "; waiting until that has changed");
  }
  waiting_ = error;
  return error;
}

void PathOutbox::let_go() {
  if (rested_) memory_ = std::exchange(rested_, std::nullopt)->memory;
  if (!outbox_) return;
  memory_ = outbox_->memory();
  past_ = polite_stats();
  given_up_ = true;
  outbox_->abandon();
  outbox_.reset();
}

capture::PoliteStats PathOutbox::polite_stats() const {
  if (!outbox_) return past_;
  capture::PoliteStats sum = outbox_->polite_stats();
  sum.steps += past_.steps;
  sum.anyway_steps += past_.anyway_steps;
  sum.refusals += past_.refusals;
  sum.longest_step_ms = std::max(sum.longest_step_ms, past_.longest_step_ms);
  return sum;
}

Result<void> PathOutbox::open_file(const File& file, std::optional<std::string> replaced) {
  auto opened = capture::SqliteOutbox::open(path_, {.busy_timeout_ms = options_.busy_timeout_ms,
                                                    .clock = &clock_,
                                                    .memory = memory_,
                                                    .replaced = std::move(replaced),
                                                    .rested = rested_,
                                                    .on_event = options_.on_event,
                                                    .polite = options_.polite,
                                                    .space = options_.space});
  const auto after = look_at(path_);
  if (opened && (!after || after->first != file)) {
    (*opened)->abandon();
    return fail(ErrorKind::kRetry, "'" + path_ + "' is being replaced");
  }
  if (!opened) return fail(opened.error());
  outbox_ = std::move(*opened);
  if (!rested_ || file != file_) ++opened_;
  file_ = file;
  stamp_ = Stamp();
  log_.reset();
  memory_.reset();
  rested_.reset();
  return {};
}

Result<void> PathOutbox::follow() {
  const auto found = look_at(path_);
  if (found && rested_ && found->first == file_) return {};
  if (found && outbox_ && found->first == file_) {
    const auto log = look_at(path_ + "-wal");
    if (log_ && (!log || log->first != *log_)) {
      // Whatever our connection would still write would go into a log that nobody reads.
      let_go();
      tell("the log beside '" + path_ + "' was replaced; it is opened anew");
      if (auto opened = open_file(file_, std::nullopt); !opened) return fail(wait(opened.error()));
      return {};
    }
    if (log) log_ = log->first;
    if (found->second != stamp_) {
      stamp_ = found->second;
      // Also after each commit, where SQLite knows it, too.
      EVODB_TRY(outbox_->distrust_cache());
    }
    return {};
  }
  const bool was_open = outbox_ != nullptr;
  let_go();
  if (!found) {
    arriving_.reset();
    return fail(wait(found.error()));
  }
  if (!is_settled(found->first, found->second)) {
    return fail(ErrorKind::kRetry, "'" + path_ + "' is being replaced");
  }
  const base::MonotonicMillis now = clock_.monotonic();
  if (!was_open && now < open_again_) {
    return fail(ErrorKind::kRetry, "'" + path_ + "' cannot be used: " +
                                       (waiting_ ? waiting_->text : "it was given up"));
  }
  open_again_ = base::MonotonicMillis(now.value + options_.open_again_ms);
  if (found->second.size == 0 || !is_whole(path_, found->second.size)) {
    return fail(wait({ErrorKind::kRetry, "'" + path_ + "' is not a whole database yet"}));
  }
  auto opened = open_file(found->first, "another file lies at '" + path_ + "' now");
  if (!opened) return fail(wait(std::move(opened).error()));
  waiting_.reset();
  arriving_.reset();
  return {};
}

Result<void> PathOutbox::wake() {
  EVODB_TRY(follow());
  if (outbox_) return {};
  // With a log beside it some application has opened it. Without one it may be a copy under way.
  const auto found = look_at(path_);
  const auto log = look_at(path_ + "-wal");
  if (found && !is_untouched() && (!log || log->second.size == 0) &&
      (!is_settled(found->first, found->second) || !is_whole(path_, found->second.size))) {
    return fail(ErrorKind::kRetry, "'" + path_ + "' is being written over");
  }
  EVODB_TRY(with_patience(Call::kOpen, open_file(file_, std::nullopt)));
  arriving_.reset();
  return {};
}

bool PathOutbox::is_untouched() const {
  const auto found = look_at(path_);
  const auto log = look_at(path_ + "-wal");
  const bool same_log = log ? rest_log_ == *log : !rest_log_;
  return found && found->first == file_ && found->second == stamp_ && same_log;
}

Result<void> PathOutbox::same_log() {
  EVODB_TRY(wake());
  if (!given_up_) return {};
  return fail(ErrorKind::kStale, "'" + path_ + "' was opened anew");
}

bool PathOutbox::is_settled(const File& file, const Stamp& stamp) {
  Arriving seen{.file = file, .stamp = stamp};
  if (const auto log = look_at(path_ + "-wal")) {
    seen.log_file = log->first;
    seen.log_stamp = log->second;
  }
  const base::MonotonicMillis now = clock_.monotonic();
  if (!arriving_) arrived_ = now;
  if (!arriving_ || *arriving_ != seen) settled_since_ = now;
  arriving_ = seen;
  return now.value - settled_since_.value >= options_.settle_ms ||
         now.value - arrived_.value >= options_.settle_ms_max;
}

template <class T>
Result<T> PathOutbox::with_patience(Call call, Result<T> result) {
  auto& failing_since = failing_since_[static_cast<std::size_t>(call)];
  if (result) {
    failing_since.reset();
    return result;
  }
  const ErrorKind kind = result.error().kind;
  if (capture::may_pass(kind) || kind == ErrorKind::kStale) return result;
  const base::MonotonicMillis now = clock_.monotonic();
  if (!failing_since) failing_since = now;
  if (now.value - failing_since->value >= options_.patience_ms) return result;
  return fail(ErrorKind::kRetry, result.error().text);
}

Result<capture::OutboxState> PathOutbox::state() {
  EVODB_TRY(wake());
  auto state = with_patience(Call::kState, outbox_->state());
  if (!state) return state;
  given_up_ = false;
  keep_memory();
  return state;
}

Result<Lsn> PathOutbox::head() {
  EVODB_TRY(follow());
  if (rested_) return std::max(rested_->memory.seen, rested_->memory.trimmed);
  return with_patience(Call::kHead, outbox_->head());
}

Result<void> PathOutbox::read(Lsn after, capture::ChangeSink& sink) {
  EVODB_TRY(same_log());
  return with_patience(Call::kRead, outbox_->read(after, sink));
}

void PathOutbox::resume_group(TxnId label) {
  // Said between state() and read(): it is awake, or waits for a file.
  if (wake()) outbox_->resume_group(label);
}

Result<void> PathOutbox::trim(Epoch epoch, Lsn through, ChainHash chain_at_through) {
  EVODB_TRY(same_log());
  return with_patience(Call::kTrim, outbox_->trim(epoch, through, chain_at_through));
}

Result<Epoch> PathOutbox::begin_epoch(Epoch at_least) {
  EVODB_TRY(same_log());
  return with_patience(Call::kEpoch, outbox_->begin_epoch(at_least));
}

Result<Epoch> PathOutbox::begin_as(const std::string& source, Epoch at_least) {
  EVODB_TRY(same_log());
  return with_patience(Call::kEpoch, outbox_->begin_as(source, at_least));
}

Result<bool> PathOutbox::changed() {
  EVODB_TRY(follow());
  if (rested_ && !rest_unsure_ && is_untouched()) return false;
  EVODB_TRY(wake());
  const bool changed = EVODB_TRY(with_patience(Call::kChanged, outbox_->changed()));
  if (!changed) rest_if_alone();
  if (changed && clock_.monotonic().value - remembered_at_.value >= options_.remember_ms) {
    keep_memory();
  }
  return changed;
}

Result<void> PathOutbox::refresh() {
  EVODB_TRY(follow());
  if (rested_) return {};
  const auto refreshed = with_patience(Call::kRefresh, outbox_->refresh_if_schema_changed());
  if (!refreshed) return fail(refreshed.error());
  return {};
}

void PathOutbox::rest_if_alone() {
  const base::MonotonicMillis now = clock_.monotonic();
  // Without a log beside it nothing stands in anybody's way.
  if (now < rest_again_ || !look_at(path_ + "-wal")) return;
  if (is_open_elsewhere(file_.device, file_.inode)) return;
  auto rested = outbox_->rest();
  if (!rested) return;
  past_ = polite_stats();
  outbox_.reset();
  rested_ = std::move(rested);
  log_.reset();
  capture::save_memory(path_, rested_->memory);
  // Closing writes, but so may others since the last look: then it is opened once more, to look.
  const auto found = look_at(path_);
  const auto log = look_at(path_ + "-wal");
  rest_unsure_ =
      !found || found->first != file_ || found->second != stamp_ || (log && log->second.size > 0);
  if (found && found->first == file_) stamp_ = found->second;
  rest_log_ = log ? std::optional(*log) : std::nullopt;
  // Somebody has it open whom the list of locks does not show.
  if (log && log->second.size > 0) {
    rest_again_ = base::MonotonicMillis(now.value + options_.rest_in_vain_ms);
  }
}

}  // namespace evodb::edge
