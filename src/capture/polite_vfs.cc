#include "capture/polite_vfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "base/hash.h"

namespace evodb::capture {
namespace {

// Slots of the wal-index's locks (sqlite.org/walformat.html): write, checkpoint, recover, reads.
constexpr int first_read_slot = 3;
constexpr int read_slots = SQLITE_SHM_NLOCK - first_read_slot;

// The bytes whose locks are SQLite's (sqlite.org/fileformat2.html, the lock-byte page).
constexpr off_t pending_byte = 0x40000000;
constexpr off_t reserved_byte = pending_byte + 1;
constexpr off_t lock_bytes = 512;  // pending, reserved, and 510 for SHARED

// Of the database's header: change counter, size, free list; how it is read and written.
constexpr int counter_at = 24;
constexpr int counter_bytes = 16;
constexpr int versions_at = 18;
constexpr char wal_version = 2;

// A lock of another process on [first, first + count) that stands in the way of a lock of `type`.
bool others_hold(int fd, short type, off_t first, off_t count, bool* held) {
  struct flock question{};
  question.l_type = type;
  question.l_whence = SEEK_SET;
  question.l_start = first;
  question.l_len = count;
  if (fcntl(fd, F_GETLK, &question) != 0) return false;
  *held = question.l_type != F_UNLCK;
  return true;
}

}  // namespace

// The functions that SQLite calls. Only the database itself passes through here: journals, logs and
// temporary files are the VFS below's own.
struct PoliteVfsCalls {
  struct Handle {
    sqlite3_file base;
    PoliteVfs* owner;
  };
  static constexpr int head_bytes = (sizeof(Handle) + 15) / 16 * 16;

  static PoliteVfs& of(sqlite3_vfs* vfs) { return *static_cast<PoliteVfs*>(vfs->pAppData); }
  static PoliteVfs& of(sqlite3_file* file) { return *reinterpret_cast<Handle*>(file)->owner; }
  static sqlite3_file* below(sqlite3_file* file) {
    return reinterpret_cast<sqlite3_file*>(reinterpret_cast<char*>(file) + head_bytes);
  }

  static int close(sqlite3_file* file) {
    PoliteVfs& p = of(file);
    p.file_ = nullptr;
    p.wal_ = p.shut_ = p.granted_ = false;
    return below(file)->pMethods->xClose(below(file));
  }

  static int read(sqlite3_file* file, void* into, int n, sqlite3_int64 at) {
    PoliteVfs& p = of(file);
    const int code = below(file)->pMethods->xRead(below(file), into, n, at);
    if (code != SQLITE_OK && code != SQLITE_IOERR_SHORT_READ) return code;
    // SQLite compares these bytes with those of its cached first page: others make it forget all
    // pages.
    const bool asks_for_news = at == counter_at && n == counter_bytes;
    if (p.granted_ && !asks_for_news) {
      const std::uint64_t hash =
          base::xxh64({static_cast<const char*>(into), static_cast<std::size_t>(n)});
      const auto [known, is_new] = p.pages_.emplace(std::pair(at, n), hash);
      // The same page may be read twice, where the cache is small: then it must be the same.
      if (known->second != hash) return SQLITE_BUSY;
      if (is_new && p.sealed_ &&
          !(p.same_version() && p.nobody_writes() && p.read_same(at, n, hash))) {
        p.pages_.erase(known);
        return SQLITE_BUSY;
      }
    }
    if (asks_for_news && (p.granted_ || p.forget_pages_)) {
      auto* const bytes = static_cast<unsigned char*>(into);
      for (int i = 0; i < n; ++i) bytes[i] = static_cast<unsigned char>(~bytes[i]);
      if (!p.granted_) p.forget_pages_ = false;
    }
    return code;
  }

  static int lock(sqlite3_file* file, int level) {
    PoliteVfs& p = of(file);
    if (p.broken_) return SQLITE_IOERR_LOCK;
    if (p.looking_ && !p.wal_) {
      if (p.granted_) return level <= SQLITE_LOCK_SHARED ? SQLITE_OK : SQLITE_BUSY;
      if (level != SQLITE_LOCK_SHARED) return SQLITE_BUSY;
      if (!p.is_wal_file()) {
        p.granted_ = p.looked_ = true;
        return SQLITE_OK;
      }
    }
    if (level == SQLITE_LOCK_SHARED) ++p.real_locks_;
    return below(file)->pMethods->xLock(below(file), level);
  }

  static int unlock(sqlite3_file* file, int level) {
    PoliteVfs& p = of(file);
    if (p.granted_) {
      if (level == SQLITE_LOCK_NONE) p.granted_ = false;
      return SQLITE_OK;
    }
    return below(file)->pMethods->xUnlock(below(file), level);
  }

