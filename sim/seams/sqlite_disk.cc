#include "sim/seams/sqlite_disk.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <vector>

#include "base/assert.h"

namespace evodb::sim {
namespace {

constexpr int sector_bytes = 4096;
constexpr std::int64_t unix_epoch_in_julian_ms = 210'866'760'000'000;

std::string directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace

struct SqliteDisk::Shared {
  std::map<const OpenFile*, int> locks;  // level of each connection that holds one
  std::vector<std::unique_ptr<char[]>> regions;
  struct Slot {
    int readers = 0;
    bool writer = false;
  };
  std::array<Slot, SQLITE_SHM_NLOCK> slots;
  int mapped = 0;  // connections that use the shared memory

  int others_highest(const OpenFile* self) const {
    int highest = SQLITE_LOCK_NONE;
    for (const auto& [file, level] : locks) {
      if (file != self) highest = std::max(highest, level);
    }
    return highest;
  }
};

struct SqliteDisk::OpenFile {
  SqliteDisk* owner = nullptr;
  std::string path;
  std::unique_ptr<base::File> file;  // null: a temporary file, which is `memory`
  std::string memory;
  std::shared_ptr<Shared> shared;
  int lock = SQLITE_LOCK_NONE;
  bool mapped = false;
  unsigned readers = 0, writers = 0;  // slots of the shared memory that it holds
  bool sync_directory_too = false;
};

// The functions that SQLite calls. sqlite3_file is what it allocates; ours follows it.
struct SqliteDiskCalls {
  using OpenFile = SqliteDisk::OpenFile;
  struct Handle {
    sqlite3_file base;
    OpenFile* file;
  };
  static OpenFile& of(sqlite3_file* handle) { return *reinterpret_cast<Handle*>(handle)->file; }
  static SqliteDisk& of(sqlite3_vfs* vfs) { return *static_cast<SqliteDisk*>(vfs->pAppData); }

  // --- one file -------------------------------------------------------------------------------

  static int close(sqlite3_file* handle) {
    OpenFile& f = of(handle);
    shm_unmap(handle, 0);
    if (f.shared) f.shared->locks.erase(&f);
    delete &f;
    return SQLITE_OK;
  }

  static int read(sqlite3_file* handle, void* into, int n, sqlite3_int64 offset) {
    OpenFile& f = of(handle);
    auto* const bytes = static_cast<char*>(into);
    const auto wanted = static_cast<std::size_t>(n);
    std::size_t got = 0;
    if (!f.file) {
      const auto from = std::min<std::size_t>(static_cast<std::size_t>(offset), f.memory.size());
      got = f.memory.copy(bytes, wanted, from);
    } else {
      const auto done = f.file->pread(static_cast<std::uint64_t>(offset), bytes, wanted);
      if (!done) return SQLITE_IOERR_READ;
      got = *done;
    }
    if (got == wanted) return SQLITE_OK;
    std::memset(bytes + got, 0, wanted - got);  // SQLite relies on it
    return SQLITE_IOERR_SHORT_READ;
  }

  static int write(sqlite3_file* handle, const void* from, int n, sqlite3_int64 offset) {
    OpenFile& f = of(handle);
    const std::string_view bytes(static_cast<const char*>(from), static_cast<std::size_t>(n));
    const auto at = static_cast<std::size_t>(offset);
    if (!f.file) {
      if (f.memory.size() < at + bytes.size()) f.memory.resize(at + bytes.size());
      f.memory.replace(at, bytes.size(), bytes);
      return SQLITE_OK;
    }
    const auto done = f.file->pwrite(at, bytes);
    if (done) return SQLITE_OK;
    // Of all calls only this one tells a full disk from others, in SQLite's own VFS too.
    return done.error().kind == ErrorKind::kNoSpace ? SQLITE_FULL : SQLITE_IOERR_WRITE;
  }

