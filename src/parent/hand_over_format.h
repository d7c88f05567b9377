// The bytes that a parent hands over to the next one: docs/formats/hand-over.md.
//
// Versioned as a whole: a process reads what its own version writes, and nothing else. Both sides
// say their version before anything is given up.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "evodb/result.h"
#include "evodb/types.h"

namespace evodb::parent {

inline constexpr std::uint32_t hand_over_version = 1;

struct HandOverContents {
  std::uint64_t journal_id = 0;
  Position journal_end;                // everything before it is durable
  std::vector<std::uint32_t> streams;  // numbers that `sessions` uses, ascending; in the order of
                                       // `connections`
  std::string connections;             // gate::Gate::save_connections
  std::string sessions;                // ingest::Ingest::save_sessions

  friend bool operator==(const HandOverContents&, const HandOverContents&) = default;
};

std::string encode_hand_over(const HandOverContents& contents);
// Errors: kInvalid (another version, cut off, damaged: says which).
Result<HandOverContents> decode_hand_over(std::string_view bytes);

}  // namespace evodb::parent
