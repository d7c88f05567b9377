#include "lake/definitions.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/hash.h"

namespace evodb::lake {

Result<void> Definitions::add(std::string_view payload, Position position) {
  // The record holds the canonical encoding, of which the fingerprint is the hash.
  auto& slot = by_fingerprint_[base::xxh64(payload)];
  if (slot) {
    slot->seen = position;
    return {};
  }
  base::ByteReader in(payload);
  auto def = wire::decode_table_def(in);
  if (!def || !in.at_end()) {
    by_fingerprint_.erase(base::xxh64(payload));
    return fail(ErrorKind::kCorrupt, "the journal's table definition at " +
                                         std::to_string(position.value) + ": " +
                                         (def ? std::string("bytes follow it") : def.error().text));
  }
  slot = std::make_unique<Definition>();
  slot->def = *std::move(def);
  slot->seen = position;
  slot->bytes = sizeof(Definition) + payload.size() +
                slot->def.columns.size() * (sizeof(wire::ColumnDef) + sizeof(std::uint32_t));
  bytes_ += slot->bytes;
  if (bytes_ > sweep_at_bytes_) sweep(position);
  return {};
}

Definition* Definitions::find(std::uint64_t fingerprint) {
  const auto it = by_fingerprint_.find(fingerprint);
  return it == by_fingerprint_.end() ? nullptr : it->second.get();
}

void Definitions::sweep(Position position) {
  std::erase_if(by_fingerprint_, [&](const auto& entry) {
    if (position.value - entry.second->seen.value <= reach_bytes_) return false;
    bytes_ -= entry.second->bytes;
    return true;
  });
  sweep_at_bytes_ = std::max<std::uint64_t>(4u << 20, 2 * bytes_);
}

}  // namespace evodb::lake
