#include "server/data_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace evodb::app {
namespace {

constexpr std::size_t pid_width = 11;  // newlines behind it: a shell's $(cat lock) drops them

// 0: there is none.
pid_t read_pid(int fd) {
  char pid[32] = {};
  const ssize_t n = ::pread(fd, pid, sizeof pid - 1, 0);
  return n > 0 ? static_cast<pid_t>(std::strtol(pid, nullptr, 10)) : 0;
}

}  // namespace

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
    const pid_t pid = read_pid(fd);
    ::close(fd);
    return fail(ErrorKind::kRetry, "the data directory " + directory +
                                       " is in use by another parent" +
                                       (pid > 0 ? " (process " + std::to_string(pid) + ")" : "") +
                                       "; stop it, or choose another with --data");
  }
  std::unique_ptr<DataLock> lock(new DataLock(fd));
  lock->write_pid();
  return lock;
}

void DataLock::write_pid() {
  // Of one width, in one write: whoever reads meanwhile sees the last one or this one.
  std::string pid = std::to_string(::getpid());
  pid.resize(pid_width, '\n');
  if (::pwrite(fd_, pid.data(), pid.size(), 0) < 0) {
    // Only for messages and for `evodb upgrade`; the lock itself holds.
  }
}

Result<std::unique_ptr<DataLock>> DataLock::adopt(int fd, const std::string& directory) {
  std::unique_ptr<DataLock> lock(new DataLock(fd));
  struct stat given{}, ours{};
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || ::fstat(fd, &given) != 0 ||
      ::stat((directory + "/lock").c_str(), &ours) != 0 || given.st_dev != ours.st_dev ||
      given.st_ino != ours.st_ino) {
    return fail(ErrorKind::kInvalid, "the parent that hands over has another data directory than " +
                                         directory + "; data cannot be changed by an upgrade");
  }
  return lock;
}

Result<pid_t> DataLock::holder(const std::string& directory) {
  const std::string path = directory + "/lock";
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return fail(ErrorKind::kInvalid, "no parent has run on the data directory " + directory + ": " +
                                         std::strerror(errno));
  }
  const bool free = ::flock(fd, LOCK_SH | LOCK_NB) == 0;
  const pid_t holder = read_pid(fd);
  ::close(fd);
  if (free || holder <= 1) {
    return fail(ErrorKind::kRetry, "no parent runs on the data directory " + directory);
  }
  return holder;
}

DataLock::~DataLock() { ::close(fd_); }

}  // namespace evodb::app