  static int shm_map(sqlite3_file* file, int region, int bytes, int extend, void volatile** at) {
    PoliteVfs& p = of(file);
    if (p.granted_ || p.broken_) {
      // It became a WAL database after we looked at its kind. A log without a SHARED lock on the
      // database may be removed under us.
      p.broken_ = true;
      *at = nullptr;
      return SQLITE_IOERR_SHMMAP;
    }
    const int code = below(file)->pMethods->xShmMap(below(file), region, bytes, extend, at);
    p.wal_ = p.wal_ || code == SQLITE_OK;
    return code;
  }

  static int shm_lock(sqlite3_file* file, int first, int n, int flags) {
    PoliteVfs& p = of(file);
    // What we hold exclusively we have in every way. The recovery of older versions takes read
    // slots together with others.
    if (p.shut_ && first + n > first_read_slot) n = std::max(0, first_read_slot - first);
    if (n == 0) return SQLITE_OK;
    return below(file)->pMethods->xShmLock(below(file), first, n, flags);
  }

  static int shm_unmap(sqlite3_file* file, int remove) {
    PoliteVfs& p = of(file);
    p.wal_ = p.shut_ = false;
    return below(file)->pMethods->xShmUnmap(below(file), remove);
  }

  // --- passed on --------------------------------------------------------------------------------

  static int write(sqlite3_file* f, const void* from, int n, sqlite3_int64 at) {
    return below(f)->pMethods->xWrite(below(f), from, n, at);
  }
  static int truncate(sqlite3_file* f, sqlite3_int64 size) {
    return below(f)->pMethods->xTruncate(below(f), size);
  }
  static int sync(sqlite3_file* f, int flags) { return below(f)->pMethods->xSync(below(f), flags); }
  static int file_size(sqlite3_file* f, sqlite3_int64* size) {
    return below(f)->pMethods->xFileSize(below(f), size);
  }
  static int check_reserved(sqlite3_file* f, int* reserved) {
    return below(f)->pMethods->xCheckReservedLock(below(f), reserved);
  }
  static int control(sqlite3_file* f, int op, void* argument) {
    return below(f)->pMethods->xFileControl(below(f), op, argument);
  }
  static int sector_size(sqlite3_file* f) { return below(f)->pMethods->xSectorSize(below(f)); }
  static int characteristics(sqlite3_file* f) {
    return below(f)->pMethods->xDeviceCharacteristics(below(f));
  }
  static void shm_barrier(sqlite3_file* f) { below(f)->pMethods->xShmBarrier(below(f)); }

  static int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out) {
    PoliteVfs& p = of(vfs);
    if ((flags & SQLITE_OPEN_MAIN_DB) == 0 || p.file_ != nullptr || name == nullptr) {
      return p.below_->xOpen(p.below_, name, file, flags, out);
    }
    file->pMethods = nullptr;  // nothing to close where this fails
    const int code = p.below_->xOpen(p.below_, name, below(file), flags, out);
    if (code != SQLITE_OK) {
      if (below(file)->pMethods != nullptr) below(file)->pMethods->xClose(below(file));
      return code;
    }
    static const auto methods_of = [](int version) {
      return sqlite3_io_methods{version,         close,          read,      write,
                                truncate,        sync,           file_size, lock,
                                unlock,          check_reserved, control,   sector_size,
                                characteristics, shm_map,        shm_lock,  shm_barrier,
                                shm_unmap,       nullptr,        nullptr};
    };
    // Not version 3: memory-mapped pages could change while they are looked at.
    static const sqlite3_io_methods without_log = methods_of(1), with_log = methods_of(2);
    auto* const ours = reinterpret_cast<Handle*>(file);
    ours->owner = &p;
    ours->base.pMethods = below(file)->pMethods->iVersion >= 2 ? &with_log : &without_log;
    p.file_ = below(file);
    p.path_ = name;
    struct stat found{};
    if (stat(name, &found) == 0) {
      p.device_ = found.st_dev;
      p.inode_ = found.st_ino;
    }
    return SQLITE_OK;
  }

  static int remove(sqlite3_vfs* v, const char* name, int sync_directory) {
    return of(v).below_->xDelete(of(v).below_, name, sync_directory);
  }
  static int access(sqlite3_vfs* v, const char* name, int flags, int* result) {
    return of(v).below_->xAccess(of(v).below_, name, flags, result);
  }
  static int full_path(sqlite3_vfs* v, const char* name, int n, char* into) {
    return of(v).below_->xFullPathname(of(v).below_, name, n, into);
  }
  static int randomness(sqlite3_vfs* v, int n, char* into) {
    return of(v).below_->xRandomness(of(v).below_, n, into);
  }
  static int sleep(sqlite3_vfs* v, int us) { return of(v).below_->xSleep(of(v).below_, us); }
  static int now_days(sqlite3_vfs* v, double* days) {
    return of(v).below_->xCurrentTime(of(v).below_, days);
  }
  static int now_ms(sqlite3_vfs* v, sqlite3_int64* julian_ms) {
    return of(v).below_->xCurrentTimeInt64(of(v).below_, julian_ms);
  }
  static int last_error(sqlite3_vfs* v, int n, char* into) {
    return of(v).below_->xGetLastError(of(v).below_, n, into);
  }
};

