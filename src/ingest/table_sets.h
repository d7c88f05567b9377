// TableSets: which number stands for which table definition in a session. Most sessions of one
// application agree on that, so each such assignment is kept once and a session holds a handle.
//
//   TableSets sets(registry);
//   handle = sets.intern(bindings);       // one user; 0 is the empty one and costs nothing
//   const TableBinding* b = sets.find(handle, table_ref);
//   sets.release(handle);
//
// A set holds one use of each of its definitions in the registry. Its bindings never change.
// Threads: one.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "ingest/table_registry.h"

namespace evodb::ingest {

struct TableBinding {
  std::uint32_t table_ref = 0;
  TableIndex table = 0;
  bool operator==(const TableBinding&) const = default;
};

class TableSets {
 public:
  using Handle = std::uint32_t;
  using Bindings = std::vector<TableBinding>;  // ascending by table_ref

  explicit TableSets(TableRegistry& tables) : tables_(tables), sets_(1) {}

  Handle intern(Bindings bindings);
  void release(Handle set);
  const Bindings& bindings(Handle set) const { return sets_[set].bindings; }
  // Of the definitions, as they are encoded.
  std::uint64_t definition_bytes(Handle set) const { return sets_[set].definition_bytes; }
  // nullptr: the set has no such number.
  const TableBinding* find(Handle set, std::uint32_t table_ref) const {
    return find(sets_[set].bindings, table_ref);
  }
  static const TableBinding* find(const Bindings& bindings, std::uint32_t table_ref);

 private:
  struct Set {
    Bindings bindings;
    std::uint64_t definition_bytes = 0;
    std::uint64_t hash = 0;
    std::uint32_t users = 0;
  };

  TableRegistry& tables_;
  std::vector<Set> sets_;
  std::vector<Handle> free_;
  std::unordered_multimap<std::uint64_t, Handle> by_hash_;
};

}  // namespace evodb::ingest
