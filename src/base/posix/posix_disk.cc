#include "base/posix/posix_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace evodb::base {
namespace {

ErrorKind kind_of(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return ErrorKind::kNoSpace;
    case EMFILE:
    case ENFILE: return ErrorKind::kOverLimit;
    case ENOENT: return ErrorKind::kNotFound;
    case EEXIST: return ErrorKind::kExists;
    case EACCES:
    case EPERM:
    case ENOTDIR:
    case EISDIR:
    case EROFS:
    case ENAMETOOLONG: return ErrorKind::kInvalid;
    case EIO: return ErrorKind::kCorrupt;
    default: return ErrorKind::kInternal;
  }
}

std::string name_of(int error) {
#if defined(__GLIBC__)
  if (const char* name = strerrorname_np(error)) return name;
#endif
  return "errno " + std::to_string(error);
}

std::unexpected<Error> failed(const char* call, const std::string& path, int error) {
  return fail(kind_of(error), std::string(call) + " " + path + ": " + std::strerror(error) + " (" +
                                  name_of(error) + ")");
}

template <class Call>
auto uninterrupted(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

class PosixFile final : public File {
 public:
  PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;
  ~PosixFile() override { ::close(fd_); }

  Result<void> pwrite(std::uint64_t offset, std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = uninterrupted(
          [&] { return ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
      if (n < 0) return failed("pwrite", path_, errno);
      if (n == 0) return failed("pwrite", path_, ENOSPC);  // nothing was taken and no reason given
      bytes.remove_prefix(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    }
    return {};
  }
  Result<std::size_t> pread(std::uint64_t offset, char* into, std::size_t n) override {
    std::size_t done = 0;
    while (done < n) {
      const ssize_t got = uninterrupted(
          [&] { return ::pread(fd_, into + done, n - done, static_cast<off_t>(offset + done)); });
      if (got < 0) return failed("pread", path_, errno);
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }
  Result<void> sync() override {
#if defined(__APPLE__)
    // fsync there does not reach the platter.
    if (::fcntl(fd_, F_FULLFSYNC) == 0) return {};
    const int error = errno;
#else
    // Not repeated even when interrupted: after any failure the kernel may call the pages clean.
    if (::fdatasync(fd_) == 0) return {};
    const int error = errno;
#endif
    auto result = failed("fdatasync", path_, error);
    return fail(ErrorKind::kCorrupt, std::move(result).error().text);
  }
  Result<std::uint64_t> size() override {
    struct stat status;
    if (::fstat(fd_, &status) != 0) return failed("fstat", path_, errno);
    return static_cast<std::uint64_t>(status.st_size);
  }
  Result<void> truncate(std::uint64_t size) override {
    if (uninterrupted([&] { return ::ftruncate(fd_, static_cast<off_t>(size)); }) != 0) {
      return failed("ftruncate", path_, errno);
    }
    return {};
  }

 private:
  int fd_;
  std::string path_;
};

}  // namespace

Result<std::unique_ptr<File>> PosixDisk::open(const std::string& path, OpenMode mode) {
  int flags = O_CLOEXEC;
  switch (mode) {
    case OpenMode::kRead: flags |= O_RDONLY; break;
    case OpenMode::kReadWrite: flags |= O_RDWR; break;
    case OpenMode::kCreate: flags |= O_RDWR | O_CREAT | O_EXCL; break;
  }
  const int fd = uninterrupted([&] { return ::open(path.c_str(), flags, 0640); });
  if (fd < 0) return failed("open", path, errno);
  return std::make_unique<PosixFile>(fd, path);
}

Result<bool> PosixDisk::exists(const std::string& path) {
  if (::access(path.c_str(), F_OK) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  return failed("access", path, errno);
}

Result<void> PosixDisk::rename(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) return failed("rename", from, errno);
  return {};
}

Result<void> PosixDisk::unlink(const std::string& path) {
  if (::unlink(path.c_str()) != 0) return failed("unlink", path, errno);
  return {};
}

Result<void> PosixDisk::make_directories(const std::string& path) {
  if (path.empty() || path == "." || path == "/") return {};
  struct stat status;
  if (::stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return {};
    return failed("mkdir", path, ENOTDIR);
  }
  if (path.back() == '/') return make_directories(path.substr(0, path.find_last_not_of('/') + 1));
  EVODB_TRY(make_directories(parent_of(path)));
  if (::mkdir(path.c_str(), 0750) != 0 && errno != EEXIST) return failed("mkdir", path, errno);
  return sync_directory(parent_of(path));
}

Result<void> PosixDisk::sync_directory(const std::string& path) {
  const int fd =
      uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (fd < 0) return failed("open", path, errno);
  const int result = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  if (result == 0) return {};
  auto text = failed("fsync", path, error);
  return fail(ErrorKind::kCorrupt, std::move(text).error().text);
}

Result<std::vector<std::string>> PosixDisk::list(const std::string& path) {
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return failed("opendir", path, errno);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(directory)) {
    const std::string name = entry->d_name;
    struct stat status;
    if (name != "." && name != ".." && ::stat((path + "/" + name).c_str(), &status) == 0 &&
        S_ISREG(status.st_mode)) {
      names.push_back(name);
    }
    errno = 0;
  }
  const int error = errno;
  ::closedir(directory);
  if (error != 0) return failed("readdir", path, error);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace evodb::base