Result<std::unique_ptr<PoliteVfs>> PoliteVfs::create(const std::string& base) {
  sqlite3_vfs* const below = sqlite3_vfs_find(base.empty() ? nullptr : base.c_str());
  if (below == nullptr) return fail(ErrorKind::kInvalid, "SQLite has no VFS named '" + base + "'");
  return std::unique_ptr<PoliteVfs>(new PoliteVfs(below));
}

PoliteVfs::PoliteVfs(sqlite3_vfs* below) : below_(below) {
  static std::atomic<std::uint64_t> made{0};
  name_ = "evodb-polite-" + std::to_string(++made);
  using Calls = PoliteVfsCalls;
  vfs_.iVersion = std::min(below->iVersion, 2);
  vfs_.szOsFile = Calls::head_bytes + below->szOsFile;
  vfs_.mxPathname = below->mxPathname;
  vfs_.zName = name_.c_str();
  vfs_.pAppData = this;
  vfs_.xOpen = Calls::open;
  vfs_.xDelete = Calls::remove;
  vfs_.xAccess = Calls::access;
  vfs_.xFullPathname = Calls::full_path;
  vfs_.xRandomness = Calls::randomness;
  vfs_.xSleep = Calls::sleep;
  vfs_.xCurrentTime = Calls::now_days;
  vfs_.xGetLastError = Calls::last_error;
  if (vfs_.iVersion >= 2) vfs_.xCurrentTimeInt64 = Calls::now_ms;
  EVODB_ASSERT(sqlite3_vfs_register(&vfs_, 0) == SQLITE_OK, "SQLite takes a VFS");
}

PoliteVfs::~PoliteVfs() {
  EVODB_ASSERT(file_ == nullptr, "the connection is closed before its VFS goes");
  sqlite3_vfs_unregister(&vfs_);
}

bool PoliteVfs::shut_readers_out() {
  if (!wal_ || shut_) return false;
  shut_ = file_->pMethods->xShmLock(file_, first_read_slot, read_slots,
                                    SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE) == SQLITE_OK;
  return shut_;
}

