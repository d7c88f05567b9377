#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace evodb::base {

void assertion_failed(const char* expression, const char* file, int line, const char* why) {
  std::fprintf(stderr, "evodb: assertion failed: %s (%s) at %s:%d\n", why, expression, file, line);
  std::abort();
}

}  // namespace evodb::base
