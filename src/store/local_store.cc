#include "store/local_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <deque>
#include <filesystem>
#include <limits>
#include <map>

#include "store/key.h"

namespace evodb::store {
namespace {

constexpr std::string_view scheme = "file://";
constexpr std::int64_t temporary_age_s_max = 24 * 60 * 60;
constexpr std::uint64_t free_bytes_min = 16u << 20;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  int fd_;
};

// What the caller must do follows from errno; a full disk is the store being away.
Error from_errno(int code, const std::string& what, const std::string& path) {
  const std::string text = what + " " + path + ": " + std::strerror(code);
  switch (code) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return {ErrorKind::kRetry, "the disk of the warehouse is full (" + text +
                                     "): free some space; landing goes on by itself"};
    case EACCES:
    case EPERM:
    case EROFS:
      return {
          ErrorKind::kInvalid,
          text + ": let the user that runs evodb write there, or set store.url to another place"};
    case ENAMETOOLONG:
    case ENOTDIR:
    case EISDIR:
    case ELOOP: return {ErrorKind::kInvalid, text + ": set store.url to a plain directory"};
    default: return {ErrorKind::kRetry, text};
  }
}

Result<void> sync_directory(const std::string& path) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return fail(from_errno(errno, "cannot open the directory", path));
  if (::fsync(fd.get()) != 0) return fail(from_errno(errno, "cannot sync the directory", path));
  return {};
}

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

void remove_old_temporaries(const std::string& folder) {
  DIR* dir = ::opendir(folder.c_str());
  if (dir == nullptr) return;
  const std::time_t now = ::time(nullptr);
  while (const dirent* entry = ::readdir(dir)) {
    struct stat info{};
    const std::string path = folder + "/" + entry->d_name;
    if (::lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
        now - info.st_mtime > temporary_age_s_max) {
      ::unlink(path.c_str());
    }
  }
  ::closedir(dir);
}

}  // namespace

LocalStore::LocalStore(std::string root) : root_(std::move(root)), spelled_(root_) {}

Result<std::unique_ptr<LocalStore>> LocalStore::open(const std::string& directory) {
  if (directory.empty()) {
    return fail(ErrorKind::kInvalid, "store.url is 'file:' without a directory: name one");
  }
  std::error_code code;
  std::string root = std::filesystem::absolute(directory, code).lexically_normal().string();
  if (code) {
    return fail(ErrorKind::kInvalid, "cannot make '" + directory + "' absolute: " + code.message());
  }
  while (root.size() > 1 && root.back() == '/') root.pop_back();
  if (root == "/") {
    return fail(ErrorKind::kInvalid, "store.url names the root directory: name one of its own");
  }
  // Iceberg readers parse a location as a URL, where these would begin a query or a fragment.
  if (root.find_first_of("?#%") != std::string::npos) {
    return fail(ErrorKind::kInvalid, "the warehouse directory '" + root +
                                         "' has one of ? # % in its path, which Iceberg readers "
                                         "misread: set store.url to another directory");
  }
  const std::string temporary = root + "/" + std::string(temporary_folder);
  std::filesystem::create_directories(temporary, code);
  if (code) return fail(from_errno(code.value(), "cannot make the directory", root));
  EVODB_TRY(sync_directory(root));
  EVODB_TRY(sync_directory(parent_of(root).empty() ? "/" : parent_of(root)));
  remove_old_temporaries(temporary);
  return std::unique_ptr<LocalStore>(new LocalStore(std::move(root)));
}

std::string LocalStore::temporary_path() {
  // The process id and a serial keep two writers apart; O_EXCL notices what they do not.
  return root_ + "/" + std::string(temporary_folder) + "/" + std::to_string(::getpid()) + "-" +
         std::to_string(::time(nullptr)) + "-" + std::to_string(serial_++);
}

Result<void> LocalStore::present() const {
  struct stat info{};
  if (::stat((root_ + "/" + std::string(temporary_folder)).c_str(), &info) == 0) return {};
  return fail(ErrorKind::kRetry, "the warehouse directory " + root_ +
                                     " is not there (unmounted or moved?): bring it back; landing "
                                     "goes on by itself");
}

class LocalStore::Temporary {
 public:
  explicit Temporary(LocalStore& store)
      : path_(store.temporary_path()),
        fd_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)),
        open_errno_(errno) {}
  ~Temporary() {
    if (fd_.valid()) ::unlink(path_.c_str());  // gone already after a rename
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  const std::string& path() const { return path_; }
  Result<void> write(const LocalStore& store, std::string_view bytes) {
    if (!fd_.valid()) {
      EVODB_TRY(store.present());
      return fail(from_errno(open_errno_, "cannot create", path_));
    }
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail(from_errno(errno, "cannot write", path_));
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
  }
  // Hands it to the disk and does not wait. Whether that went well is sync()'s to say.
  void begin_sync() { (void)::sync_file_range(fd_.get(), 0, 0, SYNC_FILE_RANGE_WRITE); }
  // A failed sync is never repeated on the same file: the next put writes a new one.
  Result<void> sync() {
    if (::fsync(fd_.get()) != 0) return fail(from_errno(errno, "cannot sync", path_));
    return {};
  }

 private:
  std::string path_;
  Descriptor fd_;
  int open_errno_;
};

