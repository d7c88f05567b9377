// Successor: the process that is to take this one's place, as this one sees it.
//
//   auto next = EVODB_TRY(Successor::start(binary, {"serve", "--data", "d"}, 10'000));
//   EVODB_TRY(next->channel().send(HandOverChannel::Kind::kBytes, bytes, sockets, 10'000));
//
// Destroyed, it is killed and waited for, unless release() was called. Threads: one.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "evodb/result.h"
#include "server/hand_over_channel.h"

namespace evodb::app {

class Successor {
 public:
  static constexpr int channel_descriptor = 3;  // in the new process

  // Starts `binary` with `arguments` and "--take-over 3" behind them, and waits until it is ready.
  // It inherits environment, working directory and standard streams, no other descriptor. Errors:
  // kInvalid (it cannot be started, ended, or refused: says what it said), kRetry (not in time).
  static Result<std::unique_ptr<Successor>> start(const std::string& binary,
                                                  const std::vector<std::string>& arguments,
                                                  std::int64_t ready_ms_max);
  ~Successor();
  Successor(const Successor&) = delete;
  Successor& operator=(const Successor&) = delete;

  pid_t pid() const { return pid_; }
  const std::string& version() const { return version_; }
  HandOverChannel& channel() { return channel_; }
  // After kGo, when kTaken was not heard in time: has it been said by now? The process is stopped
  // for that look, so that it cannot say it behind our back. If it has, it goes on; if not, it
  // stays stopped, for end(). One that has ended since has not.
  bool has_taken_over();
  // kill -9, and it is gone when this returns. How it ended, for people: by itself, if it had.
  std::string end();
  // After end(): had it said kTaken, unheard by us?
  bool took_over() const { return took_over_; }
  void release() { released_ = true; }

 private:
  Successor(pid_t pid, HandOverChannel channel) : pid_(pid), channel_(std::move(channel)) {}
  Result<void> wait_ready(std::int64_t ready_ms_max);

  pid_t pid_;
  HandOverChannel channel_;
  std::string version_;
  std::string ended_;
  bool took_over_ = false;
  bool released_ = false;
};

}  // namespace evodb::app
