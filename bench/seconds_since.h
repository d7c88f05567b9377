// How long ago that was, in seconds, by the clock that does not jump.
#pragma once

#include <chrono>

namespace evodb::bench {

inline double seconds_since(std::chrono::steady_clock::time_point begun) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

}  // namespace evodb::bench
