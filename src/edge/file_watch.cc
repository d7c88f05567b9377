#include "edge/file_watch.h"

#include <string_view>

#ifdef __linux__
#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <filesystem>
#endif

namespace evodb::edge {

#ifdef __linux__

Result<std::unique_ptr<FileWatch>> FileWatch::create(const std::string& db) {
  std::error_code error;
  const std::filesystem::path real = std::filesystem::canonical(db, error);
  if (error) return fail(ErrorKind::kInvalid, "cannot watch " + db + ": " + error.message());
  const int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  // A rollback journal's commit is its end: deleted, truncated or its header overwritten. Who
  // closes the database may be the last to have it open but us.
  constexpr std::uint32_t events =
      IN_MODIFY | IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_ONLYDIR;
  if (fd < 0 || inotify_add_watch(fd, real.parent_path().c_str(), events) < 0) {
    const std::string why = strerror(errno);
    if (fd >= 0) ::close(fd);
    return fail(ErrorKind::kOverLimit, "cannot watch " + db + ": " + why);
  }
  return std::unique_ptr<FileWatch>(new FileWatch(fd, real.filename().string()));
}

FileWatch::~FileWatch() { ::close(fd_); }

bool FileWatch::drain() {
  constexpr int reads_max = 16;
  alignas(inotify_event) char buffer[4096];
  bool ours = false;
  // Not until nothing is left: somebody may write to this directory faster than we read of it, and
  // the loop has sockets too. It calls again for the rest.
  for (int reads = 0; reads < reads_max; ++reads) {
    const ssize_t n = ::read(fd_, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return ours;
    for (ssize_t at = 0; at < n;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
      if (event->mask & IN_Q_OVERFLOW) ours = true;  // lost: it may have been about us
      if (event->len == 0) continue;
      std::string_view name(event->name);
      if (!name.starts_with(name_)) continue;
      name.remove_prefix(name_.size());
      ours = ours || name.empty() || name == "-wal" || name == "-journal";
    }
  }
  return ours;
}

#else

Result<std::unique_ptr<FileWatch>> FileWatch::create(const std::string& db) {
  return fail(ErrorKind::kInvalid, "this system does not tell of writes to " + db);
}
FileWatch::~FileWatch() = default;
bool FileWatch::drain() { return false; }

#endif

}  // namespace evodb::edge
