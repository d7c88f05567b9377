// Definitions: the table definitions that the journal's records refer to by fingerprint.
//
// A definition is repeated in every journal segment that uses it, so one that was last seen more
// than `reach_bytes` ago (more than a segment) is not referred to any more and may be forgotten:
// clients that make up columns do not fill the memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "evodb/result.h"
#include "evodb/types.h"
#include "wire/table_def.h"

namespace evodb::lake {

class LakeTable;

struct Definition {
  wire::TableDef def;
  Position seen;
  LakeTable* table = nullptr;       // set with the plan, when its first change is landed
  std::vector<std::uint32_t> plan;  // LakeTable::plan
  std::uint64_t bytes = 0;
};

class Definitions {
 public:
  explicit Definitions(std::uint64_t reach_bytes) : reach_bytes_(reach_bytes) {}
  // A RecordType::kTableDef record. Errors: kCorrupt.
  Result<void> add(std::string_view payload, Position position);
  // Null: not defined. Valid until the next add().
  Definition* find(std::uint64_t fingerprint);
  std::size_t size() const { return by_fingerprint_.size(); }

 private:
  void sweep(Position position);

  std::uint64_t reach_bytes_;
  std::uint64_t bytes_ = 0;
  std::uint64_t sweep_at_bytes_ = 4u << 20;
  std::unordered_map<std::uint64_t, std::unique_ptr<Definition>> by_fingerprint_;
};

}  // namespace evodb::lake
