#include "sim/cli/workers.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>

#include "base/assert.h"

namespace evodb::sim {
namespace {

// One process: it takes every `processes`-th history from `first` on.
struct Worker {
  pid_t pid = -1;
  int from = -1;         // reports, a line each
  std::size_t next = 0;  // history whose report comes next
  std::string line;      // what of it has come
};

void write_line(int fd, std::string line) {
  line += '\n';
  for (std::size_t sent = 0; sent < line.size();) {
    const ssize_t n = ::write(fd, line.data() + sent, line.size() - sent);
    if (n <= 0) ::_exit(3);
    sent += static_cast<std::size_t>(n);
  }
}

void start(Worker& worker, const std::vector<HistoryOptions>& histories, std::size_t stride) {
  int ends[2];
  EVODB_ASSERT(::pipe(ends) == 0, "a pipe can be had");
  std::fflush(nullptr);
  worker.pid = ::fork();
  EVODB_ASSERT(worker.pid >= 0, "a process can be had");
  if (worker.pid == 0) {
    ::close(ends[0]);
    for (std::size_t i = worker.next; i < histories.size(); i += stride) {
      ::alarm(history_seconds_max);
      write_line(ends[1], encode_report(run_history(histories[i])));
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  worker.from = ends[0];
  worker.line.clear();
}

}  // namespace

void run_side_by_side(
    const std::vector<HistoryOptions>& histories, unsigned processes,
    const std::function<bool(const HistoryOptions&, const HistoryReport&)>& on_report) {
  const std::size_t stride = std::max(1u, processes);
  std::vector<Worker> workers(stride);
  for (std::size_t i = 0; i < stride; ++i) {
    workers[i].next = i;
    if (i < histories.size()) start(workers[i], histories, stride);
  }
  bool go_on = true;
  const auto report = [&](Worker& worker, const HistoryReport& r) {
    go_on = on_report(histories[worker.next], r) && go_on;
    worker.next += stride;
  };
  while (go_on) {
    std::vector<pollfd> polled;
    std::vector<Worker*> behind;
    for (Worker& worker : workers) {
      if (worker.from < 0) continue;
      polled.push_back({worker.from, POLLIN, 0});
      behind.push_back(&worker);
    }
    if (polled.empty()) return;
    if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) return;
    for (std::size_t i = 0; i < polled.size() && go_on; ++i) {
      if (polled[i].revents == 0) continue;
      Worker& worker = *behind[i];
      char buffer[65536];
      const ssize_t n = ::read(worker.from, buffer, sizeof buffer);
      if (n > 0) {
        worker.line.append(buffer, static_cast<std::size_t>(n));
        for (auto end = worker.line.find('\n'); end != std::string::npos && go_on;
             end = worker.line.find('\n')) {
          const std::string line = worker.line.substr(0, end);
          worker.line.erase(0, end + 1);
          report(worker, decode_report(line));
        }
        continue;
      }
      ::close(worker.from);
      worker.from = -1;
      int status = 0;
      ::waitpid(worker.pid, &status, 0);
      worker.pid = -1;
      if (status == 0) continue;
      HistoryReport death;
      death.seed = histories[worker.next].seed;
      death.findings.push_back(finding_of_death(status));
      report(worker, death);
      if (go_on && worker.next < histories.size()) start(worker, histories, stride);
    }
  }
  for (Worker& worker : workers) {
    if (worker.pid < 0) continue;
    ::kill(worker.pid, SIGKILL);
    ::close(worker.from);
    ::waitpid(worker.pid, nullptr, 0);
  }
}

}  // namespace evodb::sim
