// The small file beside a database in which an edge keeps what it knows of the log there, for the
// next edge: so that also what happens to the database while none runs is noticed, and that capture
// can be installed again as it was by one that finds nothing of it. docs/formats/outbox.md.
//
//   auto memory = load_memory("app.db");       // nothing: absent, damaged, of a later version
//   save_memory("app.db", outbox.memory());    // best effort: an old file does no harm
//
// It is written without a sync and replaced as a whole. One that is too old leads to no false
// alarm, since a log only grows; one of another database says what a running edge would say: that
// the database was replaced.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "capture/log_memory.h"

namespace evodb::capture {

std::string memory_path(const std::string& db);
std::optional<LogMemory> load_memory(const std::string& db);
void save_memory(const std::string& db, const LogMemory& memory);

// Capture was taken away on purpose: nobody is to put it back.
void forget_memory(const std::string& db);

// For its test.
std::string encode_memory(const LogMemory& memory);
std::optional<LogMemory> decode_memory(std::string_view bytes);

}  // namespace evodb::capture