  static int truncate(sqlite3_file* handle, sqlite3_int64 size) {
    OpenFile& f = of(handle);
    if (!f.file) {
      f.memory.resize(static_cast<std::size_t>(size));
      return SQLITE_OK;
    }
    const auto done = f.file->truncate(static_cast<std::uint64_t>(size));
    return done ? SQLITE_OK : SQLITE_IOERR_TRUNCATE;
  }

  static int sync(sqlite3_file* handle, int) {
    OpenFile& f = of(handle);
    if (!f.file) return SQLITE_OK;
    if (const auto done = f.file->sync(); !done) return SQLITE_IOERR_FSYNC;
    if (!f.sync_directory_too) return SQLITE_OK;
    const auto done = f.owner->disk_.sync_directory(directory_of(f.path));
    if (!done) return SQLITE_IOERR_DIR_FSYNC;
    f.sync_directory_too = false;
    return SQLITE_OK;
  }

  static int file_size(sqlite3_file* handle, sqlite3_int64* size) {
    OpenFile& f = of(handle);
    if (!f.file) {
      *size = static_cast<sqlite3_int64>(f.memory.size());
      return SQLITE_OK;
    }
    const auto found = f.file->size();
    if (!found) return SQLITE_IOERR_FSTAT;
    *size = static_cast<sqlite3_int64>(*found);
    return SQLITE_OK;
  }

  // --- locks: sqlite.org/lockingv3.html ---------------------------------------------------------

  static int lock(sqlite3_file* handle, int level) {
    OpenFile& f = of(handle);
    if (!f.shared || f.lock >= level) return SQLITE_OK;
    const int others = f.shared->others_highest(&f);
    const auto take = [&](int now) {
      f.lock = f.shared->locks[&f] = now;
      return SQLITE_OK;
    };
    if (level == SQLITE_LOCK_SHARED) {
      return others >= SQLITE_LOCK_PENDING ? SQLITE_BUSY : take(level);
    }
    if (others >= SQLITE_LOCK_RESERVED) return SQLITE_BUSY;
    if (level == SQLITE_LOCK_RESERVED) return take(level);
    take(SQLITE_LOCK_PENDING);  // no new readers; those that read on are waited for
    return others >= SQLITE_LOCK_SHARED ? SQLITE_BUSY : take(level);
  }

  static int unlock(sqlite3_file* handle, int level) {
    OpenFile& f = of(handle);
    if (!f.shared || f.lock <= level) return SQLITE_OK;
    f.lock = level;
    if (level == SQLITE_LOCK_NONE) {
      f.shared->locks.erase(&f);
    } else {
      f.shared->locks[&f] = level;
    }
    return SQLITE_OK;
  }

  static int check_reserved(sqlite3_file* handle, int* reserved) {
    OpenFile& f = of(handle);
    *reserved = f.shared && (f.lock >= SQLITE_LOCK_RESERVED ||
                             f.shared->others_highest(&f) >= SQLITE_LOCK_RESERVED);
    return SQLITE_OK;
  }

  static int control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
  static int sector_size(sqlite3_file*) { return sector_bytes; }
  static int characteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

  // --- WAL's shared memory ----------------------------------------------------------------------

  static int shm_map(sqlite3_file* handle, int region, int bytes, int extend, void volatile** at) {
    OpenFile& f = of(handle);
    if (!f.mapped) {
      f.mapped = true;
      ++f.shared->mapped;
    }
    auto& regions = f.shared->regions;
    const auto index = static_cast<std::size_t>(region);
    *at = nullptr;
    if (index >= regions.size() && extend == 0) return SQLITE_OK;
    while (regions.size() <= index) {
      regions.push_back(std::make_unique<char[]>(static_cast<std::size_t>(bytes)));
    }
    *at = regions[index].get();
    return SQLITE_OK;
  }

