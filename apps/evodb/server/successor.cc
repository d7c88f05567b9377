#include "server/successor.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/bytes.h"
#include "parent/hand_over_format.h"
#include "server/child_process.h"

extern char** environ;

namespace evodb::app {

Result<std::unique_ptr<Successor>> Successor::start(const std::string& binary,
                                                    const std::vector<std::string>& arguments,
                                                    std::int64_t ready_ms_max) {
  auto [ours, theirs] = EVODB_TRY(HandOverChannel::create());
  std::vector<std::string> words = {binary};
  words.insert(words.end(), arguments.begin(), arguments.end());
  words.insert(words.end(), {"--take-over", std::to_string(channel_descriptor)});

  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, theirs.fd(), channel_descriptor);
  posix_spawn_file_actions_addclosefrom_np(&files, channel_descriptor + 1);
  pid_t pid = -1;
  const int error =
      spawn_unblocked(posix_spawn, &pid, binary.c_str(), files, exec_words(words).data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) {
    return fail(ErrorKind::kInvalid, "cannot start " + binary + ": " + std::strerror(error));
  }
  std::unique_ptr<Successor> next(new Successor(pid, std::move(ours)));
  {
    const HandOverChannel closed = std::move(theirs);
  }  // so that its end is noticed
  EVODB_TRY(next->wait_ready(ready_ms_max));
  return next;
}

Result<void> Successor::wait_ready(std::int64_t ready_ms_max) {
  auto said = channel_.receive(ready_ms_max);
  if (!said) {
    const std::string how = said.error().kind == ErrorKind::kRetry
                                ? "was not ready within " + std::to_string(ready_ms_max) + " ms"
                                : said.error().text;
    (void)end();
    return fail(said.error().kind, "the new process " + how);
  }
  if (!*said) {
    return fail(ErrorKind::kInvalid, "the new process " + end() + " before it was ready");
  }
  const HandOverChannel::Message& message = **said;
  if (message.kind == HandOverChannel::Kind::kRefused) {
    (void)end();
    return fail(ErrorKind::kInvalid, "the new process refused: " + message.body);
  }
  base::ByteReader in(message.body);
  std::uint32_t channel_version = 0, format = 0;
  if (message.kind != HandOverChannel::Kind::kReady || !in.u32(&channel_version) ||
      !in.u32(&format)) {
    (void)end();
    return fail(ErrorKind::kInvalid, "the new process speaks no hand-over");
  }
  version_ = message.body.substr(in.consumed());
  if (channel_version != HandOverChannel::version || format != parent::hand_over_version) {
    (void)end();
    return fail(ErrorKind::kInvalid,
                "the new process, version " + version_ + ", takes over in format " +
                    std::to_string(channel_version) + "." + std::to_string(format) +
                    ", this one gives " + std::to_string(HandOverChannel::version) + "." +
                    std::to_string(parent::hand_over_version) + ": stop and start instead");
  }
  return {};
}

bool Successor::has_taken_over() {
  kill(pid_, SIGSTOP);
  siginfo_t state{};
  while (waitid(P_PID, static_cast<id_t>(pid_), &state, WSTOPPED | WEXITED | WNOWAIT) < 0 &&
         errno == EINTR) {
  }
  for (;;) {
    const auto said = channel_.receive(0);
    if (said && !*said) break;  // it has closed its end
    if (!said && said.error().kind != ErrorKind::kInvalid) break;
    if (said) took_over_ = took_over_ || (*said)->kind == HandOverChannel::Kind::kTaken;
  }
  if (!took_over_ || state.si_code != CLD_STOPPED) return false;
  kill(pid_, SIGCONT);
  return true;
}

std::string Successor::end() {
  if (!ended_.empty()) return ended_;
  int status = 0;
  // One that ends by itself closes the channel a moment before it can be waited for.
  bool gone = false;
  auto said = channel_.receive(0);
  if (said && *said) took_over_ = took_over_ || (*said)->kind == HandOverChannel::Kind::kTaken;
  if (said && !*said) {
    for (int i = 0; i < 100 && !gone; ++i) {
      gone = waitpid(pid_, &status, WNOHANG) == pid_;
      if (!gone) usleep(1'000);
    }
  }
  if (gone) {
    ended_ = WIFEXITED(status) ? "ended with exit code " + std::to_string(WEXITSTATUS(status))
                               : "was ended by signal " + std::to_string(WTERMSIG(status));
  } else {
    kill(pid_, SIGKILL);
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    ended_ = "was killed";
  }
  for (said = channel_.receive(0); said && *said; said = channel_.receive(0)) {
    took_over_ = took_over_ || (*said)->kind == HandOverChannel::Kind::kTaken;
  }
  return ended_;
}

Successor::~Successor() {
  if (!released_) (void)end();
}

}  // namespace evodb::app
