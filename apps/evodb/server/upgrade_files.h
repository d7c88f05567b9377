// How `evodb upgrade` and the parent that it asks talk: two small files in the data directory, and
// SIGUSR2. Who may write the one and send the other runs the parent anyway.
//
//   upgrade.json         {"id", "binary", "asked_unix_ms"}: read and removed when the signal comes:
//                        without it, the binary is the one that the parent was started from
//   upgrade-result.json  the answer to the newest one
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "evodb/result.h"

namespace evodb::app {

struct UpgradeRequest {
  std::string id;      // of the one who asks, to know the answer by
  std::string binary;  // "": the same path
  // Of one that was read: why it must not be carried out.
  std::optional<std::string> refused;
};

struct UpgradeResult {
  std::string id;
  bool upgraded = false;
  std::string text;  // what happened, for people
  pid_t pid = 0;     // of the parent from now on
  std::uint64_t connections = 0;
  std::int64_t pause_ms = 0;
};

// Stamps it with the time of day.
Result<void> write_upgrade_request(const std::string& data, const UpgradeRequest& request);
// Empty if there is none, or only one from over a minute ago, whose asker is gone (said on stderr).
// Refused if it cannot be read or understood, or if anybody but root and this process's user may
// have written it. Removes it.
UpgradeRequest take_upgrade_request(const std::string& data);
Result<void> write_upgrade_result(const std::string& data, const UpgradeResult& result);
// nullopt: there is none (yet).
std::optional<UpgradeResult> read_upgrade_result(const std::string& data);

}  // namespace evodb::app
