// DataLock: one parent a data directory. An flock on <data>/lock, held for the process's life and
// released by the kernel however it ends.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "evodb/result.h"

namespace evodb::app {

class DataLock {
 public:
  // Creates the directory if needed. Errors: kRetry (another process holds it: names its pid),
  // kInvalid (cannot be created or written: says why).
  static Result<std::unique_ptr<DataLock>> take(const std::string& directory);
  // The lock as another process holds it: the descriptor is shared, so it is held without a gap
  // until both have ended. Takes `fd`. Errors: kInvalid (it is not this directory's).
  static Result<std::unique_ptr<DataLock>> adopt(int fd, const std::string& directory);
  // Who holds it. Errors: kRetry (nobody), kInvalid (no data directory).
  static Result<pid_t> holder(const std::string& directory);
  ~DataLock();
  DataLock(const DataLock&) = delete;
  DataLock& operator=(const DataLock&) = delete;

  int fd() const { return fd_; }
  // This process is its holder from now on, for those who ask.
  void write_pid();

 private:
  explicit DataLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace evodb::app
