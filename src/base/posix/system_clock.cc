#include "base/posix/system_clock.h"

#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <bit>

#include "base/assert.h"

namespace evodb::base {
namespace {

std::int64_t read_ms(clockid_t which) {
  timespec t;
  clock_gettime(which, &t);
  return static_cast<std::int64_t>(t.tv_sec) * 1000 + t.tv_nsec / 1'000'000;
}

}  // namespace

UnixMillis SystemClock::wall() { return UnixMillis(read_ms(CLOCK_REALTIME)); }

MonotonicMillis SystemClock::monotonic() { return MonotonicMillis(read_ms(CLOCK_MONOTONIC)); }

SystemRandom::SystemRandom() {
  // getentropy is Linux's and macOS's; up to 256 bytes it gives all or fails.
  EVODB_ASSERT(getentropy(state_, sizeof state_) == 0, "the kernel gives 32 random bytes");
  state_[0] |= 1;  // a state of zeros only would stay so
}

std::uint64_t SystemRandom::next() {
  const std::lock_guard lock(mutex_);
  const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const std::uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

}  // namespace evodb::base
