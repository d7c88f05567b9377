// Disk: the seam through which files are touched. The journal and its checkpoints use nothing else.
//
//   std::unique_ptr<File> file = EVODB_TRY(disk.open("journal/00.seg", OpenMode::kCreate));
//   EVODB_TRY(file->pwrite(0, bytes));
//   EVODB_TRY(file->sync());                     // only now is it there after a power loss
//   EVODB_TRY(disk.sync_directory("journal"));   // and only now is its name
//
// Calls block and return an error, never throw. kNoSpace means the disk is full, kOverLimit that no
// more files may be open, kNotFound and kExists are about names. kRetry never occurs: **a failed
// sync must not be retried** (the kernel may have dropped the dirty pages), so sync reports
// kCorrupt and the caller abandons the file.
//
// Threads: one File is used by one thread at a time; a Disk by any.
// The simulator's Disk forgets what was not synced: see sim/seams/fake_disk.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "evodb/result.h"

namespace evodb::base {

enum class OpenMode : std::uint8_t {
  kRead,       // must exist
  kReadWrite,  // must exist
  kCreate,     // must not exist; read and write
};

class File {
 public:
  virtual ~File() = default;  // closes; unsynced bytes may be lost
  // All of `bytes` at `offset`, or an error (short writes are finished inside or reported).
  virtual Result<void> pwrite(std::uint64_t offset, std::string_view bytes) = 0;
  // Up to `n` bytes at `offset` into `into`; returns how many (fewer only at the end of the file).
  virtual Result<std::size_t> pread(std::uint64_t offset, char* into, std::size_t n) = 0;
  virtual Result<void> sync() = 0;  // fdatasync
  virtual Result<std::uint64_t> size() = 0;
  virtual Result<void> truncate(std::uint64_t size) = 0;
};

class Disk {
 public:
  virtual ~Disk() = default;
  virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) = 0;
  virtual Result<bool> exists(const std::string& path) = 0;
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
  virtual Result<void> unlink(const std::string& path) = 0;  // absent is an error (kNotFound)
  virtual Result<void> make_directories(const std::string& path) = 0;
  virtual Result<void> sync_directory(const std::string& path) = 0;
  // Names (not paths) of the files in a directory, sorted.
  virtual Result<std::vector<std::string>> list(const std::string& path) = 0;
};

// Writes `bytes` so that after a crash `path` holds either its old content or all of the new one:
// temporary file, sync, rename, directory sync.
Result<void> write_file_atomically(Disk& disk, const std::string& path, std::string_view bytes);
Result<std::string> read_whole_file(Disk& disk, const std::string& path);

}  // namespace evodb::base
