#include "data_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace evodb::app {

Result<std::unique_ptr<DataLock>> DataLock::take(const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) {
    return fail(ErrorKind::kInvalid, "cannot create the data directory " + directory + ": " +
                                         error.message() + "; choose another with --data");
  }
  const std::string path = directory + "/lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) {
    return fail(ErrorKind::kInvalid, "cannot write in the data directory " + directory + ": " +
                                         std::strerror(errno) + "; choose another with --data");
  }
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    char pid[32] = {};
    const ssize_t n = ::pread(fd, pid, sizeof pid - 1, 0);
    ::close(fd);
    return fail(
        ErrorKind::kRetry,
        "the data directory " + directory + " is in use by another parent" +
            (n > 0 ? " (process " + std::string(pid, static_cast<std::size_t>(n)) + ")" : "") +
            "; stop it, or choose another with --data");
  }
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, pid.data(), pid.size(), 0) < 0) {
    // Only for the message above; the lock itself holds.
  }
  return std::unique_ptr<DataLock>(new DataLock(fd));
}

DataLock::~DataLock() { ::close(fd_); }

}  // namespace evodb::app
