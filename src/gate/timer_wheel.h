// TimerWheel: one deadline for each connection, for 8 bytes each and one timer for all.
//
//   TimerWheel<Slab> wheel(slab);
//   wheel.arm(id, 40);                       // about 40 ticks from now
//   wheel.tick([&](std::uint32_t) { ... });  // every tick; fired ones are disarmed
//
// Lazy: activity is a stamp in the record, the wheel is not touched; when a deadline fires, its
// owner looks at the stamp and arms again for the rest. A delay beyond the wheel's circumference
// fires early, which the same look absorbs. Links lie in the records (`slab[id].link`), so arming
// allocates nothing.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/assert.h"

namespace evodb::gate {

struct WheelLink {
  static constexpr std::uint32_t none = 0xffffffff;
  std::uint32_t previous = none;  // none: not armed; with `head_bit`: the slot's head
  std::uint32_t next = none;
};

template <class Slab>
class TimerWheel {
 public:
  static constexpr std::uint32_t slot_count = 512;

  explicit TimerWheel(Slab& slab) : slab_(slab) { heads_.fill(WheelLink::none); }

  std::uint32_t now() const { return now_; }

  void arm(std::uint32_t id, std::uint32_t ticks) {
    disarm(id);
    const std::uint32_t slot = (now_ + std::clamp(ticks, 1u, slot_count - 1)) % slot_count;
    WheelLink& link = slab_[id].link;
    link.previous = head_bit | slot;
    link.next = heads_[slot];
    if (link.next != WheelLink::none) slab_[link.next].link.previous = id;
    heads_[slot] = id;
  }

  void disarm(std::uint32_t id) {
    WheelLink& link = slab_[id].link;
    if (link.previous == WheelLink::none) return;
    if (link.next != WheelLink::none) slab_[link.next].link.previous = link.previous;
    if (link.previous & head_bit) {
      heads_[link.previous & ~head_bit] = link.next;
    } else {
      slab_[link.previous].link.next = link.next;
    }
    link = {};
  }

  // `fire(id)` may arm and disarm any connection.
  template <class Fire>
  void tick(Fire fire) {
    const std::uint32_t slot = ++now_ % slot_count;
    while (heads_[slot] != WheelLink::none) {
      const std::uint32_t id = heads_[slot];
      disarm(id);
      fire(id);
    }
  }

 private:
  static constexpr std::uint32_t head_bit = 0x80000000;

  Slab& slab_;
  std::uint32_t now_ = 0;
  std::array<std::uint32_t, slot_count> heads_;
};

}  // namespace evodb::gate
