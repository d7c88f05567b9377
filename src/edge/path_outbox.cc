#include "edge/path_outbox.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
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
  if (::stat((path + "-wal").c_str(), &log) == 0 && log.st_size > 0) return true;  // it has the rest
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
  EVODB_CHECK(outbox->open_file(found ? found->first : File(), ""));
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
  if (waiting_ != error.text) tell(error.text + "; waiting until that has changed");
  waiting_ = error.text;
  return {ErrorKind::kRetry, std::move(error.text)};
}

void PathOutbox::let_go() {
  if (!outbox_) return;
  memory_ = outbox_->memory();
  outbox_->abandon();
  outbox_.reset();
}

Result<void> PathOutbox::open_file(const File& file, const std::string& replaced) {
  auto opened = capture::SqliteOutbox::open(path_, {.busy_timeout_ms = options_.busy_timeout_ms,
                                                    .clock = &clock_,
                                                    .memory = memory_,
                                                    .replaced = replaced,
                                                    .on_event = options_.on_event,
                                                    .polite = options_.polite,
                                                    .room = options_.room});
  const auto after = look_at(path_);
  if (opened && (!after || after->first != file)) {
    (*opened)->abandon();
    return fail(ErrorKind::kRetry, "'" + path_ + "' is being replaced");
  }
  if (!opened) return fail(opened.error());
  outbox_ = std::move(*opened);
  file_ = file;
  stamp_ = Stamp();
  memory_.reset();
  ++opened_;
  return {};
}

Result<void> PathOutbox::follow() {
  const auto found = look_at(path_);
  if (found && outbox_ && found->first == file_) {
    if (found->second != stamp_) {
      stamp_ = found->second;
      // Also after each commit, where SQLite knows it, too.
      EVODB_CHECK(outbox_->distrust_cache());
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
    return fail(ErrorKind::kRetry, "'" + path_ + "' cannot be used: " + waiting_);
  }
  open_again_ = base::MonotonicMillis(now.value + options_.open_again_ms);
  if (found->second.size == 0 || !is_whole(path_, found->second.size)) {
    return fail(wait({ErrorKind::kRetry, "'" + path_ + "' is not a whole database yet"}));
  }
  auto opened = open_file(found->first, "another file lies at '" + path_ + "' now");
  if (!opened) return fail(wait(std::move(opened).error()));
  waiting_.clear();
  arriving_.reset();
  return {};
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

// A file that is just written over gives any error: those that would be final must stand a while.
template <class T>
Result<T> PathOutbox::bear(Result<T> result) {
  if (result) {
    failing_since_.reset();
    return result;
  }
  const ErrorKind kind = result.error().kind;
  if (capture::may_pass(kind) || kind == ErrorKind::kStale) return result;
  const base::MonotonicMillis now = clock_.monotonic();
  if (!failing_since_) failing_since_ = now;
  if (now.value - failing_since_->value >= options_.patience_ms) return result;
  return fail(ErrorKind::kRetry, result.error().text);
}

Result<capture::OutboxState> PathOutbox::state() {
  EVODB_CHECK(follow());
  auto state = bear(outbox_->state());
  if (state) keep_memory();
  return state;
}

Result<Lsn> PathOutbox::head() {
  EVODB_CHECK(follow());
  return bear(outbox_->head());
}

Result<void> PathOutbox::read(Lsn after, capture::ChangeSink& sink) {
  EVODB_CHECK(follow());
  return bear(outbox_->read(after, sink));
}

void PathOutbox::resume_group(TxnId label) {
  if (outbox_) outbox_->resume_group(label);
}

Result<void> PathOutbox::trim(Epoch epoch, Lsn through, ChainHash chain_at_through) {
  EVODB_CHECK(follow());
  return bear(outbox_->trim(epoch, through, chain_at_through));
}

Result<Epoch> PathOutbox::begin_epoch(Epoch at_least) {
  EVODB_CHECK(follow());
  return bear(outbox_->begin_epoch(at_least));
}

Result<Epoch> PathOutbox::begin_as(const std::string& source, Epoch at_least) {
  EVODB_CHECK(follow());
  return bear(outbox_->begin_as(source, at_least));
}

Result<bool> PathOutbox::changed() {
  EVODB_CHECK(follow());
  const bool changed = EVODB_TRY(bear(outbox_->changed()));
  if (!changed) empty_log_if_alone();
  if (changed && clock_.monotonic().value - remembered_at_.value >= options_.remember_ms) {
    keep_memory();
  }
  return changed;
}

Result<void> PathOutbox::refresh() {
  EVODB_CHECK(follow());
  const auto refreshed = bear(outbox_->refresh_if_schema_changed());
  if (!refreshed) return fail(refreshed.error());
  return {};
}

void PathOutbox::empty_log_if_alone() {
  struct stat log{};
  if (::stat((path_ + "-wal").c_str(), &log) != 0 || log.st_size == 0) return;
  if (is_open_elsewhere(file_.device, file_.inode)) return;
  outbox_->empty_log();
}

}  // namespace evodb::edge
