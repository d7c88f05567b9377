#include "capture/space_reserve.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace evodb::capture {
namespace {

// The last space of a disk is the application's.
constexpr std::uint64_t free_times = 4;

}  // namespace

SpaceReserve::SpaceReserve(const std::string& db, std::uint64_t bytes)
    : path_(db + "-evodb-reserve"), bytes_(bytes) {
  const auto slash = db.rfind('/');
  directory_ = slash == std::string::npos ? "." : db.substr(0, slash + 1);
}

bool SpaceReserve::is_kept() const {
  struct stat found{};
  return bytes_ > 0 && stat(path_.c_str(), &found) == 0 &&
         static_cast<std::uint64_t>(found.st_size) >= bytes_;
}

std::optional<std::uint64_t> SpaceReserve::free_bytes() const {
  struct statvfs disk{};
  if (statvfs(directory_.c_str(), &disk) != 0) return std::nullopt;
  return static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
}

bool SpaceReserve::disk_is_full() const {
  if (bytes_ == 0) return false;
  const auto free = free_bytes();
  return free && *free < bytes_;
}

bool SpaceReserve::keep() {
  if (bytes_ == 0) return false;
  if (is_kept()) return true;
  const auto free = free_bytes();
  if (!free || *free / free_times < bytes_) return false;
  const int fd = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  // Real blocks: a hole would hold nothing.
  const bool made = posix_fallocate(fd, 0, static_cast<off_t>(bytes_)) == 0;
  ::close(fd);
  if (!made) ::unlink(path_.c_str());
  return made;
}

bool SpaceReserve::release() { return bytes_ > 0 && ::unlink(path_.c_str()) == 0; }

}  // namespace evodb::capture