Result<void> LocalStore::make_parents(const std::string& key) {
  EVODB_TRY(present());
  const std::lock_guard lock(mutex_);
  for (std::size_t slash = key.find('/'); slash != std::string::npos;
       slash = key.find('/', slash + 1)) {
    const std::string folder = root_ + "/" + key.substr(0, slash);
    // One that exists may have been made a moment before a crash: its name is synced all the same.
    if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
      return fail(from_errno(errno, "cannot make the directory", folder));
    }
    EVODB_TRY(sync_directory(parent_of(folder)));
  }
  synced_folders_.insert(parent_of(path_of(key)));
  return {};
}

Result<void> LocalStore::publish(const Temporary& temporary, const std::string& key, PutMode mode) {
  const std::string path = path_of(key);
  const bool known = [&] {
    const std::lock_guard lock(mutex_);
    return synced_folders_.contains(parent_of(path));
  }();
  if (!known) EVODB_TRY(make_parents(key));
  for (int attempt = 0;; ++attempt) {
    const int failed = mode == PutMode::kIfAbsent
                           ? ::link(temporary.path().c_str(), path.c_str())
                           : ::rename(temporary.path().c_str(), path.c_str());
    if (failed == 0) break;
    const int code = errno;
    if (code == EEXIST) {
      return fail(object_exists(key));
    }
    if (code != ENOENT || attempt > 0) return fail(from_errno(code, "cannot put", path));
    EVODB_TRY(make_parents(key));
  }
  return {};
}

Result<void> LocalStore::sync_folder_of(const std::string& key) {
  if (auto synced = sync_directory(parent_of(path_of(key))); !synced) {
    return fail(ErrorKind::kOutcomeUnknown,
                "the object is there but may not survive a power loss: " + synced.error().text);
  }
  return {};
}

Result<void> LocalStore::put(const std::string& key, std::string_view bytes, PutMode mode) {
  EVODB_TRY(check_key(key));
  Temporary temporary(*this);
  EVODB_TRY(temporary.write(*this, bytes));
  EVODB_TRY(temporary.sync());
  EVODB_TRY(publish(temporary, key, mode));
  return sync_folder_of(key);
}

Result<void> LocalStore::put_all(std::span<const NewObject> objects) {
  for (const NewObject& object : objects) EVODB_TRY(check_key(object.key));
  std::deque<Temporary> temporaries;
  for (const NewObject& object : objects) {
    EVODB_TRY(temporaries.emplace_back(*this).write(*this, object.bytes));
    temporaries.back().begin_sync();
  }
  for (Temporary& temporary : temporaries) EVODB_TRY(temporary.sync());
  std::map<std::string, std::string> folders;  // and a key that lies in each
  for (std::size_t i = 0; i < objects.size(); ++i) {
    const std::string key(objects[i].key);
    auto published = publish(temporaries[i], key, PutMode::kIfAbsent);
    if (!published && published.error().kind == ErrorKind::kExists) {
      // Synced below all the same: the earlier try may have ended before that.
      if (EVODB_TRY(holds(key, objects[i].bytes))) published = {};
    }
    EVODB_TRY(std::move(published));
    folders.emplace(parent_of(key), key);
  }
  for (const auto& [folder, key] : folders) EVODB_TRY(sync_folder_of(key));
  return {};
}

Result<std::string> LocalStore::get(const std::string& key) {
  return get_at_most(key, std::numeric_limits<std::uint64_t>::max());
}

Result<std::string> LocalStore::get_at_most(const std::string& key, std::uint64_t bytes_max) {
  EVODB_TRY(check_key(key));
  const std::string path = path_of(key);
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    const int code = errno;
    if (code != ENOENT && code != ENOTDIR) return fail(from_errno(code, "cannot open", path));
    EVODB_TRY(present());
    return fail(no_such_object(key));
  }
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return fail(from_errno(errno, "cannot look at", path));
  if (S_ISDIR(info.st_mode)) return fail(no_such_object(key));
  if (static_cast<std::uint64_t>(info.st_size) > bytes_max) {
    return fail(object_over_limit(key, bytes_max));
  }
  std::string bytes(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::read(fd.get(), bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(from_errno(errno, "cannot read", path));
    if (n == 0) {
      return fail(ErrorKind::kCorrupt, path + " ended after " + std::to_string(done) + " of " +
                                           std::to_string(bytes.size()) +
                                           " bytes: somebody else truncated it");
    }
    done += static_cast<std::size_t>(n);
  }
  return bytes;
}