void PoliteVfs::let_readers_in() {
  if (!shut_) return;
  shut_ = false;
  file_->pMethods->xShmLock(file_, first_read_slot, read_slots,
                            SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
}

void PoliteVfs::begin_look() {
  EVODB_ASSERT(!looking_ && !granted_ && !shut_, "one look at a time");
  looking_ = true;
  looked_ = sealed_ = false;
  pages_.clear();
}

bool PoliteVfs::end_look() {
  EVODB_ASSERT(looking_ && !granted_, "a look ends after its transaction");
  looking_ = false;
  if (looked_) forget_pages_ = true;
  return holds();
}

bool PoliteVfs::seal() {
  EVODB_ASSERT(looking_, "only a look is sealed");
  if (!holds()) return false;
  sealed_ = looked_;
  return true;
}

bool PoliteVfs::pages_hold() {
  if (!nobody_writes()) return false;
  for (const auto& [range, hash] : pages_) {
    if (!read_same(range.first, range.second, hash)) return false;
  }
  // Had somebody committed or died meanwhile, the change counter would be another one now, or a
  // journal would lie there.
  return same_version() && nobody_writes();
}

bool PoliteVfs::read_same(sqlite3_int64 at, int bytes, std::uint64_t hash) {
  std::vector<char> again(static_cast<std::size_t>(bytes));
  const int code = file_->pMethods->xRead(file_, again.data(), bytes, at);
  return (code == SQLITE_OK || code == SQLITE_IOERR_SHORT_READ) &&
         base::xxh64({again.data(), again.size()}) == hash;
}

// The first page, with the counter, is the one that was read in this look.
bool PoliteVfs::same_version() {
  const auto first = pages_.lower_bound({0, counter_at + counter_bytes});
  if (first == pages_.end() || first->first.first != 0) return pages_.empty();
  return read_same(0, first->first.second, first->second);
}

bool PoliteVfs::is_wal_file() const {
  char versions[2] = {};
  if (file_->pMethods->xRead(file_, versions, sizeof versions, versions_at) == SQLITE_OK &&
      (versions[0] == wal_version || versions[1] == wal_version)) {
    return true;
  }
  int there = 0;
  below_->xAccess(below_, (path_ + "-wal").c_str(), SQLITE_ACCESS_EXISTS, &there);
  return there != 0;
}

// Nobody has begun to change the file itself, and nobody died while doing so.
bool PoliteVfs::nobody_writes() {
  int reserved = 0;
  if (file_->pMethods->xCheckReservedLock(file_, &reserved) != SQLITE_OK) return false;
  if (reserved == 0) return !journal_is_hot();
  // Somebody is going to write. Until they hold PENDING nothing of it is in the file. Of this
  // process's own connections the system does not tell: then it is not known.
  const int fd = descriptor();
  bool other_process = false, pending = true;
  return fd >= 0 && others_hold(fd, F_WRLCK, reserved_byte, 1, &other_process) && other_process &&
         others_hold(fd, F_RDLCK, pending_byte, 1, &pending) && !pending;
}

bool PoliteVfs::hot_journal() {
  int reserved = 0;
  if (wal_ || file_ == nullptr) return false;
  if (file_->pMethods->xCheckReservedLock(file_, &reserved) != SQLITE_OK) return false;
  return reserved == 0 && journal_is_hot();
}

bool PoliteVfs::journal_is_hot() const {
  // SQLite looks for more zeros behind a name.
  std::string name = path_ + "-journal";
  name.append(4, '\0');
  int there = 0;
  if (below_->xAccess(below_, name.c_str(), SQLITE_ACCESS_EXISTS, &there) != SQLITE_OK) return true;
  if (there == 0) return false;
  // PERSIST leaves one whose header is zeroed, TRUNCATE an empty one.
  std::vector<std::max_align_t> memory(
      static_cast<std::size_t>(below_->szOsFile) / sizeof(std::max_align_t) + 1);
  auto* const journal = reinterpret_cast<sqlite3_file*>(memory.data());
  int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_MAIN_JOURNAL;
  if (below_->xOpen(below_, name.c_str(), journal, flags, &flags) != SQLITE_OK) {
    if (journal->pMethods != nullptr) journal->pMethods->xClose(journal);
    return true;  // gone meanwhile, or not ours to read: no ground to build on
  }
  char first = 0;
  const int code = journal->pMethods->xRead(journal, &first, 1, 0);
  journal->pMethods->xClose(journal);
  return code == SQLITE_OK ? first != 0 : code != SQLITE_IOERR_SHORT_READ;
}

PoliteVfs::Users PoliteVfs::users() {
  if (file_ == nullptr || wal_) return Users::kUnknown;
  int reserved = 0;
  if (file_->pMethods->xCheckReservedLock(file_, &reserved) != SQLITE_OK) return Users::kUnknown;
  return reserved != 0 ? Users::kSome : others();
}

PoliteVfs::Users PoliteVfs::others() {
  if (file_ == nullptr || wal_) return Users::kUnknown;
  const int fd = descriptor();
  bool held = false;
  if (fd < 0 || !others_hold(fd, F_WRLCK, pending_byte, lock_bytes, &held)) return Users::kUnknown;
  return held ? Users::kSome : Users::kNone;
}

std::int64_t PoliteVfs::change_counter() {
  char header[counter_bytes] = {};
  if (file_ == nullptr) return 0;
  file_->pMethods->xRead(file_, header, sizeof header, counter_at);
  return static_cast<std::int64_t>(base::xxh64({header, sizeof header}));
}

// Only to ask with: a descriptor of our own could never be closed again, since that would drop all
// locks that this process holds on the file. So it is one of SQLite's. Whoever's it is, the answer
// is about the file; that it is still this file is looked at each time.
int PoliteVfs::descriptor() {
  const auto is_it = [&](int fd) {
    struct stat found{};
    return fstat(fd, &found) == 0 && found.st_dev == device_ && found.st_ino == inode_;
  };
  if (inode_ == 0) return -1;  // not a file of this machine
  if (descriptor_ >= 0 && is_it(descriptor_)) return descriptor_;
  descriptor_ = -1;
#ifdef __linux__
  DIR* const all = opendir("/proc/self/fd");
#else
  DIR* const all = opendir("/dev/fd");
#endif
  if (all == nullptr) return -1;
  while (const dirent* entry = readdir(all)) {
    const std::string_view name(entry->d_name);
    int fd = -1;
    const auto read = std::from_chars(name.data(), name.data() + name.size(), fd);
    if (read.ec != std::errc() || fd < 0 || !is_it(fd)) continue;
    descriptor_ = fd;
    break;
  }
  closedir(all);
  return descriptor_;
}

}  // namespace evodb::capture
