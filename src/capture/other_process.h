// OtherProcess: an application's connection in a process of its own, for tests: the locks of one's
// own process are not seen from within it.
//
//   OtherProcess app(path);                     // made while this process has no threads
//   EXPECT_EQ(app.run("BEGIN; SELECT 1 FROM t"), SQLITE_OK);
//
// No connection to the same file may be open when it is made: SQLite's notes of it would be
// inherited. It runs one line of SQL after the other and answers each with SQLite's code.
// busy_timeout is 0.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include <gtest/gtest.h>
#include <sqlite3.h>

namespace evodb::capture {

class OtherProcess {
 public:
  explicit OtherProcess(const std::string& path) {
    int down[2], up[2];
    EXPECT_EQ(pipe(down), 0);
    EXPECT_EQ(pipe(up), 0);
    pid_ = fork();
    if (pid_ == 0) {
      close(down[1]);
      close(up[0]);
      serve(path, down[0], up[1]);
    }
    close(down[0]);
    close(up[1]);
    to_ = down[1];
    from_ = up[0];
  }
  ~OtherProcess() { end(); }

  int run(const std::string& sql) {
    const std::string line = sql + "\n";
    EXPECT_EQ(write(to_, line.data(), line.size()), static_cast<ssize_t>(line.size()));
    int code = -1;
    EXPECT_EQ(read(from_, &code, sizeof code), static_cast<ssize_t>(sizeof code));
    return code;
  }
  void kill_it() {
    kill(pid_, SIGKILL);
    end();
  }

 private:
  void end() {
    if (pid_ == 0) return;
    close(to_);
    close(from_);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  [[noreturn]] static void serve(const std::string& path, int from, int to) {
    sqlite3* db = nullptr;
    sqlite3_open(path.c_str(), &db);
    std::string line;
    for (char c = 0; read(from, &c, 1) == 1;) {
      if (c != '\n') {
        line += c;
        continue;
      }
      const int code = sqlite3_exec(db, line.c_str(), nullptr, nullptr, nullptr);
      line.clear();
      if (write(to, &code, sizeof code) != static_cast<ssize_t>(sizeof code)) break;
    }
    sqlite3_close(db);
    _exit(0);
  }

  pid_t pid_ = 0;
  int to_ = -1, from_ = -1;
};

}  // namespace evodb::capture