Result<bool> LocalStore::holds(const std::string& key, std::string_view bytes) {
  EVODB_TRY(check_key(key));
  struct stat info{};
  if (::stat(path_of(key).c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
      static_cast<std::uint64_t>(info.st_size) != bytes.size()) {
    return false;
  }
  return EVODB_TRY(get(key)) == bytes;
}

Result<void> LocalStore::remove(const std::string& key) {
  EVODB_TRY(check_key(key));
  const std::string path = path_of(key);
  if (::unlink(path.c_str()) == 0) return {};
  const int code = errno;
  if (code != ENOENT && code != ENOTDIR) return fail(from_errno(code, "cannot remove", path));
  return present();
}

Result<void> LocalStore::walk(const std::string& folder, std::string_view prefix,
                              std::vector<ObjectInfo>& found) const {
  const std::string path = folder.empty() ? root_ : root_ + "/" + folder;
  DIR* opened = ::opendir(path.c_str());
  if (opened == nullptr) {
    if (errno == ENOENT || errno == ENOTDIR) return {};  // vanished meanwhile: nothing in it
    return fail(from_errno(errno, "cannot list", path));
  }
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opened, &::closedir);
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == ".." || name == temporary_folder) continue;
    const std::string key = folder.empty() ? std::string(name) : folder + "/" + std::string(name);
    // Neither inside the prefix nor on the way to it.
    const std::size_t common = std::min(key.size(), prefix.size());
    if (std::string_view(key).substr(0, common) != prefix.substr(0, common)) continue;
    struct stat info{};
    if (::lstat((root_ + "/" + key).c_str(), &info) != 0) continue;  // vanished meanwhile
    if (S_ISDIR(info.st_mode)) {
      EVODB_TRY(walk(key, prefix, found));
    } else if (S_ISREG(info.st_mode) && key.starts_with(prefix)) {
      found.push_back({key, static_cast<std::uint64_t>(info.st_size),
                       UnixMillis{info.st_mtim.tv_sec * 1000 + info.st_mtim.tv_nsec / 1'000'000}});
    }
  }
  return {};
}

Result<std::vector<ObjectInfo>> LocalStore::list(const std::string& prefix) {
  EVODB_TRY(present());
  std::vector<ObjectInfo> found;
  // Begin in the deepest folder that the prefix names whole.
  const std::size_t slash = prefix.rfind('/');
  const std::string start = slash == std::string::npos ? "" : prefix.substr(0, slash);
  if (!start.empty()) EVODB_TRY(check_key(start));
  EVODB_TRY(walk(start, prefix, found));
  std::sort(found.begin(), found.end(),
            [](const ObjectInfo& a, const ObjectInfo& b) { return a.key < b.key; });
  return found;
}

std::string LocalStore::location(const std::string& key) const {
  return std::string(scheme) + spelled_ + "/" + key;
}

Result<bool> LocalStore::is_at(const std::string& location) {
  if (!location.starts_with(scheme)) return false;
  struct stat here{}, there{};
  if (::stat(root_.c_str(), &here) != 0) return fail(from_errno(errno, "cannot look at", root_));
  if (::stat(location.c_str() + scheme.size(), &there) != 0) return false;
  return here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

void LocalStore::spell_as(const std::string& location) {
  std::string path = location.substr(scheme.size());
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if (path != spelled_) spelled_ = std::move(path);
}

Result<std::string> LocalStore::key_of(const std::string& location) const {
  std::string_view path = location;
  // "file:///abs", "file:/abs" (as Java's readers print it) and "/abs" name the same file.
  if (path.starts_with(scheme)) {
    path.remove_prefix(scheme.size());
  } else if (path.starts_with("file:")) {
    path.remove_prefix(5);
  }
  for (const std::string* root : {&spelled_, &root_}) {
    if (path.starts_with(*root) && path.size() > root->size() + 1 && path[root->size()] == '/') {
      return std::string(path.substr(root->size() + 1));
    }
  }
  return fail(ErrorKind::kInvalid, "'" + location + "' is not in the warehouse " +
                                       this->location("") + ": was the warehouse moved?");
}

Result<void> LocalStore::check() {
  Temporary temporary(*this);
  EVODB_TRY(temporary.write(*this, "x"));
  EVODB_TRY(temporary.sync());
  struct statvfs disk{};
  if (::statvfs(root_.c_str(), &disk) != 0) return fail(from_errno(errno, "cannot ask", root_));
  const std::uint64_t free = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
  if (free >= free_bytes_min) return {};
  return fail(ErrorKind::kRetry, "the disk of the warehouse is nearly full (" +
                                     std::to_string(free >> 20) + " MiB left at " + root_ +
                                     "): free some space");
}

}  // namespace evodb::store
