// How many of the process's descriptors connections may take. The rest is for those who must never
// wait for some client's connection to end: the journal, the store, the catalog.
//
//   raise_descriptor_limit();
//   const auto plan = EVODB_TRY(plan_descriptors(descriptor_limit(), 19'000));
#pragma once

#include <cstddef>
#include <cstdint>

#include "evodb/result.h"

namespace evodb::app {

inline constexpr std::uint64_t descriptors_reserved = 96;
inline constexpr std::uint64_t descriptors_refusing_max = 256;  // told 503, or closing
inline constexpr std::uint64_t descriptors_for_connections_min = 16;

struct DescriptorPlan {
  std::uint32_t connections_max = 0;  // at most what was wanted
  std::size_t streams_max = 0;        // connections, those being refused, and those closing
};

// kInvalid: the limit leaves nothing for connections; says what it should be.
Result<DescriptorPlan> plan_descriptors(std::uint64_t limit, std::uint32_t connections_wanted);

std::uint64_t descriptor_limit();  // the soft one
// The soft limit becomes the hard one. Nothing here uses select(), which is why the soft one is
// low.
void raise_descriptor_limit();

}  // namespace evodb::app
