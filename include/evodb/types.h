// The words of EvoDB as types: an Lsn cannot be passed where a Position is wanted.
//
// Sizes and meanings are those of docs/ARCHITECTURE.md. All are plain values.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace evodb {

template <class Tag, class Rep>
struct Strong {
  Rep value{};

  constexpr Strong() = default;
  constexpr explicit Strong(Rep v) : value(v) {}
  friend constexpr auto operator<=>(const Strong&, const Strong&) = default;
};

// Log sequence number of a change: strictly growing within (source, epoch). 0 means "none yet".
using Lsn = Strong<struct LsnTag, std::uint64_t>;

// A life of a source's log. A restored, rolled-back or copied database starts a new, larger one.
// 0 is the epoch of a wire v1 source, which knows no epochs.
using Epoch = Strong<struct EpochTag, std::uint64_t>;

// Names the group of changes that became visible together. Never splits an application's
// transaction; may join several that were committed close together.
using TxnId = Strong<struct TxnTag, std::uint64_t>;

// Byte offset in the parent's journal. Strictly growing for the life of one journal id.
using Position = Strong<struct PositionTag, std::uint64_t>;

// Running hash over every change of one (source, epoch); see docs/formats/wire-v2.md.
using ChainHash = Strong<struct ChainTag, std::uint64_t>;

// Milliseconds since the Unix epoch, UTC.
using UnixMillis = Strong<struct UnixMillisTag, std::int64_t>;

// What happened to a row. The numbers are the wire's.
enum class Op : std::uint8_t {
  kInsert = 0,
  kUpdate = 1,
  kDelete = 2,
  kSnapshot = 3,  // the row existed when capture began
  kOversize = 4,  // the row cannot be sent: key and reason only; lands in the rejects table
  kReset = 5,     // the table begins anew here: rows of before are forgotten, SNAPSHOTs follow
  kDrop = 6,      // the table is gone at the source; its rows are forgotten
};
inline constexpr Op op_last = Op::kDrop;

// About a row or table as a whole: such a change has a reason and no rows.
constexpr bool carries_reason(Op op) { return op >= Op::kOversize; }

// How long a child keeps a change.
enum class WaitLevel : std::uint8_t {
  kDurable = 0,    // synced in the parent's journal
  kPersisted = 1,  // in a committed lakehouse snapshot
};

}  // namespace evodb

template <class Tag, class Rep>
struct std::hash<evodb::Strong<Tag, Rep>> {
  std::size_t operator()(const evodb::Strong<Tag, Rep>& s) const noexcept {
    return std::hash<Rep>{}(s.value);
  }
};
