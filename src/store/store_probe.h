// Probe: whether a store keeps the promises that landing rests on, tried on an object of its own.
//
//   if (auto kept = probe_store(*store, random.next()); !kept) say(kept.error().text);
//
// Credentials and bucket, put-if-absent (a second one must say kExists and must not replace), read
// after write, listing after write, replacing, removing. A store that ignores the condition of a
// put looks healthy until two writers meet; here it is seen before the first change lands.
#pragma once

#include <cstdint>
#include <string_view>

#include "evodb/result.h"
#include "store/store.h"

namespace evodb::store {

// Under the warehouse; nothing else of ours lies there, and nothing in it is worth keeping.
inline constexpr std::string_view probe_folder = "evodb-probe";

// Blocking: ten calls. `nonce` keeps two probes apart. Leaves nothing behind where the store takes
// removals. Errors: what a call gave, with what it was for; kInvalid (a promise is not kept; says
// which and what to do).
Result<void> probe_store(ObjectStore& store, std::uint64_t nonce);

}  // namespace evodb::store