  static int shm_lock(sqlite3_file* handle, int offset, int n, int flags) {
    OpenFile& f = of(handle);
    const bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
    const bool unlocks = (flags & SQLITE_SHM_UNLOCK) != 0;
    const auto for_each = [&](auto&& with) {
      for (int i = offset; i < offset + n; ++i) {
        with(f.shared->slots[static_cast<std::size_t>(i)], 1u << static_cast<unsigned>(i));
      }
    };
    if (unlocks) {
      for_each([&](SqliteDisk::Shared::Slot& slot, unsigned bit) { release(f, slot, bit); });
      return SQLITE_OK;
    }
    bool busy = false;
    for_each([&](SqliteDisk::Shared::Slot& slot, unsigned bit) {
      const bool mine = (f.writers & bit) != 0;
      const int other_readers = slot.readers - ((f.readers & bit) != 0 ? 1 : 0);
      busy = busy || (slot.writer && !mine) || (exclusive && other_readers > 0);
    });
    if (busy) return SQLITE_BUSY;
    for_each([&](SqliteDisk::Shared::Slot& slot, unsigned bit) {
      if (exclusive) {
        slot.writer = true;
        f.writers |= bit;
      } else if ((f.readers & bit) == 0) {
        ++slot.readers;
        f.readers |= bit;
      }
    });
    return SQLITE_OK;
  }

  static void release(OpenFile& f, SqliteDisk::Shared::Slot& slot, unsigned bit) {
    if ((f.readers & bit) != 0) --slot.readers;
    if ((f.writers & bit) != 0) slot.writer = false;
    f.readers &= ~bit;
    f.writers &= ~bit;
  }

  static void shm_barrier(sqlite3_file*) {}

  static int shm_unmap(sqlite3_file* handle, int) {
    OpenFile& f = of(handle);
    if (!f.mapped) return SQLITE_OK;
    f.mapped = false;
    for (std::size_t i = 0; i < f.shared->slots.size(); ++i) {
      release(f, f.shared->slots[i], 1u << static_cast<unsigned>(i));
    }
    // As the file of shared memory goes with its last user.
    if (--f.shared->mapped == 0) f.shared->regions.clear();
    return SQLITE_OK;
  }

  // --- names ------------------------------------------------------------------------------------

  static int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* handle, int flags,
                  int* out_flags) {
    SqliteDisk& disk = of(vfs);
    auto file = std::make_unique<OpenFile>();
    file->owner = &disk;
    handle->pMethods = nullptr;  // nothing to close where this fails
    if (name != nullptr) {
      file->path = name;
      auto there = disk.disk_.exists(file->path);
      if (!there) return SQLITE_CANTOPEN;
      if (!*there && (flags & SQLITE_OPEN_CREATE) == 0) return SQLITE_CANTOPEN;
      auto opened = disk.disk_.open(file->path,
                                    *there ? base::OpenMode::kReadWrite : base::OpenMode::kCreate);
      if (!opened) return SQLITE_CANTOPEN;
      file->file = std::move(*opened);
      constexpr int journals =
          SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL;
      // Wherever it may have been created, not only where it was: by an opening that failed, too.
      file->sync_directory_too = (flags & SQLITE_OPEN_CREATE) != 0 && (flags & journals) != 0;
      if ((flags & SQLITE_OPEN_MAIN_DB) != 0) file->shared = disk.shared_of(file->path);
    }
    static const sqlite3_io_methods methods = {2,
                                               close,
                                               read,
                                               write,
                                               truncate,
                                               sync,
                                               file_size,
                                               lock,
                                               unlock,
                                               check_reserved,
                                               control,
                                               sector_size,
                                               characteristics,
                                               shm_map,
                                               shm_lock,
                                               shm_barrier,
                                               shm_unmap,
                                               nullptr,
                                               nullptr};
    auto* const ours = reinterpret_cast<Handle*>(handle);
    ours->file = file.release();
    ours->base.pMethods = &methods;
    if (out_flags != nullptr) *out_flags = flags;
    return SQLITE_OK;
  }

