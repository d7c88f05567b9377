#include "ingest/table_registry.h"

#include "base/assert.h"

namespace evodb::ingest {

Result<TableIndex> TableRegistry::acquire(std::string encoded, std::uint64_t fingerprint) {
  if (const auto found = by_fingerprint_.find(fingerprint); found != by_fingerprint_.end()) {
    Entry& entry = entries_[found->second];
    if (entry.encoded != encoded) {
      return fail(ErrorKind::kInvalid,
                  "another table definition has the same fingerprint; rename a column or a table");
    }
    ++entry.users;
    return found->second;
  }
  if (bytes_ + encoded.size() > bytes_max_) {
    return fail(ErrorKind::kOverLimit, "all sessions together use more than " +
                                           std::to_string(bytes_max_) +
                                           " bytes of table definitions");
  }
  TableIndex table;
  if (free_.empty()) {
    table = static_cast<TableIndex>(entries_.size());
    entries_.emplace_back();
  } else {
    table = free_.back();
    free_.pop_back();
  }
  bytes_ += encoded.size();
  entries_[table] = {.encoded = std::move(encoded), .fingerprint = fingerprint, .users = 1};
  by_fingerprint_[fingerprint] = table;
  return table;
}

void TableRegistry::release(TableIndex table) {
  Entry& entry = entries_[table];
  EVODB_ASSERT(entry.users > 0, "released more often than acquired");
  if (--entry.users > 0) return;
  bytes_ -= entry.encoded.size();
  by_fingerprint_.erase(entry.fingerprint);
  entry = {};
  free_.push_back(table);
}

}  // namespace evodb::ingest
