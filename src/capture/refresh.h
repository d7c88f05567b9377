// refresh() on a connection that is open already; see install.h. Internal to capture.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "capture/sqlite_db.h"
#include "evodb/result.h"

namespace evodb::capture {

struct RefreshReport {
  bool changed = false;  // something was written; resends may be queued
  // Wall clock: a table waits (capture_plan.h), look again then though the schema stays.
  std::optional<std::int64_t> again_at_ms;
};

// install.h, on an open connection.
Result<bool> repair(const Database& db, const std::string& source, base::Clock& clock,
                    base::Random& random);

// Looks in a transaction that only reads, and writes where there is something to do. `check` is
// called in each of these transactions, before anything else: its error is refresh()'s.
Result<RefreshReport> refresh(const Database& db, const std::function<Result<void>()>& check = {});

}  // namespace evodb::capture