  static int remove(sqlite3_vfs* vfs, const char* name, int sync_directory) {
    base::Disk& disk = of(vfs).disk_;
    const auto there = disk.exists(name);
    if (!there) return SQLITE_IOERR_DELETE;
    if (!*there) return SQLITE_IOERR_DELETE_NOENT;
    if (const auto gone = disk.unlink(name); !gone) {
      return SQLITE_IOERR_DELETE;
    }
    if (sync_directory == 0) return SQLITE_OK;
    const auto synced = disk.sync_directory(directory_of(name));
    return synced ? SQLITE_OK : SQLITE_IOERR_DIR_FSYNC;
  }

  static int access(sqlite3_vfs* vfs, const char* name, int flags, int* result) {
    base::Disk& disk = of(vfs).disk_;
    *result = 0;
    const auto there = disk.exists(name);
    if (!there) return SQLITE_IOERR_ACCESS;
    if (!*there) return SQLITE_OK;
    *result = 1;
    if (flags != SQLITE_ACCESS_EXISTS) return SQLITE_OK;
    // An empty file is none: SQLite's own VFS says so, and its search for hot journals needs it.
    const auto file = disk.open(name, base::OpenMode::kRead);
    if (!file) return SQLITE_IOERR_ACCESS;
    const auto size = (*file)->size();
    if (!size) return SQLITE_IOERR_ACCESS;
    *result = *size > 0 ? 1 : 0;
    return SQLITE_OK;
  }

  static int full_path(sqlite3_vfs*, const char* name, int n, char* into) {
    return sqlite3_snprintf(n, into, "%s", name) != nullptr ? SQLITE_OK : SQLITE_CANTOPEN;
  }

  static int randomness(sqlite3_vfs* vfs, int n, char* into) {
    for (int i = 0; i < n; ++i) into[i] = static_cast<char>(of(vfs).random_.next());
    return n;
  }
  static int sleep(sqlite3_vfs*, int us) { return us; }
  static int now_ms(sqlite3_vfs* vfs, sqlite3_int64* julian_ms) {
    *julian_ms = unix_epoch_in_julian_ms + of(vfs).clock_.wall().value;
    return SQLITE_OK;
  }
  static int now_days(sqlite3_vfs* vfs, double* days) {
    sqlite3_int64 ms = 0;
    now_ms(vfs, &ms);
    *days = static_cast<double>(ms) / 86'400'000.0;
    return SQLITE_OK;
  }
  static int last_error(sqlite3_vfs*, int, char*) { return 0; }
};

SqliteDisk::SqliteDisk(base::Disk& disk, base::Clock& clock, base::Random& random)
    : disk_(disk), clock_(clock), random_(random) {
  static std::atomic<std::uint64_t> made{0};
  name_ = "evodb-sim-" + std::to_string(++made);
  using Calls = SqliteDiskCalls;
  vfs_.iVersion = 2;
  vfs_.szOsFile = sizeof(Calls::Handle);
  vfs_.mxPathname = 512;
  vfs_.zName = name_.c_str();
  vfs_.pAppData = this;
  vfs_.xOpen = Calls::open;
  vfs_.xDelete = Calls::remove;
  vfs_.xAccess = Calls::access;
  vfs_.xFullPathname = Calls::full_path;
  vfs_.xRandomness = Calls::randomness;
  vfs_.xSleep = Calls::sleep;
  vfs_.xCurrentTime = Calls::now_days;
  vfs_.xCurrentTimeInt64 = Calls::now_ms;
  vfs_.xGetLastError = Calls::last_error;
  EVODB_ASSERT(sqlite3_vfs_register(&vfs_, 0) == SQLITE_OK, "SQLite takes a VFS");
  const int seed = static_cast<int>(random.next() | 1);
  sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, seed, nullptr);
}

SqliteDisk::~SqliteDisk() {
  sqlite3_vfs_unregister(&vfs_);
  sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, 0, nullptr);  // chance again, for everybody else
}

std::shared_ptr<SqliteDisk::Shared> SqliteDisk::shared_of(const std::string& path) {
  auto& shared = shared_[path];
  if (!shared) shared = std::make_shared<Shared>();
  return shared;
}

}  // namespace evodb::sim
