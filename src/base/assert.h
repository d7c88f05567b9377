// EVODB_ASSERT: programmer's errors, checked in every build. The world's errors are Results.
#pragma once

namespace evodb::base {
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line,
                                   const char* why);
}  // namespace evodb::base

#define EVODB_ASSERT(condition, why)                                          \
  do {                                                                        \
    if (!(condition)) [[unlikely]]                                            \
      ::evodb::base::assertion_failed(#condition, __FILE__, __LINE__, (why)); \
  } while (false)
