#include "ingest/table_sets.h"

#include <algorithm>
#include <string_view>

#include "base/assert.h"
#include "base/hash.h"

namespace evodb::ingest {

const TableBinding* TableSets::find(const Bindings& bindings, std::uint32_t table_ref) {
  // Children number their tables 0, 1, 2, ...: nearly always the index itself.
  if (table_ref < bindings.size() && bindings[table_ref].table_ref == table_ref) {
    return &bindings[table_ref];
  }
  const auto found =
      std::lower_bound(bindings.begin(), bindings.end(), table_ref,
                       [](const TableBinding& b, std::uint32_t ref) { return b.table_ref < ref; });
  return found != bindings.end() && found->table_ref == table_ref ? &*found : nullptr;
}

TableSets::Handle TableSets::intern(Bindings bindings) {
  if (bindings.empty()) return 0;
  static_assert(sizeof(TableBinding) == 8, "hashed as bytes: no padding");
  const std::uint64_t hash = base::xxh64(
      {reinterpret_cast<const char*>(bindings.data()), bindings.size() * sizeof(TableBinding)});
  const auto [first, last] = by_hash_.equal_range(hash);
  for (auto at = first; at != last; ++at) {
    if (sets_[at->second].bindings != bindings) continue;
    ++sets_[at->second].users;
    return at->second;
  }
  Handle handle;
  if (free_.empty()) {
    handle = static_cast<Handle>(sets_.size());
    sets_.emplace_back();
  } else {
    handle = free_.back();
    free_.pop_back();
  }
  Set& set = sets_[handle];
  set = {.bindings = std::move(bindings), .hash = hash, .users = 1};
  set.bindings.shrink_to_fit();
  for (const TableBinding& binding : set.bindings) {
    tables_.retain(binding.table);
    set.definition_bytes += tables_.at(binding.table).encoded.size();
  }
  by_hash_.emplace(hash, handle);
  return handle;
}

void TableSets::release(Handle handle) {
  if (handle == 0) return;
  Set& set = sets_[handle];
  EVODB_ASSERT(set.users > 0, "released more often than interned");
  if (--set.users > 0) return;
  for (const TableBinding& binding : set.bindings) tables_.release(binding.table);
  const auto [first, last] = by_hash_.equal_range(set.hash);
  by_hash_.erase(std::find_if(first, last, [&](const auto& at) { return at.second == handle; }));
  set = {};
  free_.push_back(handle);
}

}  // namespace evodb::ingest
