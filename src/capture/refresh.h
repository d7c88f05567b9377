// refresh() on a connection that is open already; see install.h. Internal to capture.
#pragma once

#include "capture/sqlite_db.h"
#include "evodb/result.h"

namespace evodb::capture {

Result<bool> refresh(const Database& db);

}  // namespace evodb::capture
