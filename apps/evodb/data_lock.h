// DataLock: one parent a data directory. An flock on <data>/lock, held for the process's life and
// released by the kernel however it ends.
#pragma once

#include <memory>
#include <string>

#include "evodb/result.h"

namespace evodb::app {

class DataLock {
 public:
  // Creates the directory if needed. Errors: kRetry (another process holds it: names its pid),
  // kInvalid (cannot be created or written: says why).
  static Result<std::unique_ptr<DataLock>> take(const std::string& directory);
  ~DataLock();
  DataLock(const DataLock&) = delete;
  DataLock& operator=(const DataLock&) = delete;

 private:
  explicit DataLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace evodb::app
