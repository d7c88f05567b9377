#include "commands/command.h"

#include <unistd.h>

#include <cstdio>
#include <string_view>

namespace evodb::app {

ExitCode exit_code_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kRetry:
    case ErrorKind::kOutcomeUnknown:
    case ErrorKind::kStale: return kExitUnavailable;
    case ErrorKind::kFenced: return kExitFenced;
    case ErrorKind::kInvalid:
    case ErrorKind::kNotFound:
    case ErrorKind::kExists: return kExitUsage;
    case ErrorKind::kCorrupt: return kExitCorrupt;
    case ErrorKind::kOverLimit:
    case ErrorKind::kNoSpace: return kExitLimit;
    case ErrorKind::kInternal: return kExitFailed;
  }
  return kExitFailed;
}

ExitCode report(const Error& error) {
  std::fprintf(stderr, "evodb: %s\n", error.text.c_str());
  return exit_code_of(error.kind);
}

std::map<std::string, std::string> environment() {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const auto equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    if (text.starts_with("EVODB_") || text.starts_with("AWS_")) {
      variables.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
  }
  return variables;
}

}  // namespace evodb::app
