// FileWatch: tells that somebody wrote to an SQLite database's files, where the system can say so.
//
//   auto watch = EVODB_TRY(FileWatch::create("app.db"));   // kInvalid: look by a timer instead
//   loop.watch(watch->fd(), [&] {
//     if (watch->drain()) follower.file_event();
//   });
//
// Linux: inotify on the database's directory, because -wal and -journal come and go. Writes through
// shared memory are not seen (a WAL's index), those to the files are. Symbolic links are followed,
// as SQLite does.
//
// An event says "look", no more: it may come before the commit can be seen.
//
// Threads: one at a time.
#pragma once

#include <memory>
#include <string>

#include "evodb/result.h"

namespace evodb::edge {

class FileWatch {
 public:
  // Errors: kInvalid (not on this system), kOverLimit (no watch left: fs.inotify.max_user_*).
  static Result<std::unique_ptr<FileWatch>> create(const std::string& db);
  ~FileWatch();
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  int fd() const { return fd_; }
  // Takes the events that are waiting. True if one of them was about the database.
  bool drain();

 private:
  FileWatch(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}

  int fd_;
  std::string name_;  // the database's, in its directory
};

}  // namespace evodb::edge
