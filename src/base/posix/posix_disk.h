// PosixDisk: the real Disk: open, pwrite, pread, fdatasync, rename, unlink, fsync of directories.
//
//   PosixDisk disk;
//   EVODB_TRY(disk.make_directories("evodb-data/journal"));
//
// Interrupted calls are repeated, short writes and reads finished. Errors name call, path and
// errno: a full disk or quota is kNoSpace, too many open files kOverLimit, a failed sync is always
// kCorrupt (never repeat it), an absent name is kNotFound, one that is there kExists, a forbidden
// or impossible one kInvalid, EIO elsewhere is kCorrupt, the rest kInternal.
//
// Threads: any. Holds no state.
#pragma once

#include "base/disk.h"

namespace evodb::base {

class PosixDisk final : public Disk {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  Result<bool> exists(const std::string& path) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> unlink(const std::string& path) override;
  // Also syncs the directories above each one that it makes.
  Result<void> make_directories(const std::string& path) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& path) override;
};

}  // namespace evodb::base
