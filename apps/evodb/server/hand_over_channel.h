// HandOverChannel: what two processes say to each other while one takes the other's place, over a
// Unix socket that keeps messages apart and carries descriptors. docs/upgrade.md has the sequence.
//
//   old ◀─ kReady        it has read its settings and opened store and catalog
//   old ─▶ kBytes* kDescriptors* kEnd
//   old ◀─ kPrepared     journal read, sockets adopted; nothing touched yet
//   old ─▶ kGo           from here on the old one touches nothing any more
//   old ◀─ kTaken        the point of no return
//
// An end that is gone is as good as a word: to the old one before kTaken it means that nothing was
// touched; to the new one after kEnd it means kGo, for whoever gives up kills it first.
// Threads: one.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "evodb/result.h"

namespace evodb::app {

class HandOverChannel {
 public:
  static constexpr std::uint32_t version = 1;
  static constexpr std::size_t body_bytes_max = 64u << 10;
  static constexpr std::size_t descriptors_max = 253;  // of one message, as the kernel has it

  enum class Kind : std::uint8_t {
    kReady = 1,    // u32 version, u32 parent::hand_over_version, then the binary's own version
    kRefused = 2,  // why not, for people; the sender ends
    kBytes = 3,
    kDescriptors = 4,
    kEnd = 5,  // u64 bytes, u32 listening sockets, u32 connections; before them went the lock
    kPrepared = 6,
    kGo = 7,
    kTaken = 8,
  };
  struct Message {
    Kind kind = Kind::kRefused;
    std::string body;
    std::vector<int> descriptors;  // the receiver's now
  };

  // Both ends, close-on-exec.
  static Result<std::pair<HandOverChannel, HandOverChannel>> create();
  explicit HandOverChannel(int fd) : fd_(fd) {}
  HandOverChannel(HandOverChannel&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  HandOverChannel& operator=(HandOverChannel&& other) noexcept;
  ~HandOverChannel();

  int fd() const { return fd_; }
  // The texts of errors go on behind "the new process".
  // Errors: kRetry (no room within `wait_ms_max`; -1: however long it takes), kInternal (the other
  // end is gone). REQUIRES: at most body_bytes_max, descriptors_max.
  Result<void> send(Kind kind, std::string_view body, std::span<const int> descriptors,
                    std::int64_t wait_ms_max);
  // nullopt: the other end is gone. Errors: kRetry (nothing came in time), kInvalid (no message of
  // this protocol; the limit of open files).
  Result<std::optional<Message>> receive(std::int64_t wait_ms_max);

 private:
  int fd_;
};

// The end of a process that cannot take over: says why to the other end and on stderr. Nothing is
// destroyed, since what it holds is still the other's.
[[noreturn]] void refuse_to_take_over(HandOverChannel& channel, const Error& why);

}  // namespace evodb::app
